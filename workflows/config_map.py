"""The ConfigMap with an installation's settings, for people to edit: each setting with what it means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from steps.runtime.settings.catalogue import catalogue
from workflows import environment as env
from workflows.pipeline import IMAGE
from workflows.schedules import VERIFY_SCHEDULE

if TYPE_CHECKING:
    from collections.abc import Mapping

# What stands in the manifests themselves; kustomize copies it there.
_INSTALLATION = {
    "IMAGE": (IMAGE, "the image of all steps, as your cluster pulls it"),
    "VOLUME_SIZE": (env.VOLUME_SIZE, "a run's volume: what changed since the last run, at first all of it"),
    "CPU_LIMIT": (env.CPU_LIMIT, "what a step's container may take; component `large` says more"),
    "MEMORY_LIMIT": (env.MEMORY_LIMIT, "the same for memory"),
    "VERIFY_SCHEDULE": (VERIFY_SCHEDULE, "when git-sync-verify compares every object"),
}


def settings_file(**values: str) -> str:
    """settings.yaml of an overlay: `values` by variable, defaults for the rest."""
    meanings = {setting.name: setting.description for setting in catalogue()}
    described = {
        name: (values.get(name, default), meanings[name]) for name, default in env.configurable().items()
    }
    return (
        "# All settings of this installation; README.md describes them. An empty value counts as not set,\n"
        "# but for GIT_REPOSITORY. SYNC_SCHEDULE and SYNC_TIMEZONE must be set.\n"
        + _config_map(env.CONFIG_MAP, described, labels={"workflows.argoproj.io/configmap-type": "Parameter"})
        + "---\n# What kustomize writes into the manifests. Itself it is not sent to the cluster.\n"
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
