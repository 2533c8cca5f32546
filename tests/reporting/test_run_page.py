"""The page of one run, and its headline for chats."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from steps.contracts import ClusterResult, ForeignFile, Outcome, Status
from steps.core.deletion_guard import Decision
from steps.reporting.markdown import markdown
from steps.reporting.run_page import headline, run_page
from tests.support.results import EVIL, NOON, hostile, refused_object, result


def cluster(status: Status = Status.OK, **fields: Any) -> ClusterResult:
    return ClusterResult(name="east", status=status, **fields)


def text(**fields: Any) -> str:
    """Return the page of a run as Markdown without escapes."""
    return markdown(run_page(result(**fields), None)).replace("\\", "")


def test_headline_keeps_hostile_names_on_one_line() -> None:
    line = headline(hostile())
    assert line.isprintable()
    failed = headline(result(outcome=Outcome.FAILED, exit_code=30, error=EVIL))
    assert failed.isprintable()
    assert failed.startswith("git-sync: Failed on main. Exit code 30: ")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "git-sync: Success on main. Nothing changed in 0 clusters."),
        (
            {"clusters": (cluster(added=1200, deleted=1),)},
            "git-sync: Success on main. 1,200 new, 0 modified, 1 deleted in 1 cluster.",
        ),
        (
            {"outcome": Outcome.PARTIAL, "clusters": (cluster(Status.FAILED), cluster(modified=2))},
            (
                "git-sync: Partial on main. Committed 0 new, 2 modified, 0 deleted in 1 cluster. "
                "1 cluster failed."
            ),
        ),
        (
            {"outcome": Outcome.REFUSED, "clusters": (cluster(Status.OVER_LIMIT),) * 2, "branch": None},
            "git-sync: Refused. Nothing changed in 0 clusters. 2 clusters over limit.",
        ),
        (
            {"outcome": Outcome.FAILED, "exit_code": 40, "error": "@here <!channel> [x](y)"},
            "git-sync: Failed on main. Exit code 40: \uff20here \u2039!channel\u203a (x)(y)",
        ),
    ],
)
def test_headline_describes_the_run_in_one_line(fields: dict[str, Any], expected: str) -> None:
    assert headline(result(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"status": Status.FAILED, "error": "503", "transient": True},
            "`east` failed and is unchanged in Git: `503`. The next run retries it.",
        ),
        (
            {"status": Status.FAILED, "error": "403"},
            "`east` failed and is unchanged in Git: `403`. Fix the cause; a retry does not help.",
        ),
        (
            {
                "status": Status.REFUSED,
                "decision": Decision.REFUSED_VANISHED,
                "deletions_refused": 1,
                "allow_delete": "a b:0123",
            },
            (
                "`east`: 1 deletion refused: the bucket no longer contains this cluster. Fix the backup job. "
                "If the deletions are intended, "
                "approve exactly these: `git-sync run --allow-delete 'a b:0123'`"
            ),
        ),
        (
            {"status": Status.OVER_LIMIT, "error": "2 GiB exceed 1 GiB"},
            "`east` is over an intake limit, was skipped and is unchanged in Git: `2 GiB exceed 1 GiB`. ",
        ),
        ({"status": Status.OK, "changes_deferred": 2}, "`east`: 2 changes deferred to the next run; "),
        (
            {
                "status": Status.OK,
                "quarantined": {"git_file": 5, "backslash": 2},
                "quarantined_sample": tuple("abcdef"),
            },
            (
                "`east`: 7 keys quarantined (backslash 2, git_file 5). Rename or remove them in the bucket: "
                "`a` `b` `c` `d` `e` …"
            ),
        ),
    ],
)
def test_run_page_lists_what_to_do_for_a_cluster(fields: dict[str, Any], expected: str) -> None:
    assert f"## What to do\n\n- {expected}" in text(clusters=(ClusterResult(name="east", **fields),))


def test_run_page_lists_the_changes_that_the_git_host_refuses() -> None:
    page = text(
        clusters=(cluster(refused_by_host=22),),
        refused_by_host=tuple(refused_object(f"east/{number:02}") for number in range(22)),
    )
    assert "22 changes refused by the Git host" in page
    assert (
        "- `east/00` (new) has been refused by the Git host since 2025-07-12 12:00 UTC: `a token`. "
        "Change the object, or the host's rule; then a full run (SYNC_MODE=full) tries it again.\n"
    ) in page
    assert "`east/19`" in page
    assert "`east/20`" not in page
    assert "- The Git host refuses 2 more.\n" in page


def test_run_page_lists_the_first_foreign_files() -> None:
    files = tuple(ForeignFile(path=f"ghost/{number:02}", oid="0" * 40) for number in range(22))
    removed = ForeignFile(path="east/x", oid="0" * 40, removed=True)
    page = text(clusters=(cluster(foreign=(removed,)), cluster(foreign=files)))
    assert "## Foreign files" in page
    assert "- `east/x` removed\n- `ghost/00` kept\n" in page
    assert "… and 3 more." in page
    assert "What to do" not in page


def test_run_page_has_no_list_of_what_to_do_after_a_success() -> None:
    assert "What to do" not in text(clusters=(cluster(),))


def test_run_page_names_skipped_new_clusters() -> None:
    page = text(clusters_skipped=7, clusters_skipped_sample=tuple("abcdef"))
    assert (
        "7 new clusters skipped, because there are more clusters than MAX_CLUSTERS: `a` `b` `c` `d` `e` …"
        in page
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.44, "0.4 s"), (9.99, "10.0 s"), (45, "45 s"), (125, "2 min 5 s"), (3725, "1 h 2 min")],
)
def test_run_page_shows_the_duration(seconds: float, expected: str) -> None:
    page = text(finished_at=NOON + timedelta(seconds=seconds))
    assert f", after {expected}\n" in page


def test_run_page_links_the_commit_if_its_page_is_known() -> None:
    run = result(commit="0123456789abcdef" * 2)
    assert "Commit `0123456789ab`" in markdown(run_page(run, None))
    linked = markdown(run_page(run, "https://git.example.com/x/commit/0"))
    assert "Commit [0123456789ab](<https://git.example.com/x/commit/0>)" in linked


def test_page_shows_work_and_waiting_apart() -> None:
    durations = {"discover": 3.0, "download": 100.0, "detect": 2.0, "publish": 20.0}
    work = {"discover": 3.0, "download": 40.0, "detect": 2.0, "publish": 5.0}
    page = text(step_seconds=durations, work_seconds=work)
    assert "discover 3.0 s, download 40 s, detect 2.0 s, publish 5.0 s" in page
    assert "Waited 1 min 15 s for pods and volumes" in page
    assert "Waited" not in text(step_seconds=work, work_seconds=work)


def test_run_page_shows_what_secrets_and_filters_do_with_files_in_git() -> None:
    hidden = cluster(secrets=3, removed_by_policy=2, excluded_in_git=1, quarantined={"secret_unreadable": 1})
    shown = text(clusters=(hidden, cluster(secret_paths=67)))
    assert "3 Secrets redacted or excluded in this run." in shown
    assert "2 files removed by SECRETS or VOLATILE_FIELDS; the bucket has the objects." in shown
    assert "1 file in Git excluded by EXCLUDE or NAMESPACES, and unchanged." in shown
    assert "1 file may contain a Secret and cannot be read, so Git does not have them." in shown
    assert "Secrets are stored in clear text: 67 files with a path that names Secrets" in shown
    assert "## Volatile fields, Secrets and filters" in shown
    assert "Secrets and filters" not in text(clusters=(cluster(),))


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        (
            (
                cluster(rewritten=1200, kept_exactly=3, cut_bytes=1_200_000),
                cluster(rewritten=4, omitted=57, cut_bytes=34_567),
            ),
            "- 1,204 objects rewritten, 3 kept exactly, 57 omitted, 1.2 MB cut.\n",
        ),
        ((cluster(rewritten=1, cut_bytes=2500),), "- 1 object rewritten, 2 kB cut.\n"),
        ((cluster(kept_exactly=1),), "- 0 objects rewritten, 1 kept exactly, 0 bytes cut.\n"),
        ((cluster(omitted=2),), "- 0 objects rewritten, 2 omitted, 0 bytes cut.\n"),
    ],
)
def test_run_page_counts_rewritten_and_omitted_objects(
    clusters: tuple[ClusterResult, ...], expected: str
) -> None:
    page = text(clusters=clusters)
    assert f"## Volatile fields, Secrets and filters\n\n{expected}" in page
