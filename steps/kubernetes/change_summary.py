"""The summary of what a run changed, as the result and sync-metadata.json contain it.

It contains no value of a Secret. All text from files is printable and truncated, because people read it.
steps/kubernetes/summarize.py makes it.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from steps.core.git_objects import Change
from steps.kubernetes.categories import Category


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Count(_Model):
    """Numbers of new, modified and deleted objects; ``volatile`` are modified in volatile fields only."""

    added: int = 0
    modified: int = 0
    deleted: int = 0
    volatile: int = 0

    @property
    def total(self) -> int:
        """The sum."""
        return self.added + self.modified + self.deleted + self.volatile


class ModifiedFiles(_Model):
    """Numbers of modified files, by what their most important change is."""

    substance: int = 0
    metadata: int = Field(default=0, description="labels and annotations only")
    volatile: int = Field(default=0, description="volatile fields only")
    formatting: int = Field(default=0, description="the same objects, written differently")
    not_inspected: int = 0

    @property
    def total(self) -> int:
        """The sum."""
        return sum(vars(self).values())


class ImageChange(_Model):
    """A container whose image changed; ``before`` or ``after`` is empty if there is none."""

    object: str = Field(description="kind, namespace and name, as in Deployment shop/web")
    path: str
    container: str
    before: str
    after: str


class SecurityChange(_Model):
    """A security-relevant change of an object."""

    object: str = Field(description="kind, namespace and name, as in Role shop/ci; empty if not inspected")
    path: str
    change: Change = Field(description="A new, M modified, D deleted")
    category: Category
    is_sensitive: bool = Field(default=False, description="it may give access to other identities")
    granted: tuple[str, ...] = Field(default=(), description="grants, subjects and access that it adds")
    revoked: tuple[str, ...] = Field(default=(), description="the same that it removes")
    keys_added: tuple[str, ...] = Field(default=(), description="Secrets: names of new values")
    keys_removed: tuple[str, ...] = Field(default=(), description="Secrets: names of removed values")
    keys_changed: tuple[str, ...] = Field(default=(), description="Secrets: names of changed values")


class NotInspected(_Model):
    """A changed file whose objects are not in the summary."""

    path: str
    reason: str


class ChangeSummary(_Model):
    """What one run changed. Lists are truncated; the ``more_…`` fields count the rest."""

    objects: Count = Field(default=Count(), description="objects of all kinds")
    kinds: dict[str, Count] = Field(default={}, description="the 20 kinds with the most changes")
    namespaces: dict[str, Count] = Field(default={}, description="the same for <cluster>/<namespace>")
    modified_files: ModifiedFiles = ModifiedFiles()
    images: tuple[ImageChange, ...] = ()
    more_images: int = 0
    security_changes: tuple[SecurityChange, ...] = ()
    more_security_changes: int = 0
    security_categories: dict[Category, int] = Field(
        default={}, description="numbers of security-relevant changes, also of the omitted ones"
    )
    security_metadata_only: int = Field(
        default=0, description="security-relevant objects of which only labels or annotations changed"
    )
    inspected: int = Field(default=0, description="changed files whose objects are in the summary")
    not_inspected: tuple[NotInspected, ...] = ()
    more_not_inspected: int = 0

    @property
    def has_substance(self) -> bool:
        """Whether anything but volatile fields and formatting may have changed."""
        changed = self.objects.added or self.objects.modified or self.objects.deleted
        return bool(changed or self.modified_files.not_inspected)
