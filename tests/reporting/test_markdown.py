"""Pages as Markdown: no text becomes markup."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from steps.reporting.markdown import markdown
from steps.reporting.page import Badge, Code, Heading, Items, Link, Page, Paragraph, Table, Tone
from steps.reporting.run_page import run_page
from tests.support.results import hostile
from tests.support.tags import Tags


def test_markdown_shows_hostile_names_as_text() -> None:
    text = markdown(run_page(hostile(), None))
    assert "\x1b" not in text
    page = Tags(MarkdownIt("commonmark").enable("table").enable("strikethrough").render(text))
    allowed = {"h1", "h2", "p", "strong", "ul", "li", "code"}
    assert {tag for tag, _ in page.tags} == allowed | {"table", "thead", "tbody", "tr", "th", "td"}
    strong = [page.texts[n] for n in range(len(page.texts)) if page.texts[n] == "x"]
    assert strong == [], "nothing of a name is formatted"
    assert sum('<script>alert("1")</script>' in text for text in page.texts) >= 10
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5, 9}, "no name opens a cell"


def test_markdown_renders_every_kind_of_block() -> None:
    page = Page(
        title="Title",
        badge=Badge("Fine", Tone.GOOD),
        lead=("All is well. ", Link("Page", "https://example.com/<x> |y")),
        blocks=(
            Heading("Section"),
            Paragraph(("a_b ", Code("a < b"))),
            Items((("one",), ("two ", Code("c")))),
            Table(("Name", "Files"), ((Code("east"), 1234), ("west", 0))),
            Table(("Name",), ()),
        ),
    )
    assert markdown(page) == "\n\n".join(
        [
            "# Title",
            "**Fine** All is well. [Page](<https://example.com/xy>)",
            "## Section",
            r"a\_b `a < b`",
            "- one\n- two `c`",
            "| Name | Files |\n| --- | ---: |\n| `east` | 1,234 |\n| west | 0 |",
            "| Name |\n| --- |\n",
        ]
    )


@pytest.mark.parametrize("code", ["", "`", "a`b", "``x``", "|", "\\|", "\\\\|", "a`|`b"])
def test_code_span_shows_its_text_in_a_table_of_one_column(code: str) -> None:
    page = Page("Title", Badge("Fine", Tone.GOOD), (), (Table(("Name",), ((Code(code),),)),))
    rendered = Tags(MarkdownIt("commonmark").enable("table").render(markdown(page)))
    assert [tag for tag, _ in rendered.tags].count("td") == 1
    assert [tag for tag, _ in rendered.tags].count("code") == 1
