"""Parts of the output of diff; tests/history/test_diff.py reads whole outputs."""

from __future__ import annotations

import pytest

from steps.history.diff_output import FORMATS, diff_html


def test_lines_of_a_diff_are_escaped_and_marked() -> None:
    assert diff_html(["@@ -1 +1 @@", "-<b>", "+&", " x"]) == (
        "<i>@@ -1 +1 @@</i>\n<del>-&lt;b&gt;</del>\n<ins>+&amp;</ins>\n x"
    )


@pytest.mark.parametrize("how", FORMATS)
def test_every_format_prints_no_comparison(how: str) -> None:
    assert "\x1b" not in "".join(FORMATS[how]([]))
