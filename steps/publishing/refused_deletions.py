"""Logs the deletions that the guard refused, and the commands that approve them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps.core.approvals import approval_command, approval_link
from steps.core.deletion_guard import REFUSALS, is_approved
from steps.core.keys import printable
from steps.core.operations import Operation
from steps.core.wording import plural
from steps.runtime import logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steps.contracts import ClusterResult, Run


def log_refused_deletions(run: Run, clusters: Sequence[ClusterResult]) -> None:
    """Log each refusal, the approvals that match nothing, and one command that approves all of them."""
    refused = [(cluster, cluster.allow_delete) for cluster in clusters if cluster.allow_delete is not None]
    for cluster, approval in refused:
        name = printable(cluster.name)
        logs.error(
            Operation.DETECT_CHANGES,
            f"Refused to delete {plural(cluster.deletions_refused, 'file')} of {name}",
            f"{REFUSALS[cluster.decision]}; the files stay in Git. If the loss is intended, approve exactly "
            f"this one: {approval_command([approval], run.argo)}",
            cluster=name,
            decision=cluster.decision,
            deletions_refused=cluster.deletions_refused,
            allow_delete=approval,
            approve=approval_link([approval], run.argo),
            paths=cluster.deletions_refused_sample,
        )
    used = [(cluster.name, cluster.allowed_deletion) for cluster in clusters if cluster.allowed_deletion]
    for given in sorted(set(run.allow_delete)):
        if not any(is_approved(name, token, (given,)) for name, token in used):
            logs.warning(
                Operation.DETECT_CHANGES,
                f"--allow-delete {printable(given)} matches no refused deletion",
                allow_delete=printable(given),
            )
    if len(refused) > 1:
        approvals = [approval for _, approval in refused]
        logs.warning(
            Operation.DETECT_CHANGES,
            f"To approve all refused deletions: {approval_command(approvals, run.argo)}",
            approve=approval_link(approvals, run.argo),
        )
