"""Counts of one cluster's download."""

from __future__ import annotations

from steps.core.changes import FETCHED, VANISHED, ManifestRow
from steps.core.keys import Reason
from steps.planning.figures import Figures


def row(path: bytes, state: str) -> ManifestRow:
    return ManifestRow(path, state, "", 1, "")


def test_figures_count_rows_by_what_became_of_the_object() -> None:
    figures = Figures()
    for one in (
        b"a line of an unchanged object",
        row(b"east/a", FETCHED),
        row(b"east/b", VANISHED),
        row(b"east/c", Reason.TOO_LARGE),
    ):
        assert figures.counted(one) is one
    footer = figures.footer()
    assert (figures.objects, footer.unchanged) == (4, 1)
    assert figures.vanished == [b"east/b"]
    assert (footer.quarantined, footer.quarantined_sample) == ({"too_large": 1}, ("east/c",))


def test_figures_sample_unavailable_objects_by_key_in_any_order_of_threads() -> None:
    figures = Figures()
    for number in (30, *range(30)):
        figures.add_unavailable(f"k{number:02}", "refused")
    assert figures.unavailable == 31
    assert figures.footer().unavailable_sample == tuple(f"k{number:02}: refused" for number in range(20))


def test_figures_say_all_denied_only_without_other_content() -> None:
    figures = Figures(denied=1)
    assert figures.all_denied
    figures.counted(b"a line of an unchanged object")
    assert not figures.all_denied
