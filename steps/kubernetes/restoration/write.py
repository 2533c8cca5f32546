"""The content of a restored file: the source text of one object without the removed fields.

If the text cannot be cut with proof, the content is JSON: kubectl reads the same data from it, because JSON
has no values that depend on the reader.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from steps.kubernetes.fields import Fields, Treatment, edited
from steps.kubernetes.rewrite import rewrite

if TYPE_CHECKING:
    from steps.kubernetes.objects import KubernetesObject
    from steps.kubernetes.restoration.decide import Restored
    from steps.kubernetes.restoration.split import Piece

Form = Literal["text", "json"]


class Unwritable(Exception):
    """No text has the data of an object; ``str`` is the reason, without content."""


class Written(NamedTuple):
    """The content of a file."""

    content: bytes
    form: Form

    @property
    def suffix(self) -> str:
        return ".json" if self.form == "json" else ".yaml"


def written(piece: Piece, decision: Restored) -> Written:
    """Return the content for an object. Raises Unwritable."""
    expected = decision.applied_to(piece.one.data)
    content = _cut(piece, decision, expected) if piece.text is not None else None
    return Written(content, "text") if content is not None else as_json(expected)


def _cut(piece: Piece, decision: Restored, expected: Any) -> bytes | None:
    """Return the text of the object with the changes; None if it is not proven to have the expected data."""
    assert piece.text is not None  # noqa: S101 - the caller has checked it
    fields = Fields()
    for path in decision.removed:
        fields.drop(path)
    for path, value in decision.replaced.items():
        fields.replace(path, value)
    if repr(edited(piece.one.data, fields)) != repr(expected):
        return None
    seen: list[str] = []

    def treat(one: KubernetesObject) -> Treatment:
        seen.append(repr(one.data))
        return Treatment(fields)

    result = rewrite(piece.text, treat)  # proves that only the fields change
    is_alone = seen == [repr(piece.one.data)]
    return result.content if is_alone and not result.reason else None


def as_json(data: Any) -> Written:
    """Return data as JSON. Raises Unwritable."""
    try:
        content = (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except (UnicodeEncodeError, ValueError):
        raise Unwritable("contains a value that JSON cannot represent") from None
    return Written(content, "json")
