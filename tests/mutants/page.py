"""The table of seeded bugs in docs/reliability.md."""

from __future__ import annotations

from pathlib import Path

from tests.mutants.seeded import MUTANTS

_PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_BEGIN, _END = "<!-- mutants: begin -->\n", "<!-- mutants: end -->\n"


def table() -> str:
    """Return the table: one row for each bug."""
    rows = [f"| {mutant.name} | `{mutant.where}` | `{mutant.test}` |\n" for mutant in MUTANTS]
    return "".join(["| Bug | Where | Caught by |\n", "|---|---|---|\n", *rows])


def current() -> str:
    """Return the table that the page has now."""
    return _PAGE.read_text().partition(_BEGIN)[2].partition(_END)[0]


def write() -> None:
    """Replace the table in the page."""
    head, _, rest = _PAGE.read_text().partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    _PAGE.write_text(f"{head}{_BEGIN}{table()}{_END}{tail}")
