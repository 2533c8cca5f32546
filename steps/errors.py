"""Errors, named by what the operator does next.

Every error has the operation that failed, a message that says what failed, and an error that says why: the
fields of its log line. The class decides the exit code.
"""

from __future__ import annotations

import dataclasses
import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from steps.core.exit_codes import Exit
from steps.core.operations import Operation
from steps.core.sorted_join import OutOfOrder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from steps.core.branch_guard import LostBranch


class SyncError(Exception):
    """The base class of errors that end a step. Raise one of its subclasses."""

    exit: Exit

    def __init__(self, operation: Operation, message: str, error: str, **data: object) -> None:
        """``data`` names what the error is about, such as a key or a bucket."""
        super().__init__(f"{message}: {error}")
        self.operation = operation
        self.message = message
        self.error = error
        self.data = data

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


class ApproveNewBranch(SyncError):
    """The branch has lost the last pushed commit: a person must restore it, or approve the loss."""

    exit = Exit.REFUSED

    def __init__(self, lost: LostBranch, error: str) -> None:
        super().__init__(Operation.GIT_CLONE, "Refused to continue on another history", error)
        self.lost = lost
        self.data = dataclasses.asdict(lost)


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


# Errors of file systems that may end without any action.
_TRANSIENT = frozenset({errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT, errno.EINTR})


# Errors about the space of a volume.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def volume_error(
    problem: OSError, message: str = "Failed to use the working directory", path: Path | None = None
) -> SyncError:
    """Return the error for a failed use of the volume. It names ``path``, by default the problem's file."""
    kind = TryAgain if problem.errno in _TRANSIENT else FixConfiguration
    cause = (problem.strerror or str(problem)).lower()
    name = path or problem.filename2 or problem.filename  # filename2 is the target of a rename
    where = f": {os.fsdecode(name)}" if name else ""
    usage = f" ({volume_usage(os.fsdecode(name))})" if name and problem.errno in _FULL else ""
    data = {"path": os.fsdecode(name)} if name else {}
    return kind(Operation.SETUP_WORKDIR, message, cause + where + usage, **data)


def is_full(path: Path) -> bool:
    """Whether the path's volume has no space or no inode left."""
    try:
        found = os.statvfs(path)
    except OSError:
        return False
    return found.f_bavail == 0 or (found.f_files > 0 and found.f_favail == 0)


def volume_usage(path: str) -> str:
    """Return the mount point of the path's volume with its free space and inodes, as a part of an error."""
    mount_point = os.path.abspath(path)
    while not os.path.ismount(mount_point):
        mount_point = os.path.dirname(mount_point)
    try:
        found = os.statvfs(mount_point)
    except OSError:
        return f"volume {mount_point}"
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    factor, unit = next((unit for unit in _UNITS if size >= unit[0]), _UNITS[-1])
    inodes = f" and {found.f_favail:,} of {found.f_files:,} inodes" if found.f_files else ""
    return f"volume {mount_point} has {free / factor:,.1f} of {size / factor:,.1f} {unit}{inodes} free"


@contextmanager
def translated() -> Iterator[None]:
    """Translate other exceptions of the block to SyncError: errors of the volume, and bugs."""
    try:
        yield
    except SyncError:
        raise
    except OSError as problem:
        raise volume_error(problem) from problem
    except OutOfOrder as problem:
        raise FixConfiguration(
            Operation.SETUP_WORKDIR,
            "Failed to read the working directory",
            f"rows are out of order: {problem}",
        ) from problem
    except Exception as bug:
        description = f"{type(bug).__name__}: {bug}"
        raise FixConfiguration(Operation.INTERNAL, "Unexpected error; please report it", description) from bug
