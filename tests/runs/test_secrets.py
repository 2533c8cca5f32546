"""Secret probes: every secret, through runs of every kind, searched for in everything that a run writes."""

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
from tests.support.s3 import moto_server
from tests.support.secret_probes import Canaries, spellings
from tests.support.sshserver import ssh_git_server
from tests.support.tunnel import tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import trustme

    from tests.support.bucket import Bucket
    from tests.support.echo import Echo
    from tests.support.gitserver import GitServer
    from tests.support.sync import Sync

SECRETS = {
    "MINIO_ACCESS_KEY": "AKIACANARY7ZL3XW5VNT",
    "MINIO_SECRET_KEY": "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",
    "GIT_TOKEN": 'glpat-cAnArY_7f3b/+x%40&"q\\z9',
    "PUSHGATEWAY_PASSWORD": "pUsHgW-cAnArY+3q/Lw:8z",
    "WEBHOOK_SECRET": "hmac-cAnArY-k5Jr2<Pq>9v",
    "STATE_ACCESS_KEY": "AKIASTATECANARY0QX9B",
    "STATE_SECRET_KEY": "sTaTe/cAnArY+mW4xKp7Jt2Yc",
    "HTTPS_PROXY": "pRoXy/cAnArY@8Kd:2+lm%Vq",  # its password
    "WEBHOOK_URL": "/services/cAnArYT0/B1Hq7/mZ2kX9w",  # its path
}
CANARIES = Canaries(SECRETS)
_DEADLINE_SECONDS = 60
LOGIN = f"proxy-user:{SECRETS['HTTPS_PROXY']}"
KEY = "clusterbackup/east/shop/Deployment/a.yaml"


def proxy_url(endpoint: str) -> str:
    return f"http://{LOGIN.replace('%', '%25').replace('/', '%2F').replace('@', '%40')}@{endpoint}"


# -- the search itself --------------------------------------------------------------------------


@pytest.mark.parametrize("name", SECRETS)
def test_the_search_knows_each_canary_in_any_spelling_and_cut(name: str) -> None:
    for spelt in (*spellings(SECRETS[name]), SECRETS[name].upper(), SECRETS[name][:13], SECRETS[name][-13:]):
        assert CANARIES.seen_in(f"some words, {spelt} and more") == {name}, spelt
    assert CANARIES.seen_in("glpat- canary proxy-user /services/ AKIA") == set()


def test_there_is_a_canary_for_every_secret_setting_and_the_log_knows_each() -> None:
    assert {setting.name for setting in catalogue() if setting.is_secret} == set(SECRETS)
    known = read(
        {**SECRETS, "HTTPS_PROXY": proxy_url("proxy:1"), "WEBHOOK_URL": f"https://h{SECRETS['WEBHOOK_URL']}"}
    )
    assert set(SECRETS.values()) <= set(known.secrets())


# -- where a run leaves and says something ------------------------------------------------------


@dataclass
class Armed:
    """git-sync with a canary for every secret, and all that can be seen of its runs from outside."""

    sync: Sync
    git: GitServer
    hook: Receiver
    gateway: Receiver
    tmp: Path
    seen: dict[str, bytes] = field(default_factory=dict)

    def look(self) -> None:
        """Look at everything that lies or was sent somewhere."""
        folders = {"WORK_DIR": self.sync.work_dir, "TMPDIR": self.tmp, "repository": self.sync.repository}
        for name, top in folders.items():
            for folder, _, files in os.walk(top):
                for path in (Path(folder, file) for file in files):
                    with suppress(FileNotFoundError):  # git is at work there
                        self.seen[f"{name}/{path.relative_to(top)}"] = path.read_bytes()
        for name, target in (("webhook", self.hook), ("Pushgateway", self.gateway)):
            for number, delivery in enumerate(target.got):
                self.seen[f"{name} {number}"] = delivery.body
        word = self.tmp.parent / "termination-log"
        word.touch()
        write_termination_message(word)
        self.seen["termination message"] = word.read_bytes()
        self.seen["objects in Git"] = subprocess.run(
            ["git", "cat-file", "--batch", "--batch-all-objects"],
            cwd=self.sync.repository,
            env=git_environment(),
            capture_output=True,
            check=True,
        ).stdout

    def leaks(self, *result: str) -> dict[str, set[str]]:
        """Where a canary was seen, and which."""
        self.look()
        self.seen |= {f"said {number}": text.encode() for number, text in enumerate(result)}
        return {where: found for where, text in self.seen.items() if (found := CANARIES.seen_in(text))}


