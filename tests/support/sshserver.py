"""A Git server over SSH with one authorised key, which runs git-upload-pack and git-receive-pack."""

from __future__ import annotations

import asyncio
import shlex
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import asyncssh

from tests.support.repositories import git_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMANDS = {"git-upload-pack": "upload-pack", "git-receive-pack": "receive-pack"}
_ALGORITHM = "ssh-ed25519"


@dataclass(frozen=True)
class SSHServer:
    """A running server and the files of its client; private keys have mode 0600.

    `other_key_path` is a key that the server does not accept. `wrong_known_hosts_path` has another
    host key for the address of this server. `commands` has each requested command. `answers` has, for
    "git-upload-pack" (fetch) or "git-receive-pack" (push), what the server prints on stderr instead of
    running it, and its exit status.
    """

    root: Path
    port: int
    key_path: Path
    other_key_path: Path
    known_hosts_path: Path
    wrong_known_hosts_path: Path
    commands: list[str] = field(default_factory=list)
    answers: dict[str, tuple[str, int]] = field(default_factory=dict)

    def url_for(self, repository: Path | str) -> str:
        """Return the URL of a repository under the root, given by its path or its name."""
        path = Path(repository)
        name = path.relative_to(self.root) if path.is_absolute() else path
        return f"ssh://git@127.0.0.1:{self.port}/{name}"


@contextmanager
def ssh_git_server(root: Path) -> Iterator[SSHServer]:
    """Serve the repositories under `root` over SSH, for any user name with the authorised key."""
    host_key = asyncssh.generate_private_key(_ALGORITHM)
    other_host_key = asyncssh.generate_private_key(_ALGORITHM)
    commands: list[str] = []
    answers: dict[str, tuple[str, int]] = {}
    with TemporaryDirectory(prefix="git-ssh-") as scratch:
        folder = Path(scratch)
        key_path = folder / "id"
        authorised = _new_key(key_path)
        other_key_path = folder / "other_id"
        _new_key(other_key_path)
        with _listening(root, host_key, authorised, commands, answers) as port:
            yield SSHServer(
                root=root,
                port=port,
                key_path=key_path,
                other_key_path=other_key_path,
                known_hosts_path=_known_hosts(folder / "known_hosts", port, host_key),
                wrong_known_hosts_path=_known_hosts(folder / "wrong", port, other_host_key),
                commands=commands,
                answers=answers,
            )


def _new_key(path: Path) -> asyncssh.SSHKey:
    key = asyncssh.generate_private_key(_ALGORITHM)
    path.touch(mode=0o600)
    path.write_bytes(key.export_private_key())
    return key


def _public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode()


def _known_hosts(path: Path, port: int, key: asyncssh.SSHKey) -> Path:
    path.write_text(f"[127.0.0.1]:{port} {_public(key)}")
    return path


@contextmanager
def _listening(
    root: Path,
    host_key: asyncssh.SSHKey,
    authorised: asyncssh.SSHKey,
    commands: list[str],
    answers: dict[str, tuple[str, int]],
) -> Iterator[int]:
    ready: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def answer(process: asyncssh.SSHServerProcess[bytes]) -> None:
        commands.append(process.command or "")
        if answer := answers.get((process.command or "").partition(" ")[0]):
            process.stderr.write(answer[0].encode())
            process.exit(answer[1])
        else:
            process.exit(await _run(process, root))
        await process.wait_closed()

    async def serve() -> None:
        stop = asyncio.Event()
        connections: list[asyncssh.SSHServerConnection] = []

        class Server(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                connections.append(conn)

        listener = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(_public(authorised)),
            server_factory=Server,
            process_factory=answer,
            encoding=None,
        )
        ready.set_result((listener.get_port(), asyncio.get_running_loop(), stop))
        async with listener:
            await stop.wait()
            # Closing a listener does not close its connections: their clients would wait forever.
            listener.close()
            for connection in connections:
                connection.abort()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    port, loop, stop = ready.result(timeout=10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _run(process: asyncssh.SSHServerProcess[bytes], root: Path) -> int:
    try:
        program, name = shlex.split(process.command or "")
        git_command = _COMMANDS[program]
    except (ValueError, KeyError):
        process.stderr.write(b"only git-upload-pack and git-receive-pack\n")
        return 128
    repository = (root / name.lstrip("/")).resolve()
    if not repository.is_relative_to(root.resolve()) or not repository.is_dir():
        process.stderr.write(b"no such repository\n")
        return 128
    protocol = process.env.get("GIT_PROTOCOL", "")
    backend = await asyncio.create_subprocess_exec(
        *("git", git_command, str(repository)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=git_environment() | {"GIT_PROTOCOL": protocol},
    )
    try:
        await process.redirect(backend.stdin, backend.stdout, backend.stderr)
        status = await backend.wait()
        await process.stdout.drain()
        return status
    finally:
        if backend.returncode is None:
            backend.kill()
