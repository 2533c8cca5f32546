"""The first sync of a test: git-sync makes it once in each process, and every other test receives a copy."""

from __future__ import annotations

import atexit
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from steps.runtime.settings.reading import read
from tests.support.bucket import Bucket, new_bucket
from tests.support.rowfiles import seal

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from tests.support.sync import Sync

_FIRST: dict[Hashable, _Copy] = {}

# The settings in which the syncs of two tests differ.
_NAMES = ("MINIO_ENDPOINT", "MINIO_BUCKET", "GIT_REPOSITORY", "WORK_DIR")


def first_sync(sync: Sync, objects: Mapping[str, bytes]) -> None:
    """Put `objects` in the empty bucket, and sync them to the empty repository over file://.

    Only the first call with the same objects and settings runs git-sync. Other calls copy its bucket,
    repository and volume, and replace the names. The copied objects, commit and run keep their times.
    """
    assert sync.settings["GIT_REPOSITORY"] == f"file://{sync.repository}"
    assert sync.bucket.server.copies_buckets
    key = _key(sync, objects)
    if (first := _FIRST.get(key)) is not None:
        first.copy_to(sync)
        return
    sync.bucket.put_many(objects)
    assert sync().exit == 0
    _FIRST[key] = _Copy.of(sync)


def _key(sync: Sync, objects: Mapping[str, bytes]) -> Hashable:
    settings = {name: value for name, value in sync.settings.items() if name not in _NAMES}
    return sync.bucket.server.endpoint, tuple(sorted(settings.items())), tuple(objects.items())


@dataclass(frozen=True)
class _Copy:
    """A finished sync: its bucket, and a folder with its repository and its volume. `names` are its own."""

    bucket: Bucket
    folder: Path
    names: tuple[bytes, ...]

    @classmethod
    def of(cls, sync: Sync) -> _Copy:
        folder = Path(mkdtemp(prefix="git-sync-tests-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        bucket = new_bucket(sync.bucket.server)
        bucket.copy_from(sync.bucket)
        shutil.copytree(sync.repository, folder / "repository")
        shutil.copytree(sync.work_dir, folder / "volume")
        return cls(bucket, folder, _names(sync))

    def copy_to(self, sync: Sync) -> None:
        sync.bucket.copy_from(self.bucket)
        shutil.copytree(self.folder / "repository", sync.repository, dirs_exist_ok=True)
        shutil.copytree(self.folder / "volume", sync.work_dir, dirs_exist_ok=True)
        names = list(zip(self.names, _names(sync), strict=True))
        for folder in (sync.work_dir / ".git-sync", sync.work_dir / ".git"):
            for path in folder.rglob("*"):
                if path.is_file() and "objects" not in path.parts:
                    _rename(path, names)
        _rename(sync.work_dir / "sync-metadata.json", names)


def _names(sync: Sync) -> tuple[bytes, ...]:
    names = [sync.settings[name] for name in _NAMES]
    return tuple(name.encode() for name in (read(sync.settings).identity, *names))


def _rename(path: Path, names: list[tuple[bytes, bytes]]) -> None:
    content = before = path.read_bytes()
    for old, new in names:
        content = content.replace(old, new)
    if content != before:
        path.write_bytes(seal(content) or content)
