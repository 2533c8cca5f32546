"""HTTPS_PROXY and NO_PROXY in a whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bucket import new_bucket
from tests.support.gitserver import https_git_server
from tests.support.receiver import receiver
from tests.support.repositories import bare_repository, contents
from tests.support.sync import Sync
from tests.support.tunnel import tunnel

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

    from tests.support.s3 import S3Server

TOKEN = "glpat-CANARY_7f3b/+x%40"
OBJECTS = {"clusterbackup/east/a.yaml": b"a", "clusterbackup/west/b.yaml": b"b"}


@pytest.mark.parametrize(
    ("login", "encoded"),
    [("", ""), ("us er:p@ss/w:rd", "us%20er:p%40ss%2Fw%3Ard@")],
    ids=["open", "password"],
)
def test_https_proxy_is_used_for_bucket_git_and_webhook_except_no_proxy(
    login: str, encoded: str, tmp_path: Path, ca: trustme.CA, secure_s3: S3Server
) -> None:
    repository = bare_repository(tmp_path / "r.git")
    with (
        https_git_server(tmp_path, ca, TOKEN) as git,
        receiver(tls=ca) as hook,
        tunnel(login) as proxy,
    ):
        bucket = new_bucket(secure_s3)
        bucket.put_many(OBJECTS)
        sync = Sync.between(bucket, repository, tmp_path / "w").with_settings(
            MINIO_CA_FILE=str(secure_s3.ca_file),
            GIT_REPOSITORY=git.url_for(repository),
            GIT_TOKEN=TOKEN,
            GIT_CA_FILE=str(git.ca_file),
            WEBHOOK_URL=f"{hook.url}/hook",
            WEBHOOK_CA_FILE=str(git.ca_file),
            HTTPS_PROXY=proxy.url.replace("//", f"//{encoded}"),
        )
        result = sync()
        assert (result.exit, result.errors) == (0, "")
        assert contents(repository) == OBJECTS
        assert set(proxy.requested_hosts) == {
            secure_s3.endpoint,
            *(u.removeprefix("https://") for u in (git.url, hook.url)),
        }
        proxy.requested_hosts.clear()
        assert sync(NO_PROXY="127.0.0.1").exit == 0
        assert proxy.requested_hosts == []
        assert sync(HTTPS_PROXY="http://127.0.0.1:1").exit == 30
        assert not login or "407" in sync(HTTPS_PROXY=proxy.url).errors
