"""discover: find the clusters, record what Git has of them, and divide the work into shards."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from steps.clients.s3.store import ObjectStore
from steps.contracts import ARTIFACTS, Run, RunStart, Shard
from steps.core.keys import Reason, printable, rejection
from steps.core.operations import Operation
from steps.core.sorted_join import OutOfOrder
from steps.core.wording import SAMPLE_SIZE, plural
from steps.errors import FixConfiguration, TryAgain
from steps.planning.baselines import Baselines, write_baselines
from steps.runtime import logs
from steps.workdir.cache import Caches
from steps.workdir.files import atomic_file, remove, write_document
from steps.workdir.rowfile import Damaged, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import RunFiles, Volume

_INDEX = re.compile(r"(shard-)?[0-9]+")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def discover(settings: Settings, volume: Volume, start: RunStart) -> Run:
    """Find the run's clusters in bucket and Git, and write their baselines; run.json is written last."""
    volume.prune()
    _ = settings.content.policy  # a wrong RULES_FILE or SECRETS_KEY ends the run before any request
    files = volume.files(start.run_id)
    remove(files.root)  # a retried discover starts again: old manifests must not meet new baselines
    store = ObjectStore(settings.s3)
    found = _find_names(settings, store)
    in_git = _read_git(settings, volume, files, found)
    with logs.timed() as elapsed:
        new = _new_clusters(settings, found, in_git.clusters | in_git.skipped)
        clusters = _run_clusters(settings, store, found, in_git.clusters | new.taken)
        for name in clusters - in_git.clusters:
            header = Caches(volume, settings.identity, settings.content.policy.digest).header(name)
            write_rows(files.baseline(name), header, ())
        run = _run(settings, start, store=store, found=found, new=new, in_git=in_git, clusters=clusters)
        _write_shards(files.shards, run.shards)
        write_document(files.run_document, run)
    _log_clusters(settings, run, found, in_git, elapsed())
    return run


def _run(  # noqa: PLR0913 - everything that discover has found
    settings: Settings,
    start: RunStart,
    *,
    store: ObjectStore,
    found: _Found,
    new: _New,
    in_git: Baselines,
    clusters: set[str],
) -> Run:
    return Run(
        run_id=start.run_id,
        started_at=start.started_at,
        identity=start.identity,
        mode=start.mode,
        dry_run=start.dry_run,
        filtered_by_options=start.filtered_by_options,
        filter_options=start.filter_options,
        argo=start.argo,
        endpoint=store.endpoint,
        bucket=store.bucket,
        bucket_prefix=settings.s3.prefix,
        repository=settings.git.repository,
        git_path=settings.git.path,
        branch=None if settings.git.download_only else settings.git.branch,
        base=in_git.base,
        required_commit=in_git.checked.required_commit,
        replaces=in_git.checked.replaces,
        selection=settings.sync.selection,
        deletion_limits=settings.guards.limits,
        allow_delete=settings.guards.allow_delete,
        delete_grace=settings.guards.delete_grace,
        max_object_bytes=settings.sync.max_object_bytes,
        policy=settings.content.policy,
        shards=_shards(sorted(clusters), settings.sync.max_shards),
        intake_limits=settings.intake.limits,
        clusters_excluded=found.excluded + new.skipped,
        clusters_skipped=new.skipped,
        clusters_skipped_sample=new.sample,
        clusters_only_in_git_skipped=len(in_git.skipped),
        clusters_only_in_git_sample=tuple(islice(sorted(map(printable, in_git.skipped)), SAMPLE_SIZE)),
        clusters_blocked_by_file=tuple(sorted(clusters & in_git.plain_files)),
        quarantined=dict(found.outside),
        quarantined_sample=tuple(found.outside_sample),
        finished_at=datetime.now(UTC),
    )


# -- what the bucket has ----------------------------------------------------------------------


@dataclass
class _Found:
    """The names directly under the prefix. There may be millions, so only samples are kept.

    ``clusters`` are selected ones: the first of ``count``.
    """

    clusters: set[str] = field(default_factory=set)
    count: int = 0
    excluded: int = 0
    excluded_sample: list[str] = field(default_factory=list)
    outside: Counter[str] = field(default_factory=Counter)
    outside_sample: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return len(self.clusters) == self.count


def _find_names(settings: Settings, store: ObjectStore) -> _Found:
    """List the names under the prefix: clusters, excluded clusters, and keys outside every cluster."""
    with logs.timed() as elapsed:
        found = _Found()
        for child in store.children(settings.s3.prefix):
            _add_name(settings, found, child)
    logs.info(
        Operation.MINIO_CONNECT,
        "Connected to MinIO",
        took=elapsed(),
        endpoint=store.endpoint,
        bucket=store.bucket,
    )
    return found


def _add_name(settings: Settings, found: _Found, child: str) -> None:
    name = child.removesuffix("/")
    reason = Reason.NO_CLUSTER if name in {child, ARTIFACTS} else rejection(name)
    if reason:
        key = printable(settings.s3.prefix + child)
        logs.debug(Operation.DISCOVER, "Key quarantined", reason=reason, key=key)
        found.outside[reason.value] += 1
        if len(found.outside_sample) < SAMPLE_SIZE:
            found.outside_sample.append(key)
    elif settings.sync.selection.has_cluster(name):
        found.count += 1
        if not settings.intake.max_clusters or found.count <= settings.intake.max_clusters + 1:
            found.clusters.add(name)
    else:
        found.excluded += 1
        if len(found.excluded_sample) < SAMPLE_SIZE:
            found.excluded_sample.append(printable(name))


# -- what Git has -----------------------------------------------------------------------------


