"""The figures of all soaks so far: kept in docs/reliability.json, shown in docs/reliability.md."""

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
LEDGER = _DOCS / "reliability.json"
PAGE = _DOCS / "reliability.md"
_BEGIN, _END = "<!-- soak: begin -->\n", "<!-- soak: end -->\n"


@dataclass(frozen=True)
class Soak:
    """What one family did under one seed. `date` is that of its last case (ISO)."""

    family: str
    seed: int
    date: str
    cases: int
    failed: int
    counts: Mapping[str, int]


def known() -> list[Soak]:
    """What is in the ledger."""
    return [Soak(**entry) for entry in json.loads(LEDGER.read_text())] if LEDGER.exists() else []


def record(soaks: Iterable[Soak], families: Iterable[Family]) -> None:
    """Put these into the ledger, over those of the same family and seed, and write the table anew."""
    ledger = {(soak.family, soak.seed): soak for soak in known()} | {(s.family, s.seed): s for s in soaks}
    entries = [vars(ledger[key]) for key in sorted(ledger)]
    LEDGER.write_text(json.dumps(entries, indent=1) + "\n")
    head, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    PAGE.write_text(f"{head}{_BEGIN}{table(families)}{_END}{tail}")


def shown() -> str:
    """The table as it stands in the page."""
    return PAGE.read_text().partition(_BEGIN)[2].partition(_END)[0]


def table(families: Iterable[Family]) -> str:
    """The ledger, a row for each family."""
    lines = ["| What goes wrong | Cases | Unsafe | Among them | Seeds | Last |", "|---|--:|--:|---|---|---|"]
    soaks = known()
    for family in families:
        mine = [soak for soak in soaks if soak.family == family.name]
        if not mine:
            continue
        total: Counter[str] = Counter()
        for soak in mine:
            total.update(soak.counts)
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(total.items()))
        cases, failed = sum(soak.cases for soak in mine), sum(soak.failed for soak in mine)
        seeds = ", ".join(str(soak.seed) for soak in mine)
        last = max(soak.date for soak in mine)
        lines.append(f"| {family.title} | {cases:,} | {failed} | {counts} | {seeds} | {last} |")
    return "\n".join(lines) + "\n"
