"""MANIFEST.json of a restored directory: what became of each object. docs/restore.md describes it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from steps.core.keys import printable


class Named(NamedTuple):
    """The words that name an object in texts."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return printable(f"{self.kind} {where}")


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Removed(_Document):
    """A field that is in Git, but not in the file."""

    field: str
    why: str


class Replaced(_Document):
    """A field that has another value in the file than in Git, because of its namespace."""

    field: str
    value: str


class _OfObject(_Document):
    group: str = Field(description="API group; empty for the core API")
    kind: str
    namespace: str = Field(description="as in Git; empty for objects of the whole cluster")
    name: str

    @property
    def named(self) -> Named:
        return Named(self.kind, self.namespace, self.name)


class RestoredFile(_OfObject):
    """A file, and the object in it."""

    file: str = Field(description="path in the directory")
    path: str | None = Field(
        description="path of its source in Git, below the cluster; null if git-sync made the object"
    )
    blob: str | None = Field(description="Git's id of the source")
    form: Literal["text", "json"] = Field(
        description="text: the text of the source, from which fields are cut; json: the same data as JSON, "
        "because the text could not be cut"
    )
    removed: tuple[Removed, ...] = ()
    replaced: tuple[Replaced, ...] = ()


class SkippedObject(_OfObject):
    """An object that is not written."""

    path: str
    blob: str
    why: str
    left_out: bool = Field(description="nothing creates it again: restore exits 10")


class UnreadFile(_Document):
    """A file that restore could not read."""

    path: str
    blob: str
    why: str


class ExactFile(_Document):
    """A file of `--exact`: the bytes of Git."""

    file: str
    path: str
    blob: str


class RestoreManifest(_Document):
    """What a directory contains, and what it does not."""

    schema_version: Literal[1] = 1
    cluster: str
    commit: str
    committed_at: AwareDatetime | None = Field(description="null if the commit has no valid time")
    listed_at: AwareDatetime | None = Field(description="when the backup was listed; null if unknown")
    options: tuple[str, ...] = Field(description="options that change what is removed or skipped")
    namespaces: dict[str, str] = Field(description="`--map-namespace`: old and new names")
    warnings: tuple[str, ...]
    files: tuple[RestoredFile, ...]
    exact_files: tuple[ExactFile, ...] = Field(description="with `--exact`, instead of `files`")
    skipped: tuple[SkippedObject, ...]
    unread: tuple[UnreadFile, ...]

    @property
    def left_out(self) -> tuple[SkippedObject, ...]:
        """The objects that nothing creates again."""
        return tuple(one for one in self.skipped if one.left_out)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was selected."""
        return not (self.files or self.exact_files or self.skipped or self.unread)

    @property
    def is_complete(self) -> bool:
        """Whether everything that was selected is written, or is created again."""
        return not self.left_out and not self.unread
