"""docs/report.png, which `python -m tests.demo.screenshot` writes."""

from __future__ import annotations

import struct

from tests.demo import screenshot


def test_screenshot_in_docs_is_a_small_png_of_the_scripts_size() -> None:
    content = screenshot.FILE.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (screenshot.WIDTH, screenshot.HEIGHT)
    assert len(content) <= screenshot.MAX_BYTES
