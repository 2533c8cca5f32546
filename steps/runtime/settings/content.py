"""What a run writes of each object."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from steps.core.operations import Operation
from steps.errors import FixConfiguration
from steps.kubernetes.policy import Policy, VolatileFields
from steps.kubernetes.volatile import BUILT_IN
from steps.runtime.settings.fields import Group, content, file_problem, lower, shown_path


class ContentSettings(Group):
    """VOLATILE_FIELDS and the rules."""

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

    @cached_property
    def policy(self) -> Policy:
        """The policy of a run; the file is read once. Raises FixConfiguration."""
        if self.rules_file is None:
            return Policy(self.volatile_fields)
        from steps.kubernetes.rules_file import InvalidRules, parse_rules  # few runs need it, and PyYAML

        path = str(self.rules_file)
        try:
            problem = file_problem(path)
            if not problem:
                rules = parse_rules(content(path))
                return Policy(self.volatile_fields, (*BUILT_IN, *rules))
            problem = f"{shown_path(path)} {problem}"
        except InvalidRules as invalid:
            problem = f"{shown_path(path)}: {invalid}"
        raise FixConfiguration(
            Operation.CONFIGURATION,
            "Invalid settings",
            f"RULES_FILE: {problem}",
            setting="RULES_FILE",
        )
