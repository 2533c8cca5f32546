"""How a person approves what a guard refused: the command, and in Argo the link to its form."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of the hash in a token. A person copies it.
TOKEN_CHARACTERS = 16

TEMPLATE = "git-sync"  # the WorkflowTemplate of the pipeline


@dataclass(frozen=True)
class Argo:
    """Where the pipeline of a run is; ``url`` is the address of Argo's UI, None if unknown."""

    namespace: str
    url: str | None = None


def approval_command(approvals: Sequence[str], argo: Argo | None, option: str = "allow-delete") -> str:
    """Return the command with these values of the option, which in Argo is a parameter."""
    if argo is None:
        return " ".join(["git-sync run", *(f"--{option} {shlex.quote(value)}" for value in approvals)])
    parameter = shlex.quote(f"{option}={','.join(approvals)}")
    return f"argo submit -n {argo.namespace} --from workflowtemplate/{TEMPLATE} -p {parameter}"


def approval_link(approvals: Sequence[str], argo: Argo | None) -> str | None:
    """Return the link to Argo's form with these values of allow-delete; None without an address of its UI.

    The UI reads ``parameters[<name>]`` with URLSearchParams, which decodes names and values
    (ui/src/shared/get_workflow_params.ts of Argo Workflows 3.6 and later).
    """
    if argo is None or argo.url is None:
        return None
    query = f"sidePanel=submit&{quote('parameters[allow-delete]')}={quote(','.join(approvals), safe='')}"
    return f"{argo.url.rstrip('/')}/workflow-templates/{quote(argo.namespace)}/{TEMPLATE}?{query}"
