"""The documents that the steps hand to one another, and the public state file.

Small things are JSON documents: frozen models that refuse unknown fields, with a schema version.
Streams of rows (one per object) are row files, see ``steps.rowfile``. docs/contracts.md describes
them all, for people.
"""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from steps.core.counters import Counters
from steps.core.deletion_guard import Decision, Limits
from steps.core.exit_codes import Exit, most_severe
from steps.core.filters import Selection
from steps.core.intake_limits import Excess, IntakeLimits
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.kubernetes.change_summary import ChangeSummary

if TYPE_CHECKING:
    from datetime import datetime


# Where Argo keeps what the pipeline's runs leave to one another, in its artifact repository. Should
# that be the backups' bucket and without a prefix, this is no cluster.
ARTIFACTS = "git-sync-artifacts"


class Document(BaseModel):
    """Base of every document: immutable, and strict about its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Mode(StrEnum):
    """SYNC_MODE: trust the cache where Git agrees with it, or fetch and compare everything."""

    INCREMENTAL = "incremental"
    FULL = "full"


# The last three fields of these rows are the same, so that lines of their files can be compared as they
# stand: what is unchanged, and that is nearly everything nearly always, is never decoded.


class ListedRow(NamedTuple):
    """One key of a cluster's listing; ``path`` is ``<cluster>/<rest>``.

    ``reason`` is why the key is quarantined, "" if it is not.
    """

    path: bytes
    reason: str
    size: int
    etag: str


class BaselineRow(NamedTuple):
    """One file that Git holds of a cluster.

    ``size`` and ``etag`` are those of the object that is known to have this very content; -1 and ""
    where none is. A cache has the same rows, of one known object each.
    """

    path: bytes
    mode: str
    oid: str
    size: int
    etag: str


class Shard(Document):
    """The clusters that one download step handles. ``label`` is for the Argo UI alone."""

    index: int
    label: str
    clusters: tuple[str, ...]


class RunStart(Document):
    """What is known of a run before anything was done."""

    schema_version: Literal[1] = 1
    run_id: str
    started_at: AwareDatetime
    identity: str = Field(description="hash of bucket and branch: whose cache and state this is")
    mode: Mode
    dry_run: bool
    narrowed: bool = Field(description="an option left something out: no statement on the rest")


class Run(RunStart):
    """What this run is: made once by discover, read by all, so that one run has one configuration."""

    endpoint: str
    bucket: str
    bucket_prefix: str
    repository: str = Field(description="empty in download-only mode")
    git_path: str
    branch: str | None = Field(description="None in download-only mode")
    base: str | None = Field(
        pattern=r"^[0-9a-f]{40}$", description="commit that the baselines are of; None: no such branch"
    )
    selection: Selection
    limits: Limits
    intake_limits: IntakeLimits
    allow_delete: tuple[str, ...]
    max_object_bytes: int
    shards: tuple[Shard, ...]
    clusters_left_out: int = Field(description="clusters of the bucket that are no part of this run")
    clusters_skipped: int = Field(description="those of them that MAX_CLUSTERS leaves out, at least")
    clusters_skipped_sample: tuple[str, ...]
    obstructed: tuple[str, ...] = Field(description="clusters whose directory is a file in Git")
    quarantined: dict[str, int] = Field(description="keys outside every cluster, by reason")
    quarantined_sample: tuple[str, ...]
    finished_at: AwareDatetime = Field(description="when discover was done")

    @property
    def clusters(self) -> tuple[str, ...]:
        """Every cluster of the run, in the byte order of their paths ("a-b/" before "a/")."""
        names = (name for shard in self.shards for name in shard.clusters)
        return tuple(sorted(names, key=lambda name: f"{name}/".encode()))

    @property
    def download_only(self) -> bool:
        """Whether there is no Git repository, and WORK_DIR itself is the result."""
        return self.branch is None


class ManifestHeader(Document):
    """Head of a manifest. ``listed_at`` is the server's clock when the listing began."""

    schema_version: Literal[2] = 2
    run_id: str
    cluster: str
    listed_at: AwareDatetime


class ManifestFooter(Document):
    """Tail of a manifest: figures of the download."""

    quarantined: dict[str, int] = Field(description="keys by reason")
    quarantined_sample: tuple[str, ...]
    left_out: int = Field(description="keys that the filters left out")
    unchanged: int = Field(description="objects that Git is known to hold as they are")
    new_objects: int = Field(description="objects that are not known to be in Git")
    new_bytes: int
    fetched: int
    fetched_bytes: int
    newest_object_at: AwareDatetime | None
    cache_mismatches: int = Field(description="full mode: objects that the cache was wrong about")
    non_md5_etags: int = Field(description="objects whose ETag looks like an MD5 but is none")
    unavailable: int = Field(description="objects that are listed, again and again, and cannot be had")


class ClusterFailure(Document):
    """Why a cluster has no manifest."""

    schema_version: Literal[1] = 1
    cluster: str
    operation: Operation
    error: str
    transient: bool
    over_limit: Excess | None = Field(default=None, description="it did not fail: the flood guard refused it")


