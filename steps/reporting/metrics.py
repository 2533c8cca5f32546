"""The state as Prometheus metrics.

Each scrape or push computes them from the cumulative state. No process counts anything, because the process
of a run ends before Prometheus could scrape it. Labels are ``cluster`` and some with few values (``change``,
``step``, ``target``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder, pushadd_to_gateway
from prometheus_client.registry import Collector

from steps import __version__
from steps.clients.http import post
from steps.core.counters import DURATION_BUCKETS, Counters
from steps.core.keys import MAX_SEGMENT_BYTES, printable
from steps.core.operations import Operation
from steps.core.schedule import OVERDUE_FIRINGS, next_firing, shortest_interval, stale_after
from steps.core.source_age import DEFAULT_MAX_SOURCE_AGE, max_age_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from prometheus_client import Metric

    from steps.contracts import ClusterState, RunResult, State
    from steps.runtime.settings.delivery import HealthSettings, PushgatewaySettings


def exposition(
    settings: HealthSettings,
    state: State | None,
    accept: str = "",
    *,
    age_seconds: float = 0.0,
    served_since: datetime | None = None,
) -> tuple[bytes, str]:
    """Return all metrics and their content type; ``accept`` is the Accept header of the scraper."""
    encode, content_type = choose_encoder(accept)
    return encode(_registry(settings, state, age_seconds, served_since)), content_type


def push(settings: PushgatewaySettings, state: State) -> None:
    """Push all metrics to PUSHGATEWAY_URL. Raises Undelivered.

    The group is job and branch, so that the next run replaces the metrics of this one. A metric that this
    state lacks (an earlier success) keeps its pushed value.
    """
    branch = {} if settings.download_only else {"branch": settings.branch}
    pushadd_to_gateway(
        settings.url,
        job=settings.job,
        registry=_registry(settings, state),
        grouping_key=branch,
        handler=_sender(settings),
    )


def _sender(settings: PushgatewaySettings) -> Callable[..., Callable[[], None]]:
    def handler(
        url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        del method, timeout  # pushadd is a POST; post() has its own timeouts
        password = settings.password
        name = settings.username
        return lambda: post(
            url,
            data,
            dict(headers),
            credentials=(name, password.get_secret_value() if password else "") if name else None,
            ca_file=settings.ca_file,
            proxy=settings.proxy_to(url),
        )

    return handler


def _registry(
    settings: HealthSettings,
    state: State | None,
    age_seconds: float | None = None,
    served_since: datetime | None = None,
) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Collector(settings, state, age_seconds, served_since))
    return registry


class _Collector(Collector):
    def __init__(
        self,
        settings: HealthSettings,
        state: State | None,
        age_seconds: float | None,
        served_since: datetime | None,
    ) -> None:
        self._settings = settings
        self._state = state
        self._age_seconds = age_seconds
        self._served_since = served_since

    def collect(self) -> Iterator[Metric]:
        yield from _totals(self._state.counters if self._state else Counters())
        version = {(__version__,): 1.0}
        yield _gauge("build_info", "Constant 1, labelled with git-sync's version.", version, "version")
        if self._age_seconds is not None:
            text = "Seconds since `serve` could last read the state; 0 while it can."
            yield _gauge("state_age_seconds", text, self._age_seconds)
        yield from _schedule(self._settings, self._state, self._served_since)
        if self._state is None:
            return
        if self._state.last_run:
            yield from _last_run(self._state.last_run)
        if self._state.last_filtered_run:
            yield from _last_filtered_run(self._state.last_filtered_run)
        yield _gauge(
            "consecutive_failures", "Consecutive runs that did not exit 0.", self._state.consecutive_failures
        )
        lost = self._state.lost_branch is not None
        yield _gauge("branch_lost", "1 if the branch has lost the last pushed commit.", lost)
        if self._state.last_success:
            at = self._state.last_success.at
            yield _gauge("last_success_timestamp", "When the last successful run ended.", at.timestamp())
        yield from _clusters(self._state.clusters, self._state.listed)
        max_ages = (*self._settings.source_max_age, ("*", DEFAULT_MAX_SOURCE_AGE))
        ages = {(_label(name),): age for name in self._state.clusters if (age := max_age_of(name, max_ages))}
        if ages:
            seconds = {label: age.total_seconds() for label, age in ages.items()}
            text = "Maximum age of the cluster's newest object (SOURCE_MAX_AGE; 26 hours without it)."
            yield _gauge("cluster_source_max_age_seconds", text, seconds, "cluster")


def _totals(counters: Counters) -> Iterator[Metric]:
    bounds = map(str, DURATION_BUCKETS)
    yield HistogramMetricFamily(
        "git_sync_duration_seconds",
        "Duration of whole runs.",
        buckets=[*zip(bounds, counters.duration_buckets, strict=True), ("+Inf", counters.runs)],
        sum_value=counters.duration_sum_seconds,
    )
    yield _counter("errors", "Runs that did not exit 0.", counters.errors)
    yield _counter("files_processed", "Objects that runs synced to Git.", counters.files_processed)
    yield _counter("bytes_downloaded", "Bytes downloaded from the bucket.", counters.bytes_downloaded)
    rewritten, kept = counters.objects_rewritten, counters.objects_kept_exactly
    yield _counter("objects_rewritten", "Downloaded objects of which volatile fields were cut.", rewritten)
    yield _counter("objects_kept_exactly", "Downloaded objects that cannot be rewritten with proof.", kept)
    yield _counter("bytes_cut", "Bytes of volatile fields that were cut.", counters.bytes_cut)
    yield _counter("push_attempts", "Attempts to push to the Git remote.", counters.push_attempts)
    yield _counter("push_failures", "Runs that could not push their commit.", counters.push_failures)
    undelivered = {
        ("pushgateway",): float(counters.pushgateway_errors),
        ("webhook",): float(counters.webhook_errors),
    }
    yield _counter("delivery_errors", "Reports that did not reach their target.", undelivered, "target")


def _last_run(run: RunResult) -> Iterator[Metric]:
    yield _gauge("clusters_backed_up", "Clusters that the last run processed.", len(run.processed))
    yield _gauge("last_run_timestamp_seconds", "When the last run ended.", run.finished_at.timestamp())
    yield _gauge("last_run_duration_seconds", "Duration of the last run.", run.duration_seconds)
    yield _gauge("last_run_exit_code", "Exit code of the last run.", run.exit_code)
    push_failed = run.operation == Operation.GIT_PUSH
    yield _gauge("last_run_push_failed", "1 if the last run could not push its commit.", push_failed)
    objects = {(change,): float(count) for change, count in vars(run.changes.objects).items()}
    yield _gauge("last_run_objects_changed", "Objects that the last run changed.", objects, "change")
    new = run.clusters_skipped
    yield _gauge("new_clusters_skipped", "New clusters that MAX_CLUSTERS excludes (a lower bound).", new)
    outside = sum(run.quarantined.values())
    yield _gauge("keys_outside_clusters", "Quarantined keys outside every cluster.", outside)
    if run.step_seconds:
        steps = {(step,): seconds for step, seconds in run.step_seconds.items()}
        yield _gauge("step_duration_seconds", "Duration of each step of the last run.", steps, "step")


def _last_filtered_run(run: RunResult) -> Iterator[Metric]:
    ended = run.finished_at.timestamp()
    yield _gauge("last_filtered_run_timestamp_seconds", "When the last run with filter options ended.", ended)
    code = run.exit_code
    yield _gauge("last_filtered_run_exit_code", "Exit code of the last run with filter options.", code)


def _schedule(
    settings: HealthSettings, state: State | None, served_since: datetime | None
) -> Iterator[Metric]:
    """When runs are due. Computed here because PromQL cannot evaluate a cron expression.

    Before the first success, it is overdue from some time after ``served_since``: an installation whose
    schedule never fires has no run that could report it.
    """
    schedule, timezone = settings.schedule, settings.timezone
    if schedule and state and state.last_run:
        began = state.last_run.started_at
        due = next_firing(began, schedule, timezone)
        yield _gauge("next_run_timestamp_seconds", "When the next run is due.", due.timestamp())
        interval = shortest_interval(began, schedule, timezone).total_seconds()
        yield _gauge("expected_interval_seconds", "Shortest time between two scheduled runs.", interval)
    since = state.last_success.at if state and state.last_success else served_since
    if since:
        overdue = stale_after(
            since,
            max_age=settings.max_age,
            schedule=schedule,
            timezone=timezone,
            firings=OVERDUE_FIRINGS,
        )
        yield _gauge("overdue_timestamp_seconds", "When the next success is overdue.", overdue.timestamp())


_CLUSTER_GAUGES: tuple[tuple[str, str, Callable[[ClusterState], float | None]], ...] = (
    (
        "last_success_timestamp_seconds",
        "When the last run ended in which the cluster had no problem.",
        lambda cluster: _seconds(cluster.last_success_at),
    ),
    (
        "newest_object_timestamp_seconds",
        "When the cluster's newest object was written to the bucket.",
        lambda cluster: _seconds(cluster.newest_object_at),
    ),
    ("files", "Files of the cluster in Git.", lambda cluster: cluster.files),
    ("quarantined_keys", "Quarantined keys of the cluster.", lambda cluster: cluster.quarantined),
    (
        "secrets_unreadable",
        "Files of the cluster that may contain a Secret and cannot be read; Git does not have them.",
        lambda cluster: cluster.secrets_unreadable,
    ),
    (
        "secret_paths",
        "Files of the cluster in Git whose path names Secrets, if SECRETS is not set.",
        lambda cluster: cluster.secret_paths,
    ),
    (
        "deletions_refused",
        "Deletions that a guard refused in the last run.",
        lambda cluster: cluster.deletions_refused,
    ),
    (
        "deletions_pending",
        "Missing files of the cluster that wait for DELETE_GRACE.",
        lambda cluster: cluster.deletions_pending,
    ),
    (
        "over_limit",
        "1 if the last run skipped the cluster because it exceeds an intake limit.",
        lambda cluster: cluster.over_limit,
    ),
    (
        "refused_by_host",
        "Changes of the cluster that the Git host refused in the last run.",
        lambda cluster: cluster.refused_by_host,
    ),
    (
        "missing",
        "1 if the bucket contains no object of the cluster, unless it is kept.",
        lambda cluster: cluster.missing,
    ),
    (
        "kept",
        "1 if the bucket contains no object of the cluster, and CLUSTER_VANISHED=keep keeps its files.",
        lambda cluster: cluster.kept,
    ),
)


def _clusters(clusters: Mapping[str, ClusterState], listed: Mapping[str, datetime]) -> Iterator[Metric]:
    # The time to compare the newest object with: until the next run, the state does not change.
    listed_at = {(_label(name),): at.timestamp() for name, at in listed.items() if name in clusters}
    if listed_at:
        text = "When the newest processed listing of the cluster started."
        yield _gauge("cluster_listed_timestamp_seconds", text, listed_at, "cluster")
    for name, text, value in _CLUSTER_GAUGES:
        found = ((cluster, value(known)) for cluster, known in clusters.items())
        values = {(_label(cluster),): float(at) for cluster, at in found if at is not None}
        if values:
            yield _gauge(f"cluster_{name}", text, values, "cluster")
    changed = {
        (_label(name), change): float(getattr(known, change))
        for name, known in clusters.items()
        for change in ("added", "modified", "deleted")
    }
    if changed:
        yield _counter(
            "cluster_files_changed", "Files of the cluster changed in Git.", changed, "cluster", "change"
        )
    hidden = {(_label(name),): float(known.secrets) for name, known in clusters.items()}
    if hidden:
        yield _counter("cluster_secrets", "Secrets of the cluster redacted or excluded.", hidden, "cluster")


def _label(cluster: str) -> str:
    """The whole name: truncated names could be equal, and Prometheus rejects duplicates."""
    return printable(cluster, MAX_SEGMENT_BYTES)


def _seconds(at: datetime | None) -> float | None:
    return at.timestamp() if at else None


Values = float | Mapping[Any, float]


def _gauge(name: str, text: str, values: Values, *labels: str) -> Metric:
    return _with_samples(GaugeMetricFamily(f"git_sync_{name}", text, labels=labels), values)


def _counter(name: str, text: str, values: Values, *labels: str) -> Metric:
    return _with_samples(CounterMetricFamily(f"git_sync_{name}", text, labels=labels), values)


def _with_samples(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    for labels, value in values.items() if isinstance(values, Mapping) else (((), values),):
        family.add_metric(labels, value)
    return family
