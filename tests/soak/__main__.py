"""Run cases of the soak families for a given time, on every core; `make soak` calls it.

Passed cases of a seed are recorded in .soak/, so that a soak can be stopped at any time and resumed.
The results of all soaks are summed up in docs/reliability.json and docs/reliability.md.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
import traceback
import zlib
from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.soak.families import FAMILIES
from tests.soak.figures import Soak, record
from tests.soak.world import Place, place
from tests.support import environment

if TYPE_CHECKING:
    from tests.soak.family import Family

_RECORDS = Path(__file__).parents[2] / ".soak"
_BY_NAME = {family.name: family for family in FAMILIES}


@click.command()
@click.option("--minutes", type=float, default=10, show_default=True, help="How long to run cases.")
@click.option("--seed", type=int, default=1, show_default=True, help="The seed of the random choices.")
@click.option("--shards", type=int, default=2 * (os.cpu_count() or 1), show_default=True)
@click.option("--shard", type=int, help="Run only this shard, in this process.")
@click.option(
    "--family",
    "names",
    multiple=True,
    type=click.Choice(list(_BY_NAME)),
    help="Run only this family (repeatable).",
)
@click.option("--case", help="Run only this case of the family, with git-sync's log.")
def main(  # noqa: PLR0917 - click gives one argument per option
    minutes: float, seed: int, shards: int, shard: int | None, names: tuple[str, ...], case: str | None
) -> None:
    """Run cases until the time is over; exit 1 if one failed."""
    environment.clean()
    families = [_BY_NAME[name] for name in names] or list(FAMILIES)
    for family in families:
        if obstacle := family.obstacle():
            click.echo(f"Skipping {family.name}: {obstacle}", err=True)
    families = [family for family in families if not family.obstacle()]
    if case is not None:
        with place() as shared:
            click.echo(families[0].run(shared, case))
        return
    if shard is not None:
        _shard(families, seed, minutes * 60, shard, shards)
        return
    arguments = [f"--minutes={minutes}", f"--seed={seed}", f"--shards={shards}"]
    arguments += [f"--family={family.name}" for family in families]
    children = [
        subprocess.Popen([sys.executable, "-m", "tests.soak", *arguments, f"--shard={number}"])
        for number in range(shards)
    ]
    broken = [child.wait() for child in children]
    soaks = [soak for family in families if (soak := _sum(family, seed))]
    record(soaks, FAMILIES)
    for soak in soaks:
        click.echo(f"{soak.family}: {soak.cases} cases, {soak.failed} failed, {dict(soak.counts)}")
    if any(broken) or any(soak.failed for soak in soaks):
        sys.exit(1)


def _shard(families: list[Family], seed: int, seconds: float, shard: int, shards: int) -> None:
    """Run the cases of this shard; each family gets an equal part of the remaining time."""
    end = time.monotonic() + seconds
    with place() as shared:
        for done, family in enumerate(families):
            now = time.monotonic()
            until = now + (end - now) / (len(families) - done)
            passed = {line["case"] for line in _lines(family, seed) if "error" not in line}
            for case in islice(family.cases(seed), shard, None, shards):
                if time.monotonic() > until:
                    break
                if case not in passed:
                    _run(shared, family, seed, case)


def _run(shared: Place, family: Family, seed: int, case: str) -> None:
    output = io.StringIO()
    line: dict[str, object] = {"case": case, "at": datetime.now(UTC).date().isoformat()}
    try:
        with contextlib.redirect_stdout(output):
            line["counts"] = dict(family.run(shared, case))
    except Exception as problem:  # noqa: BLE001 - any exception is a finding
        line["error"] = f"{type(problem).__name__}: {problem}"
        log = _RECORDS / f"{family.name}-{seed}-{zlib.crc32(case.encode()):08x}.log"
        _RECORDS.mkdir(exist_ok=True)
        log.write_text(f"{case}\n{traceback.format_exc()}\n{output.getvalue()}")
        click.echo(f"FAILED {family.name} --case={case!r} ({log}): {str(problem)[:400]}", err=True)
    _RECORDS.mkdir(exist_ok=True)
    with _record_file(family, seed).open("a") as records:
        records.write(json.dumps(line) + "\n")  # a single write, because shards share the file


def _record_file(family: Family, seed: int) -> Path:
    return _RECORDS / f"{family.name}-{seed}.jsonl"


def _lines(family: Family, seed: int) -> list[dict[str, object]]:
    """Return the last recorded result of each case."""
    records = _record_file(family, seed)
    lines = [json.loads(line) for line in records.read_text().splitlines()] if records.exists() else []
    return list({line["case"]: line for line in lines}.values())


def _sum(family: Family, seed: int) -> Soak | None:
    lines = _lines(family, seed)
    if not lines:
        return None
    total: Counter[str] = Counter()
    for line in lines:
        counts = line.get("counts", {})
        assert isinstance(counts, dict)
        total.update(counts)
    return Soak(
        family=family.name,
        seed=seed,
        date=max(str(line["at"]) for line in lines),
        cases=len(lines),
        failed=sum("error" in line for line in lines),
        counts=dict(sorted(total.items())),
    )


if __name__ == "__main__":
    main()
