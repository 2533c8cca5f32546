"""Runs git-sync and measures the share of each phase in its time.

A thread samples all others every few milliseconds, and divides each interval among those that work. This
slows git-sync down a little, so such a run is used only for the shares.
Usage: python -m tests.bench.phases OUTPUT COMMAND…, with git-sync's settings in the environment.
"""

from __future__ import annotations

import gc
import json
import linecache
import os
import re
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import environment

if TYPE_CHECKING:
    from types import FrameType

_PAUSE_SECONDS = 0.003

NAMES = ("start", "branch", "list", "get", "hash", "write", "compare", "import", "push", "report")

# By file and function; the innermost matching frame decides. "": the thread waits for others.
FUNCTIONS = {
    ("clients/s3/listing.py", "children"): "list",
    ("clients/s3/listing.py", "_after"): "list",
    ("clients/s3/store.py", "exists"): "list",
    ("clients/s3/store.py", "_chunks"): "get",
    ("clients/s3/store.py", "fetch"): "get",
    ("clients/git/objects.py", "fast_import"): "import",
    ("publishing/commit.py", "commit"): "import",
    ("publishing/push.py", "push"): "push",
    ("publish.py", "summarize"): "report",
    ("report.py", "report"): "report",
    ("reporting/delivery.py", "deliver"): "report",
    ("reporting/server.py", "http_server"): "report",
    ("planning/baselines.py", "of_branch"): "branch",
    ("clients/git/repository.py", "fetch_tip"): "branch",
    ("clients/git/repository.py", "__enter__"): "branch",
    ("download.py", "download"): "",
    ("download.py", "download_cluster"): "compare",
    ("run.py", "run"): "compare",
}
# One function receives, hashes and writes an object, so its lines decide.
LINES = ("clients/s3/store.py", "_get")
HASH, WRITE = re.compile(r"\.update\(|digest\(|md5\(|sha1\("), re.compile(r"\bopen\(|\.write\(")
_STEPS = f"{os.sep}steps{os.sep}"


def _phase(frame: FrameType | None) -> str | None:
    """Return the phase of a thread by its innermost frame; "" if it waits, None if it is unknown."""
    while frame is not None:
        _, ours, file = frame.f_code.co_filename.rpartition(_STEPS)
        place = (file, frame.f_code.co_name)
        if ours and place == LINES:
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
            if HASH.search(line):
                return "hash"
            if WRITE.search(line):
                return "write"
        if ours and place in FUNCTIONS:
            return FUNCTIONS[place]
        frame = frame.f_back
    return None


def _seconds_since_start_of_process() -> float:
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def main(output: Path, command: list[str]) -> int:
    """Run the command and write the seconds of each phase."""
    seconds: defaultdict[str, float] = defaultdict(float)
    seconds["start"] = _seconds_since_start_of_process()
    main_thread, over = threading.get_ident(), threading.Event()

    def watch() -> None:
        last = time.monotonic()
        while not over.wait(_PAUSE_SECONDS):
            now = time.monotonic()
            # Garbage collection in this thread may wait for a lock that this thread has.
            gc.disable()
            frames = sys._current_frames()
            gc.enable()
            phases = {thread: _phase(frame) for thread, frame in frames.items() if thread != watcher.ident}
            if phases[main_thread] is None:
                phases[main_thread] = "start"
            busy = list(filter(None, phases.values()))
            for name in busy:
                seconds[name] += (now - last) / len(busy)
            last = now

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    from steps.cli import invoke  # noqa: PLC0415 - the imports are a phase, too

    settings = dict(os.environ)
    environment.clean()
    code = invoke(command, settings)
    over.set()
    watcher.join()
    output.write_text(json.dumps({name: round(seconds[name], 3) for name in NAMES}))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
