"""Limits on what a run may delete, and on how much it may add."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from steps.core.deletion_guard import DeletionLimits, ForeignFiles, Vanished
from steps.core.intake_limits import IntakeLimits
from steps.core.namespaces import NamespaceVanished
from steps.runtime.settings.fields import Duration, Group, Names, lower, split


def _approval_list(text: object) -> object:
    return split(text, r"(?<=:[0-9a-f]{16})[,\n]")  # the name of a cluster may contain a comma


def _approvals(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        if not re.fullmatch(r".+:[0-9a-f]{16}", entry, re.DOTALL):
            raise ValueError(f"{entry!r} is not <cluster>:<token>; copy it from the message of the refusal")
    return entries


def _tokens(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        if not re.fullmatch(r"[0-9a-f]{16}", entry):
            raise ValueError(f"{entry!r} is not a token; copy it from the message of the refusal")
    return entries


class GuardSettings(Group):
    """Limits on deletions, and the loss of the branch."""

    max_delete_count: int = Field(
        alias="MAX_DELETE_COUNT",
        default=5,
        ge=0,
        description="deletions per cluster allowed without approval",
    )
    max_delete_percent: float = Field(
        alias="MAX_DELETE_PERCENT",
        default=20,
        ge=0,
        le=100,
        description="percentage of a cluster's files whose deletion is allowed without approval",
    )
    cluster_vanished: Annotated[Vanished, BeforeValidator(lower)] = Field(
        alias="CLUSTER_VANISHED",
        default=Vanished.REFUSE,
        description="what to do if a cluster is no longer in the bucket: `refuse`, `keep` or `delete` it",
    )
    foreign_files: Annotated[ForeignFiles, BeforeValidator(lower)] = Field(
        alias="FOREIGN_FILES",
        default=ForeignFiles.KEEP,
        description="what to do with files that other users pushed and whose deletion a guard would refuse: "
        "`keep` or `remove` them",
    )
    namespace_vanished: Annotated[NamespaceVanished, BeforeValidator(lower)] = Field(
        alias="NAMESPACE_VANISHED",
        default=NamespaceVanished.REPORT,
        description="what to do if a namespace is no longer in the bucket: `report`, `refuse` or `keep` it",
    )
    delete_grace: Duration = Field(
        alias="DELETE_GRACE",
        default=timedelta(0),
        description="how long a file must be missing from every listing before it is deleted from Git",
    )
    allow_delete: Annotated[tuple[str, ...], BeforeValidator(_approval_list), AfterValidator(_approvals)] = (
        Field(alias="ALLOW_DELETE", default=(), description="approved deletions, as `<cluster>:<token>`")
    )

    allow_new_branch: Annotated[Names, AfterValidator(_tokens)] = Field(
        alias="ALLOW_NEW_BRANCH",
        default=(),
        description="approved loss of the last pushed commit, as the token of a refusal",
    )

    @property
    def limits(self) -> DeletionLimits:
        """The limits in the form that the guard takes."""
        return DeletionLimits(
            self.max_delete_count,
            self.max_delete_percent,
            self.cluster_vanished,
            self.foreign_files,
            self.namespace_vanished,
        )


class IntakeSettings(Group):
    """Limits on what clusters and runs may add."""

    max_clusters: int = Field(
        alias="MAX_CLUSTERS",
        default=2000,
        ge=0,
        description="maximum number of clusters; further new ones are skipped. "
        "0: no limit, also for the limits below",
    )
    max_objects: int = Field(
        alias="MAX_OBJECTS",
        default=200_000,
        ge=0,
        description="maximum number of objects and directories of a cluster",
    )
    max_new_bytes: int = Field(
        alias="MAX_NEW_BYTES",
        default=1024**3,
        ge=0,
        description="maximum size of the new and changed objects of a cluster in a run, in bytes",
    )
    max_run_objects: int = Field(
        alias="MAX_RUN_OBJECTS",
        default=2_000_000,
        ge=0,
        description="maximum number of objects of all clusters in a run",
    )
    max_run_new_bytes: int = Field(
        alias="MAX_RUN_NEW_BYTES",
        default=3 * 1024**3,
        ge=0,
        description="maximum size of the new and changed objects of all clusters in a run, in bytes",
    )

    @property
    def limits(self) -> IntakeLimits:
        """The limits per cluster and per run in the form that core takes."""
        return IntakeLimits(
            self.max_objects, self.max_new_bytes, self.max_run_objects, self.max_run_new_bytes
        )
