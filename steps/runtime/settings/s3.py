"""The connection to an S3 server, and the bucket with the backups."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from steps.runtime.settings.fields import Bucket, BucketPrefix, Endpoint, Region
from steps.runtime.settings.proxy import ProxySettings


class S3Settings(ProxySettings):
    """What a client needs to read one bucket. Subclasses name the variables."""

    endpoint: Endpoint
    access_key: SecretStr
    secret_key: SecretStr
    bucket: Bucket
    use_ssl: bool = True
    region: Region = "us-east-1"
    ca_file: Path | None = None


class MinioSettings(S3Settings):
    """The bucket with the backups: MINIO_*."""

    endpoint: Endpoint = Field(alias="MINIO_ENDPOINT", description="the S3 server as host:port")
    access_key: SecretStr = Field(
        alias="MINIO_ACCESS_KEY", description="an access key that may read the bucket"
    )
    secret_key: SecretStr = Field(alias="MINIO_SECRET_KEY", description="the secret key of the access key")
    bucket: Bucket = Field(alias="MINIO_BUCKET", description="the bucket with the backups")
    use_ssl: bool = Field(alias="MINIO_USE_SSL", default=True, description="use HTTPS to the S3 server")
    prefix: BucketPrefix = Field(
        alias="MINIO_PREFIX",
        default="clusterbackup/",
        description="prefix of all keys: the part before `<cluster>/`",
    )
    region: Region = Field(
        alias="MINIO_REGION", default="us-east-1", description="region in the signature of requests"
    )
    ca_file: Path | None = Field(
        alias="MINIO_CA_FILE", default=None, description="CA certificates (PEM) for the S3 server"
    )
