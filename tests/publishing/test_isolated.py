"""The process that reads changed files: what it inherits, and how it ends."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import pytest

from steps.errors import TryAgain
from steps.kubernetes.volatile import BUILT_IN, Rule
from steps.publishing import isolated
from steps.publishing.isolated import Budget, File, memory_file, summarized

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from steps.kubernetes.change_summary import ChangeSummary

FILES = [File(b"east/shop/Pod/a.yaml", "", "a" * 40)]


class Stream:
    """A repository that returns the same bytes for any blobs."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @contextmanager
    def blob_stream(self, oids: Iterable[str]) -> Iterator[IO[bytes]]:
        del oids
        with memory_file("blobs") as file:
            file.write(self.content)
            file.seek(0)
            yield file


def summary_of(blobs: bytes, seconds: float = 20) -> ChangeSummary:
    with memory_file("changes") as changes:
        changes.write(b"Aeast/shop/Pod/a.yaml\0")
        return summarized(Stream(blobs), changes, FILES, time.monotonic() + seconds, Budget())


def test_process_classifies_changes_by_the_rules() -> None:
    blobs = b"".join(
        b"%s blob %d\nkind: Pod\nspec: {a: %d}\n\n" % (oid * 40, 23, number)
        for number, oid in enumerate((b"b", b"a"))
    )
    files = [File(b"east/shop/Pod/a.yaml", "b" * 40, "a" * 40)]
    for rules, substance in ((BUILT_IN, 1), ((*BUILT_IN, Rule(("Pod",), drop=(("spec",),))), 0)):
        with memory_file("changes") as changes:
            changes.write(b"Meast/shop/Pod/a.yaml\0")
            found = summarized(Stream(blobs), changes, files, time.monotonic() + 20, Budget(), rules=rules)
        assert (found.modified_files.total, found.modified_files.substance) == (1, substance)


def test_process_reads_blobs_and_returns_the_summary() -> None:
    found = summary_of(b"%s blob 10\nkind: Pod\n\n" % (b"a" * 40))
    assert found.inspected == 1
    assert found.kinds["Pod"].added == 1


@pytest.mark.parametrize(
    ("blobs", "reason"),
    [
        (b"%s missing\n" % (b"a" * 40), "Git did not return its content"),
        (b"%s blob 10\nkind" % (b"a" * 40), "too many changes for one inspection"),
        (b"", "too many changes for one inspection"),
    ],
    ids=["absent", "cut", "none"],
)
def test_file_whose_content_git_does_not_return_is_not_inspected(blobs: bytes, reason: str) -> None:
    assert [one.reason for one in summary_of(blobs).not_inspected] == [reason]


@pytest.mark.parametrize(
    ("program", "seconds", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 20, r"was killed \(SIGKILL\)"),
        ("import ctypes; ctypes.string_at(0)", 20, r"was killed \(SIGSEGV\)"),
        ("raise SystemExit(3)", 20, r"failed \(exit status 3\)"),
        ("import time; time.sleep(60)", 0.2, "the inspection took too long"),
        ("", 20, "returned no summary"),
        ("import os, sys; os.pwrite(int(sys.argv[3]), b'x' * 2**25, 0)", 20, "returned no summary"),
    ],
    ids=["killed", "crashed", "failed", "hung", "silent", "too long"],
)
def test_process_that_ends_without_a_summary_is_transient(
    program: str, seconds: float, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "_PROGRAM", program)
    with pytest.raises(TryAgain, match=reason):
        summary_of(b"", seconds)


def test_process_inherits_no_environment_and_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TOKEN", "t")
    program = (
        "import os, sys\n"
        "given = {0, 1, 2, *map(int, sys.argv[1:4])}\n"
        "other = {fd for fd in range(1000) if fd not in given and os.path.exists(f'/proc/self/fd/{fd}')}\n"
        "raise SystemExit(9 if other or 'GIT_TOKEN' in os.environ else 7)"
    )
    monkeypatch.setattr(isolated, "_PROGRAM", program)
    with open(os.devnull, "rb") as open_file:
        os.set_inheritable(open_file.fileno(), True)
        with pytest.raises(TryAgain, match="exit status 7"):
            summary_of(b"")
