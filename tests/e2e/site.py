"""The environment of the end-to-end tests: a cluster with Argo Workflows, an S3 store and a Git server.

Environment variables describe it (see tests/e2e/README.md); `make e2e` sets them if it starts the cluster
itself.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.support.s3 import S3Server

REQUIRED = (
    "E2E_IMAGE",
    "E2E_S3_ENDPOINT",
    "E2E_S3_ACCESS_KEY",
    "E2E_S3_SECRET_KEY",
    "E2E_GIT_URL",
    "E2E_GIT_TOKEN",
    "E2E_GIT_CREATE",
    "E2E_ARGO_SERVER",
)


@dataclass(frozen=True)
class Site:
    """One cluster with its servers. Each server has an address for pods and one for this machine."""

    image: str
    s3: S3Server
    s3_from_pods: str
    git: str
    git_from_pods: str
    git_token: str
    git_create: str
    argo_server: str

    @classmethod
    def from_environment(cls) -> Site:
        """Read the environment; raises KeyError with the name of a missing variable."""
        found = {name: os.environ[name] for name in REQUIRED}
        return cls(
            image=found["E2E_IMAGE"],
            s3=S3Server(
                os.environ.get("E2E_S3_LOCAL", found["E2E_S3_ENDPOINT"]),
                found["E2E_S3_ACCESS_KEY"],
                found["E2E_S3_SECRET_KEY"],
            ),
            s3_from_pods=found["E2E_S3_ENDPOINT"],
            git=os.environ.get("E2E_GIT_LOCAL", found["E2E_GIT_URL"]),
            git_from_pods=found["E2E_GIT_URL"],
            git_token=found["E2E_GIT_TOKEN"],
            git_create=found["E2E_GIT_CREATE"],
            argo_server=found["E2E_ARGO_SERVER"],
        )

    def create_repository(self, name: str) -> None:
        """Create an empty repository at <git URL>/<name>.git."""
        _run(*shlex.split(self.git_create.replace("NAME", name)))

    def argo_api(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Send a request of Argo's user interface; return the answer."""
        request = urllib.request.Request(
            f"{self.argo_server}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read()
        return content


def kubectl(*arguments: str, stdin: str = "") -> str:
    """Run kubectl; return its standard output."""
    return _run("kubectl", *arguments, stdin=stdin)


def argo(*arguments: str) -> str:
    """Run argo; return its standard output."""
    return _run("argo", *arguments)


def _run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise AssertionError(f"{shlex.join(command)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
