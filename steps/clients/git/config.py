"""How git reaches the remote: its environment, made from nothing, its configuration, its credentials."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from steps.runtime.settings import Settings

# User names that the hosts document for tokens. Gitea and most others look at the token alone.
_TOKEN_USERS = (("github", "x-access-token"), ("gitlab", "oauth2"), ("bitbucket", "x-token-auth"))


CONFIG_MARK = "# Written by git-sync at each run"

# An HTTP connection that is silent for so long is given up. No less: after a push the server works, and
# sends next to nothing meanwhile (five bytes in five seconds); to hang up then would undo it.
_SILENCE_SECONDS = 600
# Over SSH the other side's sshd is asked, which answers whatever its git does; for the fourth time in vain.
_ALIVE_SECONDS = 15


class Credentials:
    """What git needs to be let in. Secrets lie in memory alone, where no kill leaves one behind.

    ``descriptors`` are for git and its children to inherit; ``config`` is what leads git to them.
    """

    def __init__(self, settings: Settings) -> None:
        self.descriptors: list[int] = []
        self.config = ""
        if settings.git_scheme in {"http", "https"}:
            self.config = self._token(settings)
        if settings.git_scheme == "https" and settings.https_proxy:
            proxy = f"[http]\n\tproxy = {_config_value(settings.https_proxy.get_secret_value())}"
            self.config += f"[include]\n\tpath = {self._in_memory(proxy)}\n"

    def close(self) -> None:
        """Forget them."""
        while self.descriptors:
            os.close(self.descriptors.pop())

    def _token(self, settings: Settings) -> str:
        """The helper is for this scheme, host and port: git asks it for no other, as after a redirect."""
        parts = urlsplit(settings.git_repository or "")
        file = str(settings.git_token_file.absolute()) if settings.git_token_file else os.devnull
        if settings.git_token:
            file = self._in_memory(settings.git_token.get_secret_value())
        # git appends a verb, of which "get" alone wants an answer: the others' goes nowhere.
        helper = f"!sed '1s/^/password=/;1q' {shlex.quote(file)} #"
        return (
            f"[credential {_config_value(f'{parts.scheme}://{parts.netloc}')}]\n"
            f"\tusername = {_config_value(token_user(settings))}\n"
            f"\thelper = {_config_value(helper)}\n"
        )

    def _in_memory(self, text: str) -> str:
        """Return the path by which whoever inherits the descriptor reads ``text``, from its beginning."""
        descriptor = os.memfd_create("git-sync")
        self.descriptors.append(descriptor)
        with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
            file.write(f"{text}\n")
        return f"/proc/self/fd/{descriptor}"


def environment(settings: Settings, home: Path, gitconfig: Path) -> dict[str, str]:
    """Return the variables for git, none of them secret. ``home`` is empty, and nobody else's."""
    variables = {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(gitconfig),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file" + (":http" if settings.git_allow_http else ""),
        "NO_PROXY": settings.no_proxy,
    }
    if settings.git_scheme == "ssh":
        variables["GIT_SSH_COMMAND"] = _ssh_command(settings)
    if settings.git_ca_file:
        variables["GIT_SSL_CAINFO"] = str(settings.git_ca_file.absolute())
    return variables


def token_user(settings: Settings) -> str:
    """The user name that goes with the token."""
    host = urlsplit(settings.git_repository or "").hostname or ""
    return settings.git_token_user or next((name for part, name in _TOKEN_USERS if part in host), "git-sync")


def _ssh_command(settings: Settings) -> str:
    assert settings.ssh_key_path and settings.ssh_known_hosts_path  # noqa: S101, PT018 - read() requires them
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(settings.ssh_known_hosts_path.absolute()),
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "ConnectTimeout": "15",
        "ServerAliveInterval": str(_ALIVE_SECONDS),
        "ServerAliveCountMax": "4",
    }
    command = ["ssh", "-F", "/dev/null", "-i", str(settings.ssh_key_path.absolute())]
    return shlex.join([*command, *(f"-o{name}={value}" for name, value in options.items())])


def user_config(settings: Settings) -> str:
    """Return the text of WORK_DIR/.gitconfig."""
    lines = [
        CONFIG_MARK,
        "[user]",
        f"\tname = {_config_value(settings.git_username)}",
        f"\temail = {_config_value(settings.git_email)}",
    ]
    if settings.git_scheme == "file":
        # A local repository is served by our own child process, and may belong to another user.
        lines += ["[safe]", "\tdirectory = *"]
    return "\n".join(lines) + "\n"


def repository_config(settings: Settings, credentials: str) -> str:
    """Return the text of the scratch repository's config. ``credentials`` is a part of it.

    Above bigFileThreshold git streams: otherwise it holds an object several times over, and a pod has
    512Mi. What comes and what is made stays a pack: a file for each object takes many times as long.
    """
    return f"""[core]
\trepositoryformatversion = 1
\tbare = true
\thooksPath = /dev/null
\tfsync = none
\tbigFileThreshold = 1m
[gc]
\tauto = 0
[maintenance]
\tauto = false
[fastimport]
\tunpackLimit = 0
[fetch]
\tunpackLimit = 1
[credential]
\thelper =
[http]
\tlowSpeedLimit = 1
\tlowSpeedTime = {_SILENCE_SECONDS}
[remote "origin"]
\turl = {_config_value(settings.git_repository or "")}
{credentials}"""


def _config_value(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
