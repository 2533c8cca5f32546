"""`git-sync diff` on real repositories, as people call it."""

from __future__ import annotations

import html
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.backups import Backups
from tests.support.program import git_sync, program

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.program import Finished

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: shop, resourceVersion: "%s"}
spec: {template: {spec: {containers: [{name: main, image: "nginx:%s"}]}}}
"""
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: shop}
data: {user: Ym9i, password: %s}
"""
DOCS = Path(__file__).parents[2] / "docs"
OLD = "the listing is older than two intervals: since then nothing changed, or no run succeeded"
ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: ops}\nrules: []\n"


def web(name: str, version: int, image: str) -> bytes:
    return (WEB % (name, version, image)).encode()


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    """Two clusters, and a second commit."""
    found = Backups.at(tmp_path / "backups.git")
    files = {
        "shop/Deployment/web.yaml": web("web", 1, "1"),
        "shop/Deployment/idle.yaml": web("idle", 1, "1"),
        "shop/Secret/db.yaml": (SECRET % "czNjcmV0").encode(),
        "_cluster/ClusterRole/ops.yaml": ROLE.encode(),
    }
    east = {f"east/{path}": content for path, content in files.items()}
    west = {
        **{f"west/{path}": content for path, content in files.items()},
        "west/shop/Deployment/web.yaml": web("web", 9, "2"),
        "west/shop/Deployment/idle.yaml": web("idle", 9, "1"),
        "west/shop/Deployment/extra.yaml": web("extra", 1, "1"),
        "west/_cluster/ClusterRole/ops.yaml": None,
    }
    found.sync("2025-07-10T22:00:00Z", {**east, **{k: v for k, v in west.items() if v}})
    found.sync(
        "2025-07-12T22:00:00Z",
        {
            "east/shop/Deployment/web.yaml": web("web", 2, "2"),
            "east/shop/Deployment/idle.yaml": web("idle", 2, "1"),
            "east/shop/Secret/db.yaml": (SECRET % "bjN3").encode(),
            "east/new.yaml": web("new", 1, "1"),
            "east/_cluster/ClusterRole/ops.yaml": None,
        },
        listed={"east": "2025-07-12T21:45:03Z"},
    )
    return found


def diff(backups: Backups, *arguments: str, code: int = 0, run: Callable[..., Finished] = git_sync) -> str:
    done = run("diff", "--repo", str(backups.directory), *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_diff_shows_what_changed_between_two_times(backups: Backups) -> None:
    lines = diff(
        backups, "--cluster", "east", "--from", "2025-07-11", "--to", "2025-07-12", run=program
    ).splitlines()
    old, new = (oid[:8] for oid in backups.commits)
    assert lines[:3] == [
        f"--- east as listed 2025-07-10T22:00:00Z, commit {old}",
        f"+++ east as listed 2025-07-12T21:45:03Z, commit {new}",
        f"warning: east: {OLD}",
    ]
    assert "# 4 objects: 1 new, 2 modified, 1 deleted; 1 object with changes in volatile fields only" in lines
    assert [line for line in lines if line.startswith("# ")][1:] == [
        "# ClusterRole ops: deleted",
        "# Deployment shop/new: new",
        "# Deployment shop/web: modified",
        "# Secret shop/db: modified",
        "# to compare the live cluster:",
        f"#   git-sync restore --cluster east --at {backups.commits[1]} --output restored",
        '#   for stage in restored/0*; do kubectl diff --server-side --recursive --filename "$stage"; done',
    ]
    assert "-      - image: nginx:1" in lines or '-      - image: "nginx:1"' in lines
    assert "-  password: (hidden, value before)" in lines
    assert "resourceVersion" not in "\n".join(lines)


def test_diff_of_two_clusters_shows_drift(backups: Backups) -> None:
    found = diff(backups, "--cluster", "east,west", "--to", "2025-07-10")
    assert "# 3 objects: 1 only in west, 1 differs, 1 only in east" in found
    assert "# Deployment shop/extra: only in west" in found
    assert "# ClusterRole ops: only in east" in found
    assert "# Deployment shop/web: differs" in found
    assert "idle:" not in found
    backups.sync("2025-07-13", {"east/n.yaml": web("n", 1, "1"), "west/n.yaml": web("n", 1, "2")})
    assert ", 2 differ" in diff(backups, "--cluster", "east,west")


def test_diff_of_all_clusters_includes_new_ones(backups: Backups) -> None:
    backups.sync("2025-07-13", {"north/a.yaml": web("a", 1, "1")})
    found = diff(backups, "--from", "2025-07-13", "--to", "2025-07-13")
    assert "--- north does not exist" in found
    assert found.count("# no differences") == 2
    assert "# Deployment shop/a: new" in found


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--namespace", "shop"], 3),
        (["--select", "Deployment/n*,ClusterRole"], 2),
        (["--exclude", "Secret"], 3),
        (["--namespace", "shop", "--select", "clusterrole/*"], 1),
    ],
)
def test_diff_compares_the_selected_objects(arguments: list[str], expected: int, backups: Backups) -> None:
    found = diff(backups, "--cluster", "east", "--from", "2025-07-11", "--format", "json", *arguments)
    (comparison,) = json.loads(found)
    assert len(comparison["objects"]) == expected


