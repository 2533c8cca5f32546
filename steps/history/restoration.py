"""What becomes of each object of a cluster: collects it, and writes the files of a restored directory."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from steps.history.directory import write_file
from steps.history.restore_manifest import (
    ExactFile,
    Removed,
    Replaced,
    RestoredFile,
    SkippedObject,
    UnreadFile,
)
from steps.history.restore_notes import Notes
from steps.kubernetes.data import mapping
from steps.kubernetes.fields import written_path
from steps.kubernetes.objects import Identity, Unreadable
from steps.kubernetes.restoration.decide import Restored, Skipped, decide
from steps.kubernetes.restoration.file_names import ExactNames, FileNames
from steps.kubernetes.restoration.namespaces import NAMESPACE
from steps.kubernetes.restoration.rules import REDACTED, Known
from steps.kubernetes.restoration.scopes import Scopes
from steps.kubernetes.restoration.split import split
from steps.kubernetes.restoration.stages import stage_of
from steps.kubernetes.restoration.write import Unwritable, as_json, written
from steps.kubernetes.selection import namespace_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from steps.history.snapshot import File
    from steps.kubernetes.objects import KubernetesObject
    from steps.kubernetes.restoration.rules import Option
    from steps.kubernetes.restoration.split import Piece
    from steps.kubernetes.restoration.write import Written
    from steps.kubernetes.selection import ObjectFilter

# They exist in every cluster.
_OWN_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})

_REDACTED = re.compile(rb"redacted:[0-9a-f]{32}")
_NAMESPACE_FIELD = ("metadata", "namespace")


@dataclass(frozen=True)
class Request:
    """What to restore."""

    cluster: str
    objects: ObjectFilter
    namespaces: Mapping[str, str]
    options: frozenset[Option]
    exact: bool = False


class _Source(NamedTuple):
    """An object, and the file that contains it; ``path`` is ``<cluster>/<rest>``."""

    piece: Piece
    path: bytes
    blob: str

    @property
    def one(self) -> KubernetesObject:
        return self.piece.one

    @property
    def shown(self) -> str:
        return _shown(self.path)


@dataclass
class Restoration:
    """The files that are written into ``directory``, if there is one, and the objects that are not."""

    request: Request
    directory: Path | None
    files: list[RestoredFile] = field(default_factory=list)
    exact_files: list[ExactFile] = field(default_factory=list)
    skipped: list[SkippedObject] = field(default_factory=list)
    unread: list[UnreadFile] = field(default_factory=list)
    _services: set[tuple[str, str]] = field(default_factory=set)  # those with a selector
    _scopes: Scopes = field(default_factory=Scopes)
    _names: FileNames = field(default_factory=FileNames)
    _exact_names: ExactNames = field(default_factory=ExactNames)
    _known: dict[Identity, tuple[str, bytes]] = field(default_factory=dict)  # path and hash of the data

    def __post_init__(self) -> None:
        self.notes = Notes(self.request.namespaces)

    def add(self, files: Iterable[File]) -> None:
        """Write what is selected in these files."""
        if self.request.exact:
            for file in files:
                self._copy(file)
            return
        waiting: list[_Source] = []
        for file in files:
            for source in self._selected(file):
                # What other files say about it is known when all are read.
                if source.one.identity.kind in {"Endpoints", "EndpointSlice"} or self._guesses(source):
                    waiting.append(source)
                else:
                    self._add(source)
        for source in waiting:
            self._add(source)
        if not self.request.objects.select:
            self._add_namespaces()

    def _selected(self, file: File) -> list[_Source]:
        """Return the selected objects of a file. An unreadable file is noted."""
        try:
            if file.reason:
                raise Unreadable(file.reason)
            pieces = split(file.content)
        except Unreadable as problem:
            self._note_unread(file, str(problem))
            return []
        for one in (piece.one for piece in pieces):
            self.notes.saw(one)
            self._scopes.add(one)
            if _is_service(one.identity) and mapping(mapping(one.data).get("spec")).get("selector"):
                self._services.add((one.identity.namespace, one.identity.name))
        sources = (_Source(piece, file.path, file.oid) for piece in pieces)
        return [source for source in sources if self._selects(source.one.identity, file.path)]

    def _selects(self, identity: Identity, path: bytes) -> bool:
        """Whether the options select an object. A Namespace belongs to itself."""
        is_namespace = (identity.group, identity.kind) == ("", "Namespace")
        namespace = identity.name if is_namespace else namespace_of(identity, path)
        return self.request.objects.has(identity, namespace)

    def _note_unread(self, file: File, why: str) -> None:
        """List a file, unless its directory says that it belongs to another namespace."""
        globs = self.request.objects.namespaces
        namespace = namespace_of(Identity("", "", "", ""), file.path)
        if not (globs and namespace) or any(fnmatchcase(namespace, glob) for glob in globs):
            self.unread.append(UnreadFile(path=_shown(file.path), blob=file.oid, why=why))

    def _add(self, source: _Source) -> None:
        """Decide about one object, and write it."""
        one = source.one
        if not (one.identity.kind and one.identity.name):
            is_object = bool(one.identity.kind)
            why = "it has no name" if is_object else "not a Kubernetes object"
            self._skip(source, Skipped(why, is_lost=is_object))
            return
        decision = decide(one, Known(self._services), self.request.options, self.request.namespaces)
        if isinstance(decision, Skipped):
            self._skip(source, decision)
            return
        decision = self._with_namespace(source, decision)
        if (earlier := self._earlier(source, decision)) is not None:
            self._skip(source, earlier)
            return
        try:
            content = written(source.piece, decision)
        except Unwritable as problem:
            self._skip(source, Skipped(str(problem), is_lost=True))
            return
        self._write(source, decision, content)

    def _guesses(self, source: _Source) -> bool:
        """Whether only the path of the file may name the object's namespace."""
        return not source.one.identity.namespace and bool(namespace_of(source.one.identity, source.path))

    def _with_namespace(self, source: _Source, decision: Restored) -> Restored:
        """Add the namespace that only the path of the file names: kubectl would choose another one."""
        identity = source.one.identity
        namespace = namespace_of(identity, source.path)
        if not self._guesses(source) or not self._scopes.may_have(identity, namespace):
            return decision
        self.notes.gave_namespace(identity)
        new = self.request.namespaces.get(namespace, namespace)
        return Restored(decision.removed, {**decision.replaced, _NAMESPACE_FIELD: new})

    def _earlier(self, source: _Source, decision: Restored) -> Skipped | None:
        """Return why the object is skipped, if an earlier file contains it."""
        digest = hashlib.sha256(repr(decision.applied_to(source.one.data)).encode(errors="replace")).digest()
        mine = (source.shown, digest)
        first = self._known.setdefault(source.one.identity, mine)
        if first is mine:
            return None
        if first[1] == digest:
            return Skipped(f"the same object is in {first[0]}")
        return Skipped(f"another version of the object is in {first[0]}", is_lost=True)

    def _write(self, source: _Source, decision: Restored, content: Written) -> None:
        one = source.one
        namespace = decision.replaced.get(_NAMESPACE_FIELD, one.identity.namespace)
        name = decision.replaced.get(("metadata", "name"), one.identity.name)
        identity = one.identity._replace(namespace=namespace, name=name)
        file = self._names.file_of(stage_of(identity), identity, content.suffix)
        self.files.append(
            RestoredFile(
                **_fields(one.identity),
                file=file,
                path=source.shown,
                blob=source.blob,
                form=content.form,
                removed=tuple(
                    Removed(field=written_path(at), why=why) for at, why in decision.removed.items()
                ),
                replaced=tuple(
                    Replaced(field=written_path(at), value=value) for at, value in decision.replaced.items()
                ),
            )
        )
        self.notes.wrote(one, decision, content.content)
        self._write_file(file, content.content)

    def _add_namespaces(self) -> None:
        """Make the namespaces of the written objects that the backup does not contain."""
        needed = {_restored_namespace(file) for file in self.files if file.namespace}
        present = {
            _restored_name(file) for file in self.files if (file.group, file.kind) == ("", "Namespace")
        }
        for name in sorted(filter(NAMESPACE.fullmatch, needed - present - _OWN_NAMESPACES)):
            identity = Identity("", "Namespace", "", name)
            content = as_json({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            file = self._names.file_of(stage_of(identity), identity, content.suffix)
            self.files.append(
                RestoredFile(**_fields(identity), file=file, path=None, blob=None, form=content.form)
            )
            self.notes.made_namespace(name)
            self._write_file(file, content.content)

    def _skip(self, source: _Source, skipped: Skipped) -> None:
        self.notes.skipped(source.one, skipped)
        self.skipped.append(
            SkippedObject(
                **_fields(source.one.identity),
                path=source.shown,
                blob=source.blob,
                why=skipped.why,
                left_out=skipped.is_lost,
            )
        )

    def _copy(self, file: File) -> None:
        """Write a file as Git has it, if it contains a selected object."""
        unread = len(self.unread)
        is_selected = bool(self._selected(file))
        if len(self.unread) > unread and self.request.objects.selects_all and not file.reason:
            self.unread.pop()
            is_selected = True
        if not is_selected:
            return
        if _REDACTED.search(file.content):
            self.unread.append(UnreadFile(path=_shown(file.path), blob=file.oid, why=REDACTED))
            return
        name = self._exact_names.file_of(file.path)
        self.exact_files.append(ExactFile(file=name, path=_shown(file.path), blob=file.oid))
        self._write_file(name, file.content)

    def _write_file(self, path: str, content: bytes) -> None:
        if self.directory:
            write_file(self.directory, path, content)


def _shown(path: bytes) -> str:
    """Return the path of a file below its cluster."""
    return path.partition(b"/")[2].decode(errors="backslashreplace")


def _is_service(identity: Identity) -> bool:
    return (identity.group, identity.kind) == ("", "Service")


def _fields(identity: Identity) -> dict[str, Any]:
    names = zip(("group", "kind", "namespace", "name"), identity, strict=True)
    return {name: value.encode(errors="backslashreplace").decode() for name, value in names}


def _restored_namespace(file: RestoredFile) -> str:
    return next((one.value for one in file.replaced if one.field == "metadata.namespace"), file.namespace)


def _restored_name(file: RestoredFile) -> str:
    return next((one.value for one in file.replaced if one.field == "metadata.name"), file.name)
