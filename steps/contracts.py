"""The documents that the steps exchange, and the public state file.

Small documents are JSON: frozen models with a schema version that refuse unknown fields. Streams of rows
(one per object) are row files, see ``steps.workdir.rowfile``. docs/contracts.md describes all of them;
docs/sync-metadata.schema.json is generated from ``State``.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from steps.core.approvals import Argo, Origin
from steps.core.branch_guard import LostBranch
from steps.core.counters import Counters
from steps.core.deletion_guard import Decision, DeletionLimits
from steps.core.filters import Selection
from steps.core.git_objects import Change
from steps.core.grace import PendingDeletion
from steps.core.intake_limits import Excess, IntakeLimits
from steps.core.keys import Reason
from steps.core.namespaces import VanishedNamespace
from steps.core.operations import Operation
from steps.kubernetes.change_summary import ChangeSummary
from steps.kubernetes.policy import Policy
from steps.kubernetes.secret_filter import SecretsMode

# The directory of the artifact repository in which Argo keeps the files of the pipeline's runs. If that
# repository is the root of the backups' bucket, this directory is not a cluster.
ARTIFACTS = "git-sync-artifacts"


class Document(BaseModel):
    """Base of every document: immutable, and refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Mode(StrEnum):
    """SYNC_MODE: trust the cache where Git confirms it, or fetch and compare everything."""

    INCREMENTAL = "incremental"
    FULL = "full"


class Shard(Document):
    """The clusters that one download step processes. ``label`` is its name in Argo."""

    index: int
    label: str
    clusters: tuple[str, ...]


class RunStart(Document):
    """What is known before the first step."""

    schema_version: Literal[1] = 1
    run_id: str
    started_at: AwareDatetime
    identity: str = Field(
        description="hash of bucket, repository and branch: which sync the cache and the state belong to"
    )
    mode: Mode
    dry_run: bool
    filtered_by_options: bool = Field(
        description="--clusters, --namespaces or --exclude was given: the run says nothing about the rest"
    )
    filter_options: dict[str, str] = Field(
        default={}, description="--clusters, --namespaces and --exclude, as far as they were given"
    )
    argo: Argo | None = Field(default=None, description="where the pipeline is; null outside Argo")


class LastPush(Document):
    """The last commit that git-sync pushed to a branch."""

    schema_version: Literal[1] = 1
    repository: str
    branch: str
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")


class Run(RunStart):
    """One run's configuration: written once by discover and read by every later step."""

    endpoint: str
    bucket: str
    bucket_prefix: str
    repository: str = Field(description="empty in download-only mode")
    git_path: str
    branch: str | None = Field(description="None in download-only mode")
    base: str | None = Field(
        pattern=r"^[0-9a-f]{40}$", description="commit of the baselines; None if the branch does not exist"
    )
    required_commit: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{40}$", description="the last pushed commit; None if unknown"
    )
    replaces: str | None = Field(default=None, description="the last pushed commit, if its loss is approved")
    selection: Selection
    deletion_limits: DeletionLimits
    intake_limits: IntakeLimits
    allow_delete: tuple[str, ...]
    delete_grace: timedelta = Field(
        default=timedelta(), description="how long a file must be missing before it is deleted"
    )
    max_object_bytes: int
    policy: Policy = Field(
        default=Policy(), description="VOLATILE_FIELDS, and the built-in rules with those of RULES_FILE"
    )
    shards: tuple[Shard, ...]
    clusters_excluded: int = Field(description="clusters that the filters or MAX_CLUSTERS exclude")
    clusters_skipped: int = Field(description="new clusters that MAX_CLUSTERS excludes (a lower bound)")
    clusters_skipped_sample: tuple[str, ...]
    clusters_only_in_git_skipped: int = Field(default=0, description="the same, only in Git")
    clusters_only_in_git_sample: tuple[str, ...] = ()
    clusters_blocked_by_file: tuple[str, ...] = Field(description="clusters whose directory is a file in Git")
    quarantined: dict[str, int] = Field(description="keys outside every cluster, by reason")
    quarantined_sample: tuple[str, ...]
    finished_at: AwareDatetime = Field(description="end of discover")

    @property
    def clusters(self) -> tuple[str, ...]:
        """Every cluster of the run, in the byte order of their paths ("a-b/" before "a/")."""
        names = (name for shard in self.shards for name in shard.clusters)
        return tuple(sorted(names, key=lambda name: f"{name}/".encode()))

    @property
    def origin(self) -> Origin:
        """What the approval of a refusal must repeat."""
        return _origin(self)

    @property
    def download_only(self) -> bool:
        """Whether there is no Git repository and WORK_DIR itself is the result."""
        return self.branch is None


