"""What a run writes of an object: all of it, or less, by VOLATILE_FIELDS and the rules.

The result is a pure function of an object's bytes and the policy, so a run that has lost every cache writes
the same blobs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from steps.kubernetes.volatile import BUILT_IN, Rule, RuleSet

if TYPE_CHECKING:
    from steps.kubernetes.fields import Treatment
    from steps.kubernetes.objects import KubernetesObject
    from steps.kubernetes.rewrite import Rewritten

# A change of what the same rules write needs another number: caches of the old one are ignored then.
_VERSION = 1


class VolatileFields(StrEnum):
    """VOLATILE_FIELDS: write volatile fields, or strip them."""

    KEEP = "keep"
    STRIP = "strip"


@dataclass(frozen=True)
class Policy:
    """The settings of one run that decide about the content of its files."""

    volatile_fields: VolatileFields = VolatileFields.KEEP
    rules: tuple[Rule, ...] = BUILT_IN

    @cached_property
    def rule_set(self) -> RuleSet:
        """The rules, which also decide how changes are classified."""
        return RuleSet(self.rules)

    @property
    def rewrites(self) -> bool:
        """Whether objects are rewritten at all."""
        return self.volatile_fields is VolatileFields.STRIP

    @cached_property
    def digest(self) -> str:
        """A hash of everything that decides about the content; empty if objects are not rewritten."""
        if not self.rewrites:
            return ""
        written = json.dumps([_VERSION, self.volatile_fields, self.rules])
        return hashlib.sha256(written.encode()).hexdigest()[:16]

    def rewrite(self, content: bytes) -> Rewritten:
        """Return what to write of a file."""
        from steps.kubernetes.layout import strip  # few runs need it, and PyYAML
        from steps.kubernetes.rewrite import rewrite

        return strip(content, self.rule_set) or rewrite(content, self._treatment)

    def _treatment(self, one: KubernetesObject) -> Treatment:
        return self.rule_set.treatment(one)
