"""Numbers agree with their nouns in everything that git-sync prints: "1 file", not "1 files"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.faults import Status, when
from tests.support.hooks import By, refuse
from tests.support.repositories import commit_files
from tests.support.served import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bucket import Bucket
    from tests.support.proxy import S3FaultProxy
    from tests.support.sync import Sync

PREFIX = "clusterbackup/east/shop"
DEPLOYMENT = b"""kind: Deployment
metadata: {name: cart, namespace: shop}
spec: {template: {spec: {containers: [{name: cart, image: "cart:%d"}]}}}
"""
_MISMATCH = re.compile(r"(?<![\w.,:=/-])1 (?!is\b|was\b|has\b)[a-z]+s\b")


def test_numbers_agree_with_their_nouns_in_log_and_reports(
    faulty: Sync, bucket: Bucket, proxy: S3FaultProxy, repository: Path
) -> None:
    """Each run has one of everything: cluster, object, change, conflict, quarantined key, refusal."""
    printed: list[str] = []

    def run(expected: int, **settings: str) -> None:
        result = faulty(LOG_LEVEL="debug", **settings)
        assert result.exit == expected
        printed.append(result.text)
        printed.extend((faulty.work_dir / f"report.{suffix}").read_text() for suffix in ("md", "html"))
        printed.append(faulty("run", "--dry-run", LOG_FORMAT="text", **settings).text)

    bucket.put(f"{PREFIX}/Deployment/a.yaml", DEPLOYMENT % 1)
    run(0)
    bucket.put(f"{PREFIX}/Deployment/a.yaml", DEPLOYMENT % 2)
    commit_files(repository, {f"{PREFIX}/Deployment/a.yaml": b"edited"})
    run(0)
    bucket.put(f"{PREFIX}/.gitignore", b"*")
    bucket.put("clusterbackup/.git", b"outside every cluster")
    run(0)
    bucket.put(f"{PREFIX}/new.yaml", b"new")
    proxy.install(when(lambda request: request.key.endswith("new.yaml"), Status(403, "AccessDenied")))
    run(10)
    proxy.clear()
    run(20, MAX_OBJECTS="1")
    bucket.put("clusterbackup/west/a.yaml", b"x")
    run(20, MAX_CLUSTERS="1")
    run(0)
    bucket.delete("clusterbackup/west/a.yaml")
    run(20)
    bucket.put_many({f"{PREFIX}/token.yaml": b"ghp_1", f"{PREFIX}/accepted.yaml": b"x"})
    refuse(repository, By.CONTENT)
    run(10, CLUSTERS="east")
    with serving(faulty) as served:
        printed.extend(served.get(path).text for path in ("/", "/health", "/report", "/metrics"))

    texts = [re.sub(r"<[^>]*>", "", text) for text in printed]
    assert not {found[0] for text in texts for found in _MISMATCH.finditer(text)}
