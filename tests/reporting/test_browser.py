"""The pages in a real browser: readable on a phone, in light and dark mode, and without scripts."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from steps.contracts import ClusterState, LastSuccess, RunResult, State
from steps.core.counters import Counters
from steps.reporting.html import html as as_html
from steps.reporting.run_page import run_page
from steps.reporting.status_page import status_page
from tests.support.results import EVIL, NOON, hostile, result

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: on Debian, apt-get install chromium"),
]

# The page is in a frame with the width of a phone; a script outside of the frame measures it.
_FRAME = """<!DOCTYPE html><meta charset="utf-8">
<iframe id="page" width="%d" height="800" srcdoc="%s"></iframe>
<pre id="found"></pre>
<script>
const luminance = rgb => rgb.slice(0, 3)
  .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const numbers = color => color.match(/[\\d.]+/g).map(Number);
const paper = node => {
  for (; node && node.nodeType === 1; node = node.parentElement) {
    const color = numbers(node.ownerDocument.defaultView.getComputedStyle(node).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
window.addEventListener("load", () => {
  const page = document.getElementById("page").contentDocument;
  const texts = [...page.body.querySelectorAll("*")].filter(
    node => [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()));
  const contrasts = texts.map(node => {
    const [a, b] = [numbers(page.defaultView.getComputedStyle(node).color), paper(node)].map(luminance);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
  document.getElementById("found").textContent = JSON.stringify({
    width: page.documentElement.scrollWidth,
    background: numbers(page.defaultView.getComputedStyle(page.body).backgroundColor),
    contrast: Math.min(...contrasts),
    texts: texts.length,
    scripts: page.scripts.length,
    smallest: Math.min(...texts.map(node => parseFloat(page.defaultView.getComputedStyle(node).fontSize))),
  });
});
</script>"""

PHONE, DESKTOP = 390, 1280
SCHEMES = {"dark": 0, "light": 1}


def measure(page: str, folder: Path, *, width: int, scheme: str) -> dict[str, Any]:
    """Return the measurements of a page in the browser."""
    file = folder / "frame.html"
    file.write_text(_FRAME % (width, html.escape(page)))
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"),
            *(f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", "--virtual-time-budget=5000"),
            *(f"--window-size={width + 100},900", "--dump-dom", file.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    measured = json.loads(html.unescape(found))
    assert isinstance(measured, dict)
    return measured


def _state(run: RunResult) -> State:
    now = datetime(2025, 7, 12, tzinfo=UTC)
    return State(
        identity="0" * 16,
        last_run=run,
        last_success=LastSuccess(run_id="x", at=now),
        listed={},
        clusters={EVIL * 3: ClusterState(missing=True), "east": ClusterState(last_success_at=now)},
        counters=Counters(),
    )


PAGES = {
    "report": as_html(run_page(hostile(), "https://git.example.com/org/backups/commit/0a")),
    "failed": as_html(run_page(result(outcome="failed", exit_code=40, error="x" * 900), None)),
    "status": as_html(status_page(_state(hostile()), NOON, healthy=False, reason=EVIL)),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_pages_are_readable_on_a_phone_in_light_and_dark_mode(name: str, scheme: str, tmp_path: Path) -> None:
    found = measure(PAGES[name], tmp_path, width=PHONE, scheme=scheme)
    assert found["texts"] > 3
    assert found["width"] <= PHONE, "long names must not cause horizontal scrolling"
    assert found["contrast"] >= 4.5, "WCAG AA"
    assert found["smallest"] >= 12
    assert (sum(found["background"][:3]) < 3 * 128) is (scheme == "dark")
    assert found["scripts"] == 0


def test_pages_fit_a_desktop_screen(tmp_path: Path) -> None:
    assert measure(PAGES["report"], tmp_path, width=DESKTOP, scheme="light")["width"] <= DESKTOP
