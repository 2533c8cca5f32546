"""A real sshd on a loopback port, which lets the user of the tests in with one key per forced command.

Debian's package openssh-server has it. Run by root, sshd needs its directory for privilege separation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.process import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
_PRIVILEGE_SEPARATION = Path("/run/sshd")

_CONFIGURATION = """
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
AcceptEnv GIT_PROTOCOL
LogLevel INFO
"""


@dataclass(frozen=True)
class OpenSSH:
    """A running sshd. The private key ``<folder>/<name>`` runs the command that has this name."""

    folder: Path
    port: int

    def settings(self, path: str, key: str) -> dict[str, str]:
        """Return the settings for the repository at this path of the server."""
        return {
            "GIT_REPOSITORY": f"ssh://{getuser()}@127.0.0.1:{self.port}/{path}",
            "SSH_KEY_PATH": str(self.folder / key),
            "SSH_KNOWN_HOSTS_PATH": str(self.folder / "known_hosts"),
        }


def sshd_available() -> bool:
    """Whether sshd is installed and this user can run it."""
    return _SSHD is not None and (os.geteuid() != 0 or _PRIVILEGE_SEPARATION.parent.is_dir())


def new_key(path: Path, comment: str = "") -> str:
    """Create a key without a passphrase; return its public half."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment or path.name, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text(encoding="utf-8")


@contextmanager
def openssh_server(folder: Path, keys: Mapping[str, str], configuration: str = "") -> Iterator[OpenSSH]:
    """Run sshd with files in ``folder``; ``keys`` has the options in authorized_keys of each named key."""
    assert _SSHD is not None
    if os.geteuid() == 0:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    host = new_key(folder / "host")
    lines = [f"{options} {new_key(folder / name)}".lstrip() for name, options in keys.items()]
    (folder / "authorized_keys").write_text("".join(lines), encoding="utf-8")
    (folder / "sshd_config").write_text(
        configuration + _CONFIGURATION.format(folder=folder), encoding="utf-8"
    )
    port = free_port()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host}", encoding="utf-8")
    command = [_SSHD, "-D", "-e", "-f", str(folder / "sshd_config"), "-o", f"ListenAddress=127.0.0.1:{port}"]
    with serving(command, ready=r"Server listening on", log=folder / "sshd.log"):
        yield OpenSSH(folder, port)
