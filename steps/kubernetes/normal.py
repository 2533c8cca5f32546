"""An object as people compare it: normal form, as lines of text, and the differences of two versions.

The normal form has no volatile fields, and its keys are sorted. It never shows a value that
``SecretsPolicy.hidden`` names: only the name of the value, and whether both versions have the same. No line
contains a control character.
"""

from __future__ import annotations

import json
import re
from difflib import SequenceMatcher
from hashlib import blake2b
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any, NewType

from steps.core.keys import printable
from steps.kubernetes.data import mapping
from steps.kubernetes.objects import KubernetesObject
from steps.kubernetes.volatile import BUILT_IN_SET, RuleSet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from steps.kubernetes.fields import Fields
    from steps.kubernetes.secrets import SecretsPolicy

# More lines of one object help no reader, and the time to compare lines grows with the square.
MAX_LINES = 2000
_MAX_COMPARED = 3000
_MAX_CHARACTERS = 400
_CONTEXT = 3

_PLAIN = re.compile(r"[A-Za-z/_][A-Za-z0-9_./@%+=-]*(?:[ :][A-Za-z0-9_./@%+=-]+)*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


# An object without the values that must not be shown. Only ``visible`` makes it.
Visible = NewType("Visible", KubernetesObject)


class _Hidden(str):
    """The text that is shown instead of a value."""

    __slots__ = ()


_SAME = _Hidden("(hidden)")
_BEFORE = _Hidden("(hidden, value before)")
_AFTER = _Hidden("(hidden, value after)")
_ABSENT = object()


def visible(
    before: KubernetesObject | None,
    after: KubernetesObject | None,
    secrets: SecretsPolicy,
    paths: Collection[str],
) -> tuple[Visible | None, Visible | None]:
    """Replace the values of two versions that must not be shown; ``paths`` are those of their files.

    Values that differ are replaced by different texts.
    """
    return _visible(before, after, secrets, paths, _BEFORE), _visible(after, before, secrets, paths, _AFTER)


def _visible(
    one: KubernetesObject | None,
    other: KubernetesObject | None,
    secrets: SecretsPolicy,
    paths: Collection[str],
    mark: _Hidden,
) -> Visible | None:
    if one is None:
        return None
    hidden = secrets.hidden(one, paths)
    if not (hidden.drops or hidden.children):
        return Visible(one)
    return Visible(one._replace(data=_hide(one.data, hidden, _ABSENT if other is None else other.data, mark)))


def normal_lines(one: Visible, rules: RuleSet = BUILT_IN_SET) -> list[str]:
    """Return the object in normal form."""
    lines: list[str] = []
    _write(lines, rules.without_volatile_fields(one), "", "")
    return lines


def diff_lines(before: Visible | None, after: Visible | None, rules: RuleSet = BUILT_IN_SET) -> list[str]:
    """Return the unified diff of two versions; all lines if there is only one. At most about MAX_LINES."""
    old, new = ([] if one is None else normal_lines(one, rules) for one in (before, after))
    found = list(islice(_unified(old, new), MAX_LINES + 1))
    if len(found) <= MAX_LINES:
        return found
    return [*found[:MAX_LINES], "… more lines are not shown"]


def _hide(value: Any, fields: Fields, other: Any, mark: _Hidden) -> Any:
    """Replace the values that must not be shown."""
    if fields.drops or fields.replacement is not None:
        return _hidden(value, other, mark)
    if not fields.children:
        return value
    if isinstance(value, dict):
        theirs = mapping(other)
        return {
            key: _hide(inner, fields.children[key], theirs.get(key, _ABSENT), mark)
            if key in fields.children
            else inner
            for key, inner in value.items()
        }
    if isinstance(value, list):
        others = other if isinstance(other, list) else []
        pairs = zip_longest(value, others[: len(value)], fillvalue=_ABSENT)
        return [
            _hide(inner, fields.children[index], their, mark) if index in fields.children else inner
            for index, (inner, their) in enumerate(pairs)
        ]
    return value


def _hidden(value: Any, other: Any, mark: _Hidden) -> Any:
    """Replace every value; the names of mappings stay."""
    if isinstance(value, dict):
        others = mapping(other)
        return {key: _hidden(inner, others.get(key, _ABSENT), mark) for key, inner in value.items()}
    return _SAME if other is _ABSENT or other == value else mark


def _write(lines: list[str], value: Any, pad: str, lead: str) -> None:
    """Append the lines of a value; ``lead`` begins the first of them, ``pad`` the others."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            inner = value[key]
            head = f"{lead}{_scalar(key)}:"
            lead = pad
            if isinstance(inner, dict | list) and inner:
                lines.append(head)
                indent = pad + ("  " if isinstance(inner, dict) else "")
                _write(lines, inner, indent, indent)
            else:
                _write(lines, inner, f"{pad}  ", f"{head} ")
    elif isinstance(value, list) and value:
        for item in value:
            _write(lines, item, f"{pad}  ", f"{lead}- ")
            lead = pad
    elif isinstance(value, str) and "\n" in value:
        lines.append(f"{lead}|")
        lines += (f"{pad}{_clipped(line)}" for line in value.removesuffix("\n").split("\n"))
    else:
        lines.append(f"{lead}{_scalar(value)}")


def _scalar(value: Any) -> str:
    if isinstance(value, _Hidden):
        return str(value)
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return _clipped(value)
    return _clipped(json.dumps(value, ensure_ascii=False))


def _clipped(text: str) -> str:
    """Make a text printable and truncate it; different texts stay different."""
    shown = printable(text, len(text))
    if len(shown) <= _MAX_CHARACTERS:
        return shown
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{shown[:_MAX_CHARACTERS]}… ({len(text):,} characters, {digest})"


def _unified(old: list[str], new: list[str]) -> Iterator[str]:
    """Yield the lines of a unified diff, without its head."""
    if not old or not new:
        yield from (f"+{line}" for line in new)
        yield from (f"-{line}" for line in old)
        return
    first = _common(old, new)
    last = _common(old[first:][::-1], new[first:][::-1])
    if max(len(old), len(new)) - first - last > _MAX_COMPARED:
        groups = [[("replace", first, len(old) - last, first, len(new) - last)]]
    else:
        groups = list(SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT))
    for group in groups:
        (_, i, _, j, _), (_, _, i_end, _, j_end) = group[0], group[-1]
        yield f"@@ -{i + 1},{i_end - i} +{j + 1},{j_end - j} @@"
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                yield from (f" {line}" for line in old[old_from:old_to])
                continue
            yield from (f"-{line}" for line in old[old_from:old_to])
            yield from (f"+{line}" for line in new[new_from:new_to])


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many lines at the beginning are equal."""
    count = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        count += 1
    return count
