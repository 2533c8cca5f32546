"""Read the Kubernetes objects of a file: every document, and every item of a List.

Anyone who can write to the bucket chooses the content. Therefore tags construct nothing, and size, depth,
number of values and expansion of aliases are bounded. A file that breaks a bound, or that two readers may
understand differently (a duplicate key), is unreadable as a whole. Reasons quote no content: it may be a
secret.

Scalars become the values that kubectl sends to the API server. kubectl reads YAML 1.1 with
sigs.k8s.io/yaml (goyaml.v2): there, ``yes``, ``y`` and ``on`` without quotes are booleans, and ``010`` is 8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from steps.core.limits import OBJECT_FILE_BYTES
from steps.kubernetes.data import mapping, text

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES = OBJECT_FILE_BYTES

TOO_LARGE = f"larger than {MAX_BYTES // 1024} KiB"

# No object is nested this deeply, and parse time grows with the square of the depth.
_MAX_DEPTH = 200

# Values of a file after aliases are expanded: twice the values that fit into MAX_BYTES.
MAX_VALUES = MAX_BYTES

# Objects of a file. Exports of whole namespaces have hundreds.
_MAX_OBJECTS = 5000

# A long text counts as several values, because an alias repeats all of it.
_CHARACTERS_PER_VALUE = 64

# No object has directives, and parse time grows with the square of their number.
_DIRECTIVE = re.compile(rb"(?:^|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9])(?:\xef\xbb\xbf)*+%")

# kubectl splits a file at these lines before a parser reads the parts (apimachinery, util/yaml/decoder.go,
# YAMLReader): only "\n" ends a line, and Unicode white space may follow "---". Other text is an error.
# kubectl reads only the first document of each part.
_SEPARATOR = re.compile("^---", re.MULTILINE)

# The separators that libyaml reads in the same way.
_CLEAR_SEPARATOR = re.compile("---(?:[ \t]+(?:#[^\r\n\x85\u2028\u2029]*)?)?\r?(?:\n|\\Z)")

# goyaml ignores a byte order mark at the beginning of each part; libyaml reads "---" behind it as text.
_MARK_IN_TEXT = re.compile("(?:^|[\r\n\x85\u2028\u2029])\ufeff")

# Conversion of longer numbers takes quadratic time. No integer of Kubernetes has more than 20 digits.
_MAX_NUMBER_CHARACTERS = 40

# goyaml.v2, resolve.go: the plain scalars that are not text.
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    spelling: value
    for value, words in ((True, ("y", "yes", "on", "true")), (False, ("n", "no", "off", "false")))
    for word in words
    for spelling in (word, word.capitalize(), word.upper())
}
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class Unreadable(Exception):
    """The objects of a file are not known; ``str`` is the reason, without content of the file."""


class Identity(NamedTuple):
    """What distinguishes an object from the others of its cluster. Fields are empty if they are missing."""

    group: str
    kind: str
    namespace: str
    name: str


# Where a value is: the index of its document, then keys and indices of lists.
Place = tuple[str | int, ...]


class KubernetesObject(NamedTuple):
    """An object; ``data`` consists of dicts with text keys, lists, text, numbers, booleans and None.

    Aliases share their values: do not change ``data``.
    """

    identity: Identity
    data: Any
    place: Place = ()


def read_objects(content: bytes) -> list[KubernetesObject]:
    """Return the objects of a YAML or JSON file. Raises Unreadable.

    Also for what kubectl and YAML read differently: tags, late merges, objects in items of other kinds,
    lines that only one of them takes for the beginning of a document.

    A document that is not a Kubernetes object (no kind) is an object with an empty kind.
    """
    return objects_of(read_documents(decoded(content, MAX_BYTES), Reader()))


def objects_of(documents: Iterable[Any]) -> list[KubernetesObject]:
    """Return the objects in documents, without the Lists that contain them. Raises Unreadable."""
    return [one for one in objects_in(documents) if not is_list(one)]


def decoded(content: bytes, max_bytes: int) -> str:
    """Return the text of a file, without a byte order mark. Raises Unreadable."""
    if len(content) > max_bytes:
        raise Unreadable(TOO_LARGE if max_bytes == MAX_BYTES else f"larger than {max_bytes // 1024} KiB")
    if b"%" in content and _DIRECTIVE.search(content):
        raise Unreadable("contains a YAML directive")
    try:
        # Decode here: the directive check does not recognize UTF-16.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None


def read_documents(text: str, reader: Reader) -> list[Any]:
    """Return the data of each document. Raises Unreadable."""
    import yaml  # its import takes 25 ms, and most inspections do not need it (plain.py)

    handlers = reader.handlers
    # The C parser is many times faster, but PyYAML can be built without it.
    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            if (handle := handlers.get(type(event))) is not None:
                handle(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise Unreadable(f"not YAML (line {mark.line + 1})" if mark else "not YAML") from None
    _check_separators(text, reader.starts)
    return reader.documents


def _check_separators(text: str, starts: list[tuple[int, bool]]) -> None:
    """Raise Unreadable if kubectl may split the text into other documents than the parser."""
    separators = [start for start, is_explicit in starts if is_explicit]
    lines = [match.start() for match in _SEPARATOR.finditer(text)]
    if separators != lines or not all(_CLEAR_SEPARATOR.match(text, line) for line in lines):
        raise Unreadable('contains "---" that kubectl may read differently')
    if "\ufeff" in text and _MARK_IN_TEXT.search(text):
        raise Unreadable("contains a second byte order mark")


def is_list(one: KubernetesObject) -> bool:
    """Whether it is a List, whose items are objects."""
    return one.identity.kind.endswith("List") and isinstance(mapping(one.data).get("items"), list)


def objects_in(documents: Iterable[Any]) -> list[KubernetesObject]:
    """Return the objects of the documents; a List comes before its items. Raises Unreadable."""
    found: list[KubernetesObject] = []
    count = 0
    # A stack, because Lists may nest as deeply as other values.
    for number, document in enumerate(documents):
        waiting: list[tuple[Any, str, str, Place]] = []
        if document is not None:
            waiting.append((document, "", "", (number,)))
        while waiting:
            data, kind, version, place = waiting.pop()
            one, version = _object(data, kind, version, place)
            found.append(one)
            items = one.data["items"] if is_list(one) else ()
            count += not items
            if count + len(waiting) + len(items) > _MAX_OBJECTS:
                raise Unreadable(f"has more than {_MAX_OBJECTS:,} objects")
            item_kind = one.identity.kind.removesuffix("List")
            item_version = version if item_kind else ""
            waiting += [
                (items[index], item_kind, item_version, (*place, "items", index))
                for index in reversed(range(len(items)))
            ]
    return found


def _object(data: Any, kind: str, version: str, place: Place) -> tuple[KubernetesObject, str]:
    """Return the object and its version. ``kind`` and ``version`` are those of an item that lacks them."""
    fields = mapping(data)
    kind, version = text(fields.get("kind")) or kind, text(fields.get("apiVersion")) or version
    items = fields.get("items")
    has_objects = isinstance(items, list) and any(isinstance(item, dict) and "kind" in item for item in items)
    if has_objects and kind and not kind.endswith("List"):  # kubectl takes every such object for a List
        raise Unreadable("contains objects in items, but its kind is not a List")
    metadata = mapping(fields.get("metadata"))
    group, slash, _ = version.partition("/")
    identity = Identity(
        group if slash else "", kind, text(metadata.get("namespace")), text(metadata.get("name"))
    )
    return KubernetesObject(identity, data, place), version


class Opened:
    """A mapping or a list that is being read.

    ``values`` counts it and everything in it; ``depth`` is the number of levels in it.
    """

    def __init__(self, anchor: str | None, value: Any) -> None:
        self.anchor = anchor
        self.value = value
        self.is_mapping = isinstance(value, dict)
        self.key: str | None = None
        self.is_merged = False  # the key is "<<"
        self.merged: list[Any] = []
        self.values = 1
        self.depth = 1


class Reader:
    """Builds the documents from the parser's events, without recursion. Raises Unreadable."""

    most_values = MAX_VALUES

    def __init__(self) -> None:
        import yaml

        self.documents: list[Any] = []
        self.starts: list[tuple[int, bool]] = []  # of each document: where it begins, whether with "---"
        self.has_hidden_values = False  # a merged mapping has a key that is also outside it
        self.opened: list[Opened] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}  # value, values, depth
        self._values = 0  # of all complete documents
        self.handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start_mapping,
            yaml.SequenceStartEvent: self._start_list,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._start_document,
            yaml.DocumentEndEvent: self._end_document,
        }

    def _scalar(self, event: Any) -> None:
        current = self.opened[-1] if self.opened else None
        if current is not None and current.is_mapping and current.key is None:
            key: str = event.value
            if key in current.value:
                raise Unreadable(f"contains a duplicate key (line {event.start_mark.line + 1})")
            _check_tag(event)
            current.key = key
            current.is_merged = key == "<<" and event.implicit[0]
            # goyaml.v2 lets the last one win, YAML 1.1 the explicit one.
            if current.is_merged and (current.value or current.merged):
                raise Unreadable("merges a mapping after other keys")
            if event.anchor is not None:
                self._anchors[event.anchor] = key, 1, 0
            return
        _check_tag(event)
        value = _value(event)
        size = 1 + len(event.value) // _CHARACTERS_PER_VALUE
        if event.anchor is not None:
            self._anchors[event.anchor] = value, size, 0
        self._add(value, size, 0)

    def _start_mapping(self, event: Any) -> None:
        _check_tag(event)
        self._start(Opened(event.anchor, {}))

    def _start_list(self, event: Any) -> None:
        _check_tag(event)
        self._start(Opened(event.anchor, []))

    def _start(self, opened: Opened) -> None:
        if len(self.opened) >= _MAX_DEPTH:
            raise Unreadable(f"nested more than {_MAX_DEPTH} levels")
        self._check_is_value()
        self.opened.append(opened)

    def _end(self, _: Any) -> None:
        done = self.opened.pop()
        if done.merged:
            explicit, done.value = done.value, {}
            for other in (*reversed(done.merged), explicit):  # of two merged mappings, the first counts
                self.has_hidden_values |= not done.value.keys().isdisjoint(other)
                done.value.update(other)
        if done.anchor is not None:
            self._anchors[done.anchor] = done.value, done.values, done.depth
        self._add(done.value, done.values, done.depth)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:  # it is inside the value that it names
            raise Unreadable("contains an alias of an unknown value")
        self._check_is_value()
        self._add(*self._anchors[event.anchor])

    def _start_document(self, event: Any) -> None:
        self.starts.append((event.start_mark.index, event.explicit))

    def _end_document(self, _: Any) -> None:
        self._anchors.clear()

    def _check_is_value(self) -> None:
        if self.opened and self.opened[-1].is_mapping and self.opened[-1].key is None:
            raise Unreadable("contains a key that is not text")

    def _add(self, value: Any, values: int, depth: int) -> None:
        if len(self.opened) + depth > _MAX_DEPTH:  # aliases nest deeper than the text
            raise Unreadable(f"nested more than {_MAX_DEPTH} levels")
        if not self.opened:
            self._values += values
            self._check_count(0)
            self.documents.append(value)
            return
        current = self.opened[-1]
        current.values += values
        current.depth = max(current.depth, depth + 1)
        self._check_count(current.values)
        if not current.is_mapping:
            current.value.append(value)
            return
        if current.is_merged:
            merged = value if isinstance(value, list) else [value]
            current.merged += merged
            if not all(isinstance(other, dict) for other in merged):
                raise Unreadable("merges a value that is not a mapping")
            current.is_merged = False
        else:
            current.value[current.key] = value
        current.key = None

    def _check_count(self, values: int) -> None:
        if values + self._values > self.most_values:
            raise Unreadable("contains too many values")


def _check_tag(event: Any) -> None:
    """Raise Unreadable if the value has a tag: readers differ in what they make of it."""
    if event.tag is not None:
        raise Unreadable(f"contains a tag (line {event.start_mark.line + 1})")


def _value(event: Any) -> Any:
    """Return the value of a scalar."""
    value: str = event.value
    if not event.implicit[0]:  # quoted, a block scalar, or tagged
        return value
    return plain_value(value)


def plain_value(value: str) -> Any:
    """Return the value of a scalar without quotes."""
    if value in _NULLS:
        return None
    if value[0] not in "0123456789+-.yYnNtTfFoO":
        return value
    if (boolean := _BOOLEANS.get(value)) is not None:
        return boolean
    return _number(value)


def _number(value: str) -> int | float | str:
    if len(value) > _MAX_NUMBER_CHARACTERS:
        return value
    if _INTEGER.fullmatch(value):
        digits = value.replace("_", "")
        unsigned = digits.lstrip("+-")
        is_octal = len(unsigned) > 1 and unsigned[0] == "0" and unsigned[1] in "01234567"
        try:
            return int(digits, 8 if is_octal else 0)
        except ValueError:  # only underscores after the prefix
            return value
    if _FLOAT.fullmatch(value):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return value
