"""What restore prints."""

from __future__ import annotations

from steps.history.restore_text import summary, table
from tests.history.test_restore_manifest import FILE, MANIFEST, SKIPPED, UNREAD


def test_summary_counts_by_stage_and_reason() -> None:
    other = SKIPPED.model_copy(update={"kind": "Lease"})
    lost = SKIPPED.model_copy(update={"kind": "Secret", "left_out": True, "why": "redacted"})
    manifest = MANIFEST.model_copy(
        update={"skipped": (SKIPPED, other, other, lost), "unread": (UNREAD,), "warnings": ("careful",)}
    )
    assert list(summary(manifest, "out")) == [
        "east without the time of a listing, commit 01234567",
        "warning: careful",
        "wrote 1 object to out",
        "  06-network     1 Service",
        "skipped 3 objects",
        "  1 Event, 2 Lease: unused",
        "left out Secret shop/e in e.yaml: redacted",
        "left out bad.yaml: not YAML",
        "next: read out/MANIFEST.json, then run out/apply.sh",
    ]


def test_table_escapes_names_from_git() -> None:
    hostile = FILE.model_copy(update={"path": "a\x1b[31m\n"})
    manifest = MANIFEST.model_copy(
        update={"files": (hostile,), "skipped": (SKIPPED.model_copy(update={"name": "\x07"}),)}
    )
    text = "\n".join(table(manifest))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert r"from a\x1b[31m\n" in text
