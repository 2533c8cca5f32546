"""MANIFEST.json as a document."""

from __future__ import annotations

from datetime import UTC, datetime

from steps.history.restore_manifest import (
    Named,
    Removed,
    RestoredFile,
    RestoreManifest,
    SkippedObject,
    UnreadFile,
)

SKIPPED = SkippedObject(
    group="", kind="Event", namespace="shop", name="e", path="e.yaml", blob="b", why="unused", left_out=False
)
UNREAD = UnreadFile(path="bad.yaml", blob="b", why="not YAML")
FILE = RestoredFile(
    group="",
    kind="Service",
    namespace="shop",
    name="web",
    file="06-network/shop/service-web.yaml",
    path="shop/web.yaml",
    blob="b",
    form="text",
    removed=(Removed(field="spec.clusterIP", why="taken"),),
)
MANIFEST = RestoreManifest(
    cluster="east",
    commit="0123456789" * 4,
    committed_at=datetime(2025, 7, 12, tzinfo=UTC),
    listed_at=None,
    options=(),
    namespaces={},
    warnings=(),
    files=(FILE,),
    exact_files=(),
    skipped=(SKIPPED,),
    unread=(),
)


def test_manifest_is_complete_unless_something_is_left_out() -> None:
    assert MANIFEST.is_complete
    assert not MANIFEST.model_copy(update={"unread": (UNREAD,)}).is_complete
    lost = SKIPPED.model_copy(update={"left_out": True})
    assert MANIFEST.model_copy(update={"skipped": (lost,)}).left_out == (lost,)


def test_manifest_is_empty_if_nothing_was_selected() -> None:
    assert not MANIFEST.is_empty
    assert MANIFEST.model_copy(update={"files": (), "skipped": ()}).is_empty


def test_names_are_printable() -> None:
    assert str(Named("Secret", "shop", "a\n\x1b[31m")) == r"Secret shop/a\n\x1b[31m"
    assert str(Named("ClusterRole", "", "a")) == "ClusterRole a"
