"""docs/sync-metadata.schema.json: generated from the model, and valid for the files of real runs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tests.demo import dataset
from tests.project import schema
from tests.support.process import free_port

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import Sync


@pytest.fixture(scope="module")
def published() -> Draft202012Validator:
    """Return the published schema."""
    document = json.loads(schema.FILE.read_text())
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


def test_schema_in_docs_is_the_generated_one() -> None:
    assert schema.FILE.read_text() == schema.text(), "run: python -m tests.project.schema --write"


def test_schema_describes_every_field_of_the_state() -> None:
    document = schema.schema()
    assert document["required"] == list(document["properties"]), "every field is required"
    assert document["additionalProperties"] is False


@pytest.fixture
def example() -> dict[str, Any]:
    """Return the state in docs/contracts.md, which test_docs.py compares with the model."""
    page = (schema.FILE.parent / "contracts.md").read_text()
    (found,) = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    parsed = json.loads(found)
    assert isinstance(parsed, dict)
    return parsed


def test_state_of_the_demos_runs_is_valid(
    published: Draft202012Validator, sync: Sync, bucket: Bucket
) -> None:
    before, after = dataset.before(), dataset.after()
    bucket.put_many(before)
    assert sync().exit == 0
    bucket.put_many({key: body for key, body in after.items() if before.get(key) != body})
    for key in before.keys() - after.keys():
        bucket.delete(key)
    assert sync().exit == 0
    changes = sync.state["last_run"]["changes"]
    assert changes["images"]
    assert changes["security_changes"]
    published.validate(sync.state)


def test_state_of_refused_skipped_and_failed_runs_is_valid(
    published: Draft202012Validator, sync: Sync, bucket: Bucket
) -> None:
    bucket.put_many({f"clusterbackup/{name}/a/b.yaml": b"x" for name in ("east", "west")})
    bucket.put_many({f"clusterbackup/large/a/{n}.yaml": b"x" for n in range(9)})
    bucket.put("clusterbackup/east/a/.gitignore", b"*")
    bucket.put("clusterbackup/outside.yaml", b"x")
    assert sync(MAX_OBJECTS="5").exit == 20
    bucket.delete("clusterbackup/west/a/b.yaml")
    assert sync(MAX_OBJECTS="5").exit == 20
    clusters = {cluster["status"] for cluster in sync.state["last_run"]["clusters"]}
    assert clusters == {"ok", "refused", "over_limit"}
    published.validate(sync.state)
    assert sync(MINIO_ENDPOINT=f"127.0.0.1:{free_port()}", RETRY_ATTEMPTS="1").exit == 30
    assert sync.state["last_run"]["error"]
    published.validate(sync.state)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("unknown",), 1),
        (("consecutive_failures",), None),
        (("last_run", "outcome"), "fine"),
        (("last_run", "clusters", 0, "status"), "unknown"),
        (("last_run", "clusters", 0, "files"), "67"),
        (("last_run", "changes", "images", 0, "before"), None),
        (("counters", "runs"), -1),
        (("counters", "duration_buckets"), []),
    ],
)
def test_schema_rejects_a_wrong_value(
    published: Draft202012Validator, example: dict[str, Any], path: tuple[str | int, ...], value: object
) -> None:
    assert published.is_valid(example)
    place: Any = example
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not published.is_valid(example)


def test_schema_rejects_a_missing_field(published: Draft202012Validator, example: dict[str, Any]) -> None:
    assert published.is_valid(example)
    del example["last_run"]["exit_code"]
    assert not published.is_valid(example)
