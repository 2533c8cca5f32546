"""The ConfigMap with the settings of an installation, for people to edit: each setting has a comment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from steps.runtime.settings.catalogue import catalogue
from workflows import environment as env
from workflows.pipeline import IMAGE
from workflows.schedules import VERIFY_SCHEDULE

if TYPE_CHECKING:
    from collections.abc import Mapping
# A path, not a URL: the rules must not link to the repository of another organisation.
RUNBOOK = "docs/runbook.md"

# Values that kustomize copies into the manifests.
_INSTALLATION = {
    "IMAGE": (IMAGE, "the image of all steps, with your registry"),
    "VOLUME_SIZE": (
        env.VOLUME_SIZE,
        "size of the volume of a run: all objects in the first run, then the changed ones",
    ),
    "CPU_LIMIT": (env.CPU_LIMIT, "CPU limit of the container of a step; component `large` has a higher one"),
    "MEMORY_LIMIT": (env.MEMORY_LIMIT, "memory limit of the container of a step"),
    "RUNBOOK_URL": (RUNBOOK, "where your people read docs/runbook.md, for the links of the alerts"),
    "VERIFY_SCHEDULE": (VERIFY_SCHEDULE, "cron schedule of git-sync-verify, which compares every object"),
}


def settings_file(**values: str) -> str:
    """settings.yaml of an overlay: `values` by variable, defaults for the rest."""
    meanings = {setting.name: setting.description for setting in catalogue()}
    described = {
        name: (values.get(name, default), meanings[name]) for name, default in env.configurable().items()
    }
    return (
        "# All settings of this installation; docs/settings.md describes them. An empty value means not\n"
        "# set, except for GIT_REPOSITORY. SYNC_SCHEDULE and SYNC_TIMEZONE must be set.\n"
        + _config_map(env.CONFIG_MAP, described, labels={"workflows.argoproj.io/configmap-type": "Parameter"})
        + "---\n# kustomize copies these values into the manifests; this ConfigMap is not applied.\n"
        + _config_map(
            "git-sync-installation",
            _INSTALLATION,
            annotations={"config.kubernetes.io/local-config": "true"},
        )
    )


def _config_map(name: str, data: Mapping[str, tuple[str, str]], **metadata: Mapping[str, str]) -> str:
    lines = ["apiVersion: v1", "kind: ConfigMap", "metadata:", f"  name: {name}"]
    for kind, entries in metadata.items():
        lines += [f"  {kind}:", *(f"    {key}: {json.dumps(value)}" for key, value in entries.items())]
    lines.append("data:")
    for key, (value, meaning) in data.items():
        lines += [f"  # {meaning}", f"  {key}: {json.dumps(value)}"]
    return "\n".join(lines) + "\n"
