"""The documents: they reject unknown fields, and derive what their readers share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from steps.contracts import ClusterResult, Document, Run, Shard, State, Status
from steps.core.deletion_guard import DeletionLimits, Vanished
from steps.core.filters import Selection
from steps.core.intake_limits import IntakeLimits
from tests.support.results import NOON, result, state

RUN: dict[str, Any] = {
    "run_id": "r1",
    "started_at": NOON,
    "identity": "0" * 16,
    "mode": "incremental",
    "dry_run": False,
    "filtered_by_options": False,
    "endpoint": "minio:9000",
    "bucket": "backups",
    "bucket_prefix": "clusterbackup/",
    "repository": "file:///r",
    "git_path": "clusterbackup/",
    "branch": "main",
    "base": None,
    "selection": Selection(),
    "deletion_limits": DeletionLimits(5, 20, Vanished.REFUSE),
    "intake_limits": IntakeLimits(1, 1, 1, 1),
    "allow_delete": (),
    "max_object_bytes": 1,
    "shards": (Shard(index=0, label="a", clusters=("a", "b")), Shard(index=1, label="c", clusters=("a-b",))),
    "clusters_excluded": 0,
    "clusters_skipped": 0,
    "clusters_skipped_sample": (),
    "clusters_blocked_by_file": (),
    "quarantined": {},
    "quarantined_sample": (),
    "finished_at": NOON,
}


def documents() -> list[type[Document]]:
    return Document.__subclasses__()


@pytest.mark.parametrize("model", documents(), ids=lambda model: model.__name__)
def test_document_rejects_unknown_fields_and_is_immutable(model: type[Document]) -> None:
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"] is True


@pytest.mark.parametrize(
    "document", [Run(**RUN), state(), result(clusters=(ClusterResult(name="a", status=Status.OK),))]
)
def test_document_is_unchanged_after_a_round_trip(document: Document) -> None:
    assert type(document).model_validate_json(document.model_dump_json()) == document


def test_state_rejects_another_schema_version() -> None:
    text = state().model_dump_json().replace('"schema_version":1', '"schema_version":2')
    with pytest.raises(ValidationError):
        State.model_validate_json(text)


@pytest.mark.parametrize("base", ["HEAD", "--upload-pack=x", "0" * 39, "G" * 40, "a" * 40 + "\n"])
def test_run_accepts_only_a_commit_id_as_its_base(base: str) -> None:
    with pytest.raises(ValidationError):
        Run(**RUN | {"base": base})


def test_run_lists_its_clusters_in_the_byte_order_of_their_paths() -> None:
    assert Run(**RUN).clusters == ("a-b", "a", "b")


def test_run_without_a_branch_is_download_only() -> None:
    assert not Run(**RUN).download_only
    assert Run(**RUN | {"branch": None}).download_only


@pytest.mark.parametrize(
    ("status", "processed"),
    [
        (Status.OK, True),
        (Status.REFUSED, True),
        (Status.FAILED, False),
        (Status.OVER_LIMIT, False),
        (Status.SUPERSEDED, False),
    ],
)
def test_result_counts_the_changes_of_processed_clusters_only(status: Status, processed: bool) -> None:
    cluster = ClusterResult(name="a", status=status, files=10, added=3, modified=2, deleted=1)
    run = result(clusters=(cluster,))
    assert run.processed == ((cluster,) if processed else ())
    assert run.files_changed == (6 if processed else 0)
    assert cluster.files_before == 8


def test_duration_is_never_negative() -> None:
    assert result(finished_at=NOON + timedelta(seconds=90)).duration_seconds == 90
    assert result(finished_at=NOON - timedelta(seconds=90)).duration_seconds == 0
