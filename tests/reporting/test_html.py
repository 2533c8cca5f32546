"""Pages as HTML: no text becomes markup, and nothing is loaded from elsewhere."""

from __future__ import annotations

from steps.contracts import ClusterResult, Status
from steps.reporting.html import html
from steps.reporting.page import Badge, Code, Heading, Items, Link, Page, Paragraph, Table, Tone
from steps.reporting.run_page import run_page
from tests.support.results import hostile, result
from tests.support.tags import Tags


def test_html_shows_hostile_names_as_text() -> None:
    plain = Tags(html(run_page(result(clusters=(ClusterResult(name="east", status=Status.OK),)), None)))
    page = html(run_page(hostile(), None))
    tags = Tags(page)
    assert {tag for tag, _ in tags.tags} <= {tag for tag, _ in plain.tags} | {"code", "li", "ul"}
    assert not any(name.startswith("on") for _, attributes in tags.tags for name in attributes)
    assert "\x1b" not in page
    assert sum('<script>alert("1")</script>' in text for text in tags.texts) >= 10


def test_html_loads_nothing_from_elsewhere() -> None:
    page = html(run_page(hostile(), "https://git.example.com/x/commit/0"))
    for tag, attributes in Tags(page).tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "base", "form"}
        assert "src" not in attributes
    assert "url(" not in page
    assert "@import" not in page


def test_html_renders_every_kind_of_block() -> None:
    page = Page(
        title="Title",
        badge=Badge("Fine", Tone.GOOD),
        lead=("All is well. ", Link("Page", "https://example.com/?a=1&b=2")),
        blocks=(
            Heading("Section"),
            Paragraph(("text ", Code("a < b"))),
            Items((("one",), ("two", Code("c")))),
            Table(("Name", "Files"), ((Code("east"), 1234), ("west", 0))),
        ),
    )
    text = html(page)
    for part in (
        "<title>Fine: Title</title>",
        '<span class="badge good">Fine</span>',
        '<a href="https://example.com/?a=1&amp;b=2">Page</a>',
        "<section>\n<h2>Section</h2>",
        "<p>text <code>a &lt; b</code></p>",
        "<ul><li>one</li><li>two<code>c</code></li></ul>",
        '<th scope="col" class="number">Files</th>',
        '<td data-head="Name"><code>east</code></td><td class="number" data-head="Files">1,234</td>',
    ):
        assert part in text


def test_html_starts_a_section_without_a_heading() -> None:
    text = html(Page("Title", Badge("Fine", Tone.GOOD), (), (Paragraph(("text",)),)))
    assert "<section>\n<p>text</p>\n</section>" in text


def test_html_renders_a_table_without_rows() -> None:
    text = html(Page("Title", Badge("Fine", Tone.GOOD), (), (Table(("Name",), ()),)))
    assert '<th scope="col">Name</th>' in text
