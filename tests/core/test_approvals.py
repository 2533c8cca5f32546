"""Commands and links that approve refused deletions."""

from __future__ import annotations

import shlex
from urllib.parse import parse_qs, urlsplit

import pytest

from steps.core.approvals import Argo, approval_command, approval_link

APPROVALS = ["east:00000000000000ca", "we'st%20&#{x}:00000000000000be"]
ARGO = Argo("backup-system", "https://argo.example.com/argo/")


def test_command_outside_argo_repeats_the_option() -> None:
    assert approval_command(APPROVALS[:1], None) == "git-sync run --allow-delete east:00000000000000ca"
    words = shlex.split(approval_command(APPROVALS, None))
    assert words == ["git-sync", "run", "--allow-delete", APPROVALS[0], "--allow-delete", APPROVALS[1]]


def test_command_in_argo_submits_the_template_with_one_parameter() -> None:
    words = shlex.split(approval_command(APPROVALS, ARGO))
    assert words[:4] == ["argo", "submit", "-n", "backup-system"]
    assert words[4:] == ["--from", "workflowtemplate/git-sync", "-p", f"allow-delete={','.join(APPROVALS)}"]


def test_link_fills_in_the_form_of_argo() -> None:
    link = approval_link(APPROVALS, ARGO)
    assert link is not None
    parts = urlsplit(link)
    assert parts.path == "/argo/workflow-templates/backup-system/git-sync"
    assert parse_qs(parts.query) == {
        "sidePanel": ["submit"],
        "parameters[allow-delete]": [",".join(APPROVALS)],
    }
    assert parts.fragment == ""


@pytest.mark.parametrize("argo", [None, Argo("backup-system")])
def test_link_needs_the_address_of_argo(argo: Argo | None) -> None:
    assert approval_link(APPROVALS, argo) is None
