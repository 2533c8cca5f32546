"""Settings of the S3 server and the bucket with the backups."""

from __future__ import annotations

import pytest

from steps.runtime.settings.reading import Needs, read
from tests.runtime.settings.parsing import MINIO, one_problem, problems


def test_minio_settings_have_safe_defaults() -> None:
    required = ("MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_BUCKET")
    s3 = read({name: MINIO[name] for name in required}, Needs.MINIO).s3
    assert (s3.use_ssl, s3.prefix, s3.region, s3.ca_file) == (True, "clusterbackup/", "us-east-1", None)


@pytest.mark.parametrize(
    "text", ["https://h", "h/x", "h:9000/", "u@h", "::1", "h:port", "h:65536", "h ", "h?x"]
)
def test_endpoint_rejects_everything_but_host_and_port(text: str) -> None:
    assert one_problem("MINIO_ENDPOINT", text)


@pytest.mark.parametrize("text", ["..", "a/../b", "a\\b", "a//b"])
def test_prefix_rejects_what_is_not_a_plain_path(text: str) -> None:
    assert "is not a usable prefix" in one_problem("MINIO_PREFIX", text)


def test_minio_settings_are_required_together() -> None:
    assert set(problems({"MINIO_BUCKET": "b"}, Needs.MINIO)) == {
        "MINIO_ENDPOINT",
        "MINIO_ACCESS_KEY",
        "MINIO_SECRET_KEY",
    }


def test_minio_settings_hide_the_secret_key() -> None:
    assert MINIO["MINIO_SECRET_KEY"] not in repr(read(MINIO, Needs.MINIO).s3)
