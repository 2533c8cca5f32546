"""Write docs/report.png, the README's picture: the report page of the demo's second sync, in a real browser.

Run it after a change of the page: `python -m tests.demo.screenshot`. It needs chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.demo import dataset
from tests.support.bucket import new_bucket
from tests.support.repositories import bare_repository
from tests.support.s3 import moto_server
from tests.support.sync import Sync

FILE = Path(__file__).parents[2] / "docs" / "report.png"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1000, 820  # up to the first images
MAX_BYTES = 200_000


def main() -> None:
    """Sync the two days of the demo, and take the screenshot."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        sys.exit("chromium is not installed; on Debian: apt-get install chromium")
    with TemporaryDirectory() as directory:
        report = _report(Path(directory))
        subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--blink-settings=preferredColorScheme=1", f"--user-data-dir={directory}/profile"),
                *(f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={FILE}", report.as_uri()),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
    if FILE.stat().st_size > MAX_BYTES:
        sys.exit(f"{FILE} has more than {MAX_BYTES:,} bytes")
    print(f"Wrote {FILE} ({FILE.stat().st_size:,} bytes)")


def _report(directory: Path) -> Path:
    before, after = dataset.before(), dataset.after()
    with moto_server() as server:
        bucket = new_bucket(server)
        sync = Sync.between(bucket, bare_repository(directory / "backups.git"), directory / "workspace")
        bucket.put_many(before)
        _run(sync)
        bucket.put_many({key: body for key, body in after.items() if before.get(key) != body})
        for key in before.keys() - after.keys():
            bucket.delete(key)
        _run(sync.with_settings(GIT_COMMIT_URL="https://git.example.com/org/backups/commit/{commit}"))
    return sync.work_dir / "report.html"


def _run(sync: Sync) -> None:
    done = sync.start("run")
    out, _ = done.communicate()
    if done.returncode != 0:
        sys.exit(f"git-sync exited with {done.returncode}:\n{out}")


if __name__ == "__main__":
    main()
