"""What a run syncs, how, and how often it tries."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from steps.contracts import Mode
from steps.core.approvals import Argo
from steps.core.filters import Selection
from steps.runtime.settings.fields import Duration, Group, Names, has_credentials, is_web_url, lower


def _directory(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError("contains ~, but the user has no home directory") from None


def _patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    try:
        Selection(exclude=patterns).has_path(b"cluster/path")
    except (ValueError, re.error) as problem:
        raise ValueError(f"is not a list of .gitignore patterns: {problem}") from None
    return patterns


def _argo_url(text: str) -> str:
    if not is_web_url(text) or has_credentials(text) or "?" in text or "#" in text:
        raise ValueError("write it like https://argo.example.com, without credentials, query and fragment")
    return text


class SyncSettings(Group):
    """What one run does."""

    work_dir: Annotated[Path, AfterValidator(_directory)] = Field(
        alias="WORK_DIR",
        default=Path("/workspace"),
        description="working directory (in a cluster: a volume)",
    )
    mode: Annotated[Mode, BeforeValidator(lower)] = Field(
        alias="SYNC_MODE",
        default=Mode.INCREMENTAL,
        description="`incremental`, or `full`: download and compare every object",
    )
    clusters: Names = Field(
        alias="CLUSTERS", default=(), description="globs of the clusters to sync; `!` negates"
    )
    namespaces: Names = Field(
        alias="NAMESPACES", default=(), description="globs of the namespaces to sync; `!` negates"
    )
    exclude: Annotated[Names, AfterValidator(_patterns)] = Field(
        alias="EXCLUDE", default=(), description=".gitignore patterns for `<cluster>/<path>`"
    )
    concurrency: int = Field(
        alias="CONCURRENCY", default=10, ge=1, le=256, description="number of parallel downloads"
    )
    max_object_bytes: int = Field(
        alias="MAX_OBJECT_BYTES",
        default=95 * 1024 * 1024,
        ge=1,
        description="larger objects are quarantined (Git hosts refuse 100 MB)",
    )
    max_shards: int = Field(
        alias="MAX_SHARDS",
        default=10,
        ge=1,
        description="maximum number of download steps; with more clusters, several share a step",
    )
    download_timeout: Duration | None = Field(
        alias="DOWNLOAD_TIMEOUT",
        default=None,
        description="time for the downloads of a run; clusters that are not complete then fail alone",
    )
    dry_run: bool = Field(alias="DRY_RUN", default=False, description="print the plan, change nothing")
    argo_url: Annotated[str, AfterValidator(_argo_url)] | None = Field(
        alias="ARGO_URL",
        default=None,
        description="address of Argo's UI, for links in reports that approve refused deletions",
    )
    argo_namespace: str | None = Field(
        alias="ARGO_NAMESPACE",
        default=None,
        description="namespace of the Argo workflow that the step belongs to; the pipeline sets it",
    )

    @property
    def argo(self) -> Argo | None:
        """Where the pipeline is; None outside Argo."""
        return Argo(self.argo_namespace, self.argo_url) if self.argo_namespace else None

    @property
    def selection(self) -> Selection:
        """The filters."""
        return Selection(self.clusters, self.namespaces, self.exclude)


class RetrySettings(Group):
    """How often a step is tried, and with which pauses."""

    attempts: int = Field(
        alias="RETRY_ATTEMPTS", default=3, ge=1, le=100, description="attempts for each step"
    )
    delay: Duration = Field(
        alias="RETRY_DELAY",
        default=timedelta(seconds=5),
        description="pause before the second attempt; it doubles with every attempt, with jitter",
    )
