"""Which keys become paths; real git must accept each of them."""

from __future__ import annotations

import re
from itertools import count
from subprocess import CalledProcessError
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.core import keys
from steps.core.keys import Reason, printable, rejection
from tests.support.repositories import bare_repository, fsck, git

if TYPE_CHECKING:
    from pathlib import Path

HFS_IGNORED = [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
BIDI = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]

LEGAL = [
    "east",
    "east/default/Deployment/web.yaml",
    "east/rbac/system:admin.yaml",
    "system:admin/x",
    "a%2Fb/%2e%2e/%00",
    "*/?/[a-z]",
    "\"quoted\"/'single'/`tick`/$HOME/$(id)",
    " leading/trailing ",
    "two  spaces/a b",
    "größe/日本語/🎉/ñ",
    "-rf/--force",
    "@/HEAD/refs/heads/main",
    "git/.github/.gitlab-ci.yml/.gitkeep/.git-sync/.gitmodule/.gits",
    "gitignore/mailmap/a.git/x.gitignore",
    "~/a~1/git~/git~x/xgit~1/git~1x",
    "gi7e~1/~1/gi~12/ma~123456789",
    ".hidden/..double/...",
    "con/aux/nul.txt",
    "a|b<c>d&e;f#g!h^i{j}k,l=m+n",
    "x" * 255,
    "é" * 127,
    "/".join(["x" * 204] * 5),
    "/".join(["x" * 200] * 5 + ["x" * 19]),
]

ILLEGAL = [
    ("", Reason.EMPTY_SEGMENT),
    ("/", Reason.EMPTY_SEGMENT),
    ("/a", Reason.EMPTY_SEGMENT),
    ("a/", Reason.EMPTY_SEGMENT),
    ("a//b", Reason.EMPTY_SEGMENT),
    (".", Reason.DOT_SEGMENT),
    ("..", Reason.DOT_SEGMENT),
    ("a/./b", Reason.DOT_SEGMENT),
    ("a/../../b", Reason.DOT_SEGMENT),
    ("a\\b", Reason.BACKSLASH),
    ("a/..\\b", Reason.BACKSLASH),
    ("a\ufffdb", Reason.REPLACEMENT_CHARACTER),
    ("a\ud800b", Reason.NOT_UNICODE),
    ("a\udcffb", Reason.NOT_UNICODE),
    ("x" * 256, Reason.SEGMENT_TOO_LONG),
    ("a/" + "é" * 128 + "/b", Reason.SEGMENT_TOO_LONG),
    ("/".join(["x" * 204] * 5 + ["x"]), Reason.PATH_TOO_LONG),
    ("/".join(["x" * 200] * 5 + ["x" * 20]), Reason.PATH_TOO_LONG),
    ("é/" * 341 + "ab", Reason.PATH_TOO_LONG),
    (".gitignore", Reason.GIT_FILE),
    ("east/.GitIgnore", Reason.GIT_FILE),
    ("east/.gitattributes/x", Reason.GIT_FILE),
    (".gitmodules", Reason.GIT_FILE),
    (".mailmap", Reason.GIT_FILE),
    (".gitmodules ", Reason.GIT_FILE),
    (".gitmodules...", Reason.GIT_FILE),
    (".gitmodules:stream", Reason.GIT_FILE),
    (".git\u200cmodules", Reason.GIT_FILE),
    ("GITMOD~1", Reason.GIT_FILE),
    ("gitign~2", Reason.GIT_FILE),
    ("gitatt~3", Reason.GIT_FILE),
    ("mailma~4", Reason.GIT_FILE),
    ("gi7eba~9", Reason.GIT_FILE),
    ("GI250A~1", Reason.GIT_FILE),
    ("gi7d29~1", Reason.GIT_FILE),
    ("maba30~1", Reason.GIT_FILE),
    *((f"a{chr(code)}b", Reason.CONTROL_CHARACTER) for code in CONTROLS),
    *((f"a{chr(code)}b", Reason.BIDI_CONTROL) for code in BIDI),
]

