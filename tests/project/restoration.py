"""The tables and the JSON Schema of docs/restore.md: `python -m tests.project.restoration --write`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steps.history.restore_manifest import RestoreManifest
from steps.kubernetes.restoration.rules import CUTS, KEPT, SKIPS
from tests.project.schema import generated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from steps.kubernetes.restoration.rules import Row

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "restore.md"
SCHEMA = DOCS / "restore-manifest.schema.json"


def tables() -> dict[str, str]:
    """Return the tables by their first column."""
    removed = ((_kinds(row), _code(row.written.split()), _why(row)) for row in CUTS)
    kept = ((_kinds(row), f"`{row.field}`", row.why) for row in KEPT)
    skipped = ((_kinds(row, row.what), _why(row)) for row in SKIPS)
    return {
        "Removed from": _table(("Removed from", "Fields", "Why"), removed),
        "Kept in": _table(("Kept in", "Field", "Without it"), kept),
        "Skipped": _table(("Skipped", "Why"), skipped),
    }


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, *rows)).replace(
        "\n", f"\n|{'---|' * len(head)}\n", 1
    )


def _kinds(row: Row, what: str = "") -> str:
    names = [name.removesuffix(".").removesuffix(".*") for name in row.kinds]
    shown = "all objects" if names == ["*"] else _code(names)
    return f"{shown}: {what}" if what else shown


def _why(row: Row) -> str:
    return f"{row.why}. Not with `{row.unless}`" if row.unless else row.why


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def page() -> str:
    """Return the page with the tables of the code."""
    text = PAGE.read_text()
    for first, table in tables().items():
        escaped = table.replace("\\", r"\\")
        text = re.sub(rf"^\| {first} \|.*\n(?:\|.*\n)+", escaped, text, flags=re.MULTILINE)
    return text


def schema() -> str:
    """Return the schema of MANIFEST.json as the file contains it."""
    return json.dumps(generated(RestoreManifest, "MANIFEST.json"), indent=2, ensure_ascii=False) + "\n"


@click.command()
@click.option("--write", is_flag=True, required=True, help="Write the tables and the schema.")
def main(*, write: bool) -> None:
    """Write the tables of docs/restore.md and the schema of MANIFEST.json."""
    if write:
        PAGE.write_text(page())
        SCHEMA.write_text(schema())


if __name__ == "__main__":
    main()
