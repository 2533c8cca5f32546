"""Writing what the policy leaves of a fetched object."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from steps.clients.s3.store import Fetched
from steps.core.changes import OMITTED, ManifestRow
from steps.core.git_objects import blob_header
from steps.kubernetes.policy import Policy, VolatileFields
from steps.planning.figures import Figures
from steps.planning.rewriting import write_by_policy

if TYPE_CHECKING:
    from pathlib import Path


def blob_id(content: bytes) -> str:
    return hashlib.sha1(blob_header(len(content)) + content, usedforsecurity=False).hexdigest()


STRIP = Policy(VolatileFields.STRIP)


def written(content: bytes | None, target: Path) -> tuple[ManifestRow, Figures]:
    figures = Figures()
    fetched = Fetched("etag", len(content or b""), blob_id(content or b""), content=content)
    return write_by_policy(STRIP, fetched, b"east/a", bytes(target), figures), figures


def test_rewritten_object_has_the_blob_of_the_rest_and_size_and_etag_of_the_object(tmp_path: Path) -> None:
    row, figures = written(b"kind: Pod\nstatus: {}\n", tmp_path / "a")
    assert row == ManifestRow(b"east/a", "rewritten=10", blob_id(b"kind: Pod\n"), 21, "etag")
    assert (row.length, row.accepted, row.quarantined) == (10, True, False)
    assert (tmp_path / "a").read_bytes() == b"kind: Pod\n"
    assert (figures.rewritten, figures.cut_bytes, figures.kept_exactly) == (1, 11, 0)


@pytest.mark.parametrize(("content", "kept"), [(b"kind: Pod\n", 0), (b"kind: [\n", 1)])
def test_object_that_is_not_rewritten_is_written_as_it_is(content: bytes, kept: int, tmp_path: Path) -> None:
    row, figures = written(content, tmp_path / "a")
    assert (row.state, row.oid, row.length) == ("fetched", blob_id(content), len(content))
    assert (tmp_path / "a").read_bytes() == content
    assert (figures.rewritten, figures.kept_exactly) == (0, kept)


def test_omitted_object_is_not_written(tmp_path: Path) -> None:
    row, _ = written(b"apiVersion: v1\nkind: Event\n", tmp_path / "a")
    assert (row.state, row.oid, row.omitted, row.quarantined) == (OMITTED, "", True, False)
    assert not (tmp_path / "a").exists()


def test_object_on_the_disk_is_kept_exactly(tmp_path: Path) -> None:
    row, figures = written(None, tmp_path / "a")
    assert (row.state, figures.kept_exactly) == ("fetched", 1)
