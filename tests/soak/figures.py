"""The results of all soaks: stored in docs/reliability.json, shown in docs/reliability.md."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.soak.family import Family

_DOCS = Path(__file__).parents[2] / "docs"
RESULTS = _DOCS / "reliability.json"
PAGE = _DOCS / "reliability.md"
_BEGIN, _END = "<!-- soak: begin -->\n", "<!-- soak: end -->\n"


@dataclass(frozen=True)
class Soak:
    """The results of one family with one seed. `date` is the date of its last case (ISO)."""

    family: str
    seed: int
    date: str
    cases: int
    failed: int
    counts: Mapping[str, int]


def stored() -> list[Soak]:
    """Return the stored results."""
    return [Soak(**entry) for entry in json.loads(RESULTS.read_text())] if RESULTS.exists() else []


def record(soaks: Iterable[Soak], families: Iterable[Family]) -> None:
    """Store these results, replacing those of the same family and seed, and rewrite the table."""
    results = {(soak.family, soak.seed): soak for soak in stored()} | {(s.family, s.seed): s for s in soaks}
    entries = [vars(results[key]) for key in sorted(results)]
    RESULTS.write_text(json.dumps(entries, indent=1) + "\n")
    head, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    PAGE.write_text(f"{head}{_BEGIN}{table(families)}{_END}{tail}")


def page_table() -> str:
    """Return the table of the page."""
    return PAGE.read_text().partition(_BEGIN)[2].partition(_END)[0]


def table(families: Iterable[Family]) -> str:
    """Return a table of the stored results, with a row for each family."""
    lines = ["| Fault | Cases | Unsafe | Counts | Seeds | Last |", "|---|--:|--:|---|---|---|"]
    soaks = stored()
    for family in families:
        matching = [soak for soak in soaks if soak.family == family.name]
        if not matching:
            continue
        total: Counter[str] = Counter()
        for soak in matching:
            total.update(soak.counts)
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(total.items()))
        cases, failed = sum(soak.cases for soak in matching), sum(soak.failed for soak in matching)
        seeds = ", ".join(str(soak.seed) for soak in matching)
        last = max(soak.date for soak in matching)
        lines.append(f"| {family.title} | {cases:,} | {failed} | {counts} | {seeds} | {last} |")
    return "\n".join(lines) + "\n"
