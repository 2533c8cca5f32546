"""The values of the secrets that are set, for redaction."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from steps.runtime.settings.catalogue import catalogue
from steps.runtime.settings.content import key_in
from steps.runtime.settings.fields import content, token_in

if TYPE_CHECKING:
    from collections.abc import Mapping

# URLs whose parts are secret too.
_SECRET_URLS = ("HTTPS_PROXY", "WEBHOOK_URL")


@dataclass(frozen=True)
class SecretValues:
    """The secrets of an environment, also those of groups that the step does not use."""

    values: tuple[SecretStr, ...]
    urls: tuple[SecretStr, ...]
    token_file: Path | None
    key_file: Path | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> SecretValues:
        """Return those of the variables in ``given``."""
        values = {
            setting.name: SecretStr(str(given[setting.name]))
            for setting in catalogue()
            if setting.is_secret and setting.name in given
        }
        token_file, key_file = given.get("GIT_TOKEN_FILE"), given.get("SECRETS_KEY_FILE")
        return cls(
            tuple(values.values()),
            tuple(values[name] for name in _SECRET_URLS if name in values),
            Path(token_file) if token_file else None,
            Path(key_file) if key_file else None,
        )

    def texts(self) -> list[str]:
        """Return every secret at this moment: the files are read at every call, as git does."""
        found = [value.get_secret_value() for value in self.values]
        for url in self.urls:
            found += _secret_parts(url.get_secret_value())
        if self.token_file is not None:
            with contextlib.suppress(OSError, ValueError):  # not mounted in this step, or not text
                found.append(token_in(content(self.token_file)).decode())
        if self.key_file is not None:
            with contextlib.suppress(OSError, ValueError):
                found.append(key_in(content(self.key_file)).decode())
        return [text for text in found if text]


def _secret_parts(url: str) -> list[str]:
    """The parts of a URL that are secret alone: its password, and its path with the query."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    password = parts.password or parts.username or ""
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return [password, unquote(password), target.rstrip("/")]