def _read_git(settings: Settings, volume: Volume, files: RunFiles, found: _Found) -> Baselines:
    """Write the baselines of the clusters in Git (in download-only mode: in WORK_DIR)."""
    with logs.timed() as elapsed:
        try:
            in_bucket = found.clusters if found.is_whole else None
            in_git = write_baselines(settings, volume, files, in_bucket)
        except (Damaged, OutOfOrder) as problem:
            # Only caches were read here, and a run does not need them.
            volume.remove_caches()
            raise TryAgain(
                Operation.DISCOVER, "A damaged cache was removed", "the next attempt fetches its content"
            ) from problem
    if settings.git.download_only:
        return in_git
    branch = settings.git.branch
    logs.info(Operation.GIT_CLONE, "Read the branch", took=elapsed(), branch=branch, base=in_git.base)
    if in_git.base is None:
        logs.warning(Operation.GIT_CLONE, f"Branch {branch} does not exist yet; creating it")
    return in_git


# -- the clusters of the run ------------------------------------------------------------------


@dataclass(frozen=True)
class _New:
    """The clusters that Git does not have: those of the run, and the number and names of skipped ones."""

    taken: frozenset[str] = frozenset()
    skipped: int = 0
    sample: tuple[str, ...] = ()


def _new_clusters(settings: Settings, found: _Found, in_git: set[str]) -> _New:
    """Take all new clusters, or none if there are more than MAX_CLUSTERS: no name is better than another."""
    new = found.clusters - in_git
    limit = settings.intake.max_clusters
    if not limit or max(found.count, len(in_git) + len(new)) <= limit:
        return _New(frozenset(new))
    unseen = found.count - len(found.clusters) - len(in_git - found.clusters)
    sample = tuple(islice(sorted(map(printable, new)), SAMPLE_SIZE))
    return _New(skipped=len(new) + max(0, unseen), sample=sample)


def _run_clusters(settings: Settings, store: ObjectStore, found: _Found, clusters: set[str]) -> set[str]:
    """Return the run's clusters. Raises FixConfiguration if there are none, with the names that exist."""
    here = f"under {settings.s3.prefix!r} in bucket {store.bucket!r}"
    where = {"bucket": store.bucket, "prefix": settings.s3.prefix}
    if not clusters and not found.count and found.excluded:
        names = ", ".join(found.excluded_sample) + (" …" if found.excluded > SAMPLE_SIZE else "")
        cause = f"clusters {here}: {names}"
        raise FixConfiguration(Operation.DISCOVER, "CLUSTERS matches no cluster", cause, **where)
    if not found.count and not found.excluded:
        prefixes = ", ".join(map(printable, store.prefixes())) or "none"
        advice = f"no object {here}; its prefixes: {prefixes}; check MINIO_BUCKET and MINIO_PREFIX"
        if not clusters:
            raise FixConfiguration(Operation.DISCOVER, "Failed to find any cluster", advice, **where)
        logs.warning(Operation.DISCOVER, "The bucket contains no cluster", error=advice, **where)
    return clusters


def _log_clusters(settings: Settings, run: Run, found: _Found, in_git: Baselines, took: float) -> None:
    clusters = set(run.clusters)
    logs.info(
        Operation.DISCOVER,
        f"Found {plural(len(clusters), 'cluster')}",
        took=took,
        run=run.run_id,
        clusters=sorted(map(printable, clusters)),
        only_in_bucket=sorted(map(printable, clusters - in_git.clusters)),
        only_in_git=sorted(map(printable, in_git.clusters - found.clusters)) if found.is_whole else [],
        shards=len(run.shards),
    )
    if run.clusters_skipped:
        logs.error(
            Operation.DISCOVER,
            "New clusters skipped: over MAX_CLUSTERS",
            f"there are more than MAX_CLUSTERS={settings.intake.max_clusters}; clusters in Git are still "
            "synced. To sync the new ones, raise MAX_CLUSTERS",
            clusters=run.clusters_skipped,
            names=run.clusters_skipped_sample,
        )
    if run.clusters_only_in_git_skipped:
        logs.error(
            Operation.DISCOVER,
            "Clusters only in Git skipped: over MAX_CLUSTERS",
            f"Git has more than MAX_CLUSTERS={settings.intake.max_clusters} clusters; those that the bucket "
            "lacks keep their files. Remove directories that other users have pushed, or raise MAX_CLUSTERS",
            clusters=run.clusters_only_in_git_skipped,
            names=run.clusters_only_in_git_sample,
        )
    if run.quarantined:
        logs.warning(
            Operation.DISCOVER,
            "Keys outside every cluster are quarantined",
            reasons=run.quarantined,
            keys=run.quarantined_sample,
        )


# -- shards -----------------------------------------------------------------------------------


def _shards(clusters: list[str], most: int) -> tuple[Shard, ...]:
    """Divide the clusters: one per shard, or in turn if there are more than ``most``."""
    bins = [clusters[index::most] for index in range(min(most, len(clusters)))]
    return tuple(
        Shard(index=index, label=_label(index, names), clusters=tuple(names))
        for index, names in enumerate(bins)
    )


def _write_shards(path: Path, shards: tuple[Shard, ...]) -> None:
    """Write the labels that Argo fans out over: of an item that is a text, its UI shows the whole value."""
    with atomic_file(path) as out:
        out.write(json.dumps([shard.label for shard in shards]).encode())


def _label(index: int, clusters: list[str]) -> str:
    """Return a shard's name, for `download --shard` and the Argo UI; it is no index, and no other label.

    Argo pastes it into templates as text, so a cluster's name is used only if it is harmless.
    """
    if len(clusters) == 1 and _DNS_LABEL.fullmatch(clusters[0]) and not _INDEX.fullmatch(clusters[0]):
        return clusters[0]
    return f"shard-{index}"
