"""Secret probes: searches every output of runs of every kind for every secret."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from steps.cli import cli, write_termination_message
from steps.clients.git.config import Credentials, environment, repository_config
from steps.clients.s3.listing import Listed
from steps.clients.s3.store import ObjectStore
from steps.commands import Commands
from steps.errors import SyncError
from steps.runtime.settings.catalogue import catalogue
from steps.runtime.settings.reading import read
from tests.support.bucket import new_bucket
from tests.support.echo import echo
from tests.support.gitserver import https_git_server
from tests.support.process import await_port, free_port
from tests.support.procwatch import shims, watched
from tests.support.receiver import Receiver, receiver
from tests.support.repositories import (
    GITLINK,
    bare_repository,
    commit_files,
    git_environment,
    install_hook,
    sha,
)
from tests.support.secret_probes import SecretProbes, encodings
from tests.support.sshserver import ssh_git_server
from tests.support.tunnel import tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import trustme

    from tests.support.bucket import Bucket
    from tests.support.echo import Echo
    from tests.support.gitserver import GitServer
    from tests.support.s3 import S3Server
    from tests.support.sync import Sync

SECRETS = {
    "MINIO_ACCESS_KEY": "AKIACANARY7ZL3XW5VNT",
    "MINIO_SECRET_KEY": "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",
    "GIT_TOKEN": 'glpat-cAnArY_7f3b/+x%40&"q\\z9',
    "PUSHGATEWAY_PASSWORD": "pUsHgW-cAnArY+3q/Lw:8z",
    "WEBHOOK_SECRET": "hmac-cAnArY-k5Jr2<Pq>9v",
    "SECRETS_KEY": "kEy-cAnArY-4Tz9/Wq+1Lm:7Xc&2Vb=5Ns",
    "STATE_ACCESS_KEY": "AKIASTATECANARY0QX9B",
    "STATE_SECRET_KEY": "sTaTe/cAnArY+mW4xKp7Jt2Yc",
    "HTTPS_PROXY": "pRoXy/cAnArY@8Kd:2+lm%Vq",  # its password
    "WEBHOOK_URL": "/services/cAnArYT0/B1Hq7/mZ2kX9w",  # its path
}
PROBES = SecretProbes(SECRETS)
_DEADLINE_SECONDS = 60
LOGIN = f"proxy-user:{SECRETS['HTTPS_PROXY']}"
KEY = "clusterbackup/east/shop/Deployment/a.yaml"


def proxy_url(endpoint: str) -> str:
    return f"http://{LOGIN.replace('%', '%25').replace('/', '%2F').replace('@', '%40')}@{endpoint}"


# -- the search itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SECRETS)
def test_search_finds_each_secret_in_any_encoding_and_in_part(name: str) -> None:
    for encoded in (
        *encodings(SECRETS[name]),
        SECRETS[name].upper(),
        SECRETS[name][:13],
        SECRETS[name][-13:],
    ):
        assert PROBES.seen_in(f"before, {encoded} after") == {name}, encoded
    assert PROBES.seen_in("glpat- cAnArY proxy-user /services/ AKIA") == set()


def test_every_secret_setting_has_a_probe_and_is_redacted_in_the_log() -> None:
    assert {setting.name for setting in catalogue() if setting.is_secret} == set(SECRETS)
    known = read(
        {**SECRETS, "HTTPS_PROXY": proxy_url("proxy:1"), "WEBHOOK_URL": f"https://h{SECRETS['WEBHOOK_URL']}"}
    )
    assert set(SECRETS.values()) <= set(known.secrets())


# -- everything that a run writes or sends --------------------------------------------------------


@dataclass
class Probed:
    """git-sync with a probe for every secret, and everything that its runs show to others."""

    sync: Sync
    git: GitServer
    hook: Receiver
    gateway: Receiver
    tmp: Path
    seen: dict[str, bytes] = field(default_factory=dict)

    def collect(self) -> None:
        """Collect the content of every file, delivery and message."""
        folders = {"WORK_DIR": self.sync.work_dir, "TMPDIR": self.tmp, "repository": self.sync.repository}
        for name, top in folders.items():
            for folder, _, files in os.walk(top):
                for path in (Path(folder, file) for file in files):
                    with suppress(FileNotFoundError):  # git removes files at the same time
                        self.seen[f"{name}/{path.relative_to(top)}"] = path.read_bytes()
        for name, target in (("webhook", self.hook), ("Pushgateway", self.gateway)):
            for number, delivery in enumerate(target.got):
                self.seen[f"{name} {number}"] = delivery.body
        message = self.tmp.parent / "termination-log"
        message.touch()
        write_termination_message(message)
        self.seen["termination message"] = message.read_bytes()
        self.seen["objects in Git"] = subprocess.run(
            ["git", "cat-file", "--batch", "--batch-all-objects"],
            cwd=self.sync.repository,
            env=git_environment(),
            capture_output=True,
            check=True,
        ).stdout

    def leaks(self, *result: str) -> dict[str, set[str]]:
        """Return the names of the secrets found, by the place where they were found."""
        self.collect()
        self.seen |= {f"output {number}": text.encode() for number, text in enumerate(result)}
        return {where: found for where, text in self.seen.items() if (found := PROBES.seen_in(text))}


@pytest.fixture
def probed(
    sync: Sync, repository: Path, ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Probed]:
    sync.bucket.put(KEY, b"a")
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    with (
        https_git_server(repository.parent, ca, SECRETS["GIT_TOKEN"]) as git,
        receiver() as hook,
        receiver() as gateway,
    ):
        ready = sync.with_settings(
            **SECRETS
            | {
                "HTTPS_PROXY": proxy_url(f"127.0.0.1:{free_port()}"),
                "NO_PROXY": "127.0.0.1",
                "WEBHOOK_URL": hook.url + SECRETS["WEBHOOK_URL"],
                "PUSHGATEWAY_URL": gateway.url,
                "PUSHGATEWAY_USERNAME": "pusher",
                "SCRAPE_INTERVAL": "1ms",
                "GIT_REPOSITORY": git.url_for(repository),
                "GIT_CA_FILE": str(git.ca_file),
                "LOG_LEVEL": "debug",
                "RETRY_ATTEMPTS": "1",
                "TMPDIR": str(tmp),
            }
        )
        monkeypatch.setattr("tempfile.tempdir", str(tmp))  # for commands that run in this process
        yield Probed(ready, git, hook, gateway, tmp)


@pytest.fixture
def secure_bucket(secure_s3: S3Server) -> Bucket:
    bucket = new_bucket(secure_s3)
    bucket.put_many({KEY: b"a", "clusterbackup/west/b.yaml": b"b"})
    return bucket


def test_run_with_every_secret_shows_none_of_them(
    secure_bucket: Bucket, probed: Probed, tmp_path: Path
) -> None:
    """Uses a proxy with a password. Child processes are observed from outside, and by shims."""
    port = free_port()
    path = shims(tmp_path / "shims", ["git", "sed"])
    pause = threading.Event()

    def collect(_: object) -> None:
        probed.collect()
        pause.wait(0.1)  # keeps git and its helpers alive until they are sampled

    probed.git.before = collect
    with tunnel(LOGIN) as proxy:
        through = {
            "MINIO_ENDPOINT": secure_bucket.server.endpoint,
            "MINIO_BUCKET": secure_bucket.name,
            "MINIO_USE_SSL": "true",
            "MINIO_CA_FILE": str(secure_bucket.server.ca_file),
            "HTTPS_PROXY": proxy_url(proxy.url.removeprefix("http://")),
            "NO_PROXY": "",
            "METRICS_PORT": str(port),
        }
        process = probed.sync.start("run", **through, PATH=f"{path}:{os.environ['PATH']}")
        with watched(process.pid) as children:
            out, err = process.communicate()
        assert process.returncode == 0, out
        assert len(set(proxy.requested_hosts)) == 2, "bucket and Git"
    probed.seen |= children | {file.name: file.read_bytes() for file in (tmp_path / "shims/seen").iterdir()}
    serving = probed.sync.start("serve", METRICS_PORT=str(port))
    await_port(f"127.0.0.1:{port}", timeout_seconds=_DEADLINE_SECONDS)
    for page in ("/", "/report", "/health", "/metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}") as answer:
            probed.seen[page] = answer.read()
    serving.terminate()
    served, serve_errors = serving.communicate()
    health = probed.sync("health")
    assert health.exit == 0
    assert serving.returncode in {0, 143}  # 143 if the signal came during the start

    assert probed.leaks(out, err, served, serve_errors, health.text) == {}
    assert err == serve_errors == ""
    for channel in (
        *("arguments of git", "arguments of sed", "arguments of git-remote-https"),
        *("environment of git", "environment of sed", "environment of git-remote-https"),
        *(
            "WORK_DIR/.git/config",
            "WORK_DIR/.gitconfig",
            "WORK_DIR/sync-metadata.json",
            "WORK_DIR/.git-sync/",
        ),
        *("WORK_DIR/report.html", "WORK_DIR/report.md", "/report", "/health", "/metrics", "output 0"),
        *("webhook 0", "Pushgateway 0", "objects in Git", "repository/"),
    ):
        assert any(channel in where and content for where, content in probed.seen.items()), channel
    assert not [where for where in probed.seen if where.startswith("TMPDIR")], (
        "the run wrote a file to TMPDIR"
    )
    assert not list(probed.tmp.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_run_leaves_no_secret_on_disk(number: signal.Signals, probed: Probed) -> None:
    reached, released = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        reached.set()
        released.wait(_DEADLINE_SECONDS)

    probed.git.before = wait
    process = probed.sync.start("run")
    try:
        assert reached.wait(_DEADLINE_SECONDS)
        probed.collect()  # git has the token at this point
        process.send_signal(number)
        out, err = process.communicate()
    finally:
        released.set()
    assert process.returncode in {143, -signal.SIGKILL}
    assert probed.leaks(out, err) == {}
    assert not [path for path in probed.tmp.rglob("*") if path.is_file()]
    assert number == signal.SIGKILL or not list(probed.tmp.iterdir())


@pytest.mark.parametrize("in_a_file", [False, True])
def test_single_steps_show_no_secret(
    in_a_file: bool, probed: Probed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text(f"{SECRETS['GIT_TOKEN']}\r\nissued in May\n")
    token_file = {"GIT_TOKEN_FILE": str(token), "GIT_TOKEN": ""} if in_a_file else {}
    for step in ("discover", "download", "detect", "publish", "report", "health"):
        assert probed.sync(step, **token_file).exit == 0, step
    assert probed.hook.got
    assert probed.gateway.got
    assert probed.leaks(*capfd.readouterr()) == {}


# -- servers that answer with every secret --------------------------------------------------------


def all_secrets(padding: int = 0) -> str:
    """Return all secrets in all readable forms; `padding` moves them to where error messages are cut."""
    return "\n".join("x" * padding + line for line in PROBES.lines("git-sync"))


@pytest.fixture
def echo_server(ca: trustme.CA) -> Iterator[Echo]:
    with echo(tls=ca) as running:
        yield running


def wrong_token(probed: Probed, _: Echo) -> Sync:
    return probed.sync.with_settings(GIT_TOKEN=SECRETS["GIT_TOKEN"][::-1])


def echoing_git(status: int, padding: int = 0) -> Callable[[Probed, Echo], Sync]:
    def prepared(probed: Probed, echo_server: Echo) -> Sync:
        echo_server.status, echo_server.body = status, all_secrets(padding)
        return probed.sync.with_settings(GIT_REPOSITORY=f"{echo_server.url}/r.git")

    return prepared


def redirecting_git(probed: Probed, echo_server: Echo) -> Sync:
    probed.git.redirect_to = echo_server.url
    return probed.sync


def git_that_hangs_up(probed: Probed, _: Echo) -> Sync:
    probed.git.lose_response(100)
    return probed.sync


def hook(padding: int, end: str) -> Callable[[Probed, Echo], Sync]:
    """Let a hook of the server print all secrets, which git shows as remote messages."""

    def prepared(probed: Probed, _: Echo) -> Sync:
        text = probed.tmp.parent / "message"
        text.write_text(all_secrets(padding) + "\n")
        install_hook(probed.sync.repository, "pre-receive", f"#!/bin/sh\ncat {text} >&2\n{end}\n")
        return probed.sync

    return prepared


def echoing_s3(status: int, padding: int = 0) -> Callable[[Probed, Echo], Sync]:
    def prepared(probed: Probed, echo_server: Echo) -> Sync:
        message = all_secrets(padding).replace("&", "&amp;").replace("<", "&lt;")
        echo_server.status, echo_server.headers = status, {"Content-Type": "application/xml"}
        echo_server.body = f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
        return probed.sync.with_settings(
            MINIO_ENDPOINT=echo_server.endpoint, MINIO_USE_SSL="true", MINIO_CA_FILE=str(probed.git.ca_file)
        )

    return prepared


def echoing_targets(padding: int) -> Callable[[Probed, Echo], Sync]:
    def prepared(probed: Probed, echo_server: Echo) -> Sync:
        echo_server.status, echo_server.body = 400, all_secrets(padding)
        ca_file = str(probed.git.ca_file)
        return probed.sync.with_settings(
            PUSHGATEWAY_URL=echo_server.url,
            PUSHGATEWAY_CA_FILE=ca_file,
            WEBHOOK_URL=echo_server.url + SECRETS["WEBHOOK_URL"],
            WEBHOOK_CA_FILE=ca_file,
        )

    return prepared


def targets_out_of_reach(probed: Probed, _: Echo) -> Sync:
    closed = f"127.0.0.1:{free_port()}"
    return probed.sync.with_settings(
        PUSHGATEWAY_URL=f"https://{closed}", WEBHOOK_URL=f"http://{closed}{SECRETS['WEBHOOK_URL']}"
    )


def unreachable_proxy(probed: Probed, _: Echo) -> Sync:
    return probed.sync.with_settings(NO_PROXY="")


def unsupported_proxy(probed: Probed, _: Echo) -> Sync:
    return probed.sync.with_settings(NO_PROXY="", HTTPS_PROXY=proxy_url("[::1]:1"))


FAULTS = {
    "wrong token": (40, wrong_token),
    "git answers 401": (40, echoing_git(401)),
    "git answers 403": (40, echoing_git(403)),
    "git answers 403, cut at the limit": (40, echoing_git(403, 985)),
    "git answers 500": (30, echoing_git(500)),
    "git answers with a text page": (40, echoing_git(200)),
    "git redirects": (40, redirecting_git),
    "git loses the response": (0, git_that_hangs_up),
    "the hook rejects": (40, hook(0, "exit 1")),
    "the hook rejects, cut at the limit": (40, hook(985, "exit 1")),
    "the hook accepts": (0, hook(0, "exit 0")),
    "S3 answers 403": (40, echoing_s3(403)),
    "S3 answers 403, cut at the limit": (40, echoing_s3(403, 285)),
    "S3 answers 500": (30, echoing_s3(500)),
    "S3 answers 200 with an error document": (40, echoing_s3(200)),
    "targets refuse": (0, echoing_targets(0)),
    "targets refuse, cut at the limit": (0, echoing_targets(285)),
    "targets are out of reach": (0, targets_out_of_reach),
    "the proxy is unreachable": (30, unreachable_proxy),
    "the proxy has an unsupported address": (30, unsupported_proxy),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_shows_no_secret(
    name: str, probed: Probed, echo_server: Echo, capfd: pytest.CaptureFixture[str]
) -> None:
    exit_, prepare = FAULTS[name]
    prepared = prepare(probed, echo_server)
    result = prepared()
    assert result.exit == exit_, result.text
    leaks = probed.leaks(result.text, *capfd.readouterr())
    assert not leaks, {where: probed.seen[where] for where in leaks}
    if exit_:
        assert probed.seen["termination message"]


@pytest.mark.parametrize("format_", ["json", "text"])
def test_unexpected_error_shows_no_secret(
    format_: str, probed: Probed, capfd: pytest.CaptureFixture[str]
) -> None:
    def unexpected() -> None:
        environ = click.get_current_context().obj
        Commands(environ)._configure()
        try:
            raise KeyError(all_secrets())
        except KeyError as cause:
            raise RuntimeError(all_secrets(), b"bytes") from cause

    cli.command("unexpected")(unexpected)
    try:
        result = probed.sync("unexpected", LOG_FORMAT=format_)
    finally:
        del cli.commands["unexpected"]
    assert result.exit == 40
    assert "Unexpected error" in result.text
    assert "RuntimeError" in result.text
    leaks = probed.leaks(result.text, *capfd.readouterr())
    assert not leaks, {where: probed.seen[where] for where in leaks}


@pytest.mark.parametrize(
    ("arguments", "exit_", "broken"),
    [
        (("run", "--nonsense"), 2, {}),
        (("download", "--shard", "One"), 2, {}),
        (("discover", "--run-id", "../x"), 2, {}),
        (("report", "--artifacts", "/nowhere"), 2, {}),
        (("publish",), 40, {}),
        (("run",), 40, {"RETRY_DELAY": "soon", "GIT_BRANCH": "a b", "MINIO_USE_SSL": "perhaps"}),
        (("run",), 40, {"GIT_REPOSITORY": f"https://user:{SECRETS['GIT_TOKEN']}@git.example.com/r.git"}),
        (("run",), 40, {"GIT_REPOSITORY": f"https://{SECRETS['WEBHOOK_SECRET']}@git.example.com/r.git"}),
        (("run",), 40, {"PUSHGATEWAY_URL": f"http://pusher:{SECRETS['PUSHGATEWAY_PASSWORD']}@gateway"}),
        (("run",), 40, {"MINIO_ENDPOINT": f"key:{SECRETS['MINIO_SECRET_KEY']}@minio:9000"}),
        (("run",), 40, {"HTTPS_PROXY": f"socks5://{LOGIN}@proxy:1"}),
        (("run",), 40, {"WEBHOOK_URL": f"hooks.example.com{SECRETS['WEBHOOK_URL']}"}),
        (("run",), 40, {"GIT_TOKEN_FILE": SECRETS["GIT_TOKEN"], "GIT_TOKEN": ""}),
        (("run",), 40, {"GIT_TOKENS": SECRETS["GIT_TOKEN"], "WORK_DIR": "/proc/nowhere"}),
        (("serve",), 40, {"METRICS_PORT": "0"}),
        (("health",), 1, {"STATE_ENDPOINT": ""}),
        (("health",), 30, {"STATE_ENDPOINT": "127.0.0.1:1", "STATE_BUCKET": "artifacts", "STATE_KEY": "k"}),
    ],
    ids=str,
)
def test_usage_and_settings_errors_show_no_secret(
    arguments: tuple[str, ...],
    exit_: int,
    broken: dict[str, str],
    probed: Probed,
    capfd: pytest.CaptureFixture[str],
) -> None:
    result = probed.sync(*arguments, **broken)
    assert result.exit == exit_, result.text
    assert probed.leaks(result.text, *capfd.readouterr()) == {}


@pytest.mark.skipif(which("ssh") is None, reason="no ssh client here: apt-get install openssh-client")
@pytest.mark.parametrize("known", [True, False])
def test_ssh_key_is_never_shown(known: bool, probed: Probed, capfd: pytest.CaptureFixture[str]) -> None:
    with ssh_git_server(probed.sync.repository.parent) as server:
        key = (server.key_path if known else server.other_key_path).read_text()
        private = "".join(key.splitlines()[3:-1])  # the lines before are the same in all keys, or public
        result = probed.sync(
            GIT_REPOSITORY=server.url_for(probed.sync.repository),
            SSH_KEY_PATH=str(server.key_path if known else server.other_key_path),
            SSH_KNOWN_HOSTS_PATH=str(server.known_hosts_path),
        )
        refused = probed.sync(SSH_KEY_PATH=key, GIT_REPOSITORY="git@git.example.com:r.git", GIT_TOKEN="")
    assert (result.exit, refused.exit) == (0 if known else 40, 40)
    probed.leaks(result.text, refused.text, *capfd.readouterr())
    assert [
        where for where, text in probed.seen.items() if SecretProbes({"key": private}).seen_in(text)
    ] == []


# -- on a cluster ---------------------------------------------------------------------------------

MANIFESTS = [
    document
    for path in sorted((Path(__file__).parents[2] / "workflows/manifests").rglob("*.yaml"))
    for document in yaml.load_all(path.read_bytes(), yaml.CSafeLoader)
]


def test_manifests_have_secrets_only_by_reference() -> None:
    """No value, parameter, artifact or ConfigMap contains a secret, so Argo stores and shows none."""
    named = [part for part in _parts(MANIFESTS) if part.get("name") in SECRETS]
    assert {"MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"} <= {part["name"] for part in named}
    for part in named:
        assert set(part) == {"name", "valueFrom"}, part
        assert set(part["valueFrom"]) == {"secretKeyRef"}, part
    for part in _parts(MANIFESTS):
        if part.get("kind") == "ConfigMap":
            assert not SECRETS.keys() & part.get("data", {}).keys()
        assert part.get("kind") != "Secret"
        for kind in ("parameters", "artifacts"):
            names = {str(entry.get("name")) for entry in part.get(kind) or [] if isinstance(entry, dict)}
            assert not SECRETS.keys() & {name.upper().replace("-", "_") for name in names}


def _parts(document: object) -> Iterator[dict[str, Any]]:
    """Yield every mapping in the document."""
    if isinstance(document, dict):
        yield document
        document = list(document.values())
    if isinstance(document, list):
        for inner in document:
            yield from _parts(inner)


# -- the token goes to the configured host only ---------------------------------------------------


def filled(probed: Probed, tmp_path: Path, **request: str) -> str:
    """Return the credentials that git would send to this address with our configuration."""
    configured = read(probed.sync.settings).git
    credentials = Credentials(configured)
    repository = bare_repository(tmp_path / "scratch.git")
    (repository / "config").write_text(repository_config(configured, credentials.config))
    done = subprocess.run(
        ["git", "credential", "fill"],
        input="".join(f"{name}={value}\n" for name, value in request.items()),
        cwd=repository,
        env={"PATH": os.environ["PATH"]} | environment(configured, tmp_path, tmp_path / "none"),
        pass_fds=credentials.descriptors,
        capture_output=True,
        text=True,
        check=False,
    )
    credentials.close()
    return done.stdout


@pytest.mark.parametrize(
    ("request_", "sent"),
    [
        ({}, True),
        ({"username": "git-sync"}, True),
        ({"path": "other/repository.git"}, True),  # git sends credentials to every repository of the host
        ({"protocol": "http"}, False),
        ({"protocol": "ssh"}, False),
        ({"host": "127.0.0.1"}, False),
        ({"host": "127.0.0.1:1"}, False),
        ({"host": "localhost:{port}"}, False),
        ({"host": "evil.example.com"}, False),
        ({"host": "127.0.0.1:{port}.evil.example.com"}, False),
        ({"host": "evil@127.0.0.1:{port}"}, False),
        ({"host": "127.0.0.1:{port}@evil.example.com"}, False),
        ({"host": "evil.example.com/127.0.0.1:{port}"}, False),
        ({"host": "evil.example.com", "path": "https://127.0.0.1:{port}"}, False),
        (
            {"host": "evil.example.com", "username": "Password for 'https://git-sync@127.0.0.1:{port}': "},
            False,
        ),
    ],
    ids=str,
)
def test_git_gets_the_token_only_for_the_configured_host(
    request_: dict[str, str], sent: bool, probed: Probed, tmp_path: Path
) -> None:
    host = probed.git.url.removeprefix("https://")
    fields = {"protocol": "https", "host": host} | request_
    port = host.rpartition(":")[2]
    answer = filled(probed, tmp_path, **{name: text.replace("{port}", port) for name, text in fields.items()})
    assert (f"password={SECRETS['GIT_TOKEN']}\n" in answer) is sent
    assert bool(PROBES.seen_in(answer)) is sent


@pytest.mark.parametrize("after_login", [False, True])
@pytest.mark.parametrize(("tls", "allow_http"), [(True, False), (False, True), (False, False)])
def test_git_redirect_does_not_forward_the_token(
    tls: bool, allow_http: bool, after_login: bool, probed: Probed, ca: trustme.CA
) -> None:
    """Redirects to another port or scheme, before and after the server has received the token."""
    probed.git.redirect_after_login = after_login
    with echo(tls=ca if tls else None) as other:
        probed.git.redirect_to = other.url
        result = probed.sync(GIT_ALLOW_HTTP=str(allow_http))
    assert result.exit in {30, 40}
    assert bool(probed.git.authorizations) is after_login
    assert bool(other.got) is (tls or allow_http)
    assert other.authorizations == []


@pytest.mark.parametrize("tls", [True, False])
def test_s3_redirect_does_not_forward_the_signature(tls: bool, probed: Probed, ca: trustme.CA) -> None:
    with echo(tls=ca) as first, echo(tls=ca if tls else None) as other:
        first.status, first.headers = 307, {"Location": f"{other.url}/b?list-type=2"}
        listing = {
            "MINIO_ENDPOINT": first.endpoint,
            "MINIO_USE_SSL": "true",
            "MINIO_CA_FILE": str(probed.git.ca_file),
        }
        assert probed.sync(**listing).exit in {30, 40}
        store = ObjectStore(read({**probed.sync.settings, **listing}).s3)
        with pytest.raises(SyncError):
            store.fetch(Listed("k", "", 1, None), bytes(probed.tmp / "k"), max_bytes=1)
        assert other.got == []
        with pytest.raises(SyncError):  # obstore follows it, for content that has to prove its MD5
            store.fetch(Listed("k", "0" * 32, 1, None), bytes(probed.tmp / "k"), max_bytes=1)
    assert len(first.authorizations) > 1
    assert bool(other.got) is tls, "it never follows from https to http"
    assert other.authorizations == []
    assert not [headers for headers in other.got if PROBES.seen_in(str(headers))]


def test_webhook_and_pushgateway_redirects_are_not_followed(probed: Probed) -> None:
    with receiver() as other:
        for target in (probed.hook, probed.gateway):
            target.status, target.headers = 307, {"Location": other.url}
        assert probed.sync().exit == 0
    assert probed.hook.got
    assert probed.gateway.got
    assert other.got == []


def test_alternates_and_submodules_of_a_server_are_not_fetched(probed: Probed, ca: trustme.CA) -> None:
    """A dumb HTTP server that names another server for its objects, and a submodule on another host."""
    assert probed.sync().exit == 0
    with echo(tls=ca) as other:
        module = f'[submodule "x"]\n\tpath = clusterbackup/x\n\turl = {other.url}/x.git\n'
        link = (GITLINK, sha(probed.sync.repository).encode())
        commit_files(probed.sync.repository, {".gitmodules": module.encode(), "clusterbackup/x": link})
        probed.sync.bucket.put(KEY, b"changed")
        assert probed.sync().exit == 0
        with echo(tls=ca) as dumb:
            dumb.status = 404
            dumb.pages = {
                "/info/refs": f"{sha(probed.sync.repository)}\trefs/heads/main\n",
                "/objects/info/http-alternates": f"{other.url}/r.git/objects\n",
            }
            assert probed.sync(GIT_REPOSITORY=f"{dumb.url}/r.git").exit in {30, 40}
        assert dumb.authorizations
        assert other.got == []
