"""The table of seeded bugs in docs/reliability.md."""

from __future__ import annotations

from pathlib import Path

from tests.mutants.seeded import MUTANTS

_PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_BEGIN, _END = "<!-- mutants: begin -->\n", "<!-- mutants: end -->\n"


def table() -> str:
    """A row for each bug."""
    rows = [f"| {mutant.name} | `{mutant.file}` | `{mutant.test}` |\n" for mutant in MUTANTS]
    return "".join(["| Bug | Where | Caught by |\n", "|---|---|---|\n", *rows])


def shown() -> str:
    """The table as it stands in the page."""
    return _PAGE.read_text().partition(_BEGIN)[2].partition(_END)[0]


def write() -> None:
    """Write the table anew."""
    head, _, rest = _PAGE.read_text().partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    _PAGE.write_text(f"{head}{_BEGIN}{table()}{_END}{tail}")
