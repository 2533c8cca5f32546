"""The model of the summary."""

from __future__ import annotations

from steps.kubernetes.change_summary import ChangeSummary, Count, ModifiedFiles


def test_totals_are_sums() -> None:
    assert Count(added=1, modified=2, deleted=3, volatile=4).total == 10
    assert ModifiedFiles(substance=1, metadata=2, volatile=3, formatting=4, not_inspected=5).total == 15


def test_empty_summary_survives_json() -> None:
    assert ChangeSummary.model_validate_json(ChangeSummary().model_dump_json()) == ChangeSummary()
