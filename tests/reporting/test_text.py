"""Pages as plain text."""

from __future__ import annotations

from steps.reporting.page import (
    Badge,
    Code,
    Fold,
    Heading,
    Items,
    Link,
    Page,
    Paragraph,
    Table,
    Tone,
)
from steps.reporting.text import plain_text
from tests.support.results import EVIL


def test_page_as_text() -> None:
    page = Page(
        "title",
        Badge("Success", Tone.GOOD),
        ("2 new",),
        (
            Heading("Items"),
            Items(((Badge("RBAC", Tone.WARN), " a ", Code("b")), (Link("c", "https://d"),))),
            Fold("1 more", Items((("e",),))),
            Paragraph(("f",)),
            Table(("Name", "New"), ((Code("long name"), 1000), (Code("x"), 2))),
        ),
    )
    assert plain_text(page) == (
        "title\n\nSuccess. 2 new\n\nItems\n-----\n\n- [RBAC] a b\n- c <https://d>\n\n- e\n\nf\n\n"
        "| Name       New\n| long name  1,000\n| x          2\n"
    )


def test_text_contains_no_control_characters() -> None:
    page = Page(EVIL, Badge(EVIL, Tone.BAD), (EVIL,), (Items(((Code(EVIL),),)), Table(("a",), ((EVIL,),))))
    assert "\x1b" not in plain_text(page)
