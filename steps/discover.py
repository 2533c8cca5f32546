"""discover: which clusters there are, what Git holds of them, and how the work is shared out."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steps import logs
from steps.baselines import write_baselines
from steps.clients.object_store import ObjectStore
from steps.contracts import ARTIFACTS, BaselineHeader, Run, RunStart, Shard
from steps.core.keys import Reason, escaped, rejection
from steps.errors import FixConfiguration, SyncError
from steps.rowfile import write_rows
from steps.volume import atomic_file, remove, write_document

if TYPE_CHECKING:
    from pathlib import Path

    from steps.settings import Settings
    from steps.volume import Volume

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SAMPLE = 20


def discover(settings: Settings, volume: Volume, start: RunStart) -> Run:
    """Find the run's clusters in bucket and Git, and write their baselines; run.json comes last."""
    volume.prune()
    files = volume.run(start.run_id)
    remove(files.root)  # a retried discover begins anew: old manifests must not meet new baselines
    with logs.timed() as elapsed:
        store = ObjectStore(settings)
        try:
            in_bucket, strays = _clusters_in_bucket(store, settings.minio_prefix)
        except SyncError as problem:
            problem.data = {"endpoint": store.endpoint, "bucket": store.bucket}
            raise
    logs.info(
        "minio_connect",
        "Connected to MinIO",
        took=elapsed(),
        endpoint=store.endpoint,
        bucket=store.bucket,
    )

    with logs.timed() as elapsed:
        held = write_baselines(settings, volume, files)
    if not settings.download_only:
        logs.info("git_clone", "Read the branch", took=elapsed(), branch=settings.git_branch, base=held.base)
        if held.base is None:
            logs.warning("git_clone", f"There is no branch {settings.git_branch} yet: it will be made")

    with logs.timed() as elapsed:
        clusters = _selected(settings, store, in_bucket, held.clusters)
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
            narrowed=start.narrowed,
            endpoint=store.endpoint,
            bucket=store.bucket,
            bucket_prefix=settings.minio_prefix,
            repository=settings.git_repository or "",
            git_path=settings.git_path,
            branch=None if settings.download_only else settings.git_branch,
            base=held.base,
            selection=settings.selection,
            limits=settings.limits,
            allow_delete=settings.allow_delete,
            max_object_bytes=settings.max_object_bytes,
            shards=_shards(sorted(clusters), settings.max_shards),
            clusters_left_out=len(in_bucket - clusters),
            obstructed=tuple(sorted(clusters & held.plain_files)),
            quarantined=dict(Counter(reason.value for _, reason in strays)),
            quarantined_sample=tuple(escaped(name) for name, _ in strays[:_SAMPLE]),
            finished_at=datetime.now(UTC),
        )
        _write_shards(files.shards, run.shards)
        write_document(files.run, run)
    logs.info(
        "discover",
        f"Found {len(clusters)} clusters",
        took=elapsed(),
        run=run.run_id,
        clusters=sorted(map(escaped, clusters)),
        only_in_bucket=sorted(map(escaped, clusters - held.clusters)),
        only_in_git=sorted(map(escaped, clusters - in_bucket)),
        shards=len(run.shards),
    )
    for name, reason in strays:
        logs.debug("discover", "Key quarantined", reason=reason, key=escaped(name))
    if strays:
        logs.warning(
            "discover",
            "Keys outside every cluster are quarantined",
            reasons=run.quarantined,
            keys=run.quarantined_sample,
        )
    return run


def _clusters_in_bucket(store: ObjectStore, prefix: str) -> tuple[set[str], list[tuple[str, Reason]]]:
    """Return the names that may be clusters, and what lies beside them that may not."""
    directories, keys = store.children(prefix)
    names: set[str] = set()
    strays = [(key, Reason.NO_CLUSTER) for key in keys]
    for name in directories:
        if reason := Reason.NO_CLUSTER if name == ARTIFACTS else rejection(name):
            strays.append((f"{prefix}{name}/", reason))
        else:
            names.add(name)
    return names, strays


def _selected(settings: Settings, store: ObjectStore, in_bucket: set[str], in_git: set[str]) -> set[str]:
    """Return the run's clusters. FixConfiguration if there are none, naming what there is."""
    here = f"under {settings.minio_prefix!r} in bucket {store.bucket!r}"
    clusters = {name for name in in_bucket | in_git if settings.selection.has_cluster(name)}
    if not clusters and in_bucket:
        there = ", ".join(sorted(map(escaped, in_bucket)))
        raise FixConfiguration("discover", "CLUSTERS matches no cluster", f"{here} there are: {there}")
    if not in_bucket:
        prefixes = ", ".join(map(escaped, store.prefixes())) or "nothing"
        advice = f"nothing {here}, which holds: {prefixes}; check MINIO_BUCKET and MINIO_PREFIX"
        if not clusters:
            raise FixConfiguration("discover", "Failed to find any cluster", advice)
        logs.warning("discover", "The bucket holds no cluster", error=advice)
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
