"""The examples of the runbook are real log lines, and every operation that can fail has an entry."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from steps.core.operations import Operation
from tests.support.faults import Status, when
from tests.support.process import free_port
from tests.support.receiver import receiver
from tests.support.repositories import commit_files

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import CommandResult, Sync

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
EXAMPLES = [
    json.loads(line)
    for block in re.findall(r"^```json\n(.*?)^```$", RUNBOOK, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def error_lines(result: CommandResult) -> list[dict[str, str]]:
    return [
        {name: line[name] for name in ("level", "operation", "message", "error")}
        for line in result.lines
        if line["level"] == "error"
    ]


def test_runbook_error_lines_are_lines_that_git_sync_logs(
    sync: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path, tmp_path: Path
) -> None:
    """Provokes every failure in the runbook."""
    unused = f"127.0.0.1:{free_port()}"
    lines: list[dict[str, str]] = []

    def fail(*arguments: str, **settings: str) -> None:
        lines.extend(error_lines(sync(*arguments, **settings)))

    fail("health")
    fail("inspect", "main")
    bucket.put_many({f"clusterbackup/{name}/a.yaml": b"x" for name in ("east", "west")})
    assert sync().exit == 0
    fail(MINIO_BUCKET="")
    (tmp_path / "file").touch()
    fail(WORK_DIR=str(tmp_path / "file"))
    fail(MINIO_ENDPOINT=unused, RETRY_ATTEMPTS="1")
    fail(MINIO_BUCKET="absent")
    fail(CLUSTERS="north")
    fail(GIT_REPOSITORY="file:///srv/backups.git", RETRY_ATTEMPTS="1")
    commit_files(repository, {"clusterbackup/east/a.yaml": b"a manual edit"})
    fail(PUSHGATEWAY_URL=f"http://{unused}")
    hook = repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    bucket.put("clusterbackup/east/a.yaml", b"changed")
    fail()
    hook.unlink()
    proxy.install(
        when(
            lambda request: request.is_list and request.concerns("clusterbackup/east/"),
            Status(503, "SlowDown"),
        )
    )
    for step in ("discover", "download", "detect", "publish"):
        fail(step, MINIO_ENDPOINT=proxy.server.endpoint)
    bucket.delete("clusterbackup/west/a.yaml")
    with receiver() as web:
        web.status = 404
        fail(WEBHOOK_URL=web.url)
        fail("serve", METRICS_PORT=web.url.rpartition(":")[2])

    logged = [normalized(line, sync) for line in lines]
    missing = [example for example in EXAMPLES if normalized(example, sync) not in logged]
    assert not missing, "git-sync logged:\n" + "\n".join(map(json.dumps, logged))


def normalized(line: dict[str, str], sync: Sync) -> dict[str, str]:
    """Return the line with the example values of the runbook instead of values that vary."""
    error = (
        line["error"].replace(str(sync.work_dir), "/workspace").replace(sync.bucket.name, "cluster-backups")
    )
    error = error.replace(str(sync.work_dir.parent), "/workspace")
    error = error.replace("injected by a test", "Please reduce your request rate.")
    error = re.sub(r"\bport \d+", "port 8080", error)
    error = re.sub(r"(--allow-delete \w+):[0-9a-f]{16}", r"\1:0123456789abcdef", error)
    return line | {"error": error}


_FAILURE = re.compile(
    r"(?<![\w.])(?:TryAgain|FixConfiguration|FixCommandLine|logs\.error)\(\s*Operation\.(\w+)\s*[,)]"
)


@cache
def failing_operations() -> set[str]:
    """Return every operation that the code passes to an error."""
    texts = (path.read_text() for path in (ROOT / "steps").rglob("*.py"))
    return {Operation[name].value for text in texts for name in _FAILURE.findall(text)}


def test_operations_are_found_in_the_code() -> None:
    assert {"minio_connect", "download", "git_push", "webhook"} <= failing_operations()


@pytest.mark.parametrize("operation", sorted(failing_operations()))
def test_runbook_has_an_entry_for_each_operation_that_can_fail(operation: str) -> None:
    assert re.search(rf"^### `{operation}`$", RUNBOOK, re.MULTILINE)
