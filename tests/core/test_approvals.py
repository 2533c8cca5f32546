"""Commands and links that approve refused deletions."""

from __future__ import annotations

import shlex
from urllib.parse import parse_qs, urlsplit

import pytest

from steps.core.approvals import Argo, Origin, approval_command, approval_link

APPROVALS = ["east:00000000000000ca", "we'st%20&#{x}:00000000000000be"]
ARGO = Argo("backup-system", "https://argo.example.com/argo/")


def test_command_outside_argo_repeats_the_option() -> None:
    assert approval_command(APPROVALS[:1], Origin()) == "git-sync run --allow-delete east:00000000000000ca"
    words = shlex.split(approval_command(APPROVALS, Origin(branch="main")))
    assert words == ["git-sync", "run", "--allow-delete", APPROVALS[0], "--allow-delete", APPROVALS[1]]


def test_command_in_argo_submits_the_template_with_one_parameter() -> None:
    words = shlex.split(approval_command(APPROVALS, Origin(ARGO)))
    assert words[:4] == ["argo", "submit", "-n", "backup-system"]
    assert words[4:] == ["--from", "workflowtemplate/git-sync", "-p", f"allow-delete={','.join(APPROVALS)}"]


def test_command_repeats_the_filters_and_the_mode() -> None:
    origin = Origin(is_full=True, filters={"clusters": "a\nb c", "namespaces": "!kube-*"})
    words = shlex.split(approval_command(APPROVALS[:1], origin))
    assert words[4:] == ["--mode", "full", "--clusters", "a", "--clusters", "b c", "--namespaces", "!kube-*"]


def test_command_and_link_of_argo_repeat_the_branch_the_filters_and_the_mode() -> None:
    origin = Origin(ARGO, "back up/x", is_full=True, filters={"clusters": "we'st"})
    words = shlex.split(approval_command(APPROVALS[:1], origin))
    assert words[7::2] == [f"allow-delete={APPROVALS[0]}", "branch=back up/x", "mode=full", "clusters=we'st"]
    assert set(words[6::2]) == {"-p"}
    query = parse_qs(urlsplit(approval_link(APPROVALS, origin) or "").query)
    assert [query[f"parameters[{name}]"] for name in ("branch", "mode", "clusters")] == [
        ["back up/x"],
        ["full"],
        ["we'st"],
    ]


def test_link_fills_in_the_form_of_argo() -> None:
    link = approval_link(APPROVALS, Origin(ARGO))
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
    assert approval_link(APPROVALS, Origin(argo)) is None
