"""A site of the real Gitolite, with its own home directory; Debian's package gitolite3 has it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.openssh import new_key
from tests.support.repositories import git_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHELL = next(
    (
        path
        for found in (shutil.which("gitolite-shell"), "/usr/share/gitolite3/gitolite-shell")
        if found and (path := Path(found)).is_file()
    ),
    None,
)


def gitolite_available() -> bool:
    """Whether Gitolite is installed."""
    return _SHELL is not None and shutil.which("gitolite") is not None


class Gitolite:
    """A site with its own home directory and configuration."""

    def __init__(self, home: Path, configuration: str) -> None:
        self.home = home
        home.mkdir()
        new_key(home / "admin")
        self.run("setup", "-pk", str(home / "admin.pub"))
        (home / ".gitolite/conf/gitolite.conf").write_text(configuration, encoding="utf-8")
        self.run("compile")
        self.run("trigger", "POST_COMPILE")

    def run(self, *arguments: str) -> None:
        """Run a command of the administrator, such as ``writable @all off``."""
        environment = git_environment() | {"HOME": str(self.home), "USER": "git"}
        subprocess.run(["gitolite", *arguments], check=True, env=environment, capture_output=True)

    def keys(self, users: Sequence[str]) -> dict[str, str]:
        """Return the options in sshd's authorized_keys for each user, as Gitolite writes them."""
        return {user: f'command="env HOME={self.home} {_SHELL} {user}"' for user in users}
