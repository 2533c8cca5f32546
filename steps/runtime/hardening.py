"""Hardening of the process: private files, no core dump, no access to its memory."""

from __future__ import annotations

import ctypes
import os
import resource
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE = 0o077
_GROUP_READS = 0o027
_PR_SET_DUMPABLE = 4  # linux/prctl.h

# The umask that the process was started with; None if the process is not hardened.
inherited_umask: int | None = None


def harden() -> None:
    """Protect this process, its files and its children. Call it before any secret is read.

    Files are readable for their owner only. The kernel writes no core dump of this process or its children.
    Other processes of the same user cannot read this process's memory, environment or descriptors; only root
    can.
    """
    global inherited_umask  # noqa: PLW0603 - the process has one
    inherited_umask = os.umask(_PRIVATE)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    # Children inherit this limit. 0 forbids core files, but not a core_pattern that is a program, such as
    # systemd-coredump; 1 forbids both (do_coredump in Linux' fs/coredump.c).
    limit = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
    # execve() makes children dumpable again.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def share_with_group(directory: Path) -> None:
    """Let the group read new files if ``directory`` has the set-group-ID bit.

    Kubernetes sets it on volumes if a pod has an fsGroup; elsewhere its owner sets it for a shared directory.
    """
    if directory.stat().st_mode & stat.S_ISGID:
        os.umask(_GROUP_READS)
