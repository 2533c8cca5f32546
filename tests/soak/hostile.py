"""Hostile keys in the bucket, and hostile files on the volume."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hostile import planted_files
from tests.hostile.verdicts import hostile_keys
from tests.soak.family import Counts, Family, endless, shuffled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.world import Place

# A number that is fast enough for `make test`; `python -m tests.hostile` runs 10,000 at once.
_KEYS = 300
_WITHOUT_MOTO = 0.5


def _run_keys(place: Place, case: str) -> Counts:
    with tempfile.TemporaryDirectory(prefix="keys-", dir=place.root) as directory:
        stores = {"moto": place.s3} if random.Random(case).random() > _WITHOUT_MOTO else {}
        found = hostile_keys(case, _KEYS, Path(directory), stores)
    verdicts = list(found.values())
    return {
        "runs": 2 * len(verdicts),
        "keys": sum(counts.keys for counts in verdicts),
        "good keys in Git": sum(counts.good for counts in verdicts),
        "bad keys reported": sum(counts.bad for counts in verdicts),
    }


def _plants(seed: int) -> Iterator[str]:
    return shuffled(planted_files.pairs(), seed)


def _run_planted(place: Place, case: str) -> Counts:
    return {"runs": 1, f"exit {planted_files.pair(case, place.root, place.s3)}": 1}


KEYS = Family("hostile-keys", "Keys are hostile", endless, _run_keys, quick=1)
PLANTED = Family("planted", "Hostile files are planted on the volume", _plants, _run_planted, quick=4)