@pytest.fixture
def armed(
    sync: Sync, repository: Path, ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Armed]:
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
        monkeypatch.setattr("tempfile.tempdir", str(tmp))  # where git-sync runs in this process
        yield Armed(ready, git, hook, gateway, tmp)


@pytest.fixture
def secure_bucket(ca: trustme.CA) -> Iterator[Bucket]:
    with moto_server(tls=ca) as s3:
        bucket = new_bucket(s3)
        bucket.put_many({KEY: b"a", "clusterbackup/west/b.yaml": b"b"})
        yield bucket


def test_a_run_with_every_secret_in_use_shows_none_of_them(
    secure_bucket: Bucket, armed: Armed, tmp_path: Path
) -> None:
    """Everything through a proxy with a password; children are watched, and read from within."""
    port = free_port()
    path = shims(tmp_path / "shims", ["git", "sed"])
    lasting = threading.Event()

    def look(_: object) -> None:
        armed.look()
        lasting.wait(0.1)  # git and its helpers live long enough to be seen

    armed.git.before = look
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
        process = armed.sync.start("run", **through, PATH=f"{path}:{os.environ['PATH']}")
        with watched(process.pid) as children:
            out, err = process.communicate()
        assert process.returncode == 0, out
        assert len(set(proxy.asked)) == 2, "bucket and Git"
    armed.seen |= children | {file.name: file.read_bytes() for file in (tmp_path / "shims/seen").iterdir()}
    serving = armed.sync.start("serve", METRICS_PORT=str(port))
    await_port(f"127.0.0.1:{port}", timeout_seconds=_DEADLINE_SECONDS)
    for page in ("/", "/report", "/health", "/metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}") as answer:
            armed.seen[page] = answer.read()
    serving.terminate()
    served, trouble = serving.communicate()
    health = armed.sync("health")
    assert health.exit == 0
    assert serving.returncode in {0, 143}  # 143 where it had hardly begun

    assert armed.leaks(out, err, served, trouble, health.text) == {}
    assert err == trouble == ""
    for channel in (
        *("arguments of git", "arguments of sed", "arguments of git-remote-https"),
        *("environment of git", "environment of sed", "environment of git-remote-https"),
        *(
            "WORK_DIR/.git/config",
            "WORK_DIR/.gitconfig",
            "WORK_DIR/sync-metadata.json",
            "WORK_DIR/.git-sync/",
        ),
        *("WORK_DIR/report.html", "WORK_DIR/report.md", "/report", "/health", "/metrics", "said 0"),
        *("webhook 0", "Pushgateway 0", "objects in Git", "repository/"),
    ):
        assert any(channel in where and content for where, content in armed.seen.items()), channel
    assert not [where for where in armed.seen if where.startswith("TMPDIR")], "no file at any time"
    assert not list(armed.tmp.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_secret_behind(number: signal.Signals, armed: Armed) -> None:
    reached, released = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        reached.set()
        released.wait(_DEADLINE_SECONDS)

    armed.git.before = hold
    process = armed.sync.start("run")
    try:
        assert reached.wait(_DEADLINE_SECONDS)
        armed.look()  # the token is in use now
        process.send_signal(number)
        out, err = process.communicate()
    finally:
        released.set()
    assert process.returncode in {143, -signal.SIGKILL}
    assert armed.leaks(out, err) == {}
    assert not [path for path in armed.tmp.rglob("*") if path.is_file()]
    assert number == signal.SIGKILL or not list(armed.tmp.iterdir())


@pytest.mark.parametrize("in_a_file", [False, True])
def test_the_single_steps_show_no_secret(
    in_a_file: bool, armed: Armed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text(f"{SECRETS['GIT_TOKEN']}\r\nissued in May\n")
    filed = {"GIT_TOKEN_FILE": str(token), "GIT_TOKEN": ""} if in_a_file else {}
    for step in ("discover", "download", "detect", "publish", "report", "health"):
        assert armed.sync(step, **filed).exit == 0, step
    assert armed.hook.got
    assert armed.gateway.got
    assert armed.leaks(*capfd.readouterr()) == {}


# -- what goes wrong, where everybody says everything -------------------------------------------


def all_aloud(padding: int = 0) -> str:
    """All secrets in all spellings; the first word is cut where an error's words are cut."""
    return "\n".join("x" * padding + line for line in CANARIES.aloud("git-sync"))


@pytest.fixture
def liar(ca: trustme.CA) -> Iterator[Echo]:
    with echo(tls=ca) as running:
        yield running


def wrong_token(armed: Armed, _: Echo) -> Sync:
    return armed.sync.with_settings(GIT_TOKEN=SECRETS["GIT_TOKEN"][::-1])


def echoing_git(status: int, padding: int = 0) -> Callable[[Armed, Echo], Sync]:
    def prepared(armed: Armed, liar: Echo) -> Sync:
        liar.status, liar.body = status, all_aloud(padding)
        return armed.sync.with_settings(GIT_REPOSITORY=f"{liar.url}/r.git")

    return prepared


def redirecting_git(armed: Armed, liar: Echo) -> Sync:
    armed.git.redirect_to = liar.url
    return armed.sync


def git_that_hangs_up(armed: Armed, _: Echo) -> Sync:
    armed.git.lose_response(100)
    return armed.sync


def hook(padding: int, end: str) -> Callable[[Armed, Echo], Sync]:
    """A server whose words come by git's sideband."""

    def prepared(armed: Armed, _: Echo) -> Sync:
        text = armed.tmp.parent / "words"
        text.write_text(all_aloud(padding) + "\n")
        install_hook(armed.sync.repository, "pre-receive", f"#!/bin/sh\ncat {text} >&2\n{end}\n")
        return armed.sync

    return prepared


def lying_s3(status: int, padding: int = 0) -> Callable[[Armed, Echo], Sync]:
    def prepared(armed: Armed, liar: Echo) -> Sync:
        words = all_aloud(padding).replace("&", "&amp;").replace("<", "&lt;")
        liar.status, liar.headers = status, {"Content-Type": "application/xml"}
        liar.body = f"<Error><Code>AccessDenied</Code><Message>{words}</Message></Error>"
        return armed.sync.with_settings(
            MINIO_ENDPOINT=liar.endpoint, MINIO_USE_SSL="true", MINIO_CA_FILE=str(armed.git.ca_file)
        )

    return prepared


def lying_targets(padding: int) -> Callable[[Armed, Echo], Sync]:
    def prepared(armed: Armed, liar: Echo) -> Sync:
        liar.status, liar.body = 400, all_aloud(padding)
        ca_file = str(armed.git.ca_file)
        return armed.sync.with_settings(
            PUSHGATEWAY_URL=liar.url,
            PUSHGATEWAY_CA_FILE=ca_file,
            WEBHOOK_URL=liar.url + SECRETS["WEBHOOK_URL"],
            WEBHOOK_CA_FILE=ca_file,
        )

    return prepared


def targets_out_of_reach(armed: Armed, _: Echo) -> Sync:
    nobody = f"127.0.0.1:{free_port()}"
    return armed.sync.with_settings(
        PUSHGATEWAY_URL=f"https://{nobody}", WEBHOOK_URL=f"http://{nobody}{SECRETS['WEBHOOK_URL']}"
    )


def dead_proxy(armed: Armed, _: Echo) -> Sync:
    return armed.sync.with_settings(NO_PROXY="")


def unsupported_proxy(armed: Armed, _: Echo) -> Sync:
    return armed.sync.with_settings(NO_PROXY="", HTTPS_PROXY=proxy_url("[::1]:1"))


TROUBLE = {
    "wrong token": (40, wrong_token),
    "git says 401": (40, echoing_git(401)),
    "git says 403": (40, echoing_git(403)),
    "git says 403, cut at the limit": (40, echoing_git(403, 985)),
    "git says 500": (30, echoing_git(500)),
    "git is no git": (30, echoing_git(200)),
    "git redirects": (40, redirecting_git),
    "git hangs up": (0, git_that_hangs_up),
    "git's hook refuses": (40, hook(0, "exit 1")),
    "git's hook refuses, cut at the limit": (40, hook(985, "exit 1")),
    "git's hook talks": (0, hook(0, "exit 0")),
    "S3 says 403": (40, lying_s3(403)),
    "S3 says 403, cut at the limit": (40, lying_s3(403, 285)),
    "S3 says 500": (30, lying_s3(500)),
    "S3 says yes": (30, lying_s3(200)),
    "targets refuse": (0, lying_targets(0)),
    "targets refuse, cut at the limit": (0, lying_targets(285)),
    "targets are out of reach": (0, targets_out_of_reach),
    "the proxy is dead": (30, dead_proxy),
    "the proxy has another address": (30, unsupported_proxy),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_whatever_goes_wrong_shows_no_secret(
    name: str, armed: Armed, liar: Echo, capfd: pytest.CaptureFixture[str]
) -> None:
    exit_, prepare = TROUBLE[name]
    prepared = prepare(armed, liar)
    result = prepared()
    assert result.exit == exit_, result.text
    leaks = armed.leaks(result.text, *capfd.readouterr())
    assert not leaks, {where: armed.seen[where] for where in leaks}
    if exit_:
        assert armed.seen["termination message"]


@pytest.mark.parametrize("format_", ["json", "text"])
def test_what_nobody_foresaw_shows_no_secret(
    format_: str, armed: Armed, capfd: pytest.CaptureFixture[str]
) -> None:
    def unforeseen() -> None:
        environ = click.get_current_context().obj
        Commands(environ)._configure()
        try:
            raise KeyError(all_aloud())
        except KeyError as cause:
            raise RuntimeError(all_aloud(), b"bytes") from cause

    cli.command("unforeseen")(unforeseen)
    try:
        result = armed.sync("unforeseen", LOG_FORMAT=format_)
    finally:
        del cli.commands["unforeseen"]
    assert result.exit == 40
    assert "Unexpected error" in result.text
    assert "RuntimeError" in result.text
    leaks = armed.leaks(result.text, *capfd.readouterr())
    assert not leaks, {where: armed.seen[where] for where in leaks}


@pytest.mark.parametrize(
    ("arguments", "exit_", "broken"),
    [
        (("run", "--nonsense"), 2, {}),
        (("download", "--shard", "one"), 2, {}),
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
def test_no_usage_and_no_settings_error_shows_a_secret(
    arguments: tuple[str, ...],
    exit_: int,
    broken: dict[str, str],
    armed: Armed,
    capfd: pytest.CaptureFixture[str],
) -> None:
    result = armed.sync(*arguments, **broken)
    assert result.exit == exit_, result.text
    assert armed.leaks(result.text, *capfd.readouterr()) == {}


@pytest.mark.skipif(which("ssh") is None, reason="no ssh client here: apt-get install openssh-client")
@pytest.mark.parametrize("known", [True, False])
def test_nothing_of_an_ssh_key_is_shown(known: bool, armed: Armed, capfd: pytest.CaptureFixture[str]) -> None:
    with ssh_git_server(armed.sync.repository.parent) as server:
        key = (server.key_path if known else server.other_key_path).read_text()
        private = "".join(
            key.splitlines()[3:-1]
        )  # before that come words that all keys share, and the public one
        result = armed.sync(
            GIT_REPOSITORY=server.url_for(armed.sync.repository),
            SSH_KEY_PATH=str(server.key_path if known else server.other_key_path),
            SSH_KNOWN_HOSTS_PATH=str(server.known_hosts_path),
        )
        refused = armed.sync(SSH_KEY_PATH=key, GIT_REPOSITORY="git@git.example.com:r.git", GIT_TOKEN="")
    assert (result.exit, refused.exit) == (0 if known else 40, 40)
    armed.leaks(result.text, refused.text, *capfd.readouterr())
    assert [where for where, text in armed.seen.items() if Canaries({"key": private}).seen_in(text)] == []


# -- on a cluster -------------------------------------------------------------------------------

MANIFESTS = [
    document
    for path in sorted((Path(__file__).parents[2] / "workflows/manifests").rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]


def test_manifests_know_secrets_by_reference_alone() -> None:
    """No value, no parameter, no artifact and no ConfigMap has one, so Argo keeps and shows none."""
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
    """Every mapping in it."""
    if isinstance(document, dict):
        yield document
        document = list(document.values())
    if isinstance(document, list):
        for inner in document:
            yield from _parts(inner)


# -- the token goes to one place, and to no other -----------------------------------------------


def filled(armed: Armed, tmp_path: Path, **asked: str) -> str:
    """What git would send to this address: asked of git itself, under our configuration."""
    configured = read(armed.sync.settings).git
    credentials = Credentials(configured)
    repository = bare_repository(tmp_path / "scratch.git")
    (repository / "config").write_text(repository_config(configured, credentials.config))
    done = subprocess.run(
        ["git", "credential", "fill"],
        input="".join(f"{name}={value}\n" for name, value in asked.items()),
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
    ("asked", "told"),
    [
        ({}, True),
        ({"username": "git-sync"}, True),
        ({"path": "other/repository.git"}, True),  # credentials are a host's, as with any git
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
def test_git_is_told_the_token_for_its_own_host_alone(
    asked: dict[str, str], told: bool, armed: Armed, tmp_path: Path
) -> None:
    host = armed.git.url.removeprefix("https://")
    fields = {"protocol": "https", "host": host} | asked
    port = host.rpartition(":")[2]
    answer = filled(armed, tmp_path, **{name: text.replace("{port}", port) for name, text in fields.items()})
    assert (f"password={SECRETS['GIT_TOKEN']}\n" in answer) is told
    assert bool(CANARIES.seen_in(answer)) is told


@pytest.mark.parametrize("after_login", [False, True])
@pytest.mark.parametrize(("tls", "allow_http"), [(True, False), (False, True), (False, False)])
def test_a_redirect_of_git_takes_no_token_along(
    tls: bool, allow_http: bool, after_login: bool, armed: Armed, ca: trustme.CA
) -> None:
    """To another port or scheme; before the server has seen the token, or with the token in hand."""
    armed.git.redirect_after_login = after_login
    with echo(tls=ca if tls else None) as other:
        armed.git.redirect_to = other.url
        result = armed.sync(GIT_ALLOW_HTTP=str(allow_http))
    assert result.exit in {30, 40}
    assert bool(armed.git.authorizations) is after_login
    assert bool(other.got) is (tls or allow_http)
    assert other.authorizations == []


@pytest.mark.parametrize("tls", [True, False])
def test_a_redirect_of_the_bucket_takes_no_signature_along(tls: bool, armed: Armed, ca: trustme.CA) -> None:
    with echo(tls=ca) as first, echo(tls=ca if tls else None) as other:
        first.status, first.headers = 307, {"Location": f"{other.url}/b?list-type=2"}
        listing = {
            "MINIO_ENDPOINT": first.endpoint,
            "MINIO_USE_SSL": "true",
            "MINIO_CA_FILE": str(armed.git.ca_file),
        }
        assert armed.sync(**listing).exit in {30, 40}
        store = ObjectStore(read({**armed.sync.settings, **listing}).s3)
        with pytest.raises(SyncError):
            store.fetch(Listed("k", "", 1, None), bytes(armed.tmp / "k"), max_bytes=1)
    assert len(first.authorizations) > 1
    assert other.got
    assert other.authorizations == []
    assert not [headers for headers in other.got if CANARIES.seen_in(str(headers))]


def test_a_redirect_of_webhook_and_pushgateway_is_not_followed(armed: Armed) -> None:
    with receiver() as other:
        for target in (armed.hook, armed.gateway):
            target.status, target.headers = 307, {"Location": other.url}
        assert armed.sync().exit == 0
    assert armed.hook.got
    assert armed.gateway.got
    assert other.got == []


def test_alternates_and_submodules_lead_nowhere(armed: Armed, ca: trustme.CA) -> None:
    """A server of the old protocol that names another for its objects, and a submodule on another host."""
    assert armed.sync().exit == 0
    with echo(tls=ca) as other:
        module = f'[submodule "x"]\n\tpath = clusterbackup/x\n\turl = {other.url}/x.git\n'
        link = (GITLINK, sha(armed.sync.repository).encode())
        commit_files(armed.sync.repository, {".gitmodules": module.encode(), "clusterbackup/x": link})
        armed.sync.bucket.put(KEY, b"changed")
        assert armed.sync().exit == 0
        with echo(tls=ca) as dumb:
            dumb.status = 404
            dumb.pages = {
                "/info/refs": f"{sha(armed.sync.repository)}\trefs/heads/main\n",
                "/objects/info/http-alternates": f"{other.url}/r.git/objects\n",
            }
            assert armed.sync(GIT_REPOSITORY=f"{dumb.url}/r.git").exit in {30, 40}
        assert dumb.authorizations
        assert other.got == []
