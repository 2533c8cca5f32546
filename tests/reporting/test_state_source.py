"""The state as a file, and as an artifact in S3."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from steps.errors import FixConfiguration
from steps.reporting.state_source import StateFile
from steps.workdir.files import write_document
from tests.support.bucket import new_bucket
from tests.support.process import free_port
from tests.support.results import state
from tests.support.served import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.s3 import S3Server
    from tests.support.sync import Sync

OBJECTS = {"clusterbackup/east/shop/a.yaml": b"a", "clusterbackup/west/shop/b.yaml": b"b"}


@pytest.fixture
def artifacts(s3: S3Server) -> Bucket:
    """Argo's artifact repository."""
    return new_bucket(s3)


@pytest.fixture
def remote(sync: Sync, artifacts: Bucket) -> Sync:
    """serve, with the state in S3 and no volume."""
    server = artifacts.server
    return sync.with_settings(
        WORK_DIR="/nonexistent",
        STATE_ENDPOINT=server.endpoint,
        STATE_BUCKET=artifacts.name,
        STATE_KEY="git-sync/backup-system/sync-metadata.json",
        STATE_ACCESS_KEY=server.access_key,
        STATE_SECRET_KEY=server.secret_key,
        STATE_USE_SSL="false",
    )


def test_health_and_serve_read_the_state_from_s3(
    sync: Sync, remote: Sync, bucket: Bucket, artifacts: Bucket
) -> None:
    bucket.put_many(OBJECTS)
    assert sync().exit == 0
    result = remote("health")
    assert result.exit == 1
    assert "sync-metadata.json does not exist" in result.errors
    artifacts.put(remote.settings["STATE_KEY"], (sync.work_dir / "sync-metadata.json").read_bytes())
    assert remote("health").exit == 0
    with serving(remote) as served:
        assert [served.next_line()["operation"] for _ in range(2)] == ["git_push", "sync_complete"]
        assert served.get("/health").status == 200
        assert 'git_sync_cluster_files{cluster="east"} 1.0' in served.get("/metrics").text


def test_serve_answers_503_while_s3_is_unreachable(remote: Sync) -> None:
    with serving(remote, STATE_ENDPOINT=f"127.0.0.1:{free_port()}") as served:
        metrics = served.get("/metrics")
        assert metrics.status == 503
        assert "connection refused" in metrics.text
        assert "git_sync_" not in metrics.text
        assert served.get("/health").json["healthy"] is False


def test_serve_reports_every_problem_of_the_s3_settings_at_once(remote: Sync) -> None:
    result = remote("serve", STATE_BUCKET="", STATE_KEY="", STATE_SECRET_KEY="", STATE_CA_FILE="/absent.pem")
    assert result.exit == 40
    for name in ("STATE_BUCKET", "STATE_KEY", "STATE_SECRET_KEY", "STATE_CA_FILE"):
        assert re.search(rf"{name}(: | is required)", result.errors)


def test_state_file_returns_the_state_of_the_newest_run(tmp_path: Path) -> None:
    source = StateFile(tmp_path / "sync-metadata.json")
    assert source.read() is None
    for failures in (1, 2):
        write_document(tmp_path / "sync-metadata.json", state(consecutive_failures=failures))
        assert source.read() == state(consecutive_failures=failures)


def test_state_file_raises_if_the_state_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "sync-metadata.json").write_text("{")
    with pytest.raises(FixConfiguration, match=r"sync-metadata\.json is damaged"):
        StateFile(tmp_path / "sync-metadata.json").read()