class ClusterFailure(Document):
    """Why a cluster has no manifest."""

    schema_version: Literal[1] = 1
    cluster: str
    operation: Operation
    error: str
    transient: bool
    over_limit: Excess | None = Field(
        default=None, description="the intake limit that the cluster exceeds; None if it failed"
    )


def _origin(run: Run | RunResult) -> Origin:
    return Origin(run.argo, run.branch, run.mode is Mode.FULL, run.filter_options)


class StepWork(Document):
    """When a download process worked."""

    schema_version: Literal[1] = 1
    started_at: AwareDatetime
    finished_at: AwareDatetime


class Status(StrEnum):
    """The result of one cluster."""

    OK = "ok"
    FAILED = "failed"
    REFUSED = "refused"
    KEPT = "kept"
    OVER_LIMIT = "over_limit"
    SUPERSEDED = "superseded"


class ForeignFile(Document):
    """A file in Git that the bucket lacks and that no run has written."""

    path: str = Field(description="<cluster>/<rest>")
    oid: str = Field(description="blob id")
    removed: bool = Field(default=False, description="whether the run removed it (FOREIGN_FILES=remove)")


class ClusterResult(Document):
    """One cluster in a run's result. Counts are files unless the description says otherwise."""

    name: str
    status: Status
    files: int = Field(default=0, description="files in Git after the run")
    added: int = 0
    modified: int = 0
    deleted: int = 0
    accepted: int = Field(default=0, description="objects of the bucket that are in Git after the run")
    fetched: int = Field(default=0, description="objects downloaded")
    fetched_bytes: int = Field(default=0, description="bytes downloaded")
    rewritten: int = Field(default=0, description="downloaded objects of which volatile fields were cut")
    cut_bytes: int = Field(default=0, description="bytes that were cut")
    kept_exactly: int = Field(default=0, description="downloaded objects that cannot be rewritten with proof")
    omitted: int = Field(default=0, description="objects that the rules omit")
    decision: Decision = Field(default=Decision.DELETE, description="the deletion guard's decision")
    deletions_refused: int = 0
    deletions_refused_sample: tuple[str, ...] = Field(
        default=(), description="the first 20 paths of the refused deletions"
    )
    allow_delete: str | None = Field(
        default=None, description="value of --allow-delete that approves the refused deletions"
    )
    allowed_deletion: str | None = Field(
        default=None, description="token of the deletions that --allow-delete approved and the run made"
    )
    deletions_pending: int = Field(default=0, description="missing files that wait for DELETE_GRACE")
    deletions_pending_sample: tuple[PendingDeletion, ...] = Field(
        default=(), description="the first 20 of them"
    )
    vanished_namespaces: int = Field(
        default=0, description="namespaces that the bucket no longer contains, with at least 5 files in Git"
    )
    vanished_namespaces_sample: tuple[VanishedNamespace, ...] = Field(
        default=(), description="the first 20 of them"
    )
    over_limit: Excess | None = Field(default=None, description="the intake limit that the cluster exceeds")
    quarantined: dict[str, int] = Field(default={}, description="keys by reason")
    quarantined_sample: tuple[str, ...] = Field(default=(), description="the first 20 quarantined keys")
    removed_by_policy: int = Field(
        default=0,
        description="deleted files of objects that the bucket has, but SECRETS or VOLATILE_FIELDS omit",
    )
    secrets: int = Field(default=0, description="Secrets that this run has fetched and redacted or excluded")
    secret_paths: int = Field(
        default=0, description="if SECRETS is not set: files in Git whose path names Secrets"
    )
    excluded_in_git: int = Field(
        default=0, description="files in Git that match EXCLUDE or NAMESPACES, and stay as they are"
    )
    excluded_in_git_sample: tuple[str, ...] = Field(default=(), description="the first 20 of them")
    changes_deferred: int = Field(
        default=0, description="changes that this run could not make and the next run makes"
    )
    unavailable_sample: tuple[str, ...] = Field(
        default=(), description="the first 20 objects that the store does not return: key and reason"
    )
    refused_by_host: int = Field(default=0, description="changes that the Git host refuses")
    foreign: tuple[ForeignFile, ...] = Field(
        default=(), description="files that no run has written; FOREIGN_FILES keeps or removes them"
    )
    listed_at: AwareDatetime | None = Field(default=None, description="start of the listing")
    newest_object_at: AwareDatetime | None = Field(
        default=None, description="newest modification time in the listing"
    )
    operation: Operation | None = Field(default=None, description="the operation that failed")
    error: str | None = None
    transient: bool = Field(default=False, description="whether a retry may succeed")

    @property
    def secrets_unreadable(self) -> int:
        """Number of objects that may contain a Secret, and that are not in Git for this reason."""
        return self.quarantined.get(Reason.SECRET_UNREADABLE, 0)

    @property
    def processed(self) -> bool:
        """Whether the cluster's listing is complete and its changes are in the commit."""
        return self.status in {Status.OK, Status.REFUSED, Status.KEPT}

    @property
    def suggested_approval(self) -> str | None:
        """The value of --allow-delete to suggest; None if the guard refused nothing.

        Also None for an empty bucket: usually a setting is wrong, and the approval would empty Git.
        """
        return None if self.decision is Decision.REFUSED_EMPTY_BUCKET else self.allow_delete

    @property
    def files_before(self) -> int:
        """Number of files in Git before the run."""
        return self.files - self.added + self.deleted


