"""The deletion guard, if VOLATILE_FIELDS, RULES_FILE or SECRETS omit objects."""

from __future__ import annotations

import gzip
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.repositories import contents, sha

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

SECRET = b"apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: aHVudGVyMg==\n"
EVENT = b"apiVersion: v1\nkind: Event\n"


def deployments(count: int = 20) -> dict[str, bytes]:
    return {
        f"clusterbackup/east/shop/Deployment/a{n}.yaml": (
            f"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a{n}\n"
        ).encode()
        for n in range(count)
    }


@pytest.fixture
def omit_all(tmp_path: Path) -> dict[str, str]:
    """Settings that omit every object."""
    rules = tmp_path / "rules.yaml"
    rules.write_text('- kinds: ["*"]\n  omit: true\n')
    return {"VOLATILE_FIELDS": "strip", "RULES_FILE": str(rules), "SECRETS": "keep"}


@pytest.mark.parametrize("count", [3, 20])
def test_rules_that_empty_a_cluster_are_refused_until_approved(
    count: int, sync: Sync, bucket: Bucket, repository: Path, omit_all: dict[str, str]
) -> None:
    bucket.put_many(deployments(count))
    assert sync(SECRETS="keep").exit == 0
    for _ in range(2):
        refused = sync(**omit_all)
        assert refused.exit == 20
        assert contents(repository) == deployments(count)
        (cluster,) = sync.state["last_run"]["clusters"]
        assert (cluster["decision"], cluster["deletions_refused"]) == ("emptied_by_policy", count)
    (cluster,) = sync.state["last_run"]["clusters"]
    assert sync("run", "--allow-delete", cluster["allow_delete"], **omit_all).exit == 0
    assert contents(repository) == {}
    before = sha(repository)
    assert sync(**omit_all).exit == 0
    assert sha(repository) == before


@pytest.mark.parametrize("is_lost", [False, True])
def test_objects_that_become_events_are_deletions(
    is_lost: bool, sync: Sync, bucket: Bucket, repository: Path
) -> None:
    strip = sync.with_settings(SECRETS="keep", VOLATILE_FIELDS="strip")
    bucket.put_many(deployments())
    assert strip().exit == 0
    if is_lost:
        shutil.rmtree(strip.work_dir / ".git-sync")
    bucket.put_many(dict.fromkeys(deployments(), EVENT))
    for _ in range(2):  # the second run must not forget who wrote the files
        assert strip().exit == 20
        assert contents(repository) == deployments()
    (cluster,) = strip.state["last_run"]["clusters"]
    assert cluster["decision"] == ("emptied_by_policy" if is_lost else "mass_deletion")
    assert strip("run", "--allow-delete", cluster["allow_delete"]).exit == 0
    assert contents(repository) == {}


def test_objects_that_become_events_are_approved_together_with_missing_ones(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    strip = sync.with_settings(SECRETS="keep", VOLATILE_FIELDS="strip")
    bucket.put_many(deployments())
    assert strip().exit == 0
    for number, key in enumerate(deployments()):
        if number % 2:
            bucket.put(key, EVENT)
        elif number < 16:
            bucket.delete(key)
    assert strip().exit == 20
    (cluster,) = strip.state["last_run"]["clusters"]
    assert cluster["deletions_refused"] == 18
    assert strip("run", "--allow-delete", cluster["allow_delete"]).exit == 0
    assert len(contents(repository)) == 2


@pytest.mark.parametrize("broken", [gzip.compress, lambda content: content + b"kind: Secret\na: [\n"])
def test_file_that_the_same_policy_wrote_stays_if_its_object_becomes_unreadable(
    broken: Callable[[bytes], bytes], sync: Sync, bucket: Bucket, repository: Path
) -> None:
    exclude = sync.with_settings(SECRETS="exclude")
    bucket.put_many(deployments())
    assert exclude().exit == 0
    before = sha(repository)
    bucket.put_many({key: broken(content) for key, content in deployments().items()})
    for mode in ("incremental", "incremental", "full"):
        assert exclude(SYNC_MODE=mode).exit == 10
        assert sha(repository) == before
        (cluster,) = exclude.state["last_run"]["clusters"]
        assert (cluster["quarantined"], cluster["accepted"]) == ({"secret_unreadable": 20}, 0)
        assert cluster["files"] == 20
    bucket.put_many(deployments())
    assert exclude().exit == 0
    assert sha(repository) == before


def test_unreadable_objects_after_a_change_of_the_policy_are_removed_within_the_guard(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(deployments())
    assert sync(SECRETS="keep").exit == 0
    keys = list(deployments())
    bucket.put_many({key: gzip.compress(SECRET) for key in keys[:5]})
    assert sync(SECRETS="exclude").exit == 10
    assert contents(repository).keys() == set(keys[5:])
    bucket.put_many({key: gzip.compress(SECRET) for key in keys})
    shutil.rmtree(sync.work_dir / ".git-sync")
    assert sync(SECRETS="exclude").exit == 20
    assert contents(repository).keys() == set(keys[5:])


def test_secrets_of_a_cluster_with_nothing_else_are_removed_without_the_guard(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many({f"clusterbackup/east/shop/x/s{n}.yaml": SECRET for n in range(9)})
    bucket.put_many({f"clusterbackup/east/shop/Secret/s{n}.yaml": gzip.compress(SECRET) for n in range(9)})
    assert sync(SECRETS="keep").exit == 0
    assert len(contents(repository)) == 18
    assert sync(SECRETS="exclude").exit == 10
    assert contents(repository) == {}


def test_secret_that_is_too_large_does_not_stay_in_clear_text(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(deployments(2) | {"clusterbackup/east/shop/Secret/db.yaml": SECRET + b"#" * 1000})
    assert sync(SECRETS="keep").exit == 0
    assert sync(SECRETS="exclude", MAX_OBJECT_BYTES="500").exit == 10
    assert contents(repository) == deployments(2)
