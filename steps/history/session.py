"""What every command that reads the history begins with: settings, the source, and points in time."""

from __future__ import annotations

import contextlib
import gc
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steps.core.operations import Operation
from steps.errors import FixConfiguration
from steps.history.moments import Moment, parse_moment
from steps.history.snapshot import (
    Schedule,
    Snapshot,
    clusters_of,
    find_commit,
    require_cluster,
    snapshots,
    time_of,
)
from steps.history.source import LocalSource, remote_source
from steps.kubernetes.secret_filter import SecretsMode
from steps.kubernetes.secrets import SecretsPolicy
from steps.kubernetes.volatile import RuleSet
from steps.runtime import logs
from steps.runtime.retry import RetryPolicy
from steps.runtime.settings.reading import Needs, read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from steps.clients.git.objects import LoggedCommit, Objects
    from steps.history.source import Source


@dataclass(frozen=True)
class Place:
    """The options that say where to read; without them, the settings decide."""

    repo: Path | None = None
    branch: str | None = None
    path: str | None = None


@dataclass(frozen=True)
class Session:
    """A source, what its points in time mean, and which fields of objects are volatile."""

    source: Source
    schedule: Schedule
    now: datetime
    rules: RuleSet

    @property
    def secrets(self) -> SecretsPolicy:
        """Which values are hidden."""
        return SecretsPolicy(SecretsMode.REDACT, rules=self.rules.rules)

    def moment(self, option: str, text: str | None, *, start_of_day: bool = False) -> Moment:
        """Return what the value of an option means; now, if it is None. Raises FixCommandLine."""
        if text is None:
            return Moment("now", self.now)
        return parse_moment(option, text, self.now, self.schedule.timezone, start_of_day=start_of_day)

    def at(self, moment: Moment, clusters: Collection[str] | None = None) -> View:
        """Return the newest commit at or before the moment, and these clusters of it, by default all.

        Raises FixConfiguration if there is no such commit or cluster.
        """
        commit = find_commit(self.source, moment)
        objects = self.source.with_trees([commit.oid])
        return self.view(commit, objects, moment, clusters)

    def view(
        self, commit: LoggedCommit, objects: Objects, moment: Moment, clusters: Collection[str] | None = None
    ) -> View:
        """Return the same of a commit whose trees are present in ``objects``."""
        known = clusters_of(objects, commit.oid, self.source.path)
        for name in clusters or ():
            require_cluster(name, known, commit.oid)
        if not known:
            raise FixConfiguration(
                Operation.GIT_DIFF,
                "Failed to find the clusters",
                f"commit {commit.oid[:8]} has no directory in {self.source.path or 'its root'}; "
                "set GIT_PATH or --path",
                commit=commit.oid,
                path=self.source.path,
            )
        chosen = known if clusters is None else clusters
        found = snapshots(self.source, commit, chosen, moment.at or time_of(commit), self.schedule)
        return View(commit, objects, found)


@dataclass(frozen=True)
class View:
    """A commit, the repository that has its trees, and the chosen clusters by name."""

    commit: LoggedCommit
    objects: Objects
    clusters: Mapping[str, Snapshot]

    @property
    def warnings(self) -> list[str]:
        """The warnings about all clusters."""
        return [warning for one in self.clusters.values() for warning in one.warnings]


@contextlib.contextmanager
def session(environ: Mapping[str, str], place: Place) -> Iterator[Session]:
    """Open the clone ``--repo``, else the configured repository. Log lines go to standard error."""
    if not gc.isenabled():  # steps/cli.py disables it until a command begins
        gc.freeze()
        gc.enable()
    overrides = {"git_path": place.path, "git_branch": place.branch}
    given = {name: value for name, value in overrides.items() if value}
    needs = () if place.repo else (Needs.GIT,)
    configured = read(environ, *needs, **given)
    logs.set_up(configured.log.level, configured.log.format, configured.secrets)
    schedule = Schedule(configured.http.schedule, configured.http.timezone)
    rules = RuleSet(configured.content.rules)
    with contextlib.ExitStack() as stack:
        stack.enter_context(logs.redirected_to(_to_stderr))
        source: Source
        if place.repo:
            source = LocalSource(place.repo, configured.http.path, place.branch or "HEAD")
        elif configured.git.download_only:
            raise FixConfiguration(
                Operation.CONFIGURATION,
                "Failed to read the history",
                "GIT_REPOSITORY is empty, and a download-only run keeps no history; name a clone with --repo",
                setting="GIT_REPOSITORY",
            )
        else:
            retry = RetryPolicy(configured.retry.attempts, configured.retry.delay.total_seconds())
            source = stack.enter_context(remote_source(configured.git, retry))
        yield Session(source, schedule, datetime.now(UTC), rules)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines; a reader such as ``head`` that ends early is no error."""
    with contextlib.suppress(BrokenPipeError):
        for line in lines:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)
