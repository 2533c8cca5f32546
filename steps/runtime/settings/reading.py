"""Reading the settings from the environment: all at once, with every problem in one error.

White space around a value is ignored. An empty variable counts as not set, except GIT_REPOSITORY, where the
empty string selects download-only mode.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from steps.core.operations import Operation
from steps.errors import FixConfiguration
from steps.runtime.settings import git
from steps.runtime.settings.catalogue import catalogue
from steps.runtime.settings.content import ContentSettings
from steps.runtime.settings.delivery import (
    DeliverySettings,
    HealthSettings,
    HttpSettings,
    PushgatewaySettings,
    WebhookSettings,
)
from steps.runtime.settings.fields import Group, stripped, unreadable, unusable_character
from steps.runtime.settings.git import CommitPages, GitSettings
from steps.runtime.settings.guards import GuardSettings, IntakeSettings
from steps.runtime.settings.identity import SyncIdentity, argo_state_key
from steps.runtime.settings.log import LogSettings
from steps.runtime.settings.s3 import MinioSettings
from steps.runtime.settings.secret_values import SecretValues
from steps.runtime.settings.state import StateSettings
from steps.runtime.settings.sync import RetrySettings, SyncSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

G = TypeVar("G", bound=Group)


class Needs(StrEnum):
    """What a step connects to, and so which settings it requires.

    Each pod gets only its own secrets and mounts, so a step requires and checks no others.
    """

    MINIO = "minio"
    GIT = "git"
    STATE = "state"


@dataclass(frozen=True)
class Settings:
    """All settings, in groups.

    ``state`` is None if the state is in WORK_DIR. ``s3`` and ``git`` exist if their variables are set;
    ``read()`` with ``Needs`` makes sure of it.
    """

    sync: SyncSettings
    content: ContentSettings
    guards: GuardSettings
    intake: IntakeSettings
    retry: RetrySettings
    http: HttpSettings
    delivery: DeliverySettings
    state: StateSettings | None
    log: LogSettings
    sync_identity: SyncIdentity
    secret_values: SecretValues
    given_s3: MinioSettings | None
    given_git: GitSettings | None

    @property
    def s3(self) -> MinioSettings:
        """The bucket with the backups."""
        return _required(self.given_s3, Needs.MINIO)

    @property
    def git(self) -> GitSettings:
        """The repository and its credentials."""
        return _required(self.given_git, Needs.GIT)

    @property
    def identity(self) -> str:
        """The hash that caches and states of this sync carry."""
        return self.sync_identity.digest

    def secrets(self) -> list[str]:
        """Return every secret value at this moment, for redaction."""
        return self.secret_values.texts()


def _required(group: G | None, need: Needs) -> G:
    if group is None:  # an error in our code: commands.py declares what each command needs
        raise RuntimeError(f"Settings are used that were not required with Needs.{need.name}")
    return group


def read(environ: Mapping[str, str], *needs: Needs, **overrides: object) -> Settings:
    """Return the settings, or raise FixConfiguration that lists every problem by variable name.

    ``overrides`` take precedence over the environment. Their names are the variables' in lower case.
    """
    given = _given(environ) | {name.upper(): value for name, value in overrides.items()}
    reader = _Reader(given)
    s3 = reader.optional(MinioSettings, required=Needs.MINIO in needs)
    repository = reader.optional(GitSettings, required=Needs.GIT in needs)
    # The component `serve` sets STATE_NAMESPACE. It has no volume: WORK_DIR is an empty directory.
    needs_state = Needs.STATE in needs and not given.keys().isdisjoint({"STATE_ENDPOINT", "STATE_NAMESPACE"})
    settings = Settings(
        sync=reader.group(SyncSettings),
        content=reader.group(ContentSettings),
        guards=reader.group(GuardSettings),
        intake=reader.group(IntakeSettings),
        retry=reader.group(RetrySettings),
        http=reader.group(HttpSettings),
        delivery=DeliverySettings(
            reader.group(CommitPages),
            reader.optional(WebhookSettings),
            reader.optional(PushgatewaySettings),
            reader.group(HealthSettings).source_max_age,
        ),
        state=reader.optional(StateSettings, required=needs_state),
        log=reader.group(LogSettings),
        sync_identity=reader.group(SyncIdentity),
        secret_values=SecretValues.of(given),
        given_s3=s3,
        given_git=repository,
    )
    reader.report(git.transport_problems(given))
    if Needs.MINIO in needs:
        reader.report(unreadable(given, "MINIO_CA_FILE"))
    if Needs.GIT in needs:
        reader.report(git.credential_problems(given))
    if needs_state:
        reader.report(unreadable(given, "STATE_CA_FILE"))
    if reader.problems:
        problems = list(reader.problems)
        joined = "; ".join(problems)
        raise FixConfiguration(Operation.CONFIGURATION, "Invalid settings", joined, problems=problems)
    return settings


def _given(environ: Mapping[str, str]) -> dict[str, Any]:
    """The variables that are set, by name."""
    given: dict[str, Any] = {}
    for setting in catalogue():
        name = setting.name
        text = environ.get(name, "")
        if not text and name in {"HTTPS_PROXY", "NO_PROXY"}:
            text = environ.get(name.lower(), "")  # curl reads the lower-case spelling too
        if value := stripped(text):
            given[name] = value
        elif name == "GIT_REPOSITORY" and name in environ:
            given[name] = text  # white space alone is an error, and not download-only mode
    if "STATE_NAMESPACE" in given and "STATE_KEY" not in given:
        given["STATE_KEY"] = argo_state_key(environ, given["STATE_NAMESPACE"])
    return given


class _Reader:
    """Validates groups and collects the problems of all of them, each once."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self.problems: dict[str, None] = {}
        self._unusable = dict(_unusable_characters(given))
        self.report(f"{name}: {problem}" for name, problem in self._unusable.items())

    def report(self, problems: Iterable[str]) -> None:
        """Add problems."""
        self.problems |= dict.fromkeys(problems)

    def group(self, kind: type[G]) -> G:
        """Validate a group without required settings. After a problem its defaults, because read() raises."""
        return self.optional(kind) or kind.model_validate({})

    def optional(self, kind: type[G], *, required: bool = False) -> G | None:
        """Validate a group; None if a required setting is missing, which is a problem if ``required``."""
        try:
            return kind.model_validate(self._given)
        except ValidationError as invalid:
            described = {field.alias: field.description for field in kind.model_fields.values()}
            for error in invalid.errors(include_input=False, include_url=False):
                name = str(error["loc"][0])
                if name in self._unusable:
                    continue
                if error["type"] != "missing":
                    self.report([f"{name}: {error['msg'].removeprefix('Value error, ')}"])
                elif required:
                    self.report([f"{name} is required ({described[name]})"])
            return None


def _unusable_characters(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the settings that have a control or invisible character, and which."""
    for setting in catalogue():
        text = given.get(setting.name)
        if not isinstance(text, str) or setting.is_file:  # unreadable() checks files
            continue
        # The entries of a list are names in the bucket; line feeds separate them.
        parts = map(str.strip, re.split(r"[,\n]", text)) if setting.is_list else (text,)
        found = (unusable_character(part, only_control=setting.is_list) for part in parts)
        if problem := next(filter(None, found), None):
            yield setting.name, problem


# Variables that pods often have, with names close to those of settings.
_COMMON = {"HTTP_PROXY", "NAMESPACE"}


def misspelt(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the variables that look like a misspelt setting, with the name of the setting."""
    known = {setting.name for setting in catalogue()}
    unknown = sorted(name for name in environ if name.isupper() and name not in known | _COMMON)
    found = ((name, get_close_matches(name, known, n=1, cutoff=0.9)) for name in unknown)
    return [(name, close[0]) for name, close in found if close]
