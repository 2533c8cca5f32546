"""Errors, named by what the operator does next.

Every error knows the operation it belongs to (the log line's ``operation``), a sentence for a
person (``message``) and the short cause (``error``). Exit codes are decided by ``exit`` alone.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from steps.core.exit_codes import Exit
from steps.core.operations import Operation
from steps.core.sorted_join import OutOfOrder

if TYPE_CHECKING:
    from collections.abc import Iterator


class SyncError(Exception):
    """An outcome that ends a step. Never raised itself: use one of the classes below."""

    exit: Exit

    def __init__(self, operation: Operation, message: str, error: str) -> None:
        super().__init__(f"{message}: {error}")
        self.operation = operation
        self.message = message
        self.error = error
        self.data: dict[str, object] = {}

    @property
    def transient(self) -> bool:
        """Whether trying the same again, unchanged, may succeed."""
        return self.exit is Exit.TRANSIENT


class TryAgain(SyncError):
    """The same call may succeed later: network, overload, a store in flux. Nobody need act."""

    exit = Exit.TRANSIENT


class FixConfiguration(SyncError):
    """No retry helps: an address, a credential, a permission, a volume must be set right."""

    exit = Exit.CONFIGURATION


class FixCommandLine(SyncError):
    """The command was called wrongly."""

    exit = Exit.USAGE


class Terminated(BaseException):
    """SIGTERM or SIGINT arrived. Not an Exception: no ``except`` on the way may swallow it."""

    exit = Exit.TERMINATED
    operation = Operation.SYNC_COMPLETE
    message = "Git synchronization was stopped"

    def __init__(self, signal_name: str) -> None:
        super().__init__(f"{self.message}: {signal_name}")
        self.error = signal_name


# What file systems say while they are out of order, and stop saying by themselves.
_PASSING = frozenset({errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT, errno.EINTR})


def _volume_error(problem: OSError) -> SyncError:
    kind = TryAgain if problem.errno in _PASSING else FixConfiguration
    cause = (problem.strerror or str(problem)).lower()
    name = problem.filename2 or problem.filename  # of a renaming what it should have become
    where = f": {os.fsdecode(name)}" if name else ""
    return kind(Operation.SETUP_WORKDIR, "Failed to use the working directory", cause + where)


@contextmanager
def translated() -> Iterator[None]:
    """Let only errors of ours out of the block: what the volume said, and what nobody foresaw."""
    try:
        yield
    except SyncError:
        raise
    except OSError as problem:
        raise _volume_error(problem) from problem
    except OutOfOrder as problem:
        raise FixConfiguration(
            Operation.SETUP_WORKDIR,
            "Failed to read the working directory",
            f"rows are out of order: {problem}",
        ) from problem
    except Exception as bug:
        said = f"{type(bug).__name__}: {bug}"
        raise FixConfiguration(Operation.INTERNAL, "Unexpected error: please report it", said) from bug
