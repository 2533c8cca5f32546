"""The process that reads the objects of changed files, and summarizes what changed.

Others choose the content of the files, and the parser is C code. So this process has limits for memory and
time, no credentials and no repository. It imports only what it needs, because its start is most of a small
inspection. steps/publishing/isolated.py starts it.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import resource
import signal
import sys
import time
from typing import IO, TYPE_CHECKING, Any

from steps.core.git_objects import Change
from steps.kubernetes.facts import facts_of_file
from steps.kubernetes.summarize import Inspection, summarize
from steps.kubernetes.volatile import Rule, RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.kubernetes.facts import Facts

ABSENT = "Git did not return its content"

# The timer is set again after this part of a file's time: a system call for each file would take longer than
# reading a small file.
_TIMER_SLACK = 0.2

# The capacity of a pipe (pipe(7)).
_PIPE_BYTES = 1 << 16

# Blob id to the objects' facts, or why they are not known.
_Known = dict[str, "tuple[Facts, ...] | str"]


def main() -> None:
    """Inspect the files of a job. The arguments are the descriptors of the changes, the job and the result.

    Standard input is the output of `git cat-file --batch` for the job's blobs.
    """
    changes, job_file, result = (os.fdopen(int(number), "r+b") for number in sys.argv[1:4])
    job = json.load(job_file)
    _set_limits(job)
    with open(sys.stdin.fileno(), "rb", buffering=_PIPE_BYTES, closefd=False) as blobs:
        known = _read(blobs, job, result)
    resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"],) * 2)
    inspections = {
        path.encode("latin-1"): Inspection(reason=reason) if reason else _inspection(before, after, known)
        for path, before, after, reason in job["files"]
    }
    found = summarize(changes_in(changes), {path: one for path, one in inspections.items() if one})
    result.seek(job["summary_at"])
    result.write(json.dumps(found).encode())
    result.close()


def _set_limits(job: dict[str, Any]) -> None:
    # At this limit one file is not inspected; the rest of the memory is for the summary.
    resource.setrlimit(resource.RLIMIT_AS, (3 * job["memory_bytes"] // 4, job["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu_seconds"],) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["result_bytes"],) * 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # If the container runs out of memory, this process is killed first.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def _read(blobs: IO[bytes], job: dict[str, Any], result: IO[bytes]) -> _Known:
    """Return the facts of each blob. Blobs that are not read within time and memory are missing."""
    known: _Known = {"": ()}
    facts_left, rules = job["facts"], RuleSet(map(Rule.of, job["rules"]))
    # The parent must know the blob if this process ends here. To write into memory needs no system call.
    os.pwrite(result.fileno(), b"%-16d" % -1, 0)
    reading = mmap.mmap(result.fileno(), job["summary_at"])
    slack = _TIMER_SLACK * job["file_seconds"]
    timer_set = 0.0
    for number, head in enumerate(blobs):
        now = time.monotonic()
        if now >= job["read_until"] or facts_left <= 0:
            break
        oid, kind, *size = head.decode().split()
        if kind == "missing":
            known[oid] = ABSENT
            continue
        reading[:] = b"%-16d" % number
        if now >= timer_set + slack:
            # The kernel kills this process if libyaml does not return: no Python code can interrupt it.
            signal.setitimer(signal.ITIMER_REAL, job["file_seconds"] + slack)
            timer_set = now
        content = blobs.read(int(size[0]))
        if len(content) < int(size[0]):
            break
        known[oid] = facts = facts_of_file(content, job["facts_of_file"], rules)
        facts_left -= sum(one.size for one in facts if not isinstance(one, str))
        blobs.read(1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    reading[:] = b"%-16d" % -1
    return known


def _inspection(before: str, after: str, known: _Known) -> Inspection | None:
    """Return the objects of both versions of a file; None if they were not read."""
    old, new = known.get(before), known.get(after)
    if isinstance(new, str) or isinstance(old, str):
        return Inspection(reason=new if isinstance(new, str) else str(old))
    return None if old is None or new is None else Inspection(old, new)


def changes_in(stream: IO[bytes]) -> Iterator[tuple[bytes, Change]]:
    """Read a letter and a path for each changed file, each ended by a null byte."""
    rest = b""
    while chunk := stream.read(1 << 16):
        *files, rest = (rest + chunk).split(b"\0")
        yield from ((file[1:], Change(file[:1].decode())) for file in files)
