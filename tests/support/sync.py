"""git-sync under test: calls its commands and gives access to the log and the state."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.cli import invoke

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.bucket import Bucket

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class CommandResult:
    """The exit code of a command and its log, one JSON object per line."""

    exit: int
    text: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The parsed log; a line that is not a JSON object fails the test."""
        parsed = [json.loads(line) for line in self.text.split("\n") if line]
        assert all(isinstance(line, dict) for line in parsed)
        return parsed

    def of(self, operation: str, level: str | None = None) -> list[dict[str, Any]]:
        """Return the lines of one operation, or those with this level."""
        return [
            line for line in self.lines if line["operation"] == operation and level in {None, line["level"]}
        ]

    @property
    def complete(self) -> dict[str, Any]:
        """The data of the one sync_complete line."""
        (line,) = self.of("sync_complete")
        data = line["data"]
        assert isinstance(data, dict)
        return data

    @property
    def errors(self) -> str:
        """Messages and errors of the error lines, one per line."""
        return "\n".join(f"{e['message']}: {e['error']}" for e in self.lines if e["level"] == "error")


@dataclass(frozen=True)
class Sync:
    """A configured git-sync."""

    bucket: Bucket
    repository: Path
    work_dir: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def between(cls, bucket: Bucket, repository: Path, work_dir: Path) -> Sync:
        """Sync ``bucket`` into ``repository`` over file://, with short retry delays."""
        server = bucket.server
        settings = {
            "MINIO_ENDPOINT": server.endpoint,
            "MINIO_ACCESS_KEY": server.access_key,
            "MINIO_SECRET_KEY": server.secret_key,
            "MINIO_BUCKET": bucket.name,
            "MINIO_USE_SSL": str(server.secure).lower(),
            "GIT_REPOSITORY": f"file://{repository}",
            "WORK_DIR": str(work_dir),
            "RETRY_ATTEMPTS": "2",
            "RETRY_DELAY": "10ms",
            "LOG_FORMAT": "json",
            "METRICS_PORT": "0",
        }
        return cls(bucket, repository, work_dir, settings)

    def with_settings(self, **settings: str) -> Sync:
        """Return a copy with other settings."""
        return replace(self, settings={**self.settings, **settings})

    def elsewhere(self, work_dir: Path) -> Sync:
        """Return a copy with another, empty volume."""
        return replace(self, work_dir=work_dir, settings={**self.settings, "WORK_DIR": str(work_dir)})

    def __call__(self, *arguments: str, **settings: str) -> CommandResult:
        """Run a command in this process (default: run)."""
        out = io.StringIO()
        with redirect_stdout(out):
            code = invoke(arguments or ("run",), {**self.settings, **settings})
        sys.stdout.write(out.getvalue())
        return CommandResult(code, out.getvalue())

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start a command in a separate process."""
        return subprocess.Popen(
            [sys.executable, "-m", "steps", *arguments],
            cwd=_ROOT,
            env={"PATH": os.environ["PATH"], **self.settings, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def state(self) -> dict[str, Any]:
        """The content of sync-metadata.json."""
        state = json.loads((self.work_dir / "sync-metadata.json").read_text())
        assert isinstance(state, dict)
        return state
