"""What a run writes of each object."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from steps.core.operations import Operation
from steps.errors import FixConfiguration
from steps.kubernetes.policy import Policy, VolatileFields, key_id
from steps.kubernetes.secret_filter import SecretsMode
from steps.kubernetes.volatile import BUILT_IN, Rule
from steps.runtime.settings.fields import WHITE_SPACE, Group, content, file_problem, lower, shown_path

# As many bytes as HMAC-SHA256 returns (RFC 2104: a shorter key is weaker than the function).
_SHORTEST_KEY = 32


class ContentSettings(Group):
    """VOLATILE_FIELDS, SECRETS and the rules."""

    volatile_fields: Annotated[VolatileFields, BeforeValidator(lower)] = Field(
        alias="VOLATILE_FIELDS",
        default=VolatileFields.KEEP,
        description="what to do with fields that controllers change all the time: `keep` or `strip` them",
    )
    rules_file: Path | None = Field(
        alias="RULES_FILE",
        default=None,
        description="YAML file with rules about such fields, added to the built-in rules",
    )

    secrets: Annotated[SecretsMode, BeforeValidator(lower)] | None = Field(
        alias="SECRETS",
        default=None,
        description="what to do with Secrets: `keep`, `exclude` or `redact` them; unset keeps them and warns",
    )
    secrets_key: SecretStr | None = Field(
        alias="SECRETS_KEY",
        default=None,
        description="key for redacted values, 32 bytes or more; alternative: SECRETS_KEY_FILE",
    )
    secrets_key_file: Path | None = Field(
        alias="SECRETS_KEY_FILE", default=None, description="file with the key for redacted values"
    )

    @cached_property
    def key(self) -> bytes:
        """The key for redacted values, without white space around it. Raises FixConfiguration."""
        if self.secrets_key and self.secrets_key_file:
            raise _invalid("SECRETS_KEY_FILE", "set either this or SECRETS_KEY, not both")
        if self.secrets_key:
            name, key = "SECRETS_KEY", self.secrets_key.get_secret_value().encode()
        elif self.secrets_key_file:
            name, path = "SECRETS_KEY_FILE", str(self.secrets_key_file)
            if problem := file_problem(path):
                raise _invalid(name, f"{shown_path(path)} {problem}")
            key = key_in(content(path))
        else:
            raise _invalid("SECRETS_KEY", "SECRETS=redact needs a key: set this or SECRETS_KEY_FILE")
        if len(key) < _SHORTEST_KEY:
            raise _invalid(
                name, f"the key must have {_SHORTEST_KEY} bytes or more: create one with openssl rand -hex 32"
            )
        return key

    @cached_property
    def policy(self) -> Policy:
        """The policy of a run. Raises FixConfiguration."""
        identified = key_id(self.key) if self.secrets is SecretsMode.REDACT else ""
        return Policy(self.volatile_fields, self.rules, self.secrets, identified)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The built-in rules and those of RULES_FILE, which is read once. Raises FixConfiguration."""
        if self.rules_file is None:
            return BUILT_IN
        from steps.kubernetes.rules_file import InvalidRules, parse_rules  # few runs need it, and PyYAML

        path = str(self.rules_file)
        try:
            problem = file_problem(path)
            if not problem:
                rules = parse_rules(content(path))
                return (*BUILT_IN, *rules)
            problem = f"{shown_path(path)} {problem}"
        except InvalidRules as invalid:
            problem = f"{shown_path(path)}: {invalid}"
        raise _invalid("RULES_FILE", problem)


def key_in(text: bytes) -> bytes:
    """Return the key in the text of a file."""
    return text.removeprefix(b"\xef\xbb\xbf").strip(WHITE_SPACE)


def _invalid(name: str, problem: str) -> FixConfiguration:
    return FixConfiguration(Operation.CONFIGURATION, "Invalid settings", f"{name}: {problem}", setting=name)
