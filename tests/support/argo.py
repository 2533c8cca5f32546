"""Parts of Argo Workflows that work without a cluster: its CRDs and its linter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

# The supported versions; the end-to-end tests use the first.
VERSIONS = ("v4.0.7", "v3.7.18")


@cache
def crds(version: str) -> Path | None:
    """Return a version's folder of full CRDs: $ARGO_CRDS, or that of its Go module; None without either."""
    if given := os.environ.get("ARGO_CRDS"):
        return Path(given)
    module = f"github.com/argoproj/argo-workflows/{version.partition('.')[0]}@{version}"
    if shutil.which("go") is None:
        return None
    done = subprocess.run(
        ["go", "mod", "download", "-json", module],
        cwd="/",  # outside of other modules
        env=os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        return None
    return Path(json.loads(done.stdout)["Dir"]) / "manifests" / "base" / "crds" / "full"


@cache
def strict_schema(folder: Path, kind: str) -> dict[str, Any]:
    """Return the JSON schema of a kind. It rejects unknown fields, which a server would drop."""
    crd = yaml.load((folder / f"argoproj.io_{kind.lower()}s.yaml").read_bytes(), yaml.CSafeLoader)
    (version,) = crd["spec"]["versions"]
    schema = _closed(version["schema"]["openAPIV3Schema"])
    assert isinstance(schema, dict)
    # The API server itself checks the metadata.
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    free = closed.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in closed
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object" and not free:
        closed["additionalProperties"] = False
    return closed


@cache
def linter(version: str) -> str | None:
    """Return the argo binary of a version that tests/workflows/build-argo or the end-to-end tests built.

    The end-to-end tests have the first version. Without theirs it may be the one on PATH.
    """
    cache = Path(os.environ.get("SYNC_TEST_CACHE", "~/.cache/git-sync-tests")).expanduser()
    built = cache / f"argo-{version}" / "argo"
    if built.is_file():
        return str(built)
    return _found("argo", "argo-*") if version == VERSIONS[0] else None


@cache
def kubectl() -> str | None:
    """Return the kubectl of the end-to-end tests, or the one on PATH. It includes kustomize."""
    return _found("kubectl", "k8s-*")


def _found(program: str, folders: str) -> str | None:
    built = Path("~/.cache/git-sync-e2e").expanduser().glob(f"{folders}/{program}")
    return next(map(str, built), None) or shutil.which(program)
