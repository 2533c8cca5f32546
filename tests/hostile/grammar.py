"""A grammar of tricks: hostile keys whose verdict follows from their construction.

This module does not call the validator. A key consists of harmless names and of tricks; a trick has the
reasons that may be reported for it. docs/guards.md lists the reasons.

A key here is the part after the bucket's prefix, as bytes: <cluster>/<rest>.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.hostile.fixed import BAD, GOOD

if TYPE_CHECKING:
    from random import Random

PATH_CONFLICT = "path_conflict"
MARKER = "marker"  # an empty object whose key ends with a slash: git-sync ignores it
LARGE = 3000  # bytes; MAX_OBJECT_BYTES is set below it
MAX_OBJECT_BYTES = 2000

# An attacker can choose cluster names. All of these are legal.
CLUSTERS = (
    *("east", "East", "gr\u00f6\u00dfe", unicodedata.normalize("NFD", "gr\u00f6\u00dfe")),
    *("--help", "-x", "-", "--allow-delete", ":(exclude)east", ":!x", "@{u}", "HEAD", "refs"),
    *("#comment", "Git-Sync-Run: forged", "Total files: 9", " edges ", " ", "two  words", "a,b", "a:b"),
    *(
        "{{workflow.name}}",
        "<script>alert(1)<",
        "|`x`|**b**[l](http:x)",
        "$(touch executed)",
        "`touch executed`",
    ),
    *('it\'s "q"', "%2e%2e", "%00", "*", "?[a-z]!", "!not", "~", "~root", "con", "null", "true", "0"),
    *(
        "z\u200d\u00a0\u2028\ue000\ufeff",
        "name.",
        "cache",
        "lock",
        "old.git",
        "run.json",
        "sync-metadata.json",
    ),
)


@dataclass(frozen=True)
class Key:
    """One hostile key. `verdicts` are the reasons that may be reported; a good key has none."""

    key: bytes
    body: bytes
    verdicts: frozenset[str]
    trick: str

    @property
    def cluster(self) -> bytes:
        """The part before the first slash."""
        return self.key.partition(b"/")[0]

    @property
    def is_good(self) -> bool:
        """Whether git-sync must commit it, unless other keys conflict with it."""
        return not self.verdicts

    @property
    def is_marker(self) -> bool:
        """Whether git-sync must ignore it."""
        return self.verdicts == {MARKER}


def keys(choice: Random, count: int, executed: str) -> list[Key]:
    """Return at least `count` keys, fixed and generated, whose content tries to create `executed`."""
    made: dict[bytes, Key] = {}

    def add(key: str | bytes, verdicts: frozenset[str], trick: str, size: int | None = None) -> None:
        name = key if isinstance(key, bytes) else key.encode()
        body = _payload(choice, name, len(made), executed) if size is None else b"x" * size
        made.setdefault(name, Key(name, body, verdicts, trick))

    for path in GOOD:
        add(f"east/{path}", frozenset(), "fixed")
    for path, reason in BAD:
        # Path conflicts depend on all keys together, so verdicts.py finds them.
        add(f"east/{path}", frozenset({reason} - {PATH_CONFLICT}), "fixed")
    while len(made) < count:
        cluster = choice.choice(CLUSTERS)
        if choice.random() < _GOOD_PART:
            add(f"{cluster}/{_harmless_path(choice)}", frozenset(), "harmless")
            continue
        trick = choice.choice(TRICKS)
        for key, reasons, size in trick(choice, cluster):
            add(key, frozenset(reasons), trick.__name__.strip("_"), size)
    return list(made.values())


# -- harmless names -------------------------------------------------------------------------------

_GOOD_PART = 0.3
_HFS_IGNORED = (
    "\u200c\u200d\u206a\u206b\u206c\u206d\u206e\u206f\ufeff"  # without those that are bidi controls
)
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_CONTROLS = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))]

# Characters with a meaning for shells, YAML, templates, Git, URLs, XML, terminals or readers, and some
# that XML cannot contain. None is forbidden.
_ODD = (
    *" !\"#$%&'()*+,-.:;<=>?@[]^_`{|}~",
    *(
        "%2F",
        "%2e",
        "%00",
        "%0A",
        "%25",
        "&amp;",
        "<!--",
        "]]>",
        "{{",
        "}}",
        "$(",
        ";",
        "&&",
        "\u2028",
        "\u2029",
    ),
    *(
        "\u00a0",
        "\u00ad",
        "\u180e",
        "\u2060",
        "\u3164",
        "\ue000",
        "\ufffe",
        "\uffff",
        "\U000e0041",
        "\U0010ffff",
    ),
    *(
        "e\u0301",
        "\u00e9",
        "\u212b",
        "\u00c5",
        "\u017f",
        "\u0130",
        "\u0131",
        "\uff0e\uff47\uff49\uff54",
        "\u65e5",
        "\U0001f389",
    ),
    *_HFS_IGNORED,
)

# Names that are similar to Git's names, but harmless.
_NEAR = (
    *(
        ".gitx",
        ".git-",
        ".github",
        ".gitkeep",
        ".gitconfig",
        ".gitignored",
        ".gitmodule",
        ".mailmaps",
        ".gi",
        "..git",
    ),
    *(
        "git",
        "git~",
        "git~x",
        "git~1x",
        "agit~1",
        "a.git",
        ".git%20",
        ".git%2e",
        ".git_",
        "gitmod~",
        "gitmod~x",
    ),
    *(
        "gi7eba",
        "gi7ebb~1",
        "~",
        "a~1",
        "...",
        "..a",
        ".a",
        "a.",
        "a ",
        " a",
        "-",
        "--",
        "-rf",
        "--force",
        ":",
        ":x",
    ),
    *(
        ":(top)",
        ":(exclude)*",
        ":^x",
        "@",
        "HEAD",
        "ORIG_HEAD",
        "hooks",
        "post-checkout",
        "config",
        "*.lock",
        "index.lock",
    ),
    *(
        "git.git",
        "%2e%2e",
        "%2egit",
        "COM1",
        "nul.txt",
        "\uff0egit",
        ".\uff47it",
        ".g\u0131t",
        ".g\u0130t",
        "gi t~1",
    ),
    *(".git-sync-tmp-abc", ".git-sync", "manifest", "objects", ".lfsconfig", ".gitlab-ci.yml", ".gitreview"),
)


def _harmless_name(choice: Random) -> str:
    kind = choice.randrange(4)
    if kind == 0:
        return choice.choice(_NEAR)
    if kind == 1:  # a letter with which no name of Git begins, and then any legal characters
        return "z" + "".join(choice.choices(_ODD, k=choice.randrange(12)))
    if kind == 2:
        return "z" + "".join(chr(_legal_code_point(choice)) for _ in range(choice.randrange(20)))
    return f"n{choice.randrange(1000)}.yaml"


def _legal_code_point(choice: Random) -> int:
    while True:
        code = choice.choice((choice.randrange(0x20, 0x3000), choice.randrange(0x20, 0x110000)))
        char = chr(code)
        surrogate = 0xD800 <= code <= 0xDFFF
        if not surrogate and char not in f"/\\\ufffd{_BIDI}" and char not in _CONTROLS:
            return code


def _harmless_path(choice: Random) -> str:
    # The number makes all harmless paths different, and none is a directory of another.
    names = [_harmless_name(choice) for _ in range(choice.choice((0, 1, 1, 2, 3, 6)))]
    return "/".join([*names, f"z{choice.randrange(10**9)}{choice.choice(_ODD)}y"])


def _around(choice: Random, cluster: str, name: str) -> str:
    """Return a path in the cluster that has `name` as one segment."""
    before = [_harmless_name(choice) for _ in range(choice.randrange(3))]
    after = [_harmless_name(choice) for _ in range(choice.randrange(3))]
    return "/".join([cluster, *before, name, *after])


# -- tricks ---------------------------------------------------------------------------------------
# Each yields keys, the reasons that may be reported for them (none: good), and a size (None: a payload).

Made = list[tuple[str | bytes, set[str], int | None]]


def _any_case(choice: Random, name: str) -> str:
    return "".join(choice.choice((letter.lower(), letter.upper())) for letter in name)


def _on_hfs(choice: Random, name: str) -> str:
    return "".join(letter + choice.choice(("", "", choice.choice(_HFS_IGNORED))) for letter in f" {name}")[1:]


def _on_ntfs(choice: Random, name: str) -> str:
    stream = choice.choice(("", "", ":", ":x", "::$INDEX_ALLOCATION", ":$DATA", ":a:b", ": ."))
    return name + "".join(choice.choices(" .", k=choice.randrange(4))) + stream


def _disguised(choice: Random, name: str) -> str:
    disguise = choice.choice((_any_case, _on_hfs, _on_ntfs))
    return disguise(choice, _any_case(choice, name))


def _git_directory(choice: Random, cluster: str) -> Made:
    name = _disguised(choice, ".git")
    if choice.random() < 0.3:
        name = _on_ntfs(choice, _any_case(choice, f"git~{choice.choice((1, 1, 2, 9, 10, 123))}"))
    reason = {"git_directory"}
    inside = choice.choice(
        ("", "/config", "/hooks/post-checkout", "/objects/info/alternates", "/info/attributes")
    )
    return [(_around(choice, cluster, name + inside), reason, None)]


def _git_file(choice: Random, cluster: str) -> Made:
    name = _disguised(choice, choice.choice((".gitignore", ".gitattributes", ".gitmodules", ".mailmap")))
    if choice.random() < 0.3:
        stem = choice.choice(("gitign", "gitatt", "gitmod", "mailma"))
        name = _on_ntfs(choice, _any_case(choice, f"{stem}~{choice.randrange(1, 5)}"))
    elif choice.random() < 0.2:  # above ~4, Windows uses a hash of the name; a longer number shortens it
        digits = str(choice.choice((1, 7, 12, 123, 99999)))
        stem = choice.choice(("gi7eba", "gi250a", "gi7d29", "maba30"))[: 7 - len(digits)]
        name = _on_ntfs(choice, _any_case(choice, f"{stem}~{digits}"))
    return [(_around(choice, cluster, name), {"git_file"}, None)]


def _dot_segment(choice: Random, cluster: str) -> Made:
    dots = choice.choice((".", "..", "../..", "../../..", "../../../../../tmp", "./.", "../.git"))
    return [(_around(choice, cluster, dots), {"dot_segment"}, None)]


def _empty_segment(choice: Random, cluster: str) -> Made:
    name = _harmless_name(choice)
    path = choice.choice((f"/{name}", f"{name}//x", f"{name}/", f"/tmp/{name}", f"{name}///", "/"))
    return [(f"{cluster}/{path}", {"empty_segment"}, None)]


def _marker(choice: Random, cluster: str) -> Made:
    return [(f"{cluster}/{_harmless_path(choice)}/", {MARKER}, 0), (f"{cluster}/", {MARKER}, 0)]


def _backslash(choice: Random, cluster: str) -> Made:
    name = choice.choice(("..\\..\\x", "a\\b", "\\", "C:\\x", "\\\\host\\share", ".git\\config", "x\\"))
    return [(_around(choice, cluster, name), {"backslash"}, None)]


def _control(choice: Random, cluster: str) -> Made:
    control = choice.choice(_CONTROLS)
    name = choice.choice(
        (f"a{control}b", control, f"{control}\x1b[2J", f"\x1b]0;owned\x07{control}", f".git{control}")
    )
    return [(_around(choice, cluster, name), {"control_character"}, None)]


def _bidi(choice: Random, cluster: str) -> Made:
    bidi = choice.choice(_BIDI)
    name = choice.choice((f"a{bidi}lmay.exe", bidi, f".g{bidi}it", f"{bidi}x{bidi}"))
    return [(_around(choice, cluster, name), {"bidi_control"}, None)]


def _replacement(choice: Random, cluster: str) -> Made:
    return [
        (_around(choice, cluster, choice.choice(("\ufffd", "a\ufffdb"))), {"replacement_character"}, None)
    ]


def _long_segment(choice: Random, cluster: str) -> Made:
    letter = choice.choice(("x", "\u00e9", "\u65e5", "\U0001f389", "%2F"))
    width = len(letter.encode())
    longest = 255 // width * letter
    return [
        (f"{cluster}/s{choice.randrange(10**6)}/{longest}", set(), None),
        (
            f"{cluster}/s/{longest}{letter * choice.randrange(1, 200 // width + 2)}",
            {"segment_too_long"},
            None,
        ),
    ]


def _long_path(choice: Random, cluster: str) -> Made:
    letter = choice.choice(("x", "\u00e9", "\U0001f389"))
    path = f"{cluster}/p{choice.randrange(10**6)}"
    while len(path.encode()) < 800:
        path += "/" + letter * (choice.randrange(1, 200) // len(letter.encode()) + 1)
    rest = 1024 - len(path.encode()) - 1
    longest = f"{path}/{'y' * (rest // 2)}/{'y' * (rest - rest // 2 - 1)}"
    return [(longest, set(), None), (f"{longest}y", {"path_too_long"}, None)]


def _deep(choice: Random, cluster: str) -> Made:
    levels = choice.choice(("/d", "/-", "/~"))
    longest = (1023 - len(cluster.encode())) // 2
    return [
        (f"{cluster}{levels * choice.randrange(30, 63)}/{choice.randrange(10**6)}", set(), None),
        (f"{cluster}{levels * choice.randrange(64, longest)}", {"too_many_levels"}, None),
    ]


def _large(choice: Random, cluster: str) -> Made:
    return [(f"{cluster}/{_harmless_path(choice)}", {"too_large"}, LARGE)]


def _empty(choice: Random, cluster: str) -> Made:
    return [(f"{cluster}/{_harmless_path(choice)}", set(), 0)]


def _no_cluster(choice: Random, _cluster: str) -> Made:
    name = choice.choice(("stray.yaml", ".git", "..", ".gitattributes", "a\nb", "-rf", "\u202e", "<b>"))
    return [(f"{name}{choice.choice(('', '', str(choice.randrange(99))))}", {"no_cluster"}, None)]


def _bad_cluster(choice: Random, _cluster: str) -> Made:
    bad: tuple[tuple[str, str], ...] = (
        ("..", "dot_segment"),
        (".", "dot_segment"),
        ("", "empty_segment"),
        (_disguised(choice, ".git"), "git_directory"),
        ("GIT~1", "git_directory"),
        (".gitmodules", "git_file"),
        ("a\\b", "backslash"),
        ("east\nGit-Sync-Run: forged", "control_character"),
        ("\x1b[31meast", "control_character"),
        ("ea\u202est", "bidi_control"),
        ("\ufffd", "replacement_character"),
        ("c" * 256, "segment_too_long"),
    )
    cluster, reason = choice.choice(bad)
    return [(f"{cluster}/{_harmless_path(choice)}", {reason}, None)]


def _family(choice: Random, cluster: str) -> Made:
    """Return a name that is both file and directory, with names that sort between the two."""
    name = f"{cluster}/f{choice.randrange(10**6)}"
    there = [name, f"{name}/b", f"{name}-x", f"{name}.x", f"{name}0", f"{name}/b/c", f"{name} ", f"{name}!"]
    return [(key, set(), None) for key in there]


def _look_alikes(choice: Random, cluster: str) -> Made:
    """Return names that look alike to a reader, or are equal on another file system."""
    name = f"l{choice.randrange(10**6)}"
    alike = [
        f"{name}\u00e9",
        f"{name}e\u0301",
        f"{name.upper()}\u00c9",
        f"{name}\u0435",
        f"{name}\u200de",
        f"{name}e.",
    ]
    return [(f"{cluster}/{one}/x", set(), None) for one in alike]


def _two_tricks(choice: Random, cluster: str) -> Made:
    """Combine two tricks: either reason may be reported."""
    simple = (_git_directory, _git_file, _dot_segment, _backslash, _control, _bidi, _replacement)
    ((first, one, _),) = choice.choice(simple)(choice, cluster)
    ((second, two, _),) = choice.choice(simple)(choice, "")
    assert isinstance(first, str)
    assert isinstance(second, str)
    return [(first + second, one | two, None)]


Trick = Callable[["Random", str], Made]
TRICKS: tuple[Trick, ...] = (
    *(_git_directory, _git_directory, _git_directory, _git_file, _git_file, _git_file),
    *(_dot_segment, _empty_segment, _marker, _backslash, _control, _control, _bidi, _replacement),
    *(
        _long_segment,
        _long_path,
        _deep,
        _large,
        _empty,
        _no_cluster,
        _bad_cluster,
        _family,
        _look_alikes,
        _two_tricks,
    ),
)


def _payload(choice: Random, name: bytes, number: int, executed: str) -> bytes:
    """Return unique content that creates `executed` if a program interprets it."""
    words = (
        f"#!/bin/sh\ntouch {executed}\n",
        "* filter=probe diff=probe merge=probe ident text eol=crlf working-tree-encoding=UTF-16\r\n",
        "*\n!.git\n",
        f'[submodule "x"]\n\tpath = x\n\turl = file://{executed}.git\n\tupdate = !touch {executed}\n',
        f"[core]\n\thooksPath = .\n\tfsmonitor = touch {executed}\n\tsshCommand = touch {executed}\n",
        "$Id$\r\n\0\xff",
    )
    if b"module" in name.lower():
        return words[3].encode() + b"# %d\n" % number
    if b"attributes" in name.lower():
        return words[1].encode() + b"# %d\n" % number
    return choice.choice(words).encode("latin-1") + b"# %d\n" % number
