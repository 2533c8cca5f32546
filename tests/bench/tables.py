"""The results of the bench as tables for docs/performance.md."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.bench.phases import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Report = dict[str, Any]


class Growth(NamedTuple):
    """git-sync's medians for one case and size; NaN for unknown values and runs without changes."""

    case: str
    size: int
    ms_per_object: float
    cpu_ms_per_object: float
    peak_mib: float
    grown_kb: float
    pushed_bytes_per_change: float


def growth_of(reports: Sequence[Report]) -> list[Growth]:
    """Return the growth by case and size, in the order of ``reports``."""
    found = []
    for case in dict.fromkeys(case for report in reports for case in report["results"]):
        for report in reports:
            size, runs = report["size"], report["results"].get(case, {}).get("git-sync")
            if runs:
                changed = round(size * _share(case)) or math.nan
                found.append(
                    Growth(
                        case,
                        size,
                        1e3 * median(runs, "seconds") / size,
                        1e3 * median(runs, "cpu_seconds") / size,
                        median(runs, "peak_bytes") / 2**20,
                        median(runs, "grown_bytes") / 1e3,
                        median(runs, "pushed_bytes") / changed,
                    )
                )
    return found


def _share(case: str) -> float:
    """Return the share of all objects that a case pushes."""
    number, modified, _ = case.partition(" % modified")
    return float(number) / 100 if modified else float(case == "first run")


def median(runs: list[dict[str, Any]], key: str) -> float:
    """Return the median of a value over the runs that have it; NaN if none has it."""
    known = [run[key] for run in runs if run[key] is not None]
    return statistics.median(known) if known else math.nan


def compared(report: Report) -> Iterator[str]:
    """Yield a table of all cases and contenders."""
    rounds = min(len(runs) for by_name in report["results"].values() for runs in by_name.values())
    yield (
        f"{report['size']:,} objects, {report['bytes'] / 1e6:.0f} MB; medians of {rounds} or more rounds "
        f"(minimum to maximum); load of the machine {report['machine']['load']}:"
    )
    yield ""
    yield "| Case | Contender | Seconds | git-sync takes | CPU seconds | Peak MiB | Repository grows, kB |"
    yield "|---|---|---|---|---|---|---|"
    for case, by_name in report["results"].items():
        ours = median(by_name.get("git-sync", []), "seconds")
        for name, runs in by_name.items():
            if not runs:
                continue
            seconds = [run["seconds"] for run in runs]
            middle = median(runs, "seconds")
            yield _row(
                case,
                name,
                f"{middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
                "" if name == "git-sync" else _known(ours / middle, ".2f", "×"),
                f"{median(runs, 'cpu_seconds'):.2f}",
                f"{median(runs, 'peak_bytes') / 2**20:.0f}",
                _known(median(runs, "grown_bytes") / 1e3, ",.0f"),
            )


def shares(report: Report) -> Iterator[str]:
    """Yield a table of the phases of git-sync."""
    yield "Per cent of git-sync's time, by case and phase:"
    yield ""
    yield _row("Case", *NAMES)
    yield "|---" * (len(NAMES) + 1) + "|"
    for case, seconds in report["phases"].items():
        whole = sum(seconds.values())
        yield _row(case, *(f"{100 * seconds[name] / whole:.0f}" for name in NAMES))


def grown(reports: Sequence[Report]) -> Iterator[str]:
    """Yield a table of git-sync's measurements by number of objects."""
    yield (
        "| Case | Objects | ms per object | CPU ms per object | Peak MiB | Repository grows, kB "
        "| Bytes pushed per changed object |"
    )
    yield "|---|---|---|---|---|---|---|"
    for row in growth_of(reports):
        yield _row(
            row.case,
            f"{row.size:,}",
            f"{row.ms_per_object:.3f}",
            f"{row.cpu_ms_per_object:.3f}",
            f"{row.peak_mib:.0f}",
            _known(row.grown_kb, ",.0f"),
            _known(row.pushed_bytes_per_change, ",.0f"),
        )


def histories(reports: Sequence[Report]) -> Iterator[str]:
    """Yield a table of the growth of the repository over many runs."""
    yield "| Objects | Runs of 1 % | Growth per run, kB | Repacked, kB | Repacked, bytes per change |"
    yield "|---|---|---|---|---|"
    for report in reports:
        if history := report.get("history"):
            each, packed = history["grown_bytes"], history["packed_bytes"]
            yield _row(
                f"{report['size']:,}",
                str(len(each)),
                f"{statistics.median(each) / 1e3:,.0f} ({min(each) / 1e3:,.0f} to {max(each) / 1e3:,.0f})",
                f"{packed / len(each) / 1e3:,.1f}",
                f"{packed / history['changed']:,.0f}",
            )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _known(value: float, form: str, unit: str = "") -> str:
    return "" if math.isnan(value) else f"{value:{form}}{unit}"