DOT_GIT = [
    ".git",
    ".GIT",
    ".gIt",
    "git~1",
    "GIT~1",
    ".git ",
    ".git.",
    ".git . .",
    ".git:",
    ".git::$INDEX_ALLOCATION",
    "git~1.",
    "git~1 :x",
    *(f".g{chr(code)}it" for code in HFS_IGNORED if code not in BIDI),
    *(f"{chr(code)}.git{chr(code)}" for code in HFS_IGNORED if code not in BIDI),
]

# Short names that git treats as .gitmodules or .gitattributes, and so checks in `git fsck`.
HASHED_SHORT_NAMES = [
    *("gi7eba~1", "GI7EBA~9", "gi7eb~10", "gi7e~123", "gi~99999", "g~123456", "~1234567"),
    *("gi7d29~1", "gi7d2~10"),
]

HARMLESS_ALONE = [
    *[".git", "git~1", "GIT", "it", "g", ".", "..", " ", ":", "~", "1", "42", "a", "-", "%2F", "*", '"', "é"],
    *["gi7eba", "gitmod", "modules", "attributes", "ignore", ".mailmap", "::$DATA", "\u0130", "\u212a"],
    *[chr(code) for code in HFS_IGNORED if code not in BIDI],
]
NEVER_LEGAL = ["\\", *(chr(code) for code in (*BIDI, 0xFFFD, 0x00, 0x0A, 0x85))]


def joined(fragments: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(fragments), min_size=1, max_size=5).map("".join)


any_text = st.text(st.characters()) | st.lists(joined([*HARMLESS_ALONE, *NEVER_LEGAL]), max_size=4).map(
    "/".join
)
legal_segments = (joined(HARMLESS_ALONE) | st.text(min_size=1)).filter(lambda name: rejection(name) is None)
legal_paths = st.lists(legal_segments, min_size=1, max_size=4).map("/".join)
PLAIN_ALPHABET = "AZaz09_+@=,:-."
plain_looking = st.lists(
    st.text(PLAIN_ALPHABET, max_size=4)
    | st.builds(lambda c, n: c * n, st.sampled_from(PLAIN_ALPHABET), st.integers(195, 260)),
    max_size=7,
).map("/".join)


@pytest.mark.parametrize("path", LEGAL)
def test_path_without_a_matching_rule_is_legal(path: str) -> None:
    assert rejection(path) is None


@pytest.mark.parametrize(("path", "reason"), ILLEGAL)
def test_rule_rejects_a_path_with_its_reason(path: str, reason: Reason) -> None:
    assert rejection(path) == reason


@pytest.mark.parametrize("name", DOT_GIT)
@pytest.mark.parametrize("path", ["{}", "{}/config", "east/{}/config", "east/default/{}"])
def test_every_spelling_of_dot_git_is_rejected_in_every_segment(name: str, path: str) -> None:
    assert rejection(path.format(name)) == Reason.GIT_DIRECTORY


@given(any_text)
def test_accepted_path_is_within_all_limits(path: str) -> None:
    if rejection(path) is None:
        assert len(path.encode()) <= 1024
        assert all(0 < len(segment.encode()) <= 255 for segment in path.split("/"))
        assert not {".", ".."} & set(path.split("/"))
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\\\ufffd]", path)


@given(any_text | plain_looking)
def test_fast_check_agrees_with_the_full_check(path: str) -> None:
    fast = rejection(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "_PLAIN", re.compile(r"(?!)"))
        assert rejection(path) == fast


@given(any_text, st.integers(1, 300))
def test_shown_key_is_printable_and_limited_in_length(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= len(r"\U0010ffff") * limit + len(f"… ({len(text)} characters)")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("east/größe 1.yaml", "east/größe 1.yaml"),
        ("a\nb\x1b[31m", r"a\nb\x1b[31m"),
        ("a\u202eb", r"a\u202eb"),
        ("a\udcff", r"a\udcff"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "… (201 characters)"),
    ],
)
def test_shown_key_escapes_unprintable_characters(text: str, shown: str) -> None:
    assert printable(text) == shown


