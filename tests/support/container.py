"""Unpacks a container image and runs its programs as Kubernetes does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# `setpriv` comes from the image: chroot needs root, so the privileges are dropped inside.
_ENTER = """
root=$1 user=$2 group=$3 tmp=$4 workspace=$5; shift 5
mount --bind "$root" "$root"
mount --bind "$tmp" "$root/tmp"
mount --bind "$workspace" "$root/workspace"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --groups="$group" \\
    --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
"""


@dataclass(frozen=True)
class Image:
    """An unpacked image. `layer_bytes` has the uncompressed size of each layer, the base image first."""

    root: Path
    config: Mapping[str, Any]
    layer_bytes: list[int]

    @classmethod
    def unpack(cls, archive: Path, directory: Path) -> Image:
        """Unpack a docker-archive into an empty directory; needs root to set the owners of files."""
        layers, root = directory / "layers", directory / "root"
        for path in (layers, root):
            path.mkdir()
        subprocess.run(["tar", "-xf", archive, "-C", layers], check=True)
        (manifest,) = json.loads((layers / "manifest.json").read_text())
        config = json.loads((layers / manifest["Config"]).read_text())["config"]
        paths = [layers / name for name in manifest["Layers"]]
        for layer in paths:
            subprocess.run(["tar", "-xpf", layer, "--numeric-owner", "-C", root], check=True)
            _apply_whiteouts(layer, root)
        image = cls(root, config, [path.stat().st_size for path in paths])
        shutil.rmtree(layers)
        return image

    def run(
        self,
        *arguments: str | Path,
        user: int,
        group: int,
        tmp: Path,
        workspace: Path,
        settings: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the entry point as ``user`` in this supplementary group; only two directories are writable."""
        environment = [*self.config["Env"], *(f"{name}={value}" for name, value in (settings or {}).items())]
        program = ["env", "-i", *environment, *self.config["Entrypoint"], *arguments]
        entered = [self.root, str(user), str(group), tmp, workspace, *program]
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _ENTER, "sh", *entered],
            capture_output=True,
            text=True,
            check=False,
        )


def _apply_whiteouts(layer: Path, root: Path) -> None:
    """Delete the files of lower layers that this layer marks as deleted: `.wh.NAME` deletes NAME."""
    with tarfile.open(layer) as members:
        names = [name for name in members.getnames() if os.path.basename(name).startswith(".wh.")]
    for name in names:
        marker = root / name
        marker.unlink()
        deleted = marker.with_name(marker.name.removeprefix(".wh."))
        if deleted.is_dir() and not deleted.is_symlink():
            shutil.rmtree(deleted)
        else:
            deleted.unlink(missing_ok=True)
