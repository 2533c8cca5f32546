"""Settings of the S3 server and the bucket with the backups."""

from __future__ import annotations

import pytest
from minio.helpers import check_bucket_name

from steps.runtime.settings.reading import Needs, read
from tests.runtime.settings.parsing import MINIO, one_problem, problems, value_of


def test_minio_settings_have_safe_defaults() -> None:
    required = ("MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_BUCKET")
    s3 = read({name: MINIO[name] for name in required}, Needs.MINIO).s3
    assert (s3.use_ssl, s3.prefix, s3.region, s3.ca_file) == (True, "clusterbackup/", "us-east-1", None)


@pytest.mark.parametrize(
    "text", ["https://h", "h/x", "h:9000/", "u@h", "::1", "h:port", "h:65536", "h i", "h?x"]
)
def test_endpoint_rejects_everything_but_host_and_port(text: str) -> None:
    assert one_problem("MINIO_ENDPOINT", text)


@pytest.mark.parametrize("name", ["MINIO_BUCKET", "STATE_BUCKET"])
@pytest.mark.parametrize(
    "text", ["s3://backups", "backups/prefix", "backups/", "https://minio:9000/backups", "/backups"]
)
def test_bucket_rejects_a_scheme_and_a_path(name: str, text: str) -> None:
    assert one_problem(name, text) == "write only the name of the bucket, without s3:// and without a path"


# minio itself refuses or accepts the same names.
@pytest.mark.parametrize(
    ("text", "is_bucket"),
    [
        *(
            (text, True)
            for text in ("cluster-backups", "a.b", "Old_Bucket", "tenant:bucket", "1a2", "a" * 63)
        ),
        *((text, False) for text in ("b", "b b", "a..b", "a.-b", "-ab", "10.0.0.1", "büro", "a" * 64, "b?x")),
    ],
)
def test_bucket_accepts_the_names_that_minio_accepts(text: str, is_bucket: bool) -> None:
    if is_bucket:
        check_bucket_name(text)
        assert value_of("MINIO_BUCKET", text) == text
    else:
        with pytest.raises(ValueError, match="bucket name"):
            check_bucket_name(text)
        assert "is not the name of a bucket" in one_problem("MINIO_BUCKET", text)


@pytest.mark.parametrize("text", ["..", "a/../b", "a\\b", "a//b"])
def test_prefix_rejects_what_is_not_a_plain_path(text: str) -> None:
    assert "is not a usable prefix" in one_problem("MINIO_PREFIX", text)


def test_minio_settings_are_required_together() -> None:
    assert set(problems({"MINIO_BUCKET": "backups"}, Needs.MINIO)) == {
        "MINIO_ENDPOINT",
        "MINIO_ACCESS_KEY",
        "MINIO_SECRET_KEY",
    }


def test_minio_settings_hide_the_secret_key() -> None:
    assert MINIO["MINIO_SECRET_KEY"] not in repr(read(MINIO, Needs.MINIO).s3)
