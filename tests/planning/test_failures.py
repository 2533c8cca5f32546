"""Failures of one cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from steps.core.operations import Operation
from steps.errors import FixConfiguration, TryAgain
from steps.planning.failures import record_failure
from steps.workdir.volume import Volume
from tests.support.log_lines import Output, entries, set_up

if TYPE_CHECKING:
    from pathlib import Path


def test_failure_is_written_and_logged_without_secrets(tmp_path: Path, capsys: Output) -> None:
    set_up(secrets=lambda: ["hunter2-hunter2"])
    files = Volume(tmp_path).files("r")
    files.failure("east").parent.mkdir(parents=True)
    for problem in (
        TryAgain(Operation.DOWNLOAD, "Failed to list", "hunter2-hunter2"),
        FixConfiguration(Operation.DISCOVER, "Failed to read", "damaged"),
    ):
        record_failure(files, "east", problem)
        written = json.loads(files.failure("east").read_text())
        assert (written["cluster"], written["operation"]) == ("east", problem.operation)
        assert written["transient"] is problem.transient
        assert "hunter2" not in written["error"]
    first, second = entries(capsys)
    assert "hunter2" not in json.dumps(first)
    assert (second["operation"], second["error"]) == ("discover", "damaged")
    assert second["data"]["cluster"] == "east"
