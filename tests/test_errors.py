"""Errors: which class, which exit code, and how exceptions of the volume and bugs are translated."""

from __future__ import annotations

import ast
import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from steps.core.exit_codes import Exit
from steps.core.operations import Operation
from steps.core.sorted_join import OutOfOrder
from steps.errors import FixCommandLine, FixConfiguration, SyncError, Terminated, TryAgain, translated

if TYPE_CHECKING:
    from collections.abc import Iterator


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


# -- every error of the product ---------------------------------------------------------------

STEPS = Path(__file__).parents[1] / "steps"
KINDS = {"TryAgain", "FixConfiguration", "FixCommandLine", "Damaged"}

# Parts of an error that differ although the failure is the same.
VARYING = re.compile(r"elapsed|duration|took|seconds|pause|attempt\b|getpid|holder|request_id|run_id|\bnow\b")


class Raised(NamedTuple):
    """One place that makes an error: its arguments as text, and the names of its data."""

    where: str
    kind: str
    message: ast.expr
    error: ast.expr
    data: set[str | None]


def every_error() -> Iterator[Raised]:
    for path in sorted(STEPS.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in KINDS and len(call.args) == 3:
                where, kind = f"{path.relative_to(STEPS)}:{call.lineno}", ast.unparse(call.func)
                data = {keyword.arg for keyword in call.keywords}
                yield Raised(where, kind, call.args[1], call.args[2], data)


def test_message_of_every_error_says_what_failed_and_is_constant() -> None:
    errors = list(every_error())
    assert len(errors) > 30
    for error in errors:
        if isinstance(error.message, ast.Name | ast.Attribute | ast.Subscript):
            continue  # handed on, or one of a table
        assert isinstance(error.message, ast.Constant), f"{error.where}: the message must be constant"
        message = str(error.message.value)
        assert re.fullmatch(r"[A-Z].*[^.]", message), f"{error.where}: {message}"


def test_no_error_contains_what_differs_between_equal_failures() -> None:
    for error in every_error():
        if error.kind == "FixCommandLine":
            continue  # it repeats what was given
        for part in ast.walk(error.error):
            if isinstance(part, ast.FormattedValue):
                text = ast.unparse(part.value)
                assert not VARYING.search(text), f"{error.where}: {text} belongs in data"


def test_no_error_changes_the_words_of_a_server() -> None:
    """Only messages of the operating system are in lower case: "connection refused"."""
    for path in sorted(STEPS.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                lowered = call.func.attr == "lower" and "problem" in ast.unparse(call.func.value)
                assert not lowered or "strerror" in ast.unparse(call.func.value), f"{path}:{call.lineno}"


# Errors that name nothing, or whose names are added where they are caught, or are in the rows of a plan.
NAMED_ELSEWHERE = {
    *("clients/s3/listing.py", "clients/s3/store.py", "workdir/rowfile.py", "errors.py"),
    *("planning/planner.py", "reporting/outcome.py"),
}


def test_every_error_that_names_something_has_it_in_data() -> None:
    without = [
        error.where
        for error in every_error()
        if any(isinstance(part, ast.FormattedValue) for part in ast.walk(error.error))
        and not error.data
        and error.kind != "FixCommandLine"
        and error.where.split(":")[0] not in NAMED_ELSEWHERE
        and not error.where.startswith(("clients/git/", "publish"))
    ]
    assert without == []
