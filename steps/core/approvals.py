"""How a person approves what a guard refused: the command, and in Argo the link to its form."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Of the hash in a token. A person copies it.
TOKEN_CHARACTERS = 16

TEMPLATE = "git-sync"  # the WorkflowTemplate of the pipeline


@dataclass(frozen=True)
class Argo:
    """Where the pipeline of a run is; ``url`` is the address of Argo's UI, None if unknown."""

    namespace: str
    url: str | None = None


@dataclass(frozen=True)
class Origin:
    """The run that a guard refused. An approval must repeat its branch, its mode and its filters.

    ``filters`` are the options of the command that filter the run, by name. Outside Argo the environment
    has the branch, and other filters.
    """

    argo: Argo | None = None
    branch: str | None = None
    is_full: bool = False
    filters: Mapping[str, str] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, str]:
        """The options that repeat the run, by name."""
        return ({"mode": "full"} if self.is_full else {}) | dict(self.filters)


def approval_command(approvals: Sequence[str], origin: Origin, option: str = "allow-delete") -> str:
    """Return the command with these values of the option, which in Argo is a parameter."""
    if origin.argo is None:
        repeated = [(option, approval) for approval in approvals]
        others = [(name, line) for name, text in origin.options.items() for line in text.split("\n")]
        words = (f"--{name} {shlex.quote(value)}" for name, value in repeated + others)
        return " ".join(["git-sync run", *words])
    parameters = (
        f"-p {shlex.quote(f'{name}={value}')}" for name, value in _parameters(approvals, origin, option)
    )
    return f"argo submit -n {origin.argo.namespace} --from workflowtemplate/{TEMPLATE} {' '.join(parameters)}"


def approval_link(approvals: Sequence[str], origin: Origin) -> str | None:
    """Return the link to Argo's form with these values of allow-delete; None without an address of its UI.

    The UI reads ``parameters[<name>]`` with URLSearchParams, which decodes names and values
    (ui/src/shared/get_workflow_params.ts of Argo Workflows 3.6 and later).
    """
    argo = origin.argo
    if argo is None or argo.url is None:
        return None
    parameters = _parameters(approvals, origin, "allow-delete")
    query = "&".join(f"{quote(f'parameters[{name}]')}={quote(value, safe='')}" for name, value in parameters)
    path = f"workflow-templates/{quote(argo.namespace)}/{TEMPLATE}"
    return f"{argo.url.rstrip('/')}/{path}?sidePanel=submit&{query}"


def _parameters(approvals: Sequence[str], origin: Origin, option: str) -> list[tuple[str, str]]:
    """Return the parameters of the WorkflowTemplate. Argo pastes the filters as one text each."""
    branch = [("branch", origin.branch)] if origin.branch else []
    return [(option, ",".join(approvals)), *branch, *origin.options.items()]
