"""How git reaches the remote: its environment, made from nothing, and its configuration."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from steps.settings import Settings

# The answer is given for one prompt each, spelt with scheme, host and port: after a redirect to
# another host git asks for that one, and hears nothing.
_ASKPASS = """#!/bin/sh
case "$1" in
  "$GIT_SYNC_USER_PROMPT") printf '%s\\n' "$GIT_SYNC_USER" ;;
  "$GIT_SYNC_TOKEN_PROMPT") cat "$GIT_SYNC_TOKEN_FILE" ;;
  *) exit 1 ;;
esac
"""

# User names that the hosts document for tokens. Gitea and most others look at the token alone.
_TOKEN_USERS = (("github", "x-access-token"), ("gitlab", "oauth2"), ("bitbucket", "x-token-auth"))


CONFIG_MARK = "# Written by git-sync at each run"


def environment(settings: Settings, private: Path, gitconfig: Path) -> dict[str, str]:
    """Return the variables for git. ``private`` is a directory for what must outlive no run."""
    variables = {
        "HOME": str(private),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(gitconfig),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file" + (":http" if settings.git_allow_http else ""),
    }
    if settings.git_scheme in {"http", "https"}:
        variables |= _askpass(settings, private)
    if settings.git_scheme == "ssh":
        variables["GIT_SSH_COMMAND"] = _ssh_command(settings)
    if settings.git_ca_file:
        variables["GIT_SSL_CAINFO"] = str(settings.git_ca_file.absolute())
    if settings.https_proxy:
        variables["HTTPS_PROXY"] = settings.https_proxy.get_secret_value()
        variables["NO_PROXY"] = settings.no_proxy
    return variables


def token_user(settings: Settings) -> str:
    """The user name that goes with the token."""
    host = urlsplit(settings.git_repository or "").hostname or ""
    return settings.git_token_user or next((name for part, name in _TOKEN_USERS if part in host), "git-sync")


def _askpass(settings: Settings, private: Path) -> dict[str, str]:
    parts = urlsplit(settings.git_repository or "")
    user = token_user(settings)
    script = private / "askpass"
    script.write_text(_ASKPASS)
    script.chmod(0o700)
    token = settings.git_token_file
    if token is None and settings.git_token is not None:
        token = private / "token"
        token.touch(mode=0o600)
        token.write_text(settings.git_token.get_secret_value() + "\n")
    return {
        "GIT_ASKPASS": str(script),
        "GIT_SYNC_USER": user,
        "GIT_SYNC_USER_PROMPT": f"Username for '{parts.scheme}://{parts.netloc}': ",
        "GIT_SYNC_TOKEN_PROMPT": f"Password for '{parts.scheme}://{quote(user, safe='')}@{parts.netloc}': ",
        "GIT_SYNC_TOKEN_FILE": str(token.absolute()) if token else "/dev/null",
    }


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
        "ServerAliveInterval": "15",
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


def repository_config(settings: Settings) -> str:
    """Return the text of the scratch repository's config.

    Above bigFileThreshold git streams: otherwise it holds an object several times over, and a pod has
    512Mi.
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
[credential]
\thelper =
[http]
\tlowSpeedLimit = 1000
\tlowSpeedTime = 60
[remote "origin"]
\turl = {_config_value(settings.git_repository or "")}
"""


def _config_value(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
