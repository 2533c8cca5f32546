"""Running git: every process of git starts here, and ends together with its children."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from typing import IO, TYPE_CHECKING, BinaryIO, NamedTuple, cast

from steps.clients.git.errors import MESSAGES, git_error
from steps.core.limits import GIT_OUTPUT_BYTES
from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain
from steps.runtime import logs, signals

try:
    import git as gitpython
except ImportError as problem:  # GitPython runs `git version` when it is imported
    _GIT_IS_MISSING = " ".join(str(problem).split())
else:
    _GIT_IS_MISSING = ""

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_TIMEOUT_SECONDS = 3600

# Git 2.39 with GIT_TRACE_PACKET prints "12:07:41.714937 pkt-line.c:80    packet:   ls-remote< version 2"
_TRACE = re.compile(rb"^\d\d:\d\d:\d\d\.\d+ \S+:\d+ +packet: .*\n?", re.MULTILINE)
_PACKET = re.compile(rb"^\d\d:\d\d:\d\d\.\d+ \S+:\d+ +packet: +\S+< (.*)$", re.MULTILINE)

# This many bytes after a cut may be the end of a secret, which redaction cannot recognise.
_MARGIN_BYTES = 4096
# git has ended by then. Only a process that left its process group can still keep stderr open.
_GRACE_SECONDS = 5


def check_installed() -> None:
    """Raise FixConfiguration if git is not installed, or if a GIT_ variable would reach it.

    GitPython adds our own environment to the one of git. The command line removes these variables
    (steps/cli.py); this check is for other callers.
    """
    if _GIT_IS_MISSING:
        raise FixConfiguration(
            Operation.GIT_CLONE, "Failed to start git", f"git does not run; check PATH: {_GIT_IS_MISSING}"
        )
    inherited = sorted(
        name for name in os.environ if name.startswith("GIT_") and not name.startswith("GIT_PYTHON_")
    )
    if inherited:
        raise FixConfiguration(
            Operation.GIT_CLONE,
            MESSAGES[Operation.GIT_CLONE],
            f"unset {', '.join(inherited)}: git would read these variables",
        )


class Answer(NamedTuple):
    """What a git process has printed, and the packets of Git's protocol that it has received."""

    out: bytes
    err: str
    packets: list[str]


class _Running(NamedTuple):
    """A process of git, and the reader of its stderr."""

    process: subprocess.Popen[bytes]
    stderr: _Tail


class Git:
    """git in one repository: its directory, its environment, and descriptors that it inherits.

    Errors of its commands are of ``operation``, unless a command has another one.
    """

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        descriptors: Sequence[int],
        operation: Operation = Operation.GIT_COMMIT,
    ) -> None:
        self.directory = directory
        self._operation = operation
        self._environment = dict(environment)
        self._descriptors = descriptors

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        operation: Operation | None = None,
        timeout: float = _TIMEOUT_SECONDS,
    ) -> bytes:
        """Run git until it exits, and return its stdout.

        An exit status other than 0 raises a SyncError of ``operation`` (by default that of this object), a
        timeout (in seconds) TryAgain.
        """
        return self.ask(*arguments, stdin=stdin, operation=operation or self._operation, timeout=timeout).out

    def ask(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        operation: Operation,
        timeout: float = _TIMEOUT_SECONDS,
        traced: bool = False,
    ) -> Answer:
        """Run git as ``run`` does, and return also its stderr and, if ``traced``, the packets received."""
        variables = {"GIT_TRACE_PACKET": "2"} if traced else {}
        try:
            with self._process(arguments, variables, stdin=stdin is not None) as (process, stderr):
                out, _ = process.communicate(stdin, timeout=timeout)
                err = stderr.text()
        except subprocess.TimeoutExpired as late:
            raise TryAgain(
                operation,
                MESSAGES[operation],
                f"git {arguments[0]} did not finish within {timeout:.0f} s",
            ) from late
        packets = _PACKET.findall(err) if traced else []
        err = _TRACE.sub(b"", err) if traced else err
        # `git push --porcelain` prints the result of each ref on stdout.
        output = err + b"\n" + out if operation == Operation.GIT_PUSH else err
        self._check(arguments, process.returncode, output, operation)
        return Answer(bytes(out), err.decode(errors="replace"), [p.decode(errors="replace") for p in packets])

    @contextlib.contextmanager
    def stream(self, *arguments: str, stdin: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        """Run git while the block reads from it or writes to it; then wait for it and check its status."""
        with self._process(arguments, {}, stdin=stdin) as (process, stderr):
            yield process
            process.wait()
            err = stderr.text()
        self._check(arguments, process.returncode, err, self._operation)

    @contextlib.contextmanager
    def source(self, *arguments: str, stdin: BinaryIO) -> Iterator[IO[bytes]]:
        """Run git while another process reads its output; its exit status does not matter.

        ``stdin`` is a file.
        """
        with self._process(arguments, {}, stdin=stdin) as (process, _):
            yield cast("IO[bytes]", process.stdout)

    @contextlib.contextmanager
    def _process(
        self, arguments: tuple[str, ...], variables: Mapping[str, str], *, stdin: bool | BinaryIO
    ) -> Iterator[_Running]:
        """Start git in its own process group; kill the group when the block ends, however it ends."""
        process: subprocess.Popen[bytes] | None = None
        try:
            with signals.deferred():  # a signal between the start and the assignment would orphan git
                started = gitpython.Git(self.directory).execute(
                    ["git", "--literal-pathspecs", *arguments],
                    as_process=True,
                    istream=subprocess.PIPE if stdin is True else stdin or None,
                    env={**self._environment, **variables},
                    start_new_session=True,
                    pass_fds=self._descriptors,
                )
                process = cast("subprocess.Popen[bytes]", started.proc)
            pipe, process.stderr = process.stderr, None
            yield _Running(process, _Tail(cast("IO[bytes]", pipe)))
        finally:
            if process is not None:
                _end(process)

    def _check(self, arguments: tuple[str, ...], status: int, output: bytes, operation: Operation) -> None:
        text = output.decode(errors="replace").strip()
        name = f"git {arguments[0]}"
        logs.debug(Operation.GIT_COMMAND, name, arguments=arguments, status=status, output=text)
        if status != 0:
            raise git_error(operation, text, status, self.directory)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


class _Tail:
    """Reads a pipe to its end in a thread, so that its writer never waits, and keeps the last bytes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._kept = bytearray()
        self._is_cut = False
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def text(self) -> bytes:
        """Return the end of what was written; whole lines only, if the beginning is cut."""
        self._thread.join(_GRACE_SECONDS)
        kept = bytes(self._kept)
        if not self._is_cut:
            return kept
        kept = kept[-GIT_OUTPUT_BYTES:][_MARGIN_BYTES:]
        return kept.partition(b"\n")[2] or kept

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while chunk := os.read(pipe.fileno(), 1 << 16):
                self._kept += chunk
                if len(self._kept) > 2 * GIT_OUTPUT_BYTES:
                    del self._kept[:-GIT_OUTPUT_BYTES]
                    self._is_cut = True
