"""Redact Secrets, or exclude them: a pure function of path, content, rules and key.

A Secret is what kubectl can read as one, and every doubt: an object without a kind that has data, any object
without a kind in a file whose path names Secrets, a Secret inside another object (an OpenShift Template), a
release of Helm, and the fields that the rules name. SealedSecrets and ExternalSecrets do not
count, and neither does a manifest inside a text.

A file that may contain a Secret and cannot be read with certainty has a reason instead of a content: it must
not be written. Reasons quote no content.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from steps.kubernetes.comments import comments_in, without_comments
from steps.kubernetes.data import mapping, text
from steps.kubernetes.fields import EVERY_ITEM, Fields, Treatment, edited
from steps.kubernetes.objects import Identity, Unreadable, decoded, is_list
from steps.kubernetes.rewrite import MAX_BYTES, rewrite
from steps.kubernetes.secret_copies import GZIP, Copies, decoded_value, spellings
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

# What of a Secret stays. A mapping or list in place of a text does not.
_PLAIN_FIELDS = frozenset({"apiVersion", "kind", "type", "immutable"})

# What people see of a Secret's metadata. Annotations can contain tokens.
_SHOWN_METADATA = frozenset({"name", "namespace", "labels", "ownerReferences", "finalizers"})

# In comments, on one line or on several.
_KIND_SECRET = re.compile(r"kind[\"']?\s*:\W{0,100}Secret\b")

_DIGITS = 32

# Bytes that the redaction of one file hashes. Each value is hashed with the names of everything around it.
# A file with the most values that can be rewritten has 8 MiB if its names are short.
_MAX_HASHED = 16 * 2**20


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
        if search.found and search.has_text:
            reason = reason or "contains a Secret and a text"
        if reason:
            return Treated(None, search.found, reason)
        if result.content is None:
            return Treated(None, search.found)
        try:
            if search.found or _has_secret_in_comment(content):
                return Treated(search.without_other_copies(result.content), search.found)
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
    if b"#" not in content or b"Secret" not in content:
        return False
    text = decoded(content, MAX_BYTES)
    if not _KIND_SECRET.search(text):
        return False
    return _KIND_SECRET.search("\n".join(comments_in(text))) is not None


class _Search:
    """Finds the Secrets of one file, and says what becomes of them."""

    def __init__(self, policy: SecretsPolicy, path: str, *, named: bool) -> None:
        self.policy = policy
        self.path = path
        self.named = named
        self.found = 0
        self.doubt = ""
        self._hashed = 0  # bytes
        self.copies = Copies()
        self.values: list[str] = []  # that the file must not show
        self.has_text = False
        self._names: dict[str, int] = {}  # how many objects of this name there have been

    def count(self, content: bytes) -> int:
        """Return the number of Secrets; 1 if the file is not readable."""

        def counted(one: KubernetesObject) -> Treatment:
            self.treatment(one)
            return Treatment(Fields())

        reason = rewrite(content, counted).reason
        return max(self.found, 1) if reason or self.doubt else self.found

    def without_other_copies(self, content: bytes) -> bytes:
        """Return the content without comments. Raises Unreadable if something else may repeat a value."""
        if b"&" in content and self.copies.is_in_anchor(content.decode(), self.values):
            raise Unreadable("the name of an anchor repeats a value")
        return without_comments(content)

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
                self.copies.drop_annotations(fields, rest, (), [])
            self._named_fields(fields, rest, (), one.identity, is_counted=kind in _SECRETS)
            return Treatment(fields)
        if not isinstance(one.data, dict | list):
            self.has_text = True
            if self.named:
                self.doubt = self.doubt or "its path names Secrets, and it contains text"
            return Treatment(fields)
        data = one.data
        if isinstance(data, dict) and self._is_secret(data, kind, is_object=True):
            self.found += 1
            if self._is_gone(data):
                return Treatment(fields, omit=True)
            self._redact(fields, data, (), _name(data, kind))
            self._named_fields(fields, data, (), one.identity, is_counted=True)
            return Treatment(fields)
        if _is_release(data):
            self.found += 1
            return self._release(mapping(data))
        self._inside(fields, data, ())
        if isinstance(data, dict):
            self._named_fields(fields, data, (), one.identity)
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
        """Treat the Secrets inside another object, and copies of them in its metadata."""
        known, found = len(self.values), self.found
        if isinstance(value, list):
            for index, item in enumerate(value):
                self._within(fields, item, (*at, index), is_object=are_objects or not at)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(inner, list):
                    self._inside(fields, inner, (*at, key), are_objects=key in _LISTS_OF_OBJECTS)
                else:
                    self._within(fields, inner, (*at, key), is_object=False)
            if self.found > found:
                self.copies.drop_annotations(fields, value, at, self.values[known:])

    def _within(self, fields: Fields, value: Any, at: Steps, *, is_object: bool) -> None:
        if not isinstance(value, dict):
            self._inside(fields, value, at)
            return
        identity = _identity(value)
        kind = identity.kind
        if self._is_secret(value, kind, is_object=is_object):
            self.found += 1
            if self._is_gone(value):
                self._note_values(value)
                self._named_fields(fields, value, at, identity, is_counted=True)
                fields.drop(at)
            else:
                self._redact(fields, value, at, _name(value, kind))
                self._named_fields(fields, value, at, identity, is_counted=True)
        elif _is_release(value):
            self.found += 1
            fields.drop(at)
        else:
            self._inside(fields, value, at)
            self._named_fields(fields, value, at, identity)

    def _release(self, data: dict[str, Any]) -> Treatment:  # noqa: ARG002 - _DisplaySearch needs it
        """Return what becomes of a release of Helm that is a document."""
        return Treatment(Fields(), omit=True)

    def _is_gone(self, data: dict[str, Any]) -> bool:
        """Whether nothing of a Secret is written. A redacted release of Helm says nothing."""
        types = [value for key, value in data.items() if _folded(key) == "type"]
        return self.policy.mode is SecretsMode.EXCLUDE or _HELM_TYPE in types

    # -- what becomes of it -----------------------------------------------------------------------

    def _named_fields(
        self, fields: Fields, data: dict[str, Any], at: Steps, identity: Identity, *, is_counted: bool = False
    ) -> None:
        """Treat the fields that the rules name."""
        kind, group = identity.kind, identity.group
        rules = [rule for rule in self.policy.rules if kind and rule.has_kind(kind, group)]
        found = [match for rule in rules for path in rule.secret for match in _matches(data, path, ())]
        if not found:
            return
        self.found += not is_counted
        values = [text for _, value in found for text in spellings(value, is_data=False)]
        self.values += values
        self.copies.drop_annotations(fields, data, at, values)
        name = self._unique(_name(data, kind))
        for within, value in found:
            if self.policy.mode is SecretsMode.EXCLUDE:
                fields.drop((*at, *within))
            else:
                self._redact_values(fields, value, (*at, *within), within, name)

    def _redact(self, fields: Fields, data: dict[str, Any], at: Steps, name: str) -> None:
        """Redact everything in a Secret but what describes it."""
        name = self._unique(name)
        known = len(self.values)
        for key, value in _secret_fields(data):
            self._redact_values(fields, value, (*at, key), (key,), name)
        self._note_values(data)
        self.copies.drop_from_secret(fields, data, at, self.values[known:])

    def _note_values(self, data: dict[str, Any]) -> None:
        """Note what other texts of the file must not repeat."""
        for key, value in _secret_fields(data):
            self.values += spellings(value, is_data=key == "data")

    def _redact_values(self, fields: Fields, value: Any, at: Steps, field_: Steps, name: str) -> None:
        """Replace every value."""
        if isinstance(value, dict | list):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                self._redact_values(fields, inner, (*at, key), (*field_, key), name)
        elif value is not None:
            known, is_decoded = decoded_value(value, is_data=field_[0] == "data")
            fields.replace(at, self._redacted(name, (*field_, is_decoded), known))

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


def _secret_fields(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a Secret that do not describe it."""
    for key, value in data.items():
        is_metadata = key == "metadata" and isinstance(value, dict)
        if not is_metadata and (key not in _PLAIN_FIELDS or isinstance(value, dict | list)):
            yield key, value


def _identity(data: dict[str, Any]) -> Identity:
    """Return the identity of an object inside another one."""
    group, slash, _ = text(data.get("apiVersion")).partition("/")
    return Identity(group if slash else "", text(data.get("kind")), "", "")


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
    return bool(release) and (bool(owners & {"tiller", "helm"}) or release.lstrip().startswith(GZIP))


def _matches(value: Any, path: Path, at: Steps) -> Iterator[tuple[Steps, Any]]:
    """Yield the fields at a path, with the indices of their list items."""
    if not path:
        yield at, value
        return
    step, rest = path[0], path[1:]
    if step is EVERY_ITEM:
        items = (
            value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
        )
        for index, item in items:
            yield from _matches(item, rest, (*at, index))
    elif step in mapping(value):
        yield from _matches(value[step], rest, (*at, step))
