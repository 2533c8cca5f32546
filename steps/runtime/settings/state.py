"""Where ``serve`` and ``health`` read the state if it is not in WORK_DIR."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from steps.runtime.settings.fields import Bucket, Endpoint, Region
from steps.runtime.settings.s3 import S3Settings


class StateSettings(S3Settings):
    """The object in S3 with the state: STATE_*."""

    endpoint: Endpoint = Field(
        alias="STATE_ENDPOINT",
        description="S3 server from which `serve` and `health` read the state, instead of WORK_DIR",
    )
    bucket: Bucket = Field(
        alias="STATE_BUCKET", description="bucket with the state: Argo's artifact repository"
    )
    key: str = Field(
        alias="STATE_KEY", description="key of `sync-metadata.json` in that bucket (or set STATE_NAMESPACE)"
    )
    namespace: str | None = Field(
        alias="STATE_NAMESPACE",
        default=None,
        description="namespace of the Argo workflows, to derive STATE_KEY",
    )
    access_key: SecretStr = Field(
        alias="STATE_ACCESS_KEY", description="an access key that may read the state"
    )
    secret_key: SecretStr = Field(alias="STATE_SECRET_KEY", description="the secret key of that access key")
    use_ssl: bool = Field(alias="STATE_USE_SSL", default=True, description="use HTTPS to that server")
    region: Region = Field(
        alias="STATE_REGION", default="us-east-1", description="region in the signature of those requests"
    )
    ca_file: Path | None = Field(
        alias="STATE_CA_FILE", default=None, description="CA certificates (PEM) for that server"
    )
