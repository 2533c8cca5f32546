"""SVG charts, without a library: there are only two kinds."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from tests.bench.tables import growth_of, median

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.bench.tables import Report

_COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#6b7280")
_STYLE = "text{font:12px sans-serif;fill:#374151}.t{font-weight:600}"
_GOAL = 0.5

_CHARTS = (
    ("CPU ms per object", "cpu_ms_per_object"),
    ("peak memory, MiB", "peak_mib"),
    ("repository growth per run, kB", "grown_kb"),
    ("bytes pushed per changed object", "pushed_bytes_per_change"),
)

Points = list[tuple[float, float]]


def comparison(report: Report) -> str:
    """Return bars for each case: git-sync's median as a multiple of each contender's (below 1: faster)."""
    row, left, width, most = 16, 130, 480, 2.0
    parts = [
        _text(left, 18, f"{report['size']:,} objects: git-sync's time as a multiple of the others'", "t")
    ]
    y, top = 36, 28
    for case, by_name in report["results"].items():
        others = [name for name, runs in by_name.items() if runs and name != "git-sync"]
        if not by_name.get("git-sync") or not others:
            continue
        ours = median(by_name["git-sync"], "seconds")
        parts.append(_text(left - 8, y + row * len(others) / 2 + 2, case, "t", "end"))
        for colour, name in zip(_COLOURS, others, strict=False):
            ratio = ours / median(by_name[name], "seconds")
            long = width * min(ratio, most) / most
            parts.append(f'<rect x="{left}" y="{y}" width="{long:.1f}" height="{row - 4}" fill="{colour}"/>')
            parts.append(_text(left + long + 6, y + 10, f"{name} {ratio:.2f}×"))
            y += row
        y += 12
    for at in (_GOAL, 1.0):
        x = left + width * at / most
        parts.append(f'<path d="M{x:.1f} {top}V{y}" stroke="#111827" stroke-dasharray="3 3"/>')
        parts.append(_text(x, y + 14, f"{at:g}×", "", "middle"))
    return _svg(left + width + 150, y + 24, parts)


def growth(reports: Sequence[Report]) -> str:
    """Return four charts of git-sync's measurements by number of objects."""
    rows = growth_of(reports)
    parts: list[str] = []
    for index, (title, field) in enumerate(_CHARTS):
        lines: dict[str, Points] = {}
        for row in rows:
            lines.setdefault(row.case, []).append((row.size, getattr(row, field)))
        parts += _chart(60 + index % 2 * 330, 40 + index // 2 * 340, title, lines)
    return _svg(60 + 2 * 330, 2 * 340 + 20, parts)


def _chart(left: float, top: float, title: str, lines: Mapping[str, Points]) -> Iterator[str]:
    """Return lines over the number of objects, with logarithmic axes; all-zero values have no line."""
    width, height = 230, 200
    yield _text(left, top - 20, title, "t")
    drawn = {case: [point for point in line if point[1] > 0] for case, line in lines.items()}
    points = [point for line in drawn.values() for point in line]
    if not points:
        return
    (x0, x1), (y0, y1) = ((math.log10(min(v)), math.log10(max(v))) for v in zip(*points, strict=True))
    y0, y1 = math.floor(y0), max(math.ceil(y1), math.floor(y0) + 1)

    def at(size: float, value: float) -> tuple[float, float]:
        x = left + width * (math.log10(size) - x0) / ((x1 - x0) or 1)
        return x, top + height - height * (math.log10(value) - y0) / (y1 - y0)

    for power in range(y0, y1 + 1):
        y = at(10**x0, 10.0**power)[1]
        yield f'<path d="M{left} {y:.1f}h{width}" stroke="#e5e7eb"/>'
        yield _text(left - 6, y + 4, f"{10.0**power:,g}", "", "end")
    for size in sorted({size for size, _ in points}):
        yield _text(at(size, 10.0**y0)[0], top + height + 18, f"{size:,}", "", "middle")
    y = top + height + 36
    for colour, (case, line) in zip((*_COLOURS, "#dc2626"), drawn.items(), strict=False):
        if line:
            places = [at(*point) for point in line]
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
            yield f'<rect x="{left}" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
            yield _text(left + 15, y, case)
            y += 13


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, parts: Iterable[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    back = '<rect width="100%" height="100%" fill="#fff"/>'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{_STYLE}</style>{back}\n{body}\n</svg>\n'