def test_json_has_the_listings_and_the_objects(backups: Backups) -> None:
    (found,) = json.loads(diff(backups, "--cluster", "east", "--from", "2025-07-11", "--format", "json"))
    assert found["to"]["listed_at"] == "2025-07-12T21:45:03Z"
    assert found["to"]["commit"] == backups.commits[1]
    assert (found["volatile"], found["not_read"]) == (1, [])
    web = found["objects"][2]
    assert {name: web[name] for name in ("change", "kind", "namespace", "name", "path")} == {
        "change": "modified",
        "kind": "Deployment",
        "namespace": "shop",
        "name": "web",
        "path": "shop/Deployment/web.yaml",
    }


def test_markdown_and_html_are_escaped(backups: Backups) -> None:
    evil = "<script>alert(1)</script>```\x1b[31m"
    content = {"kind": "ConfigMap", "metadata": {"name": evil, "namespace": "shop"}, "data": {evil: evil}}
    backups.sync("2025-07-13", {"east/evil.yaml": json.dumps(content).encode()})
    for how in ("text", "markdown", "html"):
        found = diff(backups, "--cluster", "east", "--from", "2025-07-13", "--format", how)
        assert "\x1b" not in found
        assert how != "html" or "<script" not in found
        assert how != "markdown" or "\n````diff\n" in found


def test_values_of_secrets_are_in_no_format(backups: Backups) -> None:
    for how in ("text", "markdown", "html", "json"):
        found = diff(backups, "--cluster", "east", "--from", "2025-07-11", "--format", how)
        assert not {"czNjcmV0", "bjN3", "Ym9i"}.intersection(found.replace('"', " ").split())
        assert "czNjcmV0" not in found
        assert "bjN3" not in found


def test_file_that_cannot_be_read_is_named_and_exits_10(backups: Backups) -> None:
    backups.sync("2025-07-13", {"east/shop/Deployment/web.yaml": b"a: *b\n", "east/x": ("120000", b"y")})
    found = diff(backups, "--cluster", "east", "--from", "2025-07-13", code=10)
    assert "warning: shop/Deployment/web.yaml is not compared: contains an alias" in found
    assert "warning: x is not compared: a link, a submodule" in found
    assert "# no differences" in found


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["--cluster", "east"], 2, "diff compares two times (--from TIME) or two clusters (--cluster A,B)"),
        (["--cluster", "eats", "--from", "2025-07-11"], 40, "did you mean east"),
        (["--cluster", "east", "--from", "2025-07-10"], 40, "its first commit is"),
        (["--cluster", "east", "--from", "soon"], 2, "is not a point in time"),
    ],
)
def test_diff_explains_wrong_options(arguments: list[str], code: int, error: str, backups: Backups) -> None:
    assert error in diff(backups, *arguments, code=code)


def test_diff_and_history_classify_changes_by_rules_file(backups: Backups, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text('- kinds: ["*"]\n  drop: [spec, data, rules]\n')
    repo = ("--repo", str(backups.directory))
    arguments = ("--cluster", "east", "--from", "2025-07-11")
    found = git_sync("diff", *repo, *arguments, RULES_FILE=str(rules))
    assert "nginx" not in found.stdout
    assert "with changes in volatile fields only" in found.stdout
    for pattern, shown in (("east/shop/Deployment/web", False), ("east/shop/Deployment/w*", True)):
        settings = {} if shown else {"RULES_FILE": str(rules)}
        events = git_sync("history", pattern, *repo, "--since", "2025-07-11", **settings)
        assert ("nginx" in events.stdout) is shown


@pytest.mark.parametrize("how", ["text", "markdown", "html"])
def test_diff_prints_the_commands_that_compare_the_live_cluster(how: str, backups: Backups) -> None:
    options = ("--cluster", "east", "--from", "2025-07-11", "--namespace", "shop", "--format", how)
    found = html.unescape(diff(backups, *options))
    at = f"--at {backups.commits[1]} --output restored\n"
    assert f"git-sync restore --cluster east --namespace shop {at}" in found
    assert 'do kubectl diff --server-side --recursive --filename "$stage"; done' in found
    assert "restored/0*" in (DOCS / "restore.md").read_text()


def test_commands_for_the_live_cluster_quote_its_name(backups: Backups) -> None:
    backups.sync("2025-07-13", {"a;reboot\x1b/x.yaml": web("a", 1, "1")})
    found = diff(backups, "--from", "2025-07-13", "--to", "2025-07-13")
    (line,) = [one for one in found.splitlines() if "restore --cluster" in one and "reboot" in one]
    words = shlex.split(line.removeprefix("#"))
    assert words[:3] == ["git-sync", "restore", "--cluster"]
    assert words[3].startswith("a;reboot")
    assert "\x1b" not in found


def test_diff_of_a_cluster_that_no_longer_exists_prints_no_command(backups: Backups) -> None:
    files = ("shop/Deployment/web.yaml", "shop/Deployment/idle.yaml", "shop/Secret/db.yaml", "new.yaml")
    backups.sync("2025-07-13", {f"east/{path}": None for path in files})
    found = diff(backups, "--cluster", "east", "--from", "2025-07-13", "--to", "2025-07-13")
    assert "+++ east does not exist" in found
    assert "kubectl" not in found