class RowsHeader(Document):
    """Head of a listing or plan."""

    schema_version: Literal[1] = 1
    identity: str


class BaselineHeader(Document):
    """Head of a baseline or cache."""

    schema_version: Literal[2] = 2
    identity: str
    cluster: str
    tree: str = Field(description="id of the Git tree that its rows make; empty where that is not known")


class TipHeader(Document):
    """Head of what is known of a commit: its rows are the entries of the directory GIT_PATH."""

    schema_version: Literal[1] = 1
    identity: str
    commit: str


class NoFooter(Document):
    """Tail of a row file that has nothing to add."""


class Status(StrEnum):
    """What became of one cluster."""

    OK = "ok"
    FAILED = "failed"
    REFUSED = "refused"
    OVER_LIMIT = "over_limit"
    SUPERSEDED = "superseded"


class ClusterResult(Document):
    """One cluster in a run's result. Counts are files; ``files`` is what Git holds afterwards."""

    name: str
    status: Status
    files: int = 0
    added: int = 0
    modified: int = 0
    deleted: int = 0
    accepted: int = 0
    fetched: int = 0
    fetched_bytes: int = 0
    decision: Decision = Decision.DELETE
    deletions_refused: int = 0
    allow_delete: str | None = Field(default=None, description="what would allow the deletions")
    allowed: str | None = Field(default=None, description="token of the deletions that a person allowed")
    over_limit: Excess | None = None
    quarantined: dict[str, int] = {}
    quarantined_sample: tuple[str, ...] = ()
    left_for_next_run: int = Field(default=0, description="changes whose bytes this run lacks")
    listed_at: AwareDatetime | None = None
    newest_object_at: AwareDatetime | None = None
    operation: Operation | None = None
    error: str | None = None
    transient: bool = False

    @property
    def processed(self) -> bool:
        """Whether the cluster's listing was proven and acted upon."""
        return self.status in {Status.OK, Status.REFUSED}

    @property
    def files_before(self) -> int:
        """What Git held of it before."""
        return self.files - self.added + self.deleted


class Verdict(Document):
    """What detect decided: the counts behind the plan."""

    schema_version: Literal[1] = 1
    run_id: str
    started_at: AwareDatetime
    finished_at: AwareDatetime
    clusters: tuple[ClusterResult, ...]


class Outcome(StrEnum):
    """The run in one word."""

    SUCCESS = "success"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAILED = "failed"


_OUTCOMES = {
    Exit.OK: Outcome.SUCCESS,
    Exit.PARTIAL: Outcome.PARTIAL,
    Exit.REFUSED: Outcome.REFUSED,
}


# A dry run has refused and lost nothing.
_NO_HARM_IN_A_DRY_RUN = {Exit.PARTIAL, Exit.REFUSED}


def _exits(run: Run, clusters: tuple[ClusterResult, ...]) -> set[Exit]:
    """Every exit code that holds for a run with these clusters."""
    exits: set[Exit] = set()
    failed = [cluster for cluster in clusters if cluster.status is Status.FAILED]
    if failed and len(failed) == len(clusters):
        exits |= {Exit.TRANSIENT if cluster.transient else Exit.CONFIGURATION for cluster in failed}
    elif failed:
        exits.add(Exit.PARTIAL)
    if any(cluster.left_for_next_run for cluster in clusters):
        exits.add(Exit.PARTIAL)
    refused = {Status.REFUSED, Status.OVER_LIMIT}
    if run.clusters_skipped or any(cluster.status in refused for cluster in clusters):
        exits.add(Exit.REFUSED)
    return exits or {Exit.OK}


def _step_seconds(run: Run, verdict: Verdict, finished_at: datetime) -> dict[str, float]:
    """What each step took, by when it was done: waiting for its pod is part of it."""
    done = {
        "discover": run.finished_at,
        "download": verdict.started_at,  # the last of the downloads, or as good as
        "detect": verdict.finished_at,
        "publish": finished_at,
    }
    began = (run.started_at, *done.values())
    return {
        step: max(0.0, (end - start).total_seconds())
        for (step, end), start in zip(done.items(), began, strict=False)
    }


