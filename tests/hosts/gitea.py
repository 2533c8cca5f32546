"""A Gitea site on loopback ports, and how to get each of its answers."""

from __future__ import annotations

import json
import shlex
import subprocess
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.openssh import OpenSSH, openssh_server
from tests.support.process import await_port, free_port, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CONFIGURATION = """
RUN_USER = {user}
RUN_MODE = prod
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
WORK_PATH = {folder}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
SSH_ROOT_PATH = {folder}/ssh
SSH_CREATE_AUTHORIZED_KEYS_FILE = false
STATIC_ROOT_PATH = {source}
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
[security]
INSTALL_LOCK = true
[migrations]
ALLOW_LOCALNETWORKS = true
[log]
LEVEL = Error
"""

Settings = dict[str, str]


@dataclass
class Gitea:
    """A running site: the user o is its administrator and owns the private, empty repository o/r.

    Over SSH, the keys ``deploy`` and ``bot`` run Gitea's own command; ``lost`` runs it while Gitea is down.
    """

    folder: Path
    url: str
    token: str
    bot: str
    read_only: str
    openssh: OpenSSH

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Call the API as the administrator; return the decoded answer."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}",
            method=method,
            data=json.dumps(body).replace("{url}", self.url).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def http(self, repository: str = "o/r", token: str = "") -> Settings:
        """Return the settings for a repository over HTTP, as the user bot."""
        url = f"{self.url}/{repository}.git"
        return {"GIT_REPOSITORY": url, "GIT_TOKEN": token or self.bot, "GIT_ALLOW_HTTP": "true"}

    def ssh(self, key: str, repository: str = "o/r") -> Settings:
        """Return the settings for a repository over SSH."""
        return self.openssh.settings(f"{repository}.git", key)


@contextmanager
def running(binary: Path, source: Path, folder: Path) -> Iterator[Gitea]:
    """Run a new site in ``folder``."""
    port = free_port()
    values = {"user": getuser(), "folder": folder, "source": source.resolve()}
    (folder / "app.ini").write_text(_CONFIGURATION.format(port=port, **values), encoding="utf-8")
    (folder / "down.ini").write_text(_CONFIGURATION.format(port=free_port(), **values), encoding="utf-8")

    def command(*arguments: str, config: str = "app.ini") -> list[str]:
        return [str(binary), "--work-path", str(folder), "--config", str(folder / config), *arguments]

    def user_command(*arguments: str) -> str:
        done = subprocess.run(
            command("admin", "user", *arguments), check=True, capture_output=True, text=True
        )
        return done.stdout.split()[-1]

    def new_user(name: str, *options: str) -> str:
        """Create a user; return a token."""
        user_command(
            "create",
            "--username",
            name,
            "--random-password",
            "--must-change-password=false",
            "--email",
            f"{name}@b.example",
            *options,
        )
        return new_token(name, "all")

    def new_token(name: str, scope: str) -> str:
        options = ["--username", name, "--token-name", scope, "--scopes", scope, "--raw"]
        return user_command("generate-access-token", *options)

    subprocess.run(command("migrate"), check=True, capture_output=True)
    owner, bot = new_user("o", "--admin"), new_user("bot")
    keys = {
        name: f'command="{shlex.join(command("serv", f"key-{number}", config=config))}"'
        for name, number, config in (("deploy", 1, "app.ini"), ("bot", 2, "app.ini"), ("lost", 2, "down.ini"))
    }
    (folder / "sshd").mkdir()
    with (
        serving(command("web"), ready="Git version", log=folder / "web.log"),
        openssh_server(folder / "sshd", keys) as openssh,
    ):
        await_port(f"127.0.0.1:{port}", timeout_seconds=60)
        read_only = new_token("bot", "read:repository")
        site = Gitea(folder, f"http://127.0.0.1:{port}", owner, bot, read_only, openssh)
        site.call("POST", "user/repos", name="r", private=True, default_branch="main")
        public = {name: (folder / "sshd" / f"{name}.pub").read_text(encoding="utf-8") for name in keys}
        # In this order, for the ids above.
        site.call("POST", "repos/o/r/keys", title="bot", key=public["deploy"], read_only=True)
        site.call("POST", "admin/users/bot/keys", title="bot", key=public["bot"])
        yield site


# -- situations ------------------------------------------------------------------------------------------

