"""Writing what the policy leaves of a fetched object."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import pytest

from steps.clients.s3.store import Fetched
from steps.core import limits
from steps.core.changes import EXCLUDED_SECRET, OMITTED, ManifestRow
from steps.core.git_objects import blob_header
from steps.errors import FixConfiguration
from steps.kubernetes.policy import Policy, VolatileFields
from steps.planning.figures import Figures
from steps.planning.rewriting import Rewriting
from steps.runtime.settings.reading import read

if TYPE_CHECKING:
    from pathlib import Path


def blob_id(content: bytes) -> str:
    return hashlib.sha1(blob_header(len(content)) + content, usedforsecurity=False).hexdigest()


STRIP = Policy(VolatileFields.STRIP)


def written(content: bytes | None, target: Path) -> tuple[ManifestRow, Figures]:
    figures = Figures()
    fetched = Fetched("etag", len(content or b""), blob_id(content or b""), content=content)
    return Rewriting(STRIP).write(fetched, b"east/a", bytes(target), figures), figures


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


KEY = "0123456789abcdef0123456789abcdef"
SECRET = b"kind: Secret\ndata:\n  p: aHVudGVyMg==\n"


def hiding(**settings: str) -> Rewriting:
    content = read({"SECRETS_KEY": KEY, **settings}).content
    return Rewriting.of(content.policy, content)


def of_secret(rewriting: Rewriting, content: bytes, target: Path) -> tuple[ManifestRow, Figures]:
    figures = Figures()
    fetched = Fetched("etag", len(content), blob_id(content), content=content)
    return rewriting.write(fetched, b"east/a", bytes(target), figures), figures


def test_redacted_secret_is_written_and_counted(tmp_path: Path) -> None:
    row, figures = of_secret(hiding(SECRETS="redact"), SECRET, tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    assert b"redacted:" in content
    assert (row.oid, row.length, row.size) == (blob_id(content), len(content), len(SECRET))
    assert len(content) > len(SECRET)
    assert (figures.secrets, figures.rewritten, figures.cut_bytes) == (1, 0, 0)


def test_excluded_secret_is_not_written(tmp_path: Path) -> None:
    row, figures = of_secret(hiding(SECRETS="exclude"), SECRET, tmp_path / "a")
    assert (row.state, row.omitted, row.quarantined) == (EXCLUDED_SECRET, True, False)
    assert figures.secrets == 1
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("mode", ["exclude", "redact"])
def test_unreadable_secret_is_quarantined_and_not_in_git(mode: str, tmp_path: Path) -> None:
    row, _ = of_secret(hiding(SECRETS=mode), SECRET + b"x: [\n", tmp_path / "a")
    assert (row.state, row.omitted, row.quarantined, row.accepted) == ("secret_unreadable", True, True, False)
    assert not (tmp_path / "a").exists()


def test_redaction_and_strip_apply_to_the_same_object(tmp_path: Path) -> None:
    rewriting = hiding(SECRETS="redact", VOLATILE_FIELDS="strip")
    of_secret(rewriting, SECRET + b"status: {}\n", tmp_path / "a")
    of_secret(hiding(SECRETS="redact"), SECRET, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_kept_secrets_need_no_check() -> None:
    assert hiding(SECRETS="keep").rejects(b"east/a") is None
    assert hiding().secrets is None
    assert KEY not in repr(hiding(SECRETS="redact"))


def test_large_object_is_rejected_if_it_may_contain_a_secret() -> None:
    rejects = hiding(SECRETS="exclude").rejects(b"east/a")
    assert rejects is not None
    assert rejects(iter([b"kind: Sec", b"ret\n"]))
    assert not rejects(iter([b"kind: Con", b"figMap\n"]))


def test_another_key_than_that_of_discover_is_refused() -> None:
    policy = read({"SECRETS": "redact", "SECRETS_KEY": KEY}).content.policy
    with pytest.raises(FixConfiguration, match="discover had another key"):
        Rewriting.of(policy, read({"SECRETS": "redact", "SECRETS_KEY": KEY.upper()}).content)


def test_cluster_without_time_to_rewrite_fails_alone(tmp_path: Path) -> None:
    content = b"kind: Pod\nx: [" + b"{}," * 20_000 + b"1]\nstatus: {}\n"
    fetched = Fetched("etag", len(content), blob_id(content), content=content)
    rewriting, figures, other = Rewriting(STRIP), Figures(), Figures()
    rewriting.write(fetched, b"east/a", bytes(tmp_path / "a"), figures)
    assert 0 < figures.slow_seconds < limits.REWRITING_SECONDS
    figures.slow_seconds += limits.REWRITING_SECONDS
    with pytest.raises(FixConfiguration, match="CPU time: exclude them"):
        rewriting.write(fetched, b"east/a", bytes(tmp_path / "a"), figures)
    assert rewriting.write(fetched, b"west/a", bytes(tmp_path / "b"), other).accepted


def test_large_objects_are_rewritten_one_at_a_time(tmp_path: Path) -> None:
    rewriting = Rewriting(STRIP)

    def write(padding: int) -> threading.Thread:
        content = b"kind: Pod\nx: '" + b"x" * padding + b"'\n"
        fetched = Fetched("etag", len(content), blob_id(content), content=content)
        target = bytes(tmp_path / str(padding))
        thread = threading.Thread(target=rewriting.write, args=(fetched, b"east/a", target, Figures()))
        thread.start()
        return thread

    with rewriting._alone:
        write(10).join()
        assert (tmp_path / "10").exists()
        large = write(40_000)
        large.join(0.3)
        assert not (tmp_path / "40000").exists()
    large.join()
    assert (tmp_path / "40000").exists()
