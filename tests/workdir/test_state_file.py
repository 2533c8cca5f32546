"""The reader of the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.workdir.state_file import read_state
from tests.support.steps import KEY, prepare, publish

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

pytestmark = pytest.mark.usefixtures("synced")


def test_state_of_another_sync_does_not_count(sync: Sync) -> None:
    path = sync.work_dir / "sync-metadata.json"
    state = read_state(path)
    assert state is not None
    assert read_state(path, identity=state.identity) == state
    assert read_state(path, identity="another") is None


def test_publish_takes_a_directory_in_the_place_of_the_state_for_no_state(sync: Sync, bucket: Bucket) -> None:
    bucket.put(KEY, b"2")
    prepare(sync, "r")
    path = sync.work_dir / "sync-metadata.json"
    path.unlink()
    path.mkdir()
    assert read_state(path) is None
    assert publish(sync, "r").exit == 0
