"""Settings of health, HTTP, Pushgateway and webhook."""

from __future__ import annotations

import pytest

from steps.runtime.settings.delivery import On
from steps.runtime.settings.reading import read
from tests.runtime.settings.parsing import REQUIRED, one_problem, problems, value_of


@pytest.mark.parametrize("text", ["Mars/Base", "Europe/Berlim", "CEST"])
def test_timezone_rejects_unknown_names(text: str) -> None:
    assert "is not a time zone" in one_problem("SYNC_TIMEZONE", text)


@pytest.mark.parametrize("name", ["PUSHGATEWAY_URL", "WEBHOOK_URL"])
@pytest.mark.parametrize(
    "url", ["http://h:99999/", "https://h:abc/x", "http://[::1", "https://:8080/", "ftp://h/"]
)
def test_delivery_urls_reject_other_text(name: str, url: str) -> None:
    assert set(problems({name: url})) == {name}


@pytest.mark.parametrize("text", ["* * * *", "61 * * * *", "0 0 31 2 *", "@never"])
def test_schedule_rejects_what_never_fires(text: str) -> None:
    assert "is not a cron schedule" in one_problem("SYNC_SCHEDULE", text)


@pytest.mark.parametrize(
    "text",
    ["0 4 * * 7", "0 4 * * 5-7", "0 0 L * *", "0 0 * * 5L", "0 0 LW * *", "0 0 * * 5#2", "* * * * * *"],
)
def test_schedule_rejects_what_argo_and_kubernetes_reject(text: str) -> None:
    assert "never fires in Argo and Kubernetes" in one_problem("SYNC_SCHEDULE", text)


@pytest.mark.parametrize("text", ["0 4 * JUL WED", "7 7 7 7 0-6", "*/7 * * * */7", "0 4 * * SUN"])
def test_schedule_accepts_what_argo_accepts(text: str) -> None:
    assert value_of("SYNC_SCHEDULE", text) == text


def test_webhook_on_accepts_several_values() -> None:
    assert value_of("WEBHOOK_ON", "change,\nfailure") == (On.CHANGE, On.FAILURE)


def test_scrape_interval_is_at_most_ten_minutes() -> None:
    assert set(problems({"PUSHGATEWAY_URL": "http://gateway", "SCRAPE_INTERVAL": "11m"})) == {
        "SCRAPE_INTERVAL"
    }


def test_delivery_is_off_unless_a_url_is_set() -> None:
    without = read({}).delivery
    assert (without.webhook, without.pushgateway) == (None, None)
    delivery = read(REQUIRED).delivery
    assert delivery.webhook is not None
    assert delivery.pushgateway is not None