class RefusedObject(Document):
    """A change that the Git host refuses. Later runs skip it until the object changes."""

    path: str = Field(description="<cluster>/<rest of the key>")
    change: Change = Field(description="A new, M modified, D deleted")
    oid: str = Field(description="blob id of the refused content; for a deletion, of the file")
    since: AwareDatetime = Field(description="start of the run in which the host refused it")
    host_message: str = Field(description="the host's message; empty after the first 20 objects of a run")

    @property
    def cluster(self) -> str:
        """The name of its cluster."""
        return self.path.partition("/")[0]


class Verdict(Document):
    """What detect decided: the counts that belong to the plan."""

    schema_version: Literal[1] = 1
    run_id: str
    started_at: AwareDatetime
    finished_at: AwareDatetime
    clusters: tuple[ClusterResult, ...]


class Outcome(StrEnum):
    """The result of a run."""

    SUCCESS = "success"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAILED = "failed"


class RunResult(Document):
    """The result of a run, written by publish and read by report; also in sync-metadata.json."""

    schema_version: Literal[1] = 1
    run_id: str
    identity: str
    started_at: AwareDatetime
    finished_at: AwareDatetime
    outcome: Outcome
    exit_code: int = Field(description="the most severe of exit_codes")
    exit_codes: tuple[int, ...] = Field(description="every exit code that applies")
    mode: Mode
    dry_run: bool = False
    filtered_by_options: bool = Field(
        default=False,
        description="--clusters, --namespaces or --exclude was given: the run says nothing about the rest",
    )
    filter_options: dict[str, str] = Field(
        default={}, description="--clusters, --namespaces and --exclude, as far as they were given"
    )
    argo: Argo | None = Field(default=None, description="where the pipeline is; null outside Argo")
    branch: str | None = Field(default=None, description="null in download-only mode")
    commit: str | None = Field(default=None, description="the commit of this run; null if nothing changed")
    last_push: LastPush | None = Field(
        default=None, description="the commit that the branch must contain from now on"
    )
    lost_branch: LostBranch | None = Field(
        default=None, description="the branch has lost the last pushed commit"
    )
    push_attempts: int = 0
    clusters_added: tuple[str, ...] = ()
    clusters_removed: tuple[str, ...] = ()
    clusters: tuple[ClusterResult, ...] = ()
    clusters_skipped: int = Field(
        default=0, description="new clusters that MAX_CLUSTERS excludes (a lower bound)"
    )
    clusters_skipped_sample: tuple[str, ...] = ()
    clusters_only_in_git_skipped: int = Field(default=0, description="the same, only in Git")
    clusters_only_in_git_sample: tuple[str, ...] = ()
    quarantined: dict[str, int] = Field(default={}, description="keys outside every cluster, by reason")
    quarantined_sample: tuple[str, ...] = ()
    refused_by_host: tuple[RefusedObject, ...] = Field(
        default=(), description="the first 1,000 changes that the Git host refuses, by path"
    )
    secrets: SecretsMode | None = Field(
        default=None,
        description="the setting SECRETS; null if not set",
    )
    changes: ChangeSummary = ChangeSummary()
    step_seconds: dict[str, float] = Field(
        default={}, description="duration by step; the sum is the duration of the run"
    )
    work_seconds: dict[str, float] = Field(
        default={}, description="by step: its duration without waiting for pods"
    )
    operation: Operation | None = Field(default=None, description="the operation that ended the run")
    error: str | None = Field(default=None, description="why the run failed as a whole")

    @property
    def origin(self) -> Origin:
        """What the approval of a refusal must repeat."""
        return _origin(self)

    @property
    def duration_seconds(self) -> float:
        """From the start of the run to the end of its last step; the two clocks may differ."""
        return max(0.0, (self.finished_at - self.started_at).total_seconds())

    @property
    def processed(self) -> tuple[ClusterResult, ...]:
        """The processed clusters."""
        return tuple(cluster for cluster in self.clusters if cluster.processed)

    @property
    def approvals(self) -> tuple[str, ...]:
        """The values of --allow-delete to suggest."""
        return tuple(filter(None, (cluster.suggested_approval for cluster in self.clusters)))

    @property
    def files_changed(self) -> int:
        """Number of new, modified and deleted files."""
        return sum(c.added + c.modified + c.deleted for c in self.processed)


