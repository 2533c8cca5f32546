"""The program that reads changed files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import steps


def test_process_imports_no_slow_and_no_powerful_library() -> None:
    """Its start is most of a small inspection, and it needs neither credentials nor a network."""
    code = "import sys; import steps.publishing.inspection_process; print(*sys.modules)"
    root = Path(steps.__file__).parents[1]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    assert loaded.isdisjoint(
        {"pydantic", "dataclasses", "git", "minio", "obstore", "urllib3", "ssl", "logging", "yaml", "pathlib"}
    )
    assert not [name for name in loaded if name.startswith(("steps.clients", "steps.runtime"))]
