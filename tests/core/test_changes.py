"""What a commit must change: compared with the same rules, written again on sets."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.changes import (
    EXCLUDED_SECRET,
    FETCHED,
    OMITTED,
    UNCHANGED,
    VANISHED,
    Directories,
    ManifestRow,
    PlanRow,
    Tally,
    TreeRow,
    deletion_stats,
    keep_all,
    plan_changes,
)
from steps.core.deletion_guard import DeletionStats, DeletionToken
from steps.core.git_objects import Change
from steps.core.git_objects import Mode as GitMode
from steps.core.keys import Reason
from steps.core.sorted_join import outer_join

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OLD, NEW = "1" * 40, "2" * 40


def applied(tree: Iterable[TreeRow], changes: Iterable[PlanRow]) -> list[TreeRow]:
    """Return the tree after these changes."""
    files = {row.path: row for row in tree}
    for row in changes:
        if row.change == "D":
            del files[row.path]
        else:
            assert (row.path in files) == (row.change == "M")
            files[row.path] = TreeRow(row.path, GitMode.FILE, row.oid)
    return [files[path] for path in sorted(files)]


@dataclass(frozen=True)
class Situation:
    """A cluster in Git and in the bucket; the manifest has only selected paths."""

    tree: tuple[TreeRow, ...]
    manifest: tuple[ManifestRow, ...]
    deselected: frozenset[bytes] = frozenset()

    def selects(self, path: bytes) -> bool:
        return path not in self.deselected

    @property
    def accepted(self) -> dict[bytes, ManifestRow]:
        return {row.path: row for row in self.manifest if row.accepted}

    def stats(self, cluster: str = "c") -> DeletionStats:
        return deletion_stats(cluster, self.pairs(), self.selects, branch="main")

    def pairs(self) -> Iterator[tuple[TreeRow | None, ManifestRow | None]]:
        return outer_join(self.tree, self.manifest)

    def plan(self, *, delete: bool) -> tuple[list[PlanRow], Tally]:
        tally = Tally()
        rows = plan_changes(
            self.pairs,
            self.selects,
            changed=self.pairs(),
            stats=self.stats(),
            keeps=None if delete else keep_all,
            tally=tally,
            refused=not delete,
        )
        return list(rows), tally

    def deletable(self) -> set[bytes]:
        listed = {row.path for row in self.manifest}
        return {row.path for row in self.tree if row.path not in listed and self.selects(row.path)}

    def kept(self, *, delete: bool) -> dict[bytes, TreeRow]:
        gone = self.accepted.keys() | (self.deletable() if delete else set())
        return {row.path: row for row in self.tree if row.path not in gone}


def is_above(one: bytes, other: bytes) -> bool:
    return other.startswith(one + b"/")


def are_file_and_directory(one: bytes, other: bytes) -> bool:
    return is_above(one, other) or is_above(other, one)


# Few names, so that paths are equal, are directories of each other, or sort between a file and its children.
path_names = st.lists(st.sampled_from([b"a", b"a-x", b"a.x", b"a0", b"b"]), min_size=1, max_size=3)
paths = path_names.map(lambda names: b"c/" + b"/".join(names))
oids = st.sampled_from([OLD, NEW])
modes = st.sampled_from([GitMode.FILE] * 3 + ["100755", "120000", "160000"])
NOT_ACCEPTED = [VANISHED, Reason.TOO_LARGE.value]


@st.composite
def trees(draw: st.DrawFn) -> tuple[TreeRow, ...]:
    generated = draw(st.dictionaries(paths, st.tuples(modes, oids), max_size=8))
    files = [path for path in generated if not any(is_above(path, other) for other in generated)]
    return tuple(TreeRow(path, *generated[path]) for path in sorted(files))


@st.composite
def situations(draw: st.DrawFn, *, mirror: bool = False) -> Situation:
    """``mirror``: no filter, and everything in the bucket is accepted."""
    states = st.sampled_from([FETCHED, UNCHANGED, *([] if mirror else NOT_ACCEPTED)])
    listed = draw(st.dictionaries(paths, st.tuples(states, oids), max_size=8))
    deselected = frozenset() if mirror else draw(st.frozensets(paths, max_size=3))
    manifest: list[ManifestRow] = []
    for path in sorted(listed.keys() - deselected):
        state, oid = listed[path]
        if any(is_above(path, other) for other in listed.keys() - deselected):
            if mirror:
                continue
            state = Reason.PATH_CONFLICT.value
        accepted = state in {FETCHED, UNCHANGED}
        manifest.append(ManifestRow(path, state, oid if accepted else "", 7, "etag"))
    return Situation(draw(trees()), tuple(manifest), deselected)


@given(situations(), st.booleans())
def test_plan_results_in_the_accepted_and_the_kept_files(situation: Situation, delete: bool) -> None:
    kept = situation.kept(delete=delete)
    losers = {
        path for path in situation.accepted if any(are_file_and_directory(path, other) for other in kept)
    }
    wanted = kept | {
        path: TreeRow(path, GitMode.FILE, row.oid)
        for path, row in situation.accepted.items()
        if path not in losers
    }
    rows, tally = situation.plan(delete=delete)
    assert applied(situation.tree, rows) == [wanted[path] for path in sorted(wanted)]
    assert tally.conflicts == sorted(losers)


@given(situations(mirror=True))
def test_plan_without_filters_and_refusals_results_in_the_bucket(situation: Situation) -> None:
    rows, tally = situation.plan(delete=True)
    after = applied(situation.tree, rows)
    assert after == [TreeRow(row.path, GitMode.FILE, row.oid) for row in situation.manifest]
    assert (tally.conflicts, tally.kept_deletions) == ([], 0)


@given(situations(), st.booleans())
def test_plan_never_results_in_a_path_that_is_file_and_directory(situation: Situation, delete: bool) -> None:
    rows, _ = situation.plan(delete=delete)
    after = [row.path for row in applied(situation.tree, rows)]
    assert not any(is_above(one, other) for one in after for other in after)


@given(situations(), st.booleans())
def test_plan_deletes_only_selected_unlisted_paths_and_counts_them(
    situation: Situation, delete: bool
) -> None:
    rows, tally = situation.plan(delete=delete)
    after = {row.path for row in applied(situation.tree, rows)}
    gone = {row.path for row in situation.tree} - after
    assert gone == {row.path for row in rows if row.change == "D"}
    assert gone == (situation.deletable() if delete else set())
    assert tally.deleted == len(gone)
    assert tally.kept_deletions == (0 if delete else len(situation.deletable()))


@given(situations(), st.booleans())
def test_plan_rows_are_sorted_counted_and_change_something(situation: Situation, delete: bool) -> None:
    rows, tally = situation.plan(delete=delete)
    before_rows = {row.path: row for row in situation.tree}
    assert [row.path for row in rows] == sorted({row.path for row in rows})
    for row in rows:
        before = before_rows.get(row.path)
        if row.change == "A":
            assert before is None
        elif row.change == "M":
            assert before is not None
            assert before != TreeRow(row.path, GitMode.FILE, row.oid)
        else:
            assert before is not None
            assert row == PlanRow(row.path, Change.DELETED, before.oid, 0)
    counts = [sum(row.change == change for row in rows) for change in "AMD"]
    assert [tally.added, tally.modified, tally.deleted] == counts
    assert tally.files == len(applied(situation.tree, rows))


@given(situations(), st.booleans())
def test_plan_of_the_resulting_tree_is_empty(situation: Situation, delete: bool) -> None:
    rows, tally = situation.plan(delete=delete)
    done = Situation(tuple(applied(situation.tree, rows)), situation.manifest, situation.deselected)
    assert done.plan(delete=delete) == (
        [],
        Tally(
            tally.files,
            kept_deletions=tally.kept_deletions,
            kept_deletions_sample=tally.kept_deletions_sample,
            conflicts=tally.conflicts,
        ),
    )


@given(situations())
def test_deletion_stats_count_files_deletions_and_accepted_objects(situation: Situation) -> None:
    token = DeletionToken("c", "main")
    oids = {row.path: row.oid for row in situation.tree}
    for path in sorted(situation.deletable()):
        token.add(path, oids[path])
    assert situation.stats() == DeletionStats(
        in_git=sum(situation.selects(row.path) for row in situation.tree),
        accepted=len(situation.accepted),
        deletions=len(situation.deletable()),
        kept=len(situation.kept(delete=True)),
        token=str(token),
    )


@given(situations(), situations())
def test_deletion_token_depends_only_on_cluster_and_deletions(one: Situation, other: Situation) -> None:
    first, second = ({row for row in each.tree if row.path in each.deletable()} for each in (one, other))
    same = {(row.path, row.oid) for row in first} == {(row.path, row.oid) for row in second}
    assert (one.stats().token == other.stats().token) == same
    assert one.stats("c").token != one.stats("d").token


@given(st.sets(paths))
def test_directories_find_paths_that_are_also_directories(listed: set[bytes]) -> None:
    expected = {path for path in listed if any(is_above(path, other) for other in listed)}
    directories: Directories[None] = Directories()
    assert {above for path in sorted(listed) for above, _ in directories.of(path, None)} == expected


# -- single cases ---------------------------------------------------------------------------------


def in_git(*paths: str, mode: str = GitMode.FILE) -> tuple[TreeRow, ...]:
    return tuple(TreeRow(path.encode(), mode, OLD) for path in sorted(paths))


def listed(**states: str) -> tuple[ManifestRow, ...]:
    """Return manifest rows by name; ``__`` means a slash."""
    rows = ((name.replace("__", "/").encode(), state) for name, state in states.items())
    return tuple(sorted(ManifestRow(path, state, NEW, 3, "etag") for path, state in rows))


@pytest.mark.parametrize("mode", ["100755", "120000", "160000"])
@pytest.mark.parametrize("state", [FETCHED, UNCHANGED])
def test_plan_modifies_a_file_with_another_mode_and_the_same_id(mode: str, state: str) -> None:
    manifest = (ManifestRow(b"c/x", state, OLD, 3, "etag"),)
    rows, tally = Situation(in_git("c/x", mode=mode), manifest).plan(delete=True)
    assert rows == [PlanRow(b"c/x", Change.MODIFIED, OLD, 3)]
    assert (tally.modified, tally.files) == (1, 1)
    assert applied(in_git("c/x", mode=mode), rows) == [TreeRow(b"c/x", GitMode.FILE, OLD)]


def test_plan_ignores_a_file_with_the_same_content() -> None:
    manifest = (ManifestRow(b"c/x", FETCHED, OLD, 3, "etag"),)
    assert Situation(in_git("c/x"), manifest).plan(delete=True) == ([], Tally(files=1))


@pytest.mark.parametrize("state", [VANISHED, *sorted({*Reason} - {Reason.SECRET_UNREADABLE})])
def test_plan_keeps_the_file_of_a_quarantined_or_vanished_key(state: str) -> None:
    situation = Situation(in_git("c/x", mode="120000"), listed(c__x=state))
    assert situation.plan(delete=True) == ([], Tally(files=1))
    assert situation.stats().deletions == 0


UNREADABLE = Reason.SECRET_UNREADABLE.value


def omitting(*states: str, written: bool = False, accepted: bool = True) -> Situation:
    """A cluster whose files in Git have objects with these states, and one more file.

    ``written``: a run with the same policy wrote the files.
    """
    rows = [ManifestRow(b"c/%d" % n, state, OLD if written else "", 1, "e") for n, state in enumerate(states)]
    other = [ManifestRow(b"c/other", FETCHED, OLD, 1, "e")] if accepted else []
    return Situation(in_git(*(row.path.decode() for row in (*rows, *other))), (*rows, *other))


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("state", [OMITTED, EXCLUDED_SECRET, UNREADABLE])
def test_guard_counts_only_omitted_files_that_no_change_of_the_policy_removes(
    state: str, written: bool
) -> None:
    situation = omitting(state, written=written)
    stats = situation.stats()
    guarded = (state, written) in {(OMITTED, True), (UNREADABLE, False)}
    assert (stats.deletions, stats.accepted, stats.emptied) == (int(guarded), 2, False)
    rows, tally = situation.plan(delete=True)
    kept = (state, written) == (UNREADABLE, True)
    assert rows == ([] if kept else [PlanRow(b"c/0", Change.DELETED, OLD, 0)])
    assert (tally.omitted, tally.files) == ((0, 2) if kept else (1, 1))


def test_unreadable_file_whose_path_names_secrets_is_removed_without_the_guard() -> None:
    situation = omitting(UNREADABLE)
    stats = deletion_stats(
        "c", situation.pairs(), situation.selects, branch="main", names_secrets=lambda path: path == b"c/0"
    )
    assert stats.deletions == 0


def test_change_of_the_policy_that_empties_a_cluster_is_counted() -> None:
    situation = omitting(OMITTED, OMITTED, EXCLUDED_SECRET, accepted=False)
    stats = situation.stats()
    assert (stats.deletions, stats.in_git, stats.emptied) == (2, 2, True)
    rows, tally = situation.plan(delete=False)
    assert (rows, tally.kept_deletions) == ([PlanRow(b"c/2", Change.DELETED, OLD, 0)], 2)
    rows, _ = situation.plan(delete=True)
    assert [row.path for row in rows] == [b"c/0", b"c/1", b"c/2"]
    assert not omitting(EXCLUDED_SECRET, EXCLUDED_SECRET, accepted=False).stats().emptied
    assert stats.token != omitting(OMITTED, EXCLUDED_SECRET, OMITTED, accepted=False).stats().token


@pytest.mark.parametrize(
    ("tree", "manifest", "refused", "allowed"),
    [
        # A file becomes a directory and the reverse, also with names that sort between the two.
        (["c/a"], {"c__a__b": FETCHED}, {b"c/a"}, {b"c/a/b"}),
        (["c/a/b", "c/a/d"], {"c__a": FETCHED}, {b"c/a/b", b"c/a/d"}, {b"c/a"}),
        (
            ["c/a", "c/a-x", "c/a.x"],
            {"c__a__b__d": FETCHED},
            {b"c/a", b"c/a-x", b"c/a.x"},
            {b"c/a/b/d"},
        ),
        # Only the object in conflict is deferred.
        (["c/a/b"], {"c__a": FETCHED, "c__e": FETCHED}, {b"c/a/b", b"c/e"}, {b"c/a", b"c/e"}),
    ],
)
def test_plan_swaps_file_and_directory_only_with_allowed_deletions(
    tree: list[str], manifest: dict[str, str], refused: set[bytes], allowed: set[bytes]
) -> None:
    situation = Situation(in_git(*tree), listed(**manifest))
    for delete, expected in ((False, refused), (True, allowed)):
        rows, tally = situation.plan(delete=delete)
        assert {row.path for row in applied(situation.tree, rows)} == expected
        assert bool(tally.conflicts) is not delete


def test_plan_defers_objects_below_a_kept_file() -> None:
    situation = Situation(in_git("c/a"), listed(c__a=Reason.PATH_CONFLICT, c__a__b=FETCHED, c__a__d=FETCHED))
    rows, tally = situation.plan(delete=True)
    assert (rows, tally.conflicts, tally.files) == ([], [b"c/a/b", b"c/a/d"], 1)


# -- memory ---------------------------------------------------------------------------------------

MANY = 20_000
FEW_BYTES = 1024 * 1024  # a list of the rows of one stream would be several times as large


def many_files() -> Iterator[TreeRow]:
    return (TreeRow(b"c/ns-%06d/Deployment/web.yaml" % n, GitMode.FILE, OLD) for n in range(MANY))


def many_objects() -> Iterator[ManifestRow]:
    """Yield three quarters of the files, every fifth of them changed."""
    for n, row in enumerate(many_files()):
        if n % 4:
            yield ManifestRow(row.path, FETCHED, OLD if n % 5 else NEW, 1000, "etag")


def many_pairs() -> Iterator[tuple[TreeRow | None, ManifestRow | None]]:
    return outer_join(many_files(), many_objects())


def test_plan_does_not_keep_the_rows_in_memory() -> None:
    tally = Tally()
    tracemalloc.start()
    try:
        stats = deletion_stats("c", many_pairs(), lambda _: True, branch="main")
        rows = plan_changes(
            many_pairs, lambda _: True, changed=many_pairs(), stats=stats, keeps=keep_all, tally=tally
        )
        yielded = sum(1 for _ in rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < FEW_BYTES
    assert (stats.in_git, stats.deletions, tally.kept_deletions) == (MANY, MANY // 4, MANY // 4)
    assert (yielded, tally.modified, tally.files) == (3_000, 3_000, MANY)
