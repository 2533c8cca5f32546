"""Find in the metadata of objects what may repeat a secret value."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any

from steps.kubernetes.data import mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.kubernetes.fields import Fields, Steps

GZIP = "H4sI"  # in Base64

# Annotations with a copy of the object (JSON, or gzip in Base64), or with a token. For example
# kubectl.kubernetes.io/last-applied-configuration, objectset.rio.cattle.io/applied of Rancher, and
# openshift.io/token-secret.value.
_COPY_NAME = re.compile(r"last-applied|last-handled|/applied$|token-secret\.value$")
_COPY_VALUE = ("{", "[", GZIP, "eyJ")

# The fields of ObjectMeta that can stay in a Secret; managedFields cannot, because clients write them.
_METADATA = frozenset(
    {
        "name",
        "generateName",
        "namespace",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    }
)
_IDENTITY = frozenset({"name", "generateName", "namespace"})

# Shorter values are words that may be anywhere.
_SHORTEST_COPY = 8

# Characters of values and texts that are compared in one file. Beyond them, every text counts as a copy.
# 100 values of 1 KiB and 10 annotations have 1,100,000.
_MAX_COMPARED = 8_000_000

_ANCHOR = re.compile(r"&([^\s,\[\]{}]+)")


def decoded_value(value: Any, *, is_data: bool) -> tuple[bytes, bool]:
    """Return the bytes of a value, and whether they were decoded from Base64."""
    if not isinstance(value, str):
        return json.dumps(value).encode(), False
    if is_data:
        try:
            return base64.b64decode("".join(value.split()), validate=True), True
        except (binascii.Error, ValueError):
            pass
    return value.encode(errors="surrogatepass"), False


def spellings(value: Any, *, is_data: bool) -> Iterator[str]:
    """Yield every scalar in a value: as it is, and decoded from Base64 or encoded in it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list):
            waiting += one.values() if isinstance(one, dict) else one
        elif one is not None:
            known, is_decoded = decoded_value(one, is_data=is_data)
            other = known.decode(errors="replace") if is_decoded else base64.b64encode(known).decode()
            texts = (str(one).strip(), other.strip())  # files of values end with a line break
            yield from (text for text in texts if len(text) >= _SHORTEST_COPY)


class Copies:
    """Compares the texts of one file with secret values."""

    def __init__(self) -> None:
        self._compared = 0  # characters

    def drop_from_secret(self, fields: Fields, data: dict[str, Any], at: Steps, values: list[str]) -> None:
        """Drop from the metadata of a Secret what may repeat a value, and unknown fields."""
        for key, value in mapping(data.get("metadata")).items():
            place = (*at, "metadata", key)
            if key in _IDENTITY:
                if isinstance(value, dict | list):
                    fields.drop(place)
            elif key == "labels" and isinstance(value, dict):
                for label, one in value.items():
                    if not isinstance(one, str) or self._repeats(one, values):
                        fields.drop((*place, label))
            elif key == "annotations":
                self.drop_annotations(fields, data, at, values)
            elif key not in _METADATA or self._repeats(json.dumps(value, ensure_ascii=False), values):
                fields.drop(place)

    def drop_annotations(self, fields: Fields, data: dict[str, Any], at: Steps, values: list[str]) -> None:
        """Drop the annotations that may repeat a value, or the whole object."""
        annotations = mapping(data.get("metadata")).get("annotations")
        if annotations is None:
            return
        if not isinstance(annotations, dict):
            fields.drop((*at, "metadata", "annotations"))
            return
        for key, value in annotations.items():
            if _COPY_NAME.search(key) or not isinstance(value, str) or self._is_copy(value, values):
                fields.drop((*at, "metadata", "annotations", key))

    def is_in_anchor(self, text: str, values: list[str]) -> bool:
        """Whether the name of an anchor may repeat a value."""
        return any(self._repeats(match[1], values) for match in _ANCHOR.finditer(text))

    def _is_copy(self, annotation: str, values: list[str]) -> bool:
        if annotation.lstrip().startswith(_COPY_VALUE):
            return True
        return self._repeats(annotation, values, or_part=True)

    def _repeats(self, text: str, values: list[str], *, or_part: bool = False) -> bool:
        """Whether the text contains a value, or is part of one."""
        if len(text) < _SHORTEST_COPY:  # no value is shorter
            return False
        for value in values:
            self._compared += len(value) + len(text)
            if self._compared > _MAX_COMPARED or value in text or (or_part and text in value):
                return True
        return False
