"""SECRETS, from the bucket to Git: no value of any shape is anywhere, and the rest is there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.repositories import commit_files, contents, git_environment, log, message, sha
from tests.support.secret_shapes import CANARY, PROBES, SHAPES, Shape

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import CommandResult, Sync

SECRETS_KEY = "kEy-cAnArY-" + "0123456789" * 3
ROOT = "clusterbackup/"
OTHER = "clusterbackup/east/shop/Deployment/{}.yaml"
SECRET_KEY = "clusterbackup/east/shop/Secret/db.yaml"
PLAIN = SHAPES["plain"].content
LARGE = b"# " + b"x" * (2 * 1024 * 1024) + b"\nkind: ConfigMap\n"


def key_of(number: int, shape: Shape) -> str:
    """A key for the shape; only some paths name Secrets."""
    return f"clusterbackup/c{number}/{shape.path.partition('/')[2]}"


def others() -> dict[str, bytes]:
    return {OTHER.format(n): f"kind: Deployment\nmetadata: {{name: a{n}}}\n".encode() for n in range(4)}


@pytest.fixture
def shapes(bucket: Bucket) -> dict[str, Shape]:
    """The shapes by key; the bucket has them, and four Deployments."""
    found = {key_of(number, shape): shape for number, shape in enumerate(SHAPES.values())}
    bucket.put_many({key: shape.content for key, shape in found.items()} | others())
    return found


def with_mode(sync: Sync, mode: str) -> Sync:
    return sync.with_settings(
        SECRETS=mode, SECRETS_KEY=SECRETS_KEY if mode == "redact" else "", LOG_LEVEL="debug"
    )


def everything(sync: Sync, *results: CommandResult) -> dict[str, bytes]:
    """Everything that the runs wrote: the volume, all objects of Git, the logs."""
    seen = {f"log {n}": result.text.encode() for n, result in enumerate(results)}
    for folder, _, files in os.walk(sync.work_dir):
        for file in files:
            path = Path(folder, file)
            seen[str(path)] = path.read_bytes()
    for repository in (sync.repository, sync.work_dir / ".git"):
        if repository.exists():
            seen[f"objects of {repository}"] = subprocess.run(
                ["git", "cat-file", "--batch", "--batch-all-objects", "--buffer"],
                cwd=repository,
                env=git_environment(),
                capture_output=True,
                check=True,
            ).stdout
    return seen


def leaks(seen: dict[str, bytes], *probes: bytes) -> list[str]:
    return [where for where, content in seen.items() if any(probe in content for probe in (*PROBES, *probes))]


@pytest.mark.parametrize("mode", ["redact", "exclude"])
@pytest.mark.parametrize("download_only", [False, True])
def test_no_value_of_a_secret_is_in_git_on_the_volume_or_in_the_log(
    mode: str, download_only: bool, sync: Sync, shapes: dict[str, Shape], repository: Path
) -> None:
    configured = with_mode(sync, mode)
    if download_only:
        configured = configured.with_settings(GIT_REPOSITORY="")
    first, second = configured(), configured()
    assert (first.exit, second.exit) == (10, 10)
    assert leaks(everything(configured, first, second), SECRETS_KEY.encode()) == []
    if download_only:
        root = configured.work_dir
        found = {
            str(path.relative_to(root)) for path in (root / "clusterbackup").rglob("*") if path.is_file()
        }
    else:
        found = set(contents(repository))
    assert found >= others().keys()
    readable = {key for key, shape in shapes.items() if shape.readable}
    assert found <= others().keys() | readable | (shapes.keys() if mode == "exclude" else set())


def test_large_object_is_written_only_if_it_cannot_contain_a_secret(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    clean, secret = "clusterbackup/east/clean.yaml", "clusterbackup/east/large.yaml"
    bucket.put_many({clean: LARGE, secret: LARGE + b"---\n" + PLAIN} | others())
    result = with_mode(sync, "redact")()
    assert result.exit == 10
    assert contents(repository) == others() | {clean: LARGE}
    assert leaks(everything(sync, result)) == []


def test_unreadable_secret_is_quarantined_and_removed_from_git(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many({SECRET_KEY: PLAIN} | others())
    assert sync(SECRETS="keep").exit == 0
    assert contents(repository)[SECRET_KEY] == PLAIN
    bucket.put(SECRET_KEY, PLAIN + b"a: [\n")
    result = with_mode(sync, "redact")()
    assert result.exit == 10
    assert contents(repository) == others()
    assert result.complete["outcome"] == "partial"
    assert "1 file may contain a Secret and cannot be read" in result.errors
    (warning,) = [line for line in result.of("detect_changes", "warning") if "quarantined" in line["message"]]
    assert warning["data"]["reasons"] == {"secret_unreadable": 1}
    bucket.put(SECRET_KEY, PLAIN)
    assert with_mode(sync, "redact")().exit == 0
    assert b"redacted:" in contents(repository)[SECRET_KEY]


def test_exclude_removes_secrets_from_git_without_the_guard(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    secrets = {SECRET_KEY.replace("db", f"db{n}"): PLAIN for n in range(9)}
    bucket.put_many(secrets | others())
    assert sync(SECRETS="keep").exit == 0
    result = with_mode(sync, "exclude")()
    assert result.exit == 0
    assert contents(repository) == others()
    assert "9 deleted" in message(repository)
    (removed,) = [line for line in result.of("detect_changes", "info") if "removed by" in line["message"]]
    assert removed["message"] == (
        "east: 9 files removed by SECRETS or VOLATILE_FIELDS: the bucket still has the objects"
    )
    before = sha(repository)
    assert with_mode(sync, "exclude")().exit == 0
    assert sha(repository) == before


def test_redacted_values_change_with_value_and_key_only(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many({SECRET_KEY: PLAIN} | others())
    redacting = with_mode(sync, "redact")
    assert redacting().exit == 0
    first = contents(repository)[SECRET_KEY]
    assert redacting(SYNC_MODE="full").exit == 0
    assert len(log(repository)) == 1
    bucket.put(SECRET_KEY, PLAIN.replace(b"metadata", b"immutable: true\nmetadata"))
    assert redacting().exit == 0
    assert contents(repository)[SECRET_KEY] == first.replace(b"metadata", b"immutable: true\nmetadata")
    other = redacting(SECRETS_KEY="x" * 32)
    assert other.exit == 0
    changed = contents(repository)[SECRET_KEY]
    assert changed != first
    assert redacting(SECRETS_KEY="x" * 32).exit == 0
    assert len(log(repository)) == 3


def test_key_is_read_from_a_file_and_shown_nowhere(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    bucket.put_many({SECRET_KEY: PLAIN} | others())
    file = tmp_path / "key"
    file.write_text(f"{SECRETS_KEY}\n")
    by_file = sync.with_settings(SECRETS="redact", SECRETS_KEY_FILE=str(file), LOG_LEVEL="debug")
    first, second = by_file(), with_mode(sync, "redact")()
    assert (first.exit, second.exit) == (0, 0)
    assert len(log(repository)) == 1
    assert leaks(everything(sync, first, second), SECRETS_KEY.encode()) == []


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({}, "SECRETS_KEY: SECRETS=redact needs a key: set this or SECRETS_KEY_FILE"),
        ({"SECRETS_KEY": "x" * 31}, "SECRETS_KEY: the key must have 32 bytes or more"),
        ({"SECRETS_KEY_FILE": "/nowhere/key"}, "SECRETS_KEY_FILE: /nowhere/key cannot be read"),
        (
            {"SECRETS_KEY": "x" * 32, "SECRETS_KEY_FILE": "/k"},
            "SECRETS_KEY_FILE: set either this or SECRETS_KEY",
        ),
    ],
)
def test_missing_or_short_key_ends_the_run_before_any_request(
    settings: dict[str, str], error: str, sync: Sync
) -> None:
    result = sync.with_settings(SECRETS="redact", MINIO_ENDPOINT="127.0.0.1:1", **settings)()
    assert result.exit == 40
    (entry,) = result.of("configuration", "error")
    assert error in entry["error"]


def test_unset_keeps_secrets_with_a_warning_that_keep_silences(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many({SECRET_KEY: PLAIN, SECRET_KEY.replace("db", "b"): PLAIN} | others())
    for result in (sync(), sync()):  # the second run changes nothing
        assert result.exit == 0
        (warning,) = [
            line for line in result.of("detect_changes", "warning") if "SECRETS" in line.get("error", "")
        ]
        assert warning["message"] == "Secrets are stored in clear text"
        assert warning["error"].startswith("2 files with a path that names Secrets")
    assert contents(repository)[SECRET_KEY] == PLAIN
    assert not sync(SECRETS="keep").of("detect_changes", "warning")


def test_every_run_warns_of_secrets_that_no_path_names(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many({"clusterbackup/east/all.yaml": PLAIN} | others())
    for result in (sync(), sync()):  # the second run changes nothing
        (warning,) = result.of("report", "warning")
        assert warning["message"] == "Secrets are stored in clear text"
        assert warning["error"].startswith(f"at least since commit {sha(repository)[:12]} of 20")
        assert "Secrets are stored in clear text: at least since commit" in report_of(sync)
    assert not sync(SECRETS="keep").of("report", "warning")
    assert not with_mode(sync, "exclude")().of("report", "warning")
    assert sync.state["clear_secrets"] is None
    assert not sync(SECRETS="keep").of("report", "warning")


def report_of(sync: Sync) -> str:
    return (sync.work_dir / "report.md").read_text().replace("\\", "")


def test_fields_of_the_rules_are_redacted(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("- kinds: [Database.example.com]\n  secret: [spec.password]\n")
    key = "clusterbackup/east/shop/db.yaml"
    bucket.put_many(
        {key: f"apiVersion: example.com/v1\nkind: Database\nspec: {{password: {CANARY}, size: 1}}\n".encode()}
    )
    result = with_mode(sync, "redact")(RULES_FILE=str(rules))
    assert result.exit == 0
    assert b"size: 1" in contents(repository)[key]
    assert leaks(everything(sync, result)) == []


def test_files_in_git_that_exclude_matches_are_reported(sync: Sync, bucket: Bucket, repository: Path) -> None:
    bucket.put_many({SECRET_KEY: PLAIN} | others())
    assert sync(SECRETS="keep").exit == 0
    for _ in range(2):
        result = sync(SECRETS="keep", EXCLUDE="Secret/")
        assert result.exit == 0
        (line,) = [line for line in result.of("detect_changes", "info") if "match" in line["message"]]
        assert line["message"] == (
            "east: 1 file in Git matches EXCLUDE or NAMESPACES and stays as it is; "
            "to remove, delete in a clone and push"
        )
        assert line["data"]["paths"] == [SECRET_KEY.removeprefix(ROOT)]
    commit_files(repository, {SECRET_KEY: None})
    result = sync(SECRETS="keep", EXCLUDE="Secret/")
    assert not [line for line in result.of("detect_changes", "info") if "match" in line["message"]]
