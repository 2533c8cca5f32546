"""Errors, named by what the operator does next.

Every error has the operation that failed, a message that says what failed, and an error that says why: the
fields of its log line. The class decides the exit code.
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
    """The base class of errors that end a step. Raise one of its subclasses."""

    exit: Exit

    def __init__(self, operation: Operation, message: str, error: str) -> None:
        super().__init__(f"{message}: {error}")
        self.operation = operation
        self.message = message
        self.error = error
        self.data: dict[str, object] = {}

    @property
    def transient(self) -> bool:
        """Whether a retry without any change may succeed."""
        return self.exit is Exit.TRANSIENT


class TryAgain(SyncError):
    """A retry may succeed, and no person needs to act: network, overload, a store that changes."""

    exit = Exit.TRANSIENT


class FixConfiguration(SyncError):
    """No retry helps: a person must fix an address, a credential, a permission or a volume."""

    exit = Exit.CONFIGURATION


class FixCommandLine(SyncError):
    """The command line is wrong."""

    exit = Exit.USAGE


class Terminated(BaseException):
    """SIGTERM or SIGINT arrived. A BaseException, so that no ``except Exception`` catches it."""

    exit = Exit.TERMINATED
    operation = Operation.SYNC_COMPLETE
    message = "Git synchronization was stopped"

    def __init__(self, signal_name: str) -> None:
        super().__init__(f"{self.message}: {signal_name}")
        self.error = signal_name


# Errors of file systems that can end without anybody's action.
_TRANSIENT = frozenset({errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT, errno.EINTR})


def _volume_error(problem: OSError) -> SyncError:
    kind = TryAgain if problem.errno in _TRANSIENT else FixConfiguration
    cause = (problem.strerror or str(problem)).lower()
    name = problem.filename2 or problem.filename  # filename2 is the target of a rename
    where = f": {os.fsdecode(name)}" if name else ""
    return kind(Operation.SETUP_WORKDIR, "Failed to use the working directory", cause + where)


@contextmanager
def translated() -> Iterator[None]:
    """Translate other exceptions of the block to SyncError: errors of the volume, and bugs."""
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
        description = f"{type(bug).__name__}: {bug}"
        raise FixConfiguration(Operation.INTERNAL, "Unexpected error; please report it", description) from bug
