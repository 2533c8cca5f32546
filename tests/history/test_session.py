"""What commands of the history begin with."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from steps.errors import FixConfiguration
from steps.history.session import Place, session
from tests.support.backups import Backups, instant

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    found = Backups.at(tmp_path / "backups.git")
    found.sync("2025-07-10T22:06:58Z", {"east/a.yaml": b"a: 1\n", "west/a.yaml": b"a: 1\n"}, failed=["north"])
    return found


def test_session_reads_a_clone_without_settings(backups: Backups) -> None:
    with session({}, Place(repo=backups.directory)) as opened:
        view = opened.at(opened.moment("--at", None))
        assert list(view.clusters) == ["east", "west"]
        assert view.clusters["east"].listed_at == instant("2025-07-10T22:06:58Z")
        assert len(view.warnings) == 2
        assert list(opened.at(opened.moment("--at", "2025-07-10"), ["west"]).clusters) == ["west"]


def test_session_reads_the_configured_repository(backups: Backups) -> None:
    environ = {"GIT_REPOSITORY": str(backups.directory), "SYNC_TIMEZONE": "Asia/Tokyo"}
    with session(environ, Place()) as opened:
        view = opened.at(opened.moment("--at", "2025-07-11"))
        assert view.commit.oid == backups.commits[0]
        with pytest.raises(FixConfiguration, match="the branch has no such commit"):
            opened.at(opened.moment("--at", "2025-07-10"))


def test_unknown_cluster_and_empty_directory_are_errors(backups: Backups) -> None:
    with (
        session({}, Place(repo=backups.directory)) as opened,
        pytest.raises(FixConfiguration, match="did you mean east"),
    ):
        opened.at(opened.moment("--at", None), ["eats"])
    with (
        session({}, Place(repo=backups.directory, path="other")) as opened,
        pytest.raises(FixConfiguration, match="has no directory in other/; set GIT_PATH or --path"),
    ):
        opened.at(opened.moment("--at", None))


def test_download_only_mode_has_no_history() -> None:
    with (
        pytest.raises(FixConfiguration, match="GIT_REPOSITORY is empty, and a download-only run keeps no"),
        session({"GIT_REPOSITORY": ""}, Place()),
    ):
        pass


def test_session_collects_garbage(backups: Backups) -> None:
    gc.disable()
    with session({}, Place(repo=backups.directory)):
        assert gc.isenabled()
