"""The cumulative counters behind the metrics, which outlive the processes that count.

A Prometheus counter must never decrease, but every run is a new process. So the totals are part of the
state file, and each run is added to them exactly once.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

# Upper bounds in seconds: from a no-change run of a small bucket to one that misses its schedule.
DURATION_BUCKETS = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)

# How many run ids the state keeps, so that a retried report does not count its run twice.
_REMEMBERED_RUNS = 100


class Counters(BaseModel):
    """Totals since the state was created. ``duration_buckets[i]`` counts runs of at most bound i (le)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: int = Field(default=0, ge=0)
    errors: int = Field(default=0, ge=0)
    files_processed: int = Field(default=0, ge=0)
    duration_sum_seconds: float = Field(default=0.0, ge=0)
    duration_buckets: tuple[int, ...] = Field(
        default=(0,) * len(DURATION_BUCKETS),
        min_length=len(DURATION_BUCKETS),
        max_length=len(DURATION_BUCKETS),
    )
    bytes_downloaded: int = Field(default=0, ge=0)
    objects_rewritten: int = Field(default=0, ge=0)
    objects_kept_exactly: int = Field(default=0, ge=0)
    bytes_cut: int = Field(default=0, ge=0)
    push_attempts: int = Field(default=0, ge=0)
    push_failures: int = Field(default=0, ge=0)
    pushgateway_errors: int = Field(default=0, ge=0)
    webhook_errors: int = Field(default=0, ge=0)
    counted_runs: tuple[str, ...] = ()

    def with_run(  # noqa: PLR0913 - one argument per total
        self,
        run_id: str,
        *,
        duration_seconds: float,
        failed: bool,
        files_processed: int,
        bytes_downloaded: int = 0,
        objects_rewritten: int = 0,
        objects_kept_exactly: int = 0,
        bytes_cut: int = 0,
        push_attempts: int = 0,
        push_failed: bool = False,
    ) -> Counters:
        """Return the totals with this run added; unchanged if it was counted before."""
        if run_id in self.counted_runs:
            return self
        duration_seconds = max(0.0, duration_seconds)  # the clocks of two nodes may differ
        return self.model_copy(
            update={
                "runs": self.runs + 1,
                "errors": self.errors + failed,
                "files_processed": self.files_processed + files_processed,
                "duration_sum_seconds": self.duration_sum_seconds + duration_seconds,
                "duration_buckets": tuple(
                    count + (duration_seconds <= bound)
                    for count, bound in zip(self.duration_buckets, DURATION_BUCKETS, strict=True)
                ),
                "bytes_downloaded": self.bytes_downloaded + bytes_downloaded,
                "objects_rewritten": self.objects_rewritten + objects_rewritten,
                "objects_kept_exactly": self.objects_kept_exactly + objects_kept_exactly,
                "bytes_cut": self.bytes_cut + bytes_cut,
                "push_attempts": self.push_attempts + push_attempts,
                "push_failures": self.push_failures + push_failed,
                "counted_runs": (*self.counted_runs, run_id)[-_REMEMBERED_RUNS:],
            }
        )

    def with_delivery_errors(self, *, pushgateway: int = 0, webhook: int = 0) -> Counters:
        """Return the totals with these failed deliveries added."""
        return self.model_copy(
            update={
                "pushgateway_errors": self.pushgateway_errors + pushgateway,
                "webhook_errors": self.webhook_errors + webhook,
            }
        )
