"""discover: which clusters there are, what Git holds of them, and how the work is shared out."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from steps.clients.s3.store import ObjectStore
from steps.contracts import ARTIFACTS, BaselineHeader, Run, RunStart, Shard
from steps.core.keys import Reason, printable, rejection
from steps.core.operations import Operation
from steps.core.sorted_join import OutOfOrder
from steps.errors import FixConfiguration, SyncError, TryAgain
from steps.planning.baselines import write_baselines
from steps.runtime import logs
from steps.workdir.files import atomic_file, remove, write_document
from steps.workdir.rowfile import Damaged, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from steps.runtime.settings.reading import Settings
    from steps.workdir.volume import Volume

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SAMPLE = 20


def discover(settings: Settings, volume: Volume, start: RunStart) -> Run:
    """Find the run's clusters in bucket and Git, and write their baselines; run.json comes last."""
    volume.prune()
    files = volume.files(start.run_id)
    remove(files.root)  # a retried discover begins anew: old manifests must not meet new baselines
    with logs.timed() as elapsed:
        store = ObjectStore(settings.s3)
        try:
            found = _look_around(settings, store)
        except SyncError as problem:
            problem.data = {"endpoint": store.endpoint, "bucket": store.bucket}
            raise
    logs.info(
        Operation.MINIO_CONNECT,
        "Connected to MinIO",
        took=elapsed(),
        endpoint=store.endpoint,
        bucket=store.bucket,
    )

    with logs.timed() as elapsed:
        try:
            held = write_baselines(settings, volume, files)
        except (Damaged, OutOfOrder) as problem:
            volume.remove_caches()  # which are all that was read here; without them it can be done as well
            raise TryAgain(
                Operation.DISCOVER, "A damaged cache was thrown away", "what it held is fetched"
            ) from problem
    if not settings.git.download_only:
        logs.info(
            Operation.GIT_CLONE, "Read the branch", took=elapsed(), branch=settings.git.branch, base=held.base
        )
        if held.base is None:
            logs.warning(
                Operation.GIT_CLONE, f"There is no branch {settings.git.branch} yet: it will be made"
            )

    with logs.timed() as elapsed:
        new = _new_clusters(settings, found, held.clusters)
        clusters = _selected(settings, store, found, held.clusters | new.taken)
        for name in clusters - held.clusters:
            write_rows(
                files.baseline(name), BaselineHeader(identity=settings.identity, cluster=name, tree=""), ()
            )
        run = Run(
            run_id=start.run_id,
            started_at=start.started_at,
            identity=start.identity,
            mode=start.mode,
            dry_run=start.dry_run,
            filtered_by_options=start.filtered_by_options,
            endpoint=store.endpoint,
            bucket=store.bucket,
            bucket_prefix=settings.s3.prefix,
            repository=settings.git.repository,
            git_path=settings.git.path,
            branch=None if settings.git.download_only else settings.git.branch,
            base=held.base,
            selection=settings.sync.selection,
            deletion_limits=settings.guards.limits,
            allow_delete=settings.guards.allow_delete,
            max_object_bytes=settings.sync.max_object_bytes,
            shards=_shards(sorted(clusters), settings.sync.max_shards),
            intake_limits=settings.intake.limits,
            clusters_excluded=found.left_out + new.skipped,
            clusters_skipped=new.skipped,
            clusters_skipped_sample=new.sample,
            clusters_blocked_by_file=tuple(sorted(clusters & held.plain_files)),
            quarantined=dict(found.strays),
            quarantined_sample=tuple(found.strays_sample),
            finished_at=datetime.now(UTC),
        )
        _write_shards(files.shards, run.shards)
        write_document(files.run_document, run)
    logs.info(
        Operation.DISCOVER,
        f"Found {len(clusters)} clusters",
        took=elapsed(),
        run=run.run_id,
        clusters=sorted(map(printable, clusters)),
        only_in_bucket=sorted(map(printable, clusters - held.clusters)),
        only_in_git=sorted(map(printable, held.clusters - found.clusters)) if found.is_whole else [],
        shards=len(run.shards),
    )
    if new.skipped:
        logs.error(
            Operation.DISCOVER,
            "New clusters skipped: over MAX_CLUSTERS",
            f"there are more than MAX_CLUSTERS={settings.intake.max_clusters}; clusters in Git go on. "
            "To sync the new ones, raise MAX_CLUSTERS",
            clusters=new.skipped,
            names=new.sample,
        )
    if found.strays:
        logs.warning(
            Operation.DISCOVER,
            "Keys outside every cluster are quarantined",
            reasons=run.quarantined,
            keys=run.quarantined_sample,
        )
    return run


