"""The page of the history: its content, and in a real browser with thousands of events."""

from __future__ import annotations

import html
import json
import re
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from steps.core.git_objects import Change
from steps.history import history_page
from steps.history.events import ClusterEvents, Event
from steps.history.history_page import page
from steps.kubernetes.changes import Level
from tests.reporting.test_browser import CHROMIUM, PHONE, SCHEMES, measure
from tests.support.backups import instant
from tests.support.results import EVIL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")


def found(count: int, name: str = "cart") -> Iterator[ClusterEvents]:
    start = instant("2025-07-12T22:06:58Z")
    for number in range(count):
        cluster = ("production-east", "production-west", "staging")[number % 3]
        event = Event(
            cluster=cluster,
            change=(Change.MODIFIED, Change.ADDED, Change.DELETED)[number % 3],
            level=Level.SUBSTANCE,
            group="apps",
            kind=("Deployment", "ConfigMap", "Role", "Secret")[number % 4],
            namespace=f"team-{number % 20}",
            name=f"{name}-{number % 100}",
            path="shop/cart.yaml",
            what=("main: cart:1.4 → cart:1.5", "replicas 2 → 3"),
            diff=("@@ -1,2 +1,2 @@", " spec:", "-  image: cart:1.4", "+  image: cart:1.5", f" {name} " * 30),
        )
        at = start - timedelta(hours=number)
        yield ClusterEvents(f"{number:040x}", at, cluster, at, is_run=True, events=(event,))


def whole(count: int, name: str = "cart") -> str:
    return "\n".join(page(found(count, name), name, "2025-01-01", None))


def test_page_has_one_script_that_its_policy_allows_and_no_address() -> None:
    text = whole(3, name=f"{EVIL}</script><!--")
    assert text.count("</script>") == 3
    assert "<!--" not in text.replace("<!DOCTYPE", "")
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert "innerHTML" not in text


def test_page_with_too_many_events_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_page, "MAX_EVENTS", 5)
    text = whole(7)
    (data,) = re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert len(json.loads(data)) == 5
    assert 'id="more">2</script>' in text


def test_notes_of_commits_are_rows() -> None:
    at = instant("2025-07-12")
    first = ClusterEvents("a" * 40, at, "east", None, is_run=True, events=(), first=1234)
    unread = ClusterEvents("b" * 40, at, "east", None, is_run=True, events=(), not_read=(("x", "too large"),))
    text = "\n".join(page([first, unread], "all", None, None))
    assert "first commit with 1,234 files" in text
    assert "not read: too large" in text


_USE = """<!DOCTYPE html><meta charset="utf-8">
<iframe id="page" width="1200" height="900" srcdoc="%s"></iframe>
<pre id="found"></pre>
<script>
window.addEventListener("load", () => {
  const frame = document.getElementById("page");
  const page = frame.contentDocument;
  const $ = selector => page.querySelector(selector);
  const rows = () => page.querySelectorAll(".event").length;
  const found = { ready: page.documentElement.dataset.ready, steps: [] };
  const step = (name, action) => {
    action();
    found.steps.push([name, $("#count").textContent, rows()]);
  };
  const set = (id, value) => {
    $(id).value = value;
    $(id).dispatchEvent(new frame.contentWindow.Event(id === "#search" ? "input" : "change"));
  };
  step("all", () => {});
  step("cluster", () => set("#cluster", "staging"));
  step("kind", () => set("#kind", "Role"));
  step("search", () => set("#search", "-50"));
  step("reset", () => $("#reset").click());
  step("object", () => $(".event .name").click());
  step("diff", () => { $(".event details").open = true; });
  step("reset", () => $("#reset").click());
  step("day", () => $(".days button").click());
  step("reset", () => $("#reset").click());
  step("scroll", () => frame.contentWindow.scrollTo(0, page.body.scrollHeight));
  found.alerts = page.querySelectorAll("main script, b, img").length;
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>"""


def use(text: str, folder: Path) -> dict[str, Any]:
    """Use the filters of a page in the browser, and return what they showed, and how many rows they built."""
    file = folder / "use.html"
    file.write_text(_USE % html.escape(text))
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"),
            *("--window-size=1300,1000", "--dump-dom", file.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    (printed,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    measured = json.loads(html.unescape(printed))
    assert isinstance(measured, dict)
    return measured


@pytest.mark.slow
@in_browser
def test_page_with_5000_events_builds_few_rows_for_each_filter(tmp_path: Path) -> None:
    used = use(whole(5000), tmp_path)
    assert used["ready"] == "true"
    counts = {name: count for name, count, _ in used["steps"]}
    assert counts["all"] == "5,000 events"
    assert counts["cluster"] == "1,666 events"
    assert counts["kind"] == "417 events"
    assert counts["search"] == "17 events"
    assert counts["object"] == "17 events"
    assert 0 < int(counts["day"].split()[0]) <= 8
    assert counts["reset"] == "5,000 events"
    # The time of a filter grows with the elements that it builds.
    assert all(0 < built <= 300 for _, _, built in used["steps"]), used["steps"]


@pytest.mark.slow
@in_browser
def test_page_shows_hostile_names_as_text(tmp_path: Path) -> None:
    used = use(whole(100, name=f"<b>x</b><img src=x onerror=alert(1)>{EVIL}"), tmp_path)
    assert used["ready"] == "true"
    assert used["alerts"] == 0


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("scheme", SCHEMES)
def test_page_is_readable_on_a_phone_in_light_and_dark_mode(scheme: str, tmp_path: Path) -> None:
    measured = measure(whole(300, name="x" * 200), tmp_path, width=PHONE, scheme=scheme)
    assert measured["texts"] > 100
    assert measured["width"] <= PHONE, "long names must not cause horizontal scrolling"
    assert measured["contrast"] >= 4.5, "WCAG AA"
    assert measured["smallest"] >= 12
    assert (sum(measured["background"][:3]) < 3 * 128) is (scheme == "dark")
