"""health: whether the last success is recent enough. For probes and for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from steps.core.clock import is_ahead
from steps.core.keys import printable
from steps.core.schedule import stale_after
from steps.core.source_age import staleness

if TYPE_CHECKING:
    from datetime import datetime

    from steps.contracts import State
    from steps.core.source_age import MaxAges
    from steps.runtime.settings.delivery import HealthSettings


@dataclass(frozen=True)
class Health:
    """The result of the check; ``reason`` is one sentence."""

    healthy: bool
    reason: str


def health(settings: HealthSettings, state: State | None, where: str, now: datetime) -> Health:
    """Check the state that was read from ``where``; None if there is none."""
    if state is None:
        return Health(healthy=False, reason=f"no run has been reported yet: {where} does not exist")
    last = state.last_run
    if last is None:
        return Health(healthy=False, reason="no run without filter options has been reported yet")
    ended = f"the last run ({last.run_id}) ended with exit code {last.exit_code}"
    if last.error:
        ended = f"{ended}: {last.error}"
    if state.last_success is None:
        return Health(healthy=False, reason=f"no run has ever succeeded; {ended}")
    if state.lost_branch is not None:
        return Health(healthy=False, reason=f"{state.lost_branch.description}; {ended}")
    stale = stale_clusters(settings.source_max_age, state)
    if stale:
        ended += "; not backed up: " + "; ".join(f"{printable(name)}: {why}" for name, why in stale.items())
    success = f"the last success was at {_utc(state.last_success.at)}"
    if is_ahead(state.last_success.at, now):
        ahead = f"{success}, ahead of this machine's clock ({_utc(now)}): one of the clocks is wrong"
        return Health(healthy=False, reason=f"{ahead}; {ended}")
    limit = stale_after(
        state.last_success.at,
        max_age=settings.max_age,
        schedule=settings.schedule,
        timezone=settings.timezone,
    )
    if now > limit:
        return Health(healthy=False, reason=f"{success}, stale since {limit:%Y-%m-%d %H:%M:%S %Z}; {ended}")
    return Health(healthy=True, reason=f"{success}; {ended}")


def stale_clusters(max_ages: MaxAges, state: State) -> dict[str, str]:
    """Return the clusters that exceeded SOURCE_MAX_AGE at their last listing, each with the reason."""
    found = {
        name: staleness(name, known.newest_object_at, state.listed.get(name), max_ages)
        for name, known in sorted(state.clusters.items())
    }
    return {name: why for name, why in found.items() if why}


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