@dataclass
class _Found:
    """What is directly under the prefix, as far as it has to be known: there may be millions of names.

    ``clusters`` are selected ones, the first of ``count``.
    """

    clusters: set[str] = field(default_factory=set)
    count: int = 0
    left_out: int = 0
    left_out_sample: list[str] = field(default_factory=list)
    strays: Counter[str] = field(default_factory=Counter)
    strays_sample: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return len(self.clusters) == self.count


def _look_around(settings: Settings, store: ObjectStore) -> _Found:
    """Tell the names that may be clusters from what lies beside them."""
    found = _Found()
    for child in store.children(settings.s3.prefix):
        name = child.removesuffix("/")
        if name in {child, ARTIFACTS}:
            reason: Reason | None = Reason.NO_CLUSTER
        else:
            reason = rejection(name)
        if reason:
            key = printable(settings.s3.prefix + child)
            logs.debug(Operation.DISCOVER, "Key quarantined", reason=reason, key=key)
            found.strays[reason.value] += 1
            if len(found.strays_sample) < _SAMPLE:
                found.strays_sample.append(key)
        elif settings.sync.selection.has_cluster(name):
            found.count += 1
            if not settings.intake.max_clusters or found.count <= settings.intake.max_clusters + 1:
                found.clusters.add(name)
        else:
            found.left_out += 1
            if len(found.left_out_sample) < _SAMPLE:
                found.left_out_sample.append(printable(name))
    return found


@dataclass(frozen=True)
class _New:
    """The clusters that Git does not have: those to sync, or at least how many are skipped."""

    taken: frozenset[str] = frozenset()
    skipped: int = 0
    sample: tuple[str, ...] = ()


def _new_clusters(settings: Settings, found: _Found, in_git: set[str]) -> _New:
    """Take all that are new, or none: which of a flood of names is one, nobody can tell."""
    new = found.clusters - in_git
    if (
        not settings.intake.max_clusters
        or max(found.count, len(in_git) + len(new)) <= settings.intake.max_clusters
    ):
        return _New(frozenset(new))
    unseen = found.count - len(found.clusters) - len(in_git - found.clusters)
    return _New(skipped=len(new) + max(0, unseen), sample=tuple(islice(sorted(map(printable, new)), _SAMPLE)))


def _selected(settings: Settings, store: ObjectStore, found: _Found, clusters: set[str]) -> set[str]:
    """Return the run's clusters. FixConfiguration if there are none, naming what there is."""
    here = f"under {settings.s3.prefix!r} in bucket {store.bucket!r}"
    if not clusters and not found.count and found.left_out:
        there = ", ".join(found.left_out_sample) + (" …" if found.left_out > _SAMPLE else "")
        raise FixConfiguration(
            Operation.DISCOVER, "CLUSTERS matches no cluster", f"{here} there are: {there}"
        )
    if not found.count and not found.left_out:
        prefixes = ", ".join(map(printable, store.prefixes())) or "nothing"
        advice = f"nothing {here}, which holds: {prefixes}; check MINIO_BUCKET and MINIO_PREFIX"
        if not clusters:
            raise FixConfiguration(Operation.DISCOVER, "Failed to find any cluster", advice)
        logs.warning(Operation.DISCOVER, "The bucket holds no cluster", error=advice)
    return clusters


def _shards(clusters: list[str], most: int) -> tuple[Shard, ...]:
    """Share the clusters out: one each, or in turn once there are more than ``most``."""
    bins = [clusters[index::most] for index in range(min(most, len(clusters)))]
    return tuple(
        Shard(index=index, label=_label(index, names), clusters=tuple(names))
        for index, names in enumerate(bins)
    )


def _write_shards(path: Path, shards: tuple[Shard, ...]) -> None:
    """Write what Argo fans out over. No names: what it hands on, it pastes into templates as text."""
    with atomic_file(path) as out:
        out.write(json.dumps([{"index": shard.index, "label": shard.label} for shard in shards]).encode())


def _label(index: int, clusters: list[str]) -> str:
    """Name a shard for the Argo UI: template substitution is textual, so only harmless names."""
    if len(clusters) == 1 and _DNS_LABEL.fullmatch(clusters[0]):
        return clusters[0]
    return f"shard-{index}"
