"""The plan as a value: what to change on which commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steps.core.message import Changes

if TYPE_CHECKING:
    from pathlib import Path

    from steps.contracts import ClusterResult


@dataclass(frozen=True)
class Plan:
    """What to change on ``tip``; ``by_id`` are blobs that the repository has and the volume lacks."""

    tip: str | None
    rows: Path
    clusters: tuple[ClusterResult, ...]
    by_id: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not any(vars(self.changes).values())

    @property
    def changes(self) -> Changes:
        return Changes(
            new=sum(cluster.added for cluster in self.clusters),
            modified=sum(cluster.modified for cluster in self.clusters),
            deleted=sum(cluster.deleted for cluster in self.clusters),
        )
