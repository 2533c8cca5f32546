"""The proxy for HTTPS, as curl and most programs read it from the environment."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from pydantic import AfterValidator, Field, SecretStr

from steps.runtime.settings.fields import Group, is_web_url


def _proxy(secret: SecretStr) -> SecretStr:
    # The value may contain a password: it is never shown.
    text = secret.get_secret_value()
    url = text if "://" in text else f"http://{text}"  # curl accepts both
    if not re.fullmatch(r"(?i:https?)://[^\s/]+/?", url) or not is_web_url(url.lower()):
        raise ValueError("write it like http://proxy.example.com:3128")
    return SecretStr(url)


class ProxySettings(Group):
    """Every group that connects to a server inherits these."""

    https_proxy: Annotated[SecretStr, AfterValidator(_proxy)] | None = Field(
        alias="HTTPS_PROXY", default=None, description="proxy for HTTPS to S3, Git, Pushgateway and webhook"
    )
    no_proxy: str = Field(alias="NO_PROXY", default="", description="hosts to reach without the proxy")

    def proxy_for(self, host: str) -> str | None:
        """Return the proxy for HTTPS to ``host``; None to connect directly."""
        if self.https_proxy is None or proxy_bypass_environment(host, {"no": self.no_proxy}):
            return None
        return self.https_proxy.get_secret_value()

    def proxy_to(self, url: str) -> str | None:
        """Return the proxy for this URL; None to connect directly, as always for plain HTTP."""
        parts = urlsplit(url)
        return self.proxy_for(parts.hostname or "") if parts.scheme == "https" else None
