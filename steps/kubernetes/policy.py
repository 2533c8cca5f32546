"""What a run writes of an object: all of it, or less, by VOLATILE_FIELDS, SECRETS and the rules.

The result is a pure function of an object's path and bytes, the policy and the key of the redaction, so a run
that has lost every cache writes the same blobs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from steps.kubernetes.secret_filter import SecretsMode
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


def key_id(key: bytes) -> str:
    """Return what identifies SECRETS_KEY without revealing it; empty without a key."""
    return hmac.digest(key, b"id of SECRETS_KEY", "sha256").hex()[:16] if key else ""


@dataclass(frozen=True)
class Policy:
    """The settings of one run that decide about the content of its files.

    ``secrets`` is None if SECRETS is not set: the run keeps Secrets, and warns. ``secrets_key_id`` identifies
    SECRETS_KEY without revealing it.
    """

    volatile_fields: VolatileFields = VolatileFields.KEEP
    rules: tuple[Rule, ...] = BUILT_IN
    secrets: SecretsMode | None = None
    secrets_key_id: str = ""

    @cached_property
    def rule_set(self) -> RuleSet:
        """The rules, which also decide how changes are classified."""
        return RuleSet(self.rules)

    @property
    def rewrites(self) -> bool:
        """Whether objects are rewritten at all."""
        return self.strips or self.hides_secrets

    @property
    def strips(self) -> bool:
        """Whether volatile fields are removed."""
        return self.volatile_fields is VolatileFields.STRIP

    @property
    def hides_secrets(self) -> bool:
        """Whether Secrets are redacted or excluded."""
        return self.secrets in {SecretsMode.EXCLUDE, SecretsMode.REDACT}

    @cached_property
    def digest(self) -> str:
        """A hash of everything that decides about the content; empty if objects are not rewritten."""
        if not self.rewrites:
            return ""
        secrets = [self.secrets, self.secrets_key_id] if self.hides_secrets else []
        written = json.dumps([_VERSION, self.volatile_fields, self.rules, secrets])
        return hashlib.sha256(written.encode()).hexdigest()[:16]

    def rewrite(self, content: bytes) -> Rewritten:
        """Return the file without its volatile fields and objects."""
        from steps.kubernetes.layout import strip  # few runs need it, and PyYAML
        from steps.kubernetes.rewrite import rewrite

        return strip(content, self.rule_set) or rewrite(content, self._treatment)

    def _treatment(self, one: KubernetesObject) -> Treatment:
        return self.rule_set.treatment(one)