# -- against git itself -----------------------------------------------------------------------


class StrictGit:
    """A repository that checks names and contents like the strictest hosts and file systems."""

    def __init__(self, directory: Path) -> None:
        self.directory = bare_repository(directory)
        # `git fsck` rejects this content in every file that it treats as .gitmodules or .gitattributes.
        content = b'[submodule "x"]\n\tpath = x\n\turl = -u./payload\n#' + b"x" * 4096 + b"\n"
        self._blob = git(self.directory, "hash-object", "-w", "--stdin", stdin=content).strip()
        self._numbers = count()

    def check(self, *paths: str) -> None:
        """Raise CalledProcessError if git gives any of these paths a special meaning."""
        entries = b"".join(
            b"100644 " + self._blob + b"\t%d/" % next(self._numbers) + path.encode() + b"\0" for path in paths
        )
        protected = ("-c", "core.protectHFS=true", "-c", "core.protectNTFS=true")
        git(self.directory, "read-tree", "--empty")
        git(self.directory, *protected, "update-index", "-z", "--index-info", stdin=entries)
        git(self.directory, "write-tree")
        fsck(self.directory)

    def check_siblings(self, *names: str) -> None:
        """Check many names in one directory."""
        entries = b"".join(b"100644 blob " + self._blob + b"\t" + name.encode() + b"\0" for name in names)
        git(self.directory, "mktree", "-z", stdin=entries)
        fsck(self.directory)


@pytest.fixture(scope="module")
def strict_git(tmp_path_factory: pytest.TempPathFactory) -> StrictGit:
    return StrictGit(tmp_path_factory.mktemp("strict") / "strict.git")


def test_git_accepts_every_legal_example(strict_git: StrictGit) -> None:
    strict_git.check(*LEGAL)


@pytest.mark.parametrize(
    "path", [*DOT_GIT, ".", "..", "a/../b", "a//b", *(f".g{chr(code)}it" for code in HFS_IGNORED)]
)
def test_path_that_git_refuses_is_rejected(path: str, tmp_path: Path) -> None:
    with pytest.raises(CalledProcessError):
        StrictGit(tmp_path / "strict.git").check(f"x/{path}/y")
    assert rejection(f"x/{path}/y") is not None


@pytest.mark.parametrize(
    "name", [".gitmodules", ".GITMODULES. .", ".git\u200cmodules", "gitmod~4", "gitatt~1"]
)
def test_special_file_of_git_is_rejected(name: str, tmp_path: Path) -> None:
    with pytest.raises(CalledProcessError):
        StrictGit(tmp_path / "strict.git").check(name)
    assert rejection(name) == Reason.GIT_FILE


@pytest.mark.parametrize("name", HASHED_SHORT_NAMES)
def test_hashed_short_name_is_rejected_with_any_number(name: str, tmp_path: Path) -> None:
    with pytest.raises(CalledProcessError):
        StrictGit(tmp_path / "strict.git").check(name)
    assert rejection(name) == Reason.GIT_FILE


@settings(max_examples=40)  # each example starts git four times
@given(st.lists(legal_paths, min_size=1, max_size=50))
def test_git_accepts_every_accepted_path(strict_git: StrictGit, paths: list[str]) -> None:
    assert {rejection(path) for path in paths} <= {None, Reason.PATH_TOO_LONG}
    strict_git.check(*paths)


def test_dot_git_with_any_inserted_character_is_rejected_or_harmless(strict_git: StrictGit) -> None:
    names = (f".gi{chr(code)}t" for code in range(1, 0x1_0000) if chr(code) != "/")
    strict_git.check_siblings(*(name for name in names if rejection(name) is None))
