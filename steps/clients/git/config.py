"""The environment, configuration and credentials of git. It inherits none of the user's."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from steps.core.ssh_key import repaired
from steps.runtime.settings.fields import content

if TYPE_CHECKING:
    from pathlib import Path

    from steps.runtime.settings.git import GitSettings

# User names that hosts document for tokens: GitHub for installation tokens of Apps, GitLab for OAuth tokens,
# Bitbucket for repository access tokens. Gitea and most others check the token alone.
_TOKEN_USERS = (("github", "x-access-token"), ("gitlab", "oauth2"), ("bitbucket", "x-token-auth"))

# Prints the token in a file as token_in() of steps/runtime/settings/fields.py finds it: the first line that
# is not blank, without a BOM and white space around it.
_SED_SCRIPT = r"1s/^\xef\xbb\xbf//;s/^[[:space:]]*//;s/[[:space:]]*$//;/./{s/^/password=/;p;q}"

# The first line of WORK_DIR/.gitconfig: a file that begins otherwise is not overwritten.
CONFIG_MARK = "# Written by git-sync at each run"

# git closes an HTTP connection after this many seconds without data. While a server processes a push it
# sends almost nothing (receive.keepAlive: 5 bytes every 5 seconds), and closing the connection would undo
# the push; so the limit is high.
_SILENCE_SECONDS = 600
# ssh asks the server's sshd, which answers even if its git hangs. ssh stops after four unanswered requests.
_ALIVE_SECONDS = 15


class Credentials:
    """The token, a repaired SSH key and the proxy, in memory files: a killed run leaves no secret on disk.

    git and its children must inherit ``descriptors``. ``config`` is the part of git's configuration that
    refers to them; it contains no secret. ``ssh_key`` is the path of a repaired SSH key, for the shell.
    """

    def __init__(self, settings: GitSettings) -> None:
        self.descriptors: list[int] = []
        self.config = ""
        self.ssh_key = self._ssh_key(settings) if settings.scheme == "ssh" else ""
        if settings.scheme in {"http", "https"}:
            self.config = self._token(settings)
        if settings.scheme == "https" and settings.https_proxy:
            proxy = f"[http]\n\tproxy = {_config_value(settings.https_proxy.get_secret_value())}"
            self.config += f"[include]\n\tpath = {self._in_memory(proxy)}\n"

    def close(self) -> None:
        """Close the memory files, which removes them."""
        while self.descriptors:
            os.close(self.descriptors.pop())

    def _token(self, settings: GitSettings) -> str:
        """Return the configuration of a credential helper that prints the token.

        git uses it for this scheme, host and port only, and so not for the target of a redirect.
        """
        parts = urlsplit(settings.repository)
        file = str(settings.token_file.absolute()) if settings.token_file else os.devnull
        if settings.token:
            file = self._in_memory(settings.token.get_secret_value())
        # git appends "get", "store" or "erase", which the shell takes for a comment; git reads the output
        # after "get" only. A token file is read at each use, because tokens rotate.
        helper = f"!LC_ALL=C sed -n {shlex.quote(_SED_SCRIPT)} {shlex.quote(file)} #"
        return (
            f"[credential {_config_value(f'{parts.scheme}://{parts.netloc}')}]\n"
            f"\tusername = {_config_value(token_user(settings))}\n"
            f"\thelper = {_config_value(helper)}\n"
        )

    def _ssh_key(self, settings: GitSettings) -> str:
        """Return the path of a repaired copy of the key; "" if the key needs no repair.

        ssh closes the descriptors that it inherits, so it reads the copy from the shell that starts it.
        """
        path, _ = settings.ssh_files
        found = content(path)
        key = repaired(found)
        if key == found:
            return ""
        return f'"/proc/$$/fd/{self._memory_file(key)}"'

    def _in_memory(self, text: str) -> str:
        """Return a path at which processes that inherit the descriptor read ``text``."""
        descriptor = self._memory_file(text.encode() + b"\n")
        return f"/proc/self/fd/{descriptor}"

    def _memory_file(self, data: bytes) -> int:
        descriptor = os.memfd_create("git-sync")
        self.descriptors.append(descriptor)
        os.fchmod(descriptor, 0o600)  # ssh refuses a key that others may read
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        return descriptor


def environment(settings: GitSettings, home: Path, gitconfig: Path, ssh_key: str = "") -> dict[str, str]:
    """Return the environment of git, which contains no secret. ``home`` is an empty, private directory.

    ``ssh_key`` is Credentials.ssh_key.
    """
    variables = {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(gitconfig),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file" + (":http" if settings.allow_http else ""),
        "NO_PROXY": settings.no_proxy,
    }
    if settings.scheme == "ssh":
        variables |= {"GIT_SSH_COMMAND": _ssh_command(settings, ssh_key), "GIT_SSH_VARIANT": "ssh"}
    if settings.ca_file:
        variables["GIT_SSL_CAINFO"] = str(settings.ca_file.absolute())
    return variables


def token_user(settings: GitSettings) -> str:
    """Return the user name to send with the token: GIT_TOKEN_USER, or the convention of the host."""
    host = urlsplit(settings.repository).hostname or ""
    return settings.token_user or next((name for part, name in _TOKEN_USERS if part in host), "git-sync")


def _ssh_command(settings: GitSettings, key: str) -> str:
    """Return a command for the shell; git appends its own arguments.

    In a function followed by another command the shell does not replace itself with ssh, and so keeps the
    descriptor of a repaired key open.
    """
    path, known_hosts = settings.ssh_files
    key = key or shlex.quote(str(path.absolute()))
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known_hosts.absolute()),
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "ConnectTimeout": "15",
        "ServerAliveInterval": str(_ALIVE_SECONDS),
        "ServerAliveCountMax": "4",
        # These lines prove how far the exchange came, and that the server ended it: see output.py.
        "LogLevel": "DEBUG1",
    }
    arguments = shlex.join(f"-o{name}={value}" for name, value in options.items())
    return f'f() {{ ssh -F /dev/null -i {key} {arguments} "$@" || return; }}; f'


def user_config(settings: GitSettings) -> str:
    """Return the text of WORK_DIR/.gitconfig."""
    lines = [
        CONFIG_MARK,
        "[user]",
        f"\tname = {_config_value(settings.username)}",
        f"\temail = {_config_value(settings.email)}",
    ]
    if settings.scheme == "file":
        # Our own child process serves a local repository, which may belong to another user. Since Git 2.35.2
        # (CVE-2022-24765) git refuses that by default.
        lines += ["[safe]", "\tdirectory = *"]
    return "\n".join(lines) + "\n"


def repository_config(settings: GitSettings, credentials: str, umask: int | None = None) -> str:
    """Return the text of the scratch repository's config; ``credentials`` is Credentials.config.

    ``umask`` applies to a repository on this machine: its files must not become private as ours are.

    git streams objects above bigFileThreshold. Smaller ones it reads into memory, several times over, and
    a pod has 512Mi. unpackLimit keeps fetched and written objects in packs: writing one file for each takes
    many times as long.
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
\turl = {_config_value(settings.repository)}
{_receive_pack(settings, umask)}{credentials}"""


def _receive_pack(settings: GitSettings, umask: int | None) -> str:
    if settings.scheme != "file" or umask is None:
        return ""
    return f"\treceivepack = umask {umask:04o} && git-receive-pack\n"  # git runs it in a shell


def _config_value(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