class ClearSecrets(Document):
    """The first commit that is known to contain Secrets in clear text."""

    commit: str
    at: AwareDatetime = Field(description="end of the run that made it")


class LastSuccess(Document):
    """The last run that exited 0, was not filtered by options and had no superseded cluster."""

    run_id: str
    at: AwareDatetime = Field(description="end of the run")


class ClusterState(Document):
    """One cluster across runs. ``added``, ``modified`` and ``deleted`` never fall."""

    last_success_at: AwareDatetime | None = Field(
        default=None, description="end of the last run in which the cluster had no problem"
    )
    files: int = Field(default=0, description="files in Git")
    added: int = 0
    modified: int = 0
    deleted: int = 0
    quarantined: int = Field(default=0, description="keys, in the last run that listed the cluster")
    secrets: int = Field(default=0, description="Secrets redacted or excluded; it never falls")
    secrets_unreadable: int = Field(
        default=0, description="the same as quarantined, for the reason secret_unreadable"
    )
    secret_paths: int = Field(default=0, description="as in the last result")
    deletions_refused: int = 0
    deletions_pending: int = Field(
        default=0, description="missing files that wait for DELETE_GRACE, in the last run that listed it"
    )
    over_limit: bool = Field(
        default=False, description="the last run skipped the cluster: it exceeds an intake limit"
    )
    refused_by_host: int = Field(
        default=0, description="changes that the Git host refuses, in the last run that processed the cluster"
    )
    foreign: tuple[ForeignFile, ...] = Field(
        default=(),
        description="files in Git that no run has written, in the last run that listed the cluster",
    )
    missing: bool = Field(
        default=False, description="the bucket contains no object of the cluster, but Git contains files"
    )
    kept: bool = Field(
        default=False, description="the same, and CLUSTER_VANISHED=keep keeps the files: it is not missing"
    )
    newest_object_at: AwareDatetime | None = None


class State(Document):
    """sync-metadata.json: public and versioned; read by health, serve, publish and report."""

    schema_version: Literal[1] = 1
    identity: str
    last_run: RunResult | None = Field(
        description="the last run that options did not filter; null before the first one"
    )
    last_filtered_run: RunResult | None = Field(
        default=None, description="the last run that options filtered; null before the first one"
    )
    last_success: LastSuccess | None
    consecutive_failures: int = Field(default=0, description="consecutive runs that did not exit 0")
    listed: dict[str, AwareDatetime] = Field(
        description="by cluster: start of the newest listing that was published"
    )
    clusters: dict[str, ClusterState] = {}
    refused_by_host: tuple[RefusedObject, ...] = Field(
        default=(), description="the changes that the next run skips, because the Git host refuses them"
    )
    last_push: LastPush | None = Field(default=None, description="the commit that the branch must contain")
    lost_branch: LostBranch | None = Field(
        default=None, description="the branch has lost that commit, and no run has continued since"
    )
    clear_secrets: ClearSecrets | None = Field(
        default=None, description="since when Git contains Secrets in clear text"
    )
    counters: Counters

    @property
    def runs(self) -> tuple[RunResult, ...]:
        """The newest runs: the last one, and the last one that options filtered."""
        return tuple(run for run in (self.last_run, self.last_filtered_run) if run)
