"""Errors: which class, which exit code, and how exceptions of the volume and bugs are translated."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

import pytest

from steps.core.exit_codes import Exit
from steps.core.operations import Operation
from steps.core.sorted_join import OutOfOrder
from steps.errors import FixCommandLine, FixConfiguration, SyncError, Terminated, TryAgain, translated

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("kind", "exit_code", "transient"),
    [
        (TryAgain, Exit.TRANSIENT, True),
        (FixConfiguration, Exit.CONFIGURATION, False),
        (FixCommandLine, Exit.USAGE, False),
    ],
)
def test_class_of_the_error_decides_the_exit_code(
    kind: type[SyncError], exit_code: Exit, transient: bool
) -> None:
    problem = kind(Operation.GIT_PUSH, "Failed to push", "timeout")
    assert (problem.exit, problem.transient) == (exit_code, transient)
    assert str(problem) == "Failed to push: timeout"


def test_terminated_is_not_caught_as_an_exception() -> None:
    assert not issubclass(Terminated, Exception)
    assert Terminated("SIGTERM").exit == 143


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EIO, TryAgain),
        (errno.ESTALE, TryAgain),
        (errno.ETIMEDOUT, TryAgain),
        (errno.EACCES, FixConfiguration),
        (errno.EROFS, FixConfiguration),
        (errno.ENOSPC, FixConfiguration),
    ],
)
def test_translated_retries_only_errors_of_the_volume_that_can_end(
    number: int, kind: type[SyncError]
) -> None:
    with pytest.raises(kind) as caught, translated():
        raise OSError(number, os.strerror(number), "/workspace/x")
    assert caught.value.operation == Operation.SETUP_WORKDIR
    assert caught.value.error.startswith(f"{os.strerror(number).lower()}: /workspace/x")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_error_of_a_full_volume_names_its_mount_point_and_free_space(number: int, tmp_path: Path) -> None:
    with pytest.raises(FixConfiguration) as caught, translated():
        raise OSError(number, os.strerror(number), tmp_path / "missing" / "file")
    usage = r"\(volume (/\S*) has [\d,.]+ of [\d,.]+ [KMG]iB( and [\d,]+ of [\d,]+ inodes)? free\)"
    found = re.fullmatch(rf".*: {tmp_path}/missing/file {usage}", caught.value.error)
    assert found
    assert os.path.ismount(found[1])
    assert tmp_path.is_relative_to(found[1])


def test_translated_names_the_target_of_a_rename(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    (tmp_path / "new").mkdir()
    with pytest.raises(FixConfiguration, match=f"is a directory: {tmp_path}/new$"), translated():
        (tmp_path / "old").rename(tmp_path / "new")


def test_translated_names_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff"
    with pytest.raises(FixConfiguration, match="no such file or directory: "), translated():
        os.stat(name)


def test_translated_keeps_sync_errors_and_signals() -> None:
    problem = TryAgain(Operation.DOWNLOAD, "Failed", "busy")
    with pytest.raises(TryAgain) as caught, translated():
        raise problem
    assert caught.value is problem
    with pytest.raises(Terminated), translated():
        raise Terminated("SIGTERM")


def test_translated_reports_rows_out_of_order_as_damage() -> None:
    with pytest.raises(FixConfiguration, match="rows are out of order: b after c"), translated():
        raise OutOfOrder("b after c")


def test_translated_reports_other_exceptions_as_bugs() -> None:
    with pytest.raises(FixConfiguration) as caught, translated():
        raise KeyError("x")
    assert str(caught.value) == "Unexpected error; please report it: KeyError: 'x'"
    assert caught.value.operation == Operation.INTERNAL
