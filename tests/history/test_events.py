"""Events of objects, read from commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from steps.core.git_objects import Change
from steps.errors import FixCommandLine
from steps.history import events as reading
from steps.history.events import ClusterEvents, Pattern, Query, events
from steps.history.session import Place, session
from steps.kubernetes.changes import Level
from steps.kubernetes.facts import facts_of
from steps.kubernetes.objects import read_objects
from steps.kubernetes.selection import ObjectFilter
from tests.support.backups import Backups
from tests.support.gitserver import http_git_server

if TYPE_CHECKING:
    from pathlib import Path

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: shop, resourceVersion: "%s"}
spec: {replicas: 1, template: {spec: {containers: [{name: main, image: "nginx:%s"}]}}}
"""


def web(image: int, version: int = 1, name: str = "web") -> bytes:
    return (WEB % (name, version, image)).encode()


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    found = Backups.at(tmp_path / "backups.git")
    found.sync("2025-07-10T22:00:00Z", {"east/web.yaml": web(1), "west/web.yaml": web(1)})
    found.sync("2025-07-11T22:00:00Z", {"east/web.yaml": web(1, version=2)})
    found.sync(
        "2025-07-12T22:00:00Z",
        {"east/web.yaml": web(2, version=3), "east/other.yaml": web(1, name="other"), "west/web.yaml": None},
        listed={"east": "2025-07-12T21:45:03Z"},
    )
    return found


def read(
    backups: Backups,
    pattern: str | None = None,
    since: str | None = None,
    until: str | None = None,
    **others: bool,
) -> list[ClusterEvents]:
    with session({}, Place(repo=backups.directory)) as opened:
        query = Query(
            Pattern.parse(pattern) if pattern else None,
            ObjectFilter(),
            opened.moment("--since", since, start_of_day=True) if since else None,
            opened.moment("--until", until),
            **others,
        )
        return list(events(opened, query))


def test_events_are_newest_first_without_volatile_ones(backups: Backups) -> None:
    found = read(backups)
    assert [(one.commit, one.cluster, one.first) for one in found] == [
        (backups.commits[2], "east", 0),
        (backups.commits[2], "west", 0),
        (backups.commits[0], "east", 1),
        (backups.commits[0], "west", 1),
    ]
    assert [(event.name, event.change, event.what) for event in found[0].events] == [
        ("other", Change.ADDED, ("created", "main: nginx:1")),
        ("web", Change.MODIFIED, ("main: nginx:1 → nginx:2",)),
    ]
    assert [event.what for event in found[1].events] == [("deleted",)]
    listed = found[0].listed_at
    assert listed is not None
    assert f"{listed:%H:%M:%S}" == "21:45:03"


def test_all_includes_volatile_changes(backups: Backups) -> None:
    found = read(backups, with_volatile=True)
    assert [one.commit for one in found if one.events and one.events[0].level == Level.VOLATILE] == [
        backups.commits[1]
    ]


def test_pattern_selects_objects_also_of_the_first_commit(backups: Backups) -> None:
    found = read(backups, "ea*/shop/deployment/web")
    assert [[event.what for event in one.events] for one in found] == [
        [("main: nginx:1 → nginx:2",)],
        [("created", "main: nginx:1")],
    ]
    assert read(backups, "north") == []


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2025-07-11", None, [2]),
        ("2025-07-10", "2025-07-11", [0]),
        ("2025-07-13", None, []),
        ("2025-07-12", "2025-07-12", [2]),
    ],
)
def test_period_limits_the_commits(
    since: str, until: str | None, expected: list[int], backups: Backups
) -> None:
    found = read(backups, since=since, until=until)
    assert list(dict.fromkeys(one.commit for one in found)) == [backups.commits[n] for n in expected]


def test_since_may_be_a_commit(backups: Backups) -> None:
    assert {one.commit for one in read(backups, since=backups.commits[1][:10])} == {backups.commits[2]}


def test_remote_source_is_read_in_a_few_requests(backups: Backups) -> None:
    with http_git_server(backups.directory.parent, "the-token") as server:
        environ = {
            "GIT_REPOSITORY": server.url_for(backups.directory),
            "GIT_TOKEN": "the-token",
            "GIT_ALLOW_HTTP": "true",
        }
        with session(environ, Place()) as opened:
            before = len([one for one in server.requests if one.method == "POST"])
            query = Query(None, ObjectFilter(), None, opened.moment("--until", None), with_diffs=True)
            found = list(events(opened, query))
            assert len([one for one in server.requests if one.method == "POST"]) - before == 2
    assert [one.commit for one in found] == [one.commit for one in read(backups)]
    assert "-      - image: nginx:1" in found[0].events[1].diff or found[0].events[1].diff


