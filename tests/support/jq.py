"""jq, as users call it on logs."""

from __future__ import annotations

import importlib
import json
import subprocess
from typing import Any


def jq(filter_: str, log: str, *, raw: bool = False) -> list[Any]:
    """Return the output of `jq` for a log (with `raw`: `jq -R`, line by line).

    Uses the PyPI package if it is installed, otherwise the program.
    """
    try:
        program: Any = importlib.import_module("jq")
    except ImportError:
        command = ["jq", "-c", *(["-R"] if raw else []), filter_]
        done = subprocess.run(command, input=log, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]
    compiled = program.compile(filter_)
    found = (compiled.input_values(log.splitlines()) if raw else compiled.input_text(log)).all()
    assert isinstance(found, list)
    return found
