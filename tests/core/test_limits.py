from __future__ import annotations

import re
from pathlib import Path

from steps.core import limits


def test_every_limit_has_a_unit_and_a_comment_with_its_reason() -> None:
    lines = Path(limits.__file__).read_text().splitlines()
    names = [
        (number, line.split(" = ")[0])
        for number, line in enumerate(lines)
        if re.match(r"[A-Z0-9_]+ = ", line)
    ]
    assert len(names) == sum(name.isupper() for name in vars(limits))
    for number, name in names:
        assert lines[number - 1].startswith("# "), name
        assert name.rpartition("_")[2] in {
            "SECONDS",
            "BYTES",
            "CONNECTIONS",
            "THREADS",
            "LEVELS",
            "NAMES",
            "PAGES",
            "OBJECTS",
            "CHARACTERS",
            "PUSHES",
            "CHANGES",
            "FILES",
            "FACTS",
            "VALUES",
            "COMMENTS",
        }, name
