"""The proxy for HTTPS, and the hosts without it."""

from __future__ import annotations

import pytest

from steps.runtime.settings.reading import read
from tests.runtime.settings.parsing import REQUIRED


@pytest.mark.parametrize(
    ("no_proxy", "host", "through"),
    [
        ("", "github.com", True),
        ("localhost,.internal", "github.com", True),
        ("localhost,.internal", "localhost", False),
        ("localhost,.internal", "git.internal", False),
        ("internal", "git.internal", False),
        ("internal", "notinternal", True),
        ("minio.example.com", "minio.example.com", False),
        ("*", "github.com", False),
    ],
)
def test_proxy_for_returns_none_for_hosts_of_no_proxy(no_proxy: str, host: str, through: bool) -> None:
    settings = read(REQUIRED | {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy})
    assert settings.s3.proxy_for(host) == ("http://proxy:3128" if through else None)


def test_proxy_for_returns_none_without_a_proxy() -> None:
    assert read(REQUIRED).s3.proxy_for("github.com") is None


def test_proxy_may_be_set_in_lower_case() -> None:
    def proxy(environ: dict[str, str]) -> str | None:
        return read(REQUIRED | environ).s3.proxy_for("github.com")

    assert proxy({"https_proxy": "http://lower:1"}) == "http://lower:1"
    assert proxy({"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}) == "http://upper:1"
    assert proxy({"https_proxy": "http://lower:1", "HTTPS_PROXY": ""}) == "http://lower:1"


def test_no_proxy_may_be_set_in_lower_case() -> None:
    settings = read(REQUIRED | {"https_proxy": "http://lower:1", "no_proxy": ".internal"})
    assert settings.s3.proxy_for("minio.internal") is None
