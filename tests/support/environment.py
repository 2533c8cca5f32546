"""The environment that tests run git-sync in."""

from __future__ import annotations

import os


def clean() -> None:
    """Remove the developer's Git variables from the environment, as steps.cli.main does at the start."""
    for name in list(os.environ):
        if name.startswith(("GIT_", "AWS_", "MINIO_")):
            del os.environ[name]