def test_files_that_cannot_be_read_are_named(backups: Backups) -> None:
    backups.sync("2025-07-13", {"east/web.yaml": b"a: [", "east/link": ("120000", b"x")})
    (found,) = read(backups, since="2025-07-13T00:00:00Z") or read(backups, since=backups.commits[2])
    assert [path for path, _ in found.not_read] == ["link", "web.yaml"]
    assert found.events == ()


def test_cache_of_parsed_files_is_bounded(backups: Backups, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(backups)
    monkeypatch.setattr(reading, "_CACHED_BYTES", 0)
    assert read(backups) == expected


@pytest.mark.parametrize("limit", ["_PARSED_BYTES", "_FILES_READ_TOGETHER", "_BATCH_BYTES"])
def test_limits_of_memory_do_not_change_the_events(
    limit: str, backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(backups, "*", with_diffs=True)
    monkeypatch.setattr(reading, limit, 1)
    assert read(backups, "*", with_diffs=True) == expected
    assert expected[0].events[0].diff


def test_name_of_a_pattern_is_found_in_escapes(backups: Backups) -> None:
    content = web(1).replace(b"name: web,", b'name: "w\\x65b",')
    assert b"web" not in content.replace(b"nginx", b"")
    backups.sync("2025-07-14", {"east/escaped.yaml": content, "east/web.yaml": None})
    assert read(backups, "east/shop/Deployment/web")[0].commit == backups.commits[-1]


def test_too_many_files_of_a_commit_are_not_read(backups: Backups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MAX_FILES_OF_CLUSTER", 1)
    (found, *_) = read(backups, "east")
    assert found.not_read == (("", "more than 1 files changed"),)


def test_pattern_has_four_parts_of_which_the_last_may_be_missing() -> None:
    (one,) = read_objects(web(1))
    facts = facts_of(one)
    for text in ("east", "e*/shop", "*/*/Deployment.apps", "east/shop/deployment/we?"):
        assert Pattern.parse(text).has("east", "shop", facts)
    for text in ("west", "east//Deployment", "east/shop/Deployment/web/x"):
        assert not Pattern.parse(text).has("east", "shop", facts)
    for text in ("", "/", "/shop", "//"):
        with pytest.raises(FixCommandLine, match="write CLUSTER/NAMESPACE/KIND/NAME"):
            Pattern.parse(text)


@pytest.mark.parametrize(
    "content",
    [web(1, name="hidden").decode().encode("utf-16"), web(1, name="!!binary aGlkZGVu")],
    ids=["UTF-16", "binary"],
)
def test_file_whose_bytes_hide_the_name_of_the_pattern_is_named(content: bytes, backups: Backups) -> None:
    backups.sync("2025-07-13", {"east/hidden.yaml": content})
    (found,) = read(backups, "east/*/*/hidden")
    assert [path for path, _ in found.not_read] == ["hidden.yaml"]


SECRET = (
    "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: shop}\ndata: {password: %s, user: %s}\n"
)


def test_values_that_other_rules_redact_are_not_rotated(tmp_path: Path) -> None:
    backups = Backups.at(tmp_path / "backups.git")
    versions = (
        ("", "czNjcmV0", "Ym9i"),
        ("rules-1", "redacted:" + 32 * "0", "redacted:" + 32 * "1"),
        ("rules-1", "redacted:" + 32 * "2", "redacted:" + 32 * "1"),
        ("rules-2", "redacted:" + 32 * "3", "redacted:" + 32 * "4"),
        ("", "czNjcmV0", "Ym9i"),
        ("", "bjN3", "Ym9i"),
    )
    for day, (rules, *values) in enumerate(versions, start=10):
        backups.sync(f"2025-07-{day}", {"east/db.yaml": (SECRET % tuple(values)).encode()}, rules=rules)
        backups.sync(f"2025-07-{day}", {"west/web.yaml": web(day)}, rules="rules of west")
    what = [event.what for one in read(backups, "east", since="2025-07-11") for event in one.events]
    unknown = tuple(f"value {name} not comparable: redacted by other rules" for name in ("password", "user"))
    assert what == [("value password changed",), unknown, unknown, ("value password changed",), unknown]
