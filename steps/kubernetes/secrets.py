"""Redact Secrets, or exclude them: a pure function of path, content, rules and key.

A Secret is what kubectl can read as one, and every doubt: an object without a kind that has data, any object
without a kind in a file whose path names Secrets, a Secret inside another object (an OpenShift Template), a
release of Helm, and the fields that the rules name. SealedSecrets and ExternalSecrets do not
count, and neither does a manifest inside a text.

A file that may contain a Secret and cannot be read with certainty has a reason instead of a content: it must
not be written. Reasons quote no content.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from steps.kubernetes.comments import comments_in, without_comments
from steps.kubernetes.data import mapping, text
from steps.kubernetes.fields import EVERY_ITEM, Fields, Treatment, edited
from steps.kubernetes.objects import Unreadable, decoded, is_list
from steps.kubernetes.rewrite import MAX_BYTES, rewrite
from steps.kubernetes.secret_filter import SecretFilter, SecretsMode, is_compressed, names_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from steps.kubernetes.fields import Path, Steps
    from steps.kubernetes.objects import KubernetesObject
    from steps.kubernetes.volatile import Rule

_SECRETS = frozenset({"Secret", "SecretList"})
_VALUES = frozenset({"data", "stringdata"})

# Lists whose items are objects: of a List, of an OpenShift Template.
_LISTS_OF_OBJECTS = frozenset({"items", "objects"})

_HELM_TYPE = "helm.sh/release.v1"
_GZIP = "H4sI"  # in Base64

# What of a Secret stays. A mapping or list in place of a text does not.
_PLAIN_FIELDS = frozenset({"apiVersion", "kind", "type", "immutable"})

# What people see of a Secret's metadata. Annotations can contain tokens.
_SHOWN_METADATA = frozenset({"name", "namespace", "labels", "ownerReferences", "finalizers"})

# Annotations with a copy of the object (JSON, or gzip in Base64), or with a token. For example
# kubectl.kubernetes.io/last-applied-configuration, objectset.rio.cattle.io/applied of Rancher, and
# openshift.io/token-secret.value.
_COPY_NAME = re.compile(r"last-applied|last-handled|/applied$|token-secret\.value$")
_COPY_VALUE = ("{", "[", _GZIP, "eyJ")

_KIND_SECRET = re.compile(rb"kind\W{1,5}Secret")

_DIGITS = 32

# Shorter values are words that may be anywhere.
_SHORTEST_COPY = 8

# Bytes that the redaction of one file hashes. Each value is hashed with the names of everything around it.
# A file of 2 MiB that consists of short values has 12 MiB.
_MAX_HASHED = 32 * 2**20

# Characters of values and annotations that are compared in one file. Beyond them, every annotation counts
# as a copy. 100 values of 1 KiB and 10 annotations have 1,100,000.
_MAX_COMPARED = 8_000_000


class Treated(NamedTuple):
    """A file after its Secrets were treated.

    ``content`` is None if nothing of it must be written: all of it is secret, or ``reason`` is why it is
    not certain what is secret. ``secrets`` counts objects.
    """

    content: bytes | None
    secrets: int = 0
    reason: str = ""


@dataclass(frozen=True)
class SecretsPolicy:
    """What becomes of Secrets, and of the fields that the rules name. ``key`` is that of the redaction."""

    mode: SecretsMode
    key: bytes = field(default=b"", repr=False)
    rules: tuple[Rule, ...] = ()
    _filter: SecretFilter = field(init=False, repr=False, default_factory=SecretFilter)

    def __post_init__(self) -> None:
        """Make the filter for the kinds of the rules."""
        kinds = tuple(kind for rule in self.rules if rule.secret for kind in rule.kinds)
        object.__setattr__(self, "_filter", SecretFilter(kinds))

    def may_match_chunks(self, path: str, chunks: Iterable[bytes]) -> bool:
        """Whether a file that is too large to be treated may contain a Secret; False is certain."""
        return self._filter.may_match_chunks(path, chunks)

    def treated(self, path: str, content: bytes) -> Treated:
        """Return what to write. With ``keep``, Secrets are only counted, and nothing has a reason."""
        if not self._filter.may_match(path, content):
            return Treated(content)
        if self.mode is SecretsMode.KEEP:
            return Treated(content, _Search(self, path, named=names_secrets(path)).count(content))
        if is_compressed(content):
            return Treated(None, reason="compressed")
        search = _Search(self, path, named=names_secrets(path))
        result = rewrite(content, search.treatment)
        reason = result.reason or search.doubt
        if reason:
            return Treated(None, search.found, reason)
        if result.content is None:
            return Treated(None, search.found)
        try:
            if search.found or _has_secret_in_comment(content):
                return Treated(without_comments(result.content), search.found)
        except Unreadable as problem:
            return Treated(None, search.found, str(problem))
        return Treated(content)

    def hidden(self, one: KubernetesObject, paths: Iterable[str]) -> Fields:
        """Return the fields of an object whose values people must not see; ``paths`` are those of its file.

        It hides what REDACT replaces or removes, and where that costs no reader anything it hides more: all
        metadata of a Secret but what names it, and every value of a document that is not an object.
        """
        if not one.identity.kind or not isinstance(one.data, dict):
            return Fields(drops=True)
        return _DisplaySearch(self, "", named=any(map(names_secrets, paths))).treatment(one).fields


def _has_secret_in_comment(content: bytes) -> bool:
    """Whether a comment is a Secret. Raises Unreadable."""
    lines = (line for line in content.splitlines() if _KIND_SECRET.search(line))
    if not any(_KIND_SECRET.search(line, line.find(b"#") + 1) for line in lines if b"#" in line):
        return False
    comments = comments_in(decoded(content, MAX_BYTES))
    return any(_KIND_SECRET.search(comment.encode()) for comment in comments)


class _Search:
    """Finds the Secrets of one file, and says what becomes of them."""

    def __init__(self, policy: SecretsPolicy, path: str, *, named: bool) -> None:
        self.policy = policy
        self.path = path
        self.named = named
        self.found = 0
        self.doubt = ""
        self._hashed = 0  # bytes
        self._compared = 0  # characters of values and annotations
        self._names: dict[str, int] = {}  # how many objects of this name there have been

    def count(self, content: bytes) -> int:
        """Return the number of Secrets; 1 if the file is not readable."""

        def counted(one: KubernetesObject) -> Treatment:
            self.treatment(one)
            return Treatment(Fields())

        reason = rewrite(content, counted).reason
        return max(self.found, 1) if reason or self.doubt else self.found

    def treatment(self, one: KubernetesObject) -> Treatment:
        """Return what becomes of an object."""
        fields = Fields()
        kind = one.identity.kind
        if is_list(one):  # its items are objects, too
            rest = {key: value for key, value in one.data.items() if key != "items"}
            if kind in _SECRETS:
                self._redact(fields, rest, (), _name(rest, kind))
            else:
                self._inside(fields, rest, ())
            return Treatment(fields)
        if not isinstance(one.data, dict | list):
            if self.named:
                self.doubt = self.doubt or "its path names Secrets, and it contains text"
            return Treatment(fields)
        data = one.data
        if isinstance(data, dict) and self._is_secret(data, kind, is_object=True):
            self.found += 1
            if self._is_gone(data):
                return Treatment(fields, omit=True)
            self._redact(fields, data, (), _name(data, kind))
            return Treatment(fields)
        if _is_release(data):
            self.found += 1
            return self._release(mapping(data))
        self._inside(fields, data, ())
        if isinstance(data, dict):
            self._named_fields(fields, data, one)
        return Treatment(fields, omit=bool(fields.children) and edited(data, fields) in ({}, []))

    # -- what is a Secret -------------------------------------------------------------------------

    def _is_secret(self, data: dict[str, Any], kind: str, *, is_object: bool) -> bool:
        """Whether it is a Secret; ``is_object``: a document, or an item of a list of objects."""
        values = _VALUES.intersection(map(_folded, data))
        if kind.strip() in _SECRETS:  # a reference has kind and name
            return is_object or bool(values)
        if kind or not is_object:
            return False
        return self.named or bool(values and {"metadata", "type"}.intersection(map(_folded, data)))

    def _inside(self, fields: Fields, value: Any, at: Steps, *, are_objects: bool = False) -> None:
        """Treat the Secrets inside another object."""
        if isinstance(value, list):
            for index, item in enumerate(value):
                self._within(fields, item, (*at, index), is_object=are_objects or not at)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(inner, list):
                    self._inside(fields, inner, (*at, key), are_objects=key in _LISTS_OF_OBJECTS)
                else:
                    self._within(fields, inner, (*at, key), is_object=False)

    def _within(self, fields: Fields, value: Any, at: Steps, *, is_object: bool) -> None:
        if not isinstance(value, dict):
            self._inside(fields, value, at)
            return
        kind = text(value.get("kind"))
        if self._is_secret(value, kind, is_object=is_object):
            self.found += 1
            if self._is_gone(value):
                fields.drop(at)
            else:
                self._redact(fields, value, at, _name(value, kind))
        elif _is_release(value):
            self.found += 1
            fields.drop(at)
        else:
            self._inside(fields, value, at)

    def _release(self, data: dict[str, Any]) -> Treatment:  # noqa: ARG002 - _DisplaySearch needs it
        """Return what becomes of a release of Helm that is a document."""
        return Treatment(Fields(), omit=True)

    def _is_gone(self, data: dict[str, Any]) -> bool:
        """Whether nothing of a Secret is written. A redacted release of Helm says nothing."""
        types = [value for key, value in data.items() if _folded(key) == "type"]
        return self.policy.mode is SecretsMode.EXCLUDE or _HELM_TYPE in types

    # -- what becomes of it -----------------------------------------------------------------------

    def _named_fields(self, fields: Fields, data: dict[str, Any], one: KubernetesObject) -> None:
        """Treat the fields that the rules name."""
        identity = one.identity
        rules = [rule for rule in self.policy.rules if rule.has_kind(identity.kind, identity.group)]
        found = [match for rule in rules for path in rule.secret for match in _matches(data, path, ())]
        if not found:
            return
        self.found += 1
        self._drop_copies(fields, data, (), [])
        name = self._unique(_name(data, identity.kind))
        for at, value in found:
            if self.policy.mode is SecretsMode.EXCLUDE:
                fields.drop(at)
            else:
                self._redact_values(fields, value, at, at, name)

    def _redact(self, fields: Fields, data: dict[str, Any], at: Steps, name: str) -> None:
        """Redact everything in a Secret but what describes it."""
        name = self._unique(name)
        secret: list[str] = []
        for key, value in data.items():
            if key == "metadata" and isinstance(value, dict):
                continue
            if key not in _PLAIN_FIELDS or isinstance(value, dict | list):
                secret += self._redact_values(fields, value, (*at, key), (key,), name)
        self._drop_copies(fields, data, at, secret)

    def _redact_values(self, fields: Fields, value: Any, at: Steps, field_: Steps, name: str) -> list[str]:
        """Replace every value; return them, as they are and decoded."""
        secret: list[str] = []
        waiting = [(value, at, field_)]
        while waiting:
            one, place, within = waiting.pop()
            if isinstance(one, dict):
                waiting += [(inner, (*place, key), (*within, key)) for key, inner in one.items()]
            elif isinstance(one, list):
                waiting += [(inner, (*place, n), (*within, n)) for n, inner in enumerate(one)]
            elif one is not None:
                known, is_decoded = _known(one, is_data=within[0] == "data")
                fields.replace(place, self._redacted(name, (*within, is_decoded), known))
                secret += [str(one), known.decode(errors="replace")]
        return secret

    def _redacted(self, name: str, within: Steps, value: bytes) -> str:
        """Return what replaces a value. Raises Unreadable.

        Each part begins with its length, so no two inputs are alike.
        """
        parts = (self.path.encode(errors="surrogateescape"), json.dumps([name, *within]).encode(), value)
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        self._hashed += len(message)
        if self._hashed > _MAX_HASHED:
            raise Unreadable("has too many values with long names")
        return f"redacted:{hmac.digest(self.policy.key, message, hashlib.sha256).hex()[:_DIGITS]}"

    def _drop_copies(self, fields: Fields, data: dict[str, Any], at: Steps, secret: list[str]) -> None:
        """Drop the annotations that may repeat a value."""
        annotations = mapping(data.get("metadata")).get("annotations")
        if annotations is None:
            return
        if not isinstance(annotations, dict):
            fields.drop((*at, "metadata", "annotations"))
            return
        values = [value for value in secret if len(value) >= _SHORTEST_COPY]
        for key, value in annotations.items():
            if _COPY_NAME.search(key) or not isinstance(value, str) or self._is_copy(value, values):
                fields.drop((*at, "metadata", "annotations", key))

    def _is_copy(self, annotation: str, values: list[str]) -> bool:
        if annotation.lstrip().startswith(_COPY_VALUE):
            return True
        if len(annotation) < _SHORTEST_COPY:  # no value is shorter
            return False
        for value in values:
            self._compared += len(value) + len(annotation)
            if self._compared > _MAX_COMPARED or value in annotation or annotation in value:
                return True
        return False

    def _unique(self, name: str) -> str:
        """Distinguish objects of one name, in their order."""
        number = self._names[name] = self._names.get(name, 0) + 1
        return f"{name} {number}"


class _DisplaySearch(_Search):
    """Finds what is hidden in an object that people see: the names of all values stay."""

    def _release(self, data: dict[str, Any]) -> Treatment:
        fields = Fields()
        self._redact(fields, data, (), "")
        return Treatment(fields)

    def _is_gone(self, data: dict[str, Any]) -> bool:  # noqa: ARG002 - nothing is
        return False

    def _redact(self, fields: Fields, data: dict[str, Any], at: Steps, name: str) -> None:
        super()._redact(fields, data, at, name)
        for key in mapping(data.get("metadata")).keys() - _SHOWN_METADATA:
            fields.drop((*at, "metadata", key))

    def _redacted(self, name: str, within: Steps, value: bytes) -> str:  # noqa: ARG002 - it is not shown
        return ""


def _folded(key: str) -> str:
    """Return the key as the fields of a program: ``string_data``, ``StringData``, ``stringData``."""
    return key.replace("_", "").casefold()


def _name(data: dict[str, Any], kind: str) -> str:
    metadata = mapping(data.get("metadata"))
    return json.dumps([kind, text(metadata.get("namespace")), text(metadata.get("name"))])


def _is_release(data: Any) -> bool:
    """Whether it is a ConfigMap with a release of Helm: label OWNER is TILLER, or owner is helm."""
    fields = mapping(data)
    if fields.get("kind") != "ConfigMap":
        return False
    labels = mapping(mapping(fields.get("metadata")).get("labels"))
    owners = {text(value).casefold() for key, value in labels.items() if key.casefold() == "owner"}
    release = text(mapping(fields.get("data")).get("release"))
    return bool(release) and (bool(owners & {"tiller", "helm"}) or release.lstrip().startswith(_GZIP))


def _known(value: Any, *, is_data: bool) -> tuple[bytes, bool]:
    """Return the bytes of a value, and whether they were decoded from Base64."""
    if not isinstance(value, str):
        return json.dumps(value).encode(), False
    if is_data:
        try:
            return base64.b64decode("".join(value.split()), validate=True), True
        except (binascii.Error, ValueError):
            pass
    return value.encode(errors="surrogatepass"), False


def _matches(value: Any, path: Path, at: Steps) -> Iterator[tuple[Steps, Any]]:
    """Yield the fields at a path, with the indices of their list items."""
    if not path:
        yield at, value
        return
    step, rest = path[0], path[1:]
    if step is EVERY_ITEM:
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from _matches(item, rest, (*at, index))
    elif step in mapping(value):
        yield from _matches(value[step], rest, (*at, step))
