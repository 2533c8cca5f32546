"""`git-sync inspect` on real repositories, as people and CI jobs call it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.program import git_sync, program
from tests.support.repositories import bare_repository, commit_files, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.program import Finished

ROLE = b"""\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ci, namespace: payments}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get]}
"""
WEB = b"""\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {spec: {containers: [{name: main, image: "nginx:1"}]}}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits of backups in the simple layout: one file per cluster."""
    path = bare_repository(tmp_path / "backups.git")
    commit_files(path, {"clusterbackup/prod/all.yaml": WEB + b"---\n" + ROLE, "README.md": b"hello"})
    role = ROLE.replace(b"pods", b"pods, secrets").replace(b"verbs: [get]", b"verbs: [get, list]")
    web = WEB.replace(b"nginx:1", b"nginx:2")
    commit_files(path, {"clusterbackup/prod/all.yaml": web + b"---\n" + role, "README.md": b"bye"})
    return path


def inspect(repository: Path, *arguments: str, run: Callable[..., Finished] = git_sync) -> Finished:
    return run("inspect", "--repo", str(repository), *arguments)


def test_inspect_prints_grants_and_images(repository: Path) -> None:
    result = inspect(repository, "main~1..main", run=program)
    assert result.returncode == 0, result.stdout
    assert "[RBAC] Role payments/ci: + get, list secrets; + list pods in prod/all.yaml" in result.stdout, (
        result.stdout
    )
    assert "Deployment shop/web, container main: nginx:1 → nginx:2" in result.stdout
    assert "nginx:2 in prod/all.yaml" in result.stdout


def test_inspect_prints_markdown_and_json(repository: Path) -> None:
    text = inspect(repository, "main~1..main", "--format", "markdown").stdout
    assert "- **RBAC** `Role payments/ci`: + `get, list secrets`; + `list pods` in `prod/all.yaml`" in text
    found = json.loads(inspect(repository, "main~1..main", "--format", "json").stdout)
    (change,) = found["security_changes"]
    assert change["object"] == "Role payments/ci"
    assert found["security_categories"] == {"rbac": 1}


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [("rbac", 1), ("secret", 0), ("secret,image", 1), ("not_inspected", 0), ("all", 1)],
)
def test_inspect_exits_1_if_a_given_kind_of_change_is_found(
    fail_on: str, code: int, repository: Path
) -> None:
    assert inspect(repository, "main~1..main", "--fail-on", fail_on).returncode == code


def test_inspect_fails_on_an_unreadable_file_if_asked(repository: Path) -> None:
    commit_files(repository, {"clusterbackup/prod/x.yaml": b"kind: Role\nkind: Role\n"})
    result = inspect(repository, "main~1..main", "--fail-on", "rbac,not_inspected")
    assert result.returncode == 1
    assert "prod/x.yaml: contains a duplicate key (line 2)" in result.stdout
    assert "--fail-on: not_inspected" in result.stderr


def test_inspect_compares_a_new_branch_with_nothing(repository: Path) -> None:
    result = inspect(repository, f"{'0' * 40}..main", "--fail-on", "rbac")
    assert result.returncode == 1
    assert "Role payments/ci new: + get, list secrets; + get, list pods in" in result.stdout


def test_inspect_works_in_a_clone_and_below_another_path(repository: Path, tmp_path: Path) -> None:
    commit_files(repository, {"other/east/role.yaml": ROLE})
    subprocess.run(
        ["git", "clone", "--quiet", str(repository), str(tmp_path / "clone")],
        check=True,
    )
    result = inspect(tmp_path / "clone", "HEAD~1..HEAD", "--path", "other")
    assert result.returncode == 0
    assert "Role payments/ci new: + get pods in east/role.yaml" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["main"], "write two commits as A..B"),
        (["main...main~1"], "write two commits as A..B"),
        (["absent..main"], "absent: "),
        (["--fail-on", "rback", "main~1..main"], "unknown: rback"),
        (["--output=x..main"], "No such option"),
        (["main~1..--output=x"], "--output=x: "),
    ],
)
def test_inspect_rejects_a_wrong_command_line(arguments: list[str], error: str, repository: Path) -> None:
    result = inspect(repository, *arguments)
    assert result.returncode == 2
    assert error in result.stdout + result.stderr


def test_inspect_reports_a_directory_that_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = inspect(tmp_path / "empty", "a..b")
    assert result.returncode == 2
    assert "not a git repository" in result.stdout
    assert "no such directory" in inspect(tmp_path / "absent", "a..b").stdout


def test_inspect_does_not_run_programs_of_the_repository(repository: Path, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    git(repository, "config", "diff.external", f"touch {marker}")
    git(repository, "config", "core.fsmonitor", f"touch {marker}")
    git(repository, "config", "core.pager", f"touch {marker}")
    assert inspect(repository, "main~1..main").returncode == 0
    assert not marker.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to another user")
def test_inspect_reads_the_clone_of_another_user(repository: Path) -> None:
    subprocess.run(["chown", "-R", "65532", str(repository)], check=True)
    result = inspect(repository, "main~1..main")
    assert result.returncode == 0, result.stdout


def test_inspect_prints_no_line_that_ci_executes(repository: Path) -> None:
    name = "::error::x%0A"
    commit_files(repository, {f"clusterbackup/{name}/{name}": ROLE.replace(b"name: ci", b'name: "::stop::"')})
    lines = inspect(repository, "main~1..main").stdout.splitlines()
    assert not [line for line in lines if line.lstrip().startswith("::")]


def test_inspect_reports_a_damaged_clone(repository: Path) -> None:
    (tree,) = git(repository, "rev-parse", "main~1^{tree}").decode().split()
    (repository / "objects" / tree[:2] / tree[2:]).unlink()
    result = inspect(repository, "main~1..main")
    assert result.returncode in {30, 40}
    assert "Failed to read the commits" in result.stdout
    assert "Failed to commit" not in result.stdout


def test_inspect_classifies_changes_by_rules_file(repository: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("- kinds: [Deployment.apps, Role.*]\n  drop: [spec, rules]\n")
    result = git_sync(
        "inspect", "--repo", str(repository), "--format", "json", "main~1..main", RULES_FILE=str(rules)
    )
    summary = json.loads(result.stdout)
    assert (summary["images"], summary["objects"]["volatile"]) == ([], 1)
    assert summary["security_categories"] == {"rbac": 1}  # no rule hides a grant
    rules.write_text("- kind: Pod\n")
    assert git_sync("inspect", "a..b", RULES_FILE=str(rules)).returncode == 40
