"""Failures of one cluster, which do not stop the run: detect reads their documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.contracts import ClusterFailure
from steps.core.keys import printable
from steps.runtime import logs
from steps.runtime.redaction import redacted
from steps.workdir.files import write_document

if TYPE_CHECKING:
    from steps.core.intake_limits import OverLimit
    from steps.core.operations import Operation
    from steps.errors import SyncError
    from steps.workdir.volume import RunFiles


def over_limit_failure(cluster: str, operation: Operation, problem: OverLimit) -> ClusterFailure:
    """Return the document of a cluster that is over an intake limit."""
    return ClusterFailure(
        cluster=cluster, operation=operation, error=str(problem), transient=False, over_limit=problem.excess
    )


def record_failure(files: RunFiles, cluster: str, problem: SyncError) -> None:
    """Write the document of the cluster's failure, and log it."""
    failure = ClusterFailure(
        cluster=cluster,
        operation=problem.operation,
        error=redacted(f"{problem.message}: {problem.error}"),
        transient=problem.transient,
    )
    write_document(files.failure(cluster), failure)
    logs.failure(problem, cluster=printable(cluster))
