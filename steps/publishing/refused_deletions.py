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
    approvals: list[str] = []
    for cluster in clusters:
        if not cluster.decision.refused:
            continue
        name, how, link = printable(cluster.name), "", None
        if approval := cluster.suggested_approval:
            command = approval_command([approval], run.origin)
            how = f". If the loss is intended, approve exactly this one: {command}"
            link = approval_link([approval], run.origin)
            approvals.append(approval)
        logs.error(
            Operation.DETECT_CHANGES,
            f"Refused to delete {plural(cluster.deletions_refused, 'file')} of {name}",
            f"{REFUSALS[cluster.decision]}; the files stay in Git{how}",
            cluster=name,
            decision=cluster.decision,
            deletions_refused=cluster.deletions_refused,
            allow_delete=cluster.allow_delete,
            approve=link,
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
    if len(approvals) > 1:
        logs.warning(
            Operation.DETECT_CHANGES,
            f"To approve all refused deletions: {approval_command(approvals, run.origin)}",
            approve=approval_link(approvals, run.origin),
        )
