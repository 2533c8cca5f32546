"""The environment that tests run git-sync in."""

from __future__ import annotations

import os


def clean() -> None:
    """Do what the command line does first (steps.cli.main): nothing of the developer's own may reach git."""
    for name in list(os.environ):
        if name.startswith(("GIT_", "AWS_", "MINIO_")):
            del os.environ[name]
