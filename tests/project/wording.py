"""Find phrases that are hard to read: `python -m tests.project.wording [PATH …]`, also in `make lint`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
_PLACES = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "Makefile", "pyproject.toml", ".ci/run"),
    *("docs", "examples", "images", "steps", "tests", "workflows"),
)
_SUFFIXES = {"", ".md", ".py", ".sh", ".toml", ".yaml"}

# A regular expression, and what to write instead. It ignores case; a space in it matches line breaks.
WORDS = {
    r"anew": "again",
    r"mend(s|ed|ing)?": "fix, repair",
    r"whoever|whosoever": "name the actor",
    r"for ever": "forever; or say what ends it",
    r"(no|the|a|one's|its) leave|leave (to|for) (delete|deletions?)": "approval",
    r"(hold|holds|held|holding) (\w+ )?back": "skip: over the limit",
    r"is no (setting|text|file|cron|zone|time|object|plain|number|branch|path|name|JSON|URL)": "is not a …",
    r"(tell|tells|told|telling) of": "report, log",
    r"teller|told|tells": "log, report, show",
    r"all else": "everything else, the rest",
    r"of (its|our|their|your|one's|his) own": "its own …, separate",
    r"as (it|they) (stands?|stood)": "unchanged, as is",
    r"as good as": "almost",
    r"(lies|lie|lay) (at|in|on|below|beside)": "is in",
    r"(stands|stand|stood) (in|at|on|for|beside)": "is in; means",
    r"(nobody|nothing|no one|none)( \w+){1,6} any ?more": "no longer",
    r"no more(?! than)": "no longer",
    r"meanwhile": "in the meantime; since the run started",
    r"said": "output, message, error",
    r"unheard": "silently, without a warning",
    r"(some|any)body|whatever": "name the person, program or thing",
    r"(for|after|before|at least|at most) so (many|much|long)": "this many, this long",
    r"is no (failure|server|proof|listing|secret|ancestor)|are no (ancestors?|failures?)": "is not a …",
    r"heard of": "reported",
    r"(look|looks|looked|looking) (into|twice)": "inspect",
    r"floods?|flooded|flooding": "exceed the intake limits, over the limit",
    r"allowances?": "approval",
    r"withheld": "unavailable",
    r"youngest": "newest",
    r"wave[sd]? off|waved through": "ignore, accept",
    r"mistook|mistaken for": "taken for",
    r"be it|were it": "whether; if it were",
    r"so be it|in vain|by and by|ere|hence|thence|thereof|whence|thus": "plain words",
    r"(?<=,) for (it|they|there|nobody|nothing|what|we|no|none|such|these|this|that is)": "because",
    r"a word (about|against|of|on|for)": "name what it is",
    r"last word": "result",
    r"say so|says so|saying so": "report it, log it",
    r"is to be|are to be|was to be": "must, will",
}

# Where a phrase is right, and why.
ALLOWED: dict[tuple[str, str], str] = {
    ("CHANGELOG.md", "flood"): "a name that has changed",
    ("CHANGELOG.md", "withheld"): "a name that has changed",
    ("tests/project/wording.py", ""): "it lists the words",
}


def _pattern(words: str) -> re.Pattern[str]:
    # "_" is a boundary too: names are read like sentences.
    spaced = words.replace(" ", r"[\s#]+")
    return re.compile(rf"(?<![A-Za-z])(?:{spaced})(?![A-Za-z])", re.IGNORECASE)


_PATTERNS = {_pattern(words): better for words, better in WORDS.items()}


def findings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line number, phrase and replacement of each phrase in the file that is not allowed there."""
    text = path.read_text()
    name = path.relative_to(ROOT).as_posix()
    for pattern, better in _PATTERNS.items():
        for found in pattern.finditer(text):
            phrase = " ".join(found[0].replace("#", " ").split())
            if not {(name, ""), (name, phrase.lower())} & ALLOWED.keys():
                yield text.count("\n", 0, found.start()) + 1, phrase, better


def files(places: Iterable[Path]) -> Iterator[Path]:
    """Yield the texts below these files and folders."""
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and path.suffix in _SUFFIXES and "__pycache__" not in path.parts:
                yield path


def main(arguments: list[str]) -> int:
    """Print the findings; return 1 if there are any."""
    status = 0
    for path in files([Path(place).resolve() for place in arguments] or [ROOT / place for place in _PLACES]):
        for line, phrase, better in sorted(findings(path)):
            sys.stdout.write(f'{path.relative_to(ROOT)}:{line}: "{phrase}": write "{better}"\n')
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