Call = tuple[str, str, dict[str, Any]]


class Situation(NamedTuple):
    """What git-sync is given, and the calls that bring the situation about and end it."""

    settings: Callable[[Gitea], Settings]
    begin: tuple[Call, ...] = ()
    end: tuple[Call, ...] = ()
    are_hooks_down: bool = False

    @contextmanager
    def at(self, site: Gitea) -> Iterator[Settings]:
        """Bring it about for the length of the block."""
        for method, path, body in self.begin:
            site.call(method, path, **body)
        hook = site.folder / "data/gitea-repositories/o/r.git/hooks/pre-receive.d/gitea"
        script = hook.read_text(encoding="utf-8")
        if self.are_hooks_down:
            hook.write_text(script.replace("app.ini", "down.ini"), encoding="utf-8")
        try:
            yield self.settings(site)
        finally:
            hook.write_text(script, encoding="utf-8")
            for method, path, body in self.end:
                site.call(method, path, **body)


def _access(permission: str) -> Call:
    return ("PUT", "repos/o/r/collaborators/bot", {"permission": permission})


def _bot(**changes: Any) -> Call:
    return ("PATCH", "admin/users/bot", {"login_name": "bot", "source_id": 0, **changes})


def _over_http(site: Gitea) -> Settings:
    return site.http()


def _with_key(site: Gitea) -> Settings:
    return site.ssh("bot")


_NO_ACCESS: Call = ("DELETE", "repos/o/r/collaborators/bot", {})
_PROTECTED: Call = ("POST", "repos/o/r/branch_protections", {"rule_name": "main", "enable_push": False})
_NOT_PROTECTED: Call = ("DELETE", "repos/o/r/branch_protections/main", {})


def _archived(settings: Callable[[Gitea], Settings]) -> Situation:
    archive: Call = ("PATCH", "repos/o/r", {"archived": True})
    return Situation(
        settings, (_access("write"), archive), (("PATCH", "repos/o/r", {"archived": False}), _NO_ACCESS)
    )


def _blocked(settings: Callable[[Gitea], Settings]) -> Situation:
    return Situation(
        settings, (_access("write"), _bot(prohibit_login=True)), (_bot(prohibit_login=False), _NO_ACCESS)
    )


def _mirror(settings: Callable[[Gitea], Settings]) -> Situation:
    return Situation(
        settings,
        (
            ("POST", "user/repos", {"name": "source", "auto_init": True}),
            ("POST", "repos/migrate", {"clone_addr": "{url}/o/source.git", "repo_name": "m", "mirror": True}),
            ("PUT", "repos/o/m/collaborators/bot", {"permission": "write"}),
        ),
        (("DELETE", "repos/o/m", {}), ("DELETE", "repos/o/source", {})),
    )


# By kind and situation, as in host_answers.yaml.
SITUATIONS = {
    ("http", "missing"): Situation(lambda site: site.http("o/none")),
    ("http", "private"): Situation(_over_http),
    ("http", "archived"): _archived(_over_http),
    ("http", "mirror"): _mirror(lambda site: site.http("o/m")),
    ("http", "wrong token"): Situation(lambda site: site.http(token="0" * 40)),
    ("http", "read-only token"): Situation(
        lambda site: site.http(token=site.read_only), (_access("write"),), (_NO_ACCESS,)
    ),
    ("http", "blocked account"): _blocked(_over_http),
    ("ssh", "missing"): Situation(lambda site: site.ssh("bot", "o/none")),
    ("ssh", "private"): Situation(_with_key),
    ("ssh", "archived"): _archived(_with_key),
    ("ssh", "mirror"): _mirror(lambda site: site.ssh("bot", "o/m")),
    ("ssh", "read-only key"): Situation(lambda site: site.ssh("deploy")),
    ("ssh", "blocked account"): _blocked(_with_key),
    ("ssh", "outage"): Situation(lambda site: site.ssh("lost")),
    ("push", "read-only user"): Situation(_over_http, (_access("read"),), (_NO_ACCESS,)),
    ("push", "protected branch"): Situation(
        _over_http, (_access("write"), _PROTECTED), (_NOT_PROTECTED, _NO_ACCESS)
    ),
    ("push", "outage"): Situation(_over_http, (_access("write"),), (_NO_ACCESS,), are_hooks_down=True),
}