class RunResult(Document):
    """A whole run, as publish leaves it for report; in sync-metadata.json it is ``last_run``."""

    schema_version: Literal[1] = 1
    run_id: str
    identity: str
    started_at: AwareDatetime
    finished_at: AwareDatetime
    outcome: Outcome
    exit_code: int
    exit_codes: tuple[int, ...] = Field(description="all that hold; exit_code is the most severe")
    mode: Mode
    dry_run: bool = False
    narrowed: bool = Field(default=False, description="an option left something out: no word on the rest")
    branch: str | None = None
    commit: str | None = Field(default=None, description="made by this run; None if nothing changed")
    push_attempts: int = 0
    clusters_added: tuple[str, ...] = ()
    clusters_removed: tuple[str, ...] = ()
    clusters: tuple[ClusterResult, ...] = ()
    clusters_skipped: int = Field(default=0, description="new clusters that MAX_CLUSTERS leaves out")
    clusters_skipped_sample: tuple[str, ...] = ()
    quarantined: dict[str, int] = Field(default={}, description="keys outside every cluster")
    quarantined_sample: tuple[str, ...] = ()
    changes: ChangeSummary = ChangeSummary()
    step_seconds: dict[str, float] = Field(default={}, description="by step; the sum is the duration")
    operation: Operation | None = None
    error: str | None = None

    @classmethod
    def of(  # noqa: PLR0913 - what publish has to say
        cls,
        run: Run,
        verdict: Verdict,
        *,
        finished_at: datetime,
        clusters: tuple[ClusterResult, ...],
        commit: str | None,
        push_attempts: int,
        changes: ChangeSummary,
    ) -> RunResult:
        """The result of a run that came to its end, with the exit codes that hold."""
        exits = sorted(_exits(run, clusters))
        if run.dry_run:
            exits = [exit_ for exit_ in exits if exit_ not in _NO_HARM_IN_A_DRY_RUN] or [Exit.OK]
        exit_ = most_severe(exits)
        return cls(
            run_id=run.run_id,
            identity=run.identity,
            started_at=run.started_at,
            finished_at=finished_at,
            outcome=_OUTCOMES.get(exit_, Outcome.FAILED),
            exit_code=exit_,
            exit_codes=tuple(exits),
            mode=run.mode,
            dry_run=run.dry_run,
            narrowed=run.narrowed,
            branch=run.branch,
            commit=commit,
            push_attempts=push_attempts,
            clusters_added=tuple(c.name for c in clusters if c.files and not c.files_before),
            clusters_removed=tuple(c.name for c in clusters if c.files_before and not c.files),
            clusters=tuple(sorted(clusters, key=lambda cluster: cluster.name)),
            clusters_skipped=run.clusters_skipped,
            clusters_skipped_sample=run.clusters_skipped_sample,
            quarantined=run.quarantined,
            quarantined_sample=run.quarantined_sample,
            changes=changes,
            step_seconds=_step_seconds(run, verdict, finished_at),
        )

    @property
    def duration_seconds(self) -> float:
        """From the run's start to the end of its last step, by clocks that may differ."""
        return max(0.0, (self.finished_at - self.started_at).total_seconds())

    @property
    def processed(self) -> tuple[ClusterResult, ...]:
        """The clusters whose listings were proven."""
        return tuple(cluster for cluster in self.clusters if cluster.processed)

    @property
    def cause(self) -> str:
        """What went wrong, cluster by cluster, in one line; "" if nothing did."""
        if self.error:
            return self.error
        said = []
        if self.clusters_skipped:
            said.append(f"{self.clusters_skipped} new clusters are held back (MAX_CLUSTERS)")
        for cluster in self.clusters:
            name = printable(cluster.name)
            if cluster.status is Status.FAILED:
                said.append(f"{name}: {cluster.error}")
            if cluster.status is Status.OVER_LIMIT:
                said.append(f"{name} is held back: {cluster.error}")
            if (
                cluster.decision is Decision.REFUSED_EMPTY_BUCKET
            ):  # mostly a mistake, so no word on how to allow it
                said.append(
                    f"{name}: the bucket holds no cluster at all: check MINIO_BUCKET and MINIO_PREFIX"
                )
            elif cluster.status is Status.REFUSED:
                allowing = shlex.quote(cluster.allow_delete or "")
                said.append(f"{name}: {cluster.decision.value} (to allow it: allow-delete={allowing})")
            if cluster.left_for_next_run:
                said.append(f"{name}: {cluster.left_for_next_run} changes left for the next run")
        return "; ".join(said)

    @property
    def files_changed(self) -> int:
        """New, modified and deleted files."""
        return sum(c.added + c.modified + c.deleted for c in self.processed)


class LastSuccess(Document):
    """The last run that ended 0 and was not narrowed."""

    run_id: str
    at: AwareDatetime


class ClusterState(Document):
    """What is known of one cluster across runs; counts of files are totals and never fall."""

    last_success_at: AwareDatetime | None = Field(
        default=None, description="end of the last run that found nothing wrong with it"
    )
    files: int = 0
    added: int = 0
    modified: int = 0
    deleted: int = 0
    quarantined: int = Field(default=0, description="keys, in the last run that listed it")
    deletions_refused: int = 0
    over_limit: bool = Field(default=False, description="the last run did not take it: a flood")
    missing: bool = Field(default=False, description="the bucket holds nothing of it any more")
    newest_object_at: AwareDatetime | None = None


class State(Document):
    """sync-metadata.json: public, versioned; read by health, serve, and the next report."""

    schema_version: Literal[1] = 1
    identity: str
    last_run: RunResult
    last_success: LastSuccess | None
    consecutive_failures: int = Field(default=0, description="newest runs that did not exit 0")
    listed: dict[str, AwareDatetime] = Field(description="newest published listing per cluster")
    clusters: dict[str, ClusterState] = {}
    counters: Counters
