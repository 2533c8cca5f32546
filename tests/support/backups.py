"""A repository of backups with dated commits as git-sync makes them, for tests that read the history."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steps.core.message import Changes, ClusterLine, commit_message
from tests.support.repositories import bare_repository, commit_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def instant(text: str) -> datetime:
    """Return the time that ``2025-07-12`` or ``2025-07-12T22:06:58Z`` is, in UTC."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@dataclass
class Backups:
    """A bare repository; paths are below ``clusterbackup/``."""

    directory: Path
    commits: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, directory: Path, *, partial_clone: bool = True) -> Backups:
        """Create the repository."""
        return cls(bare_repository(directory, partial_clone=partial_clone))

    def sync(
        self,
        when: str,
        files: Mapping[str, bytes | tuple[str, bytes] | None],
        *,
        listed: Mapping[str, str] | Iterable[str] = (),
        refused: Iterable[tuple[str, str]] = (),
        failed: Iterable[str] = (),
        rules: str = "",
    ) -> str:
        """Commit as a run that began at ``when``; ``listed`` are clusters, with the time if it differs."""
        times = listed if isinstance(listed, dict) else dict.fromkeys(listed, when)
        clusters = times or dict.fromkeys((path.partition("/")[0] for path in files), when)
        message = commit_message(
            started_at=instant(when),
            clusters=[ClusterLine(name, 1, instant(at)) for name, at in clusters.items()],
            changes=Changes(len(files), 0, 0),
            run_id=f"run-{len(self.commits)}",
            refused=refused,
            failed=failed,
            rules=rules,
        )
        self.commits.append(
            commit_files(
                self.directory,
                {f"clusterbackup/{path}": content for path, content in files.items()},
                message,
                when=int(instant(when).timestamp()),
            )
        )
        return self.commits[-1]
