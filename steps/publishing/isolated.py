"""Starts the process that reads changed files, and ends it at a limit.

libyaml is C code, and others choose what it reads. If it crashes, hangs or needs too much memory, only its
process ends, and the file that caused it is not inspected.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol

from pydantic import ValidationError

from steps.core import limits
from steps.core.operations import Operation
from steps.errors import TryAgain
from steps.kubernetes.change_summary import ChangeSummary
from steps.kubernetes.volatile import BUILT_IN
from steps.runtime import signals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from steps.kubernetes.volatile import Rule

# A tenth of INSPECTED_FACTS, so that no file takes it all. An export of a whole cluster has fewer.
_FACTS_OF_FILE = limits.INSPECTED_FACTS // 10

# The result has the summary at this position, after the number of the blob that is being read.
_SUMMARY_AT = 16

# This part of the time is for reading, the rest for comparing what was read, which takes half of that time.
_READING = 0.6

# So many files of a cluster may end the process; then its other files are not inspected.
_ENDS_OF_CLUSTER = 2

# If less time is left than so many files may take, the next start reads only what was read before.
_FILES_LEFT = 2

# Without the packages' start-up files, and without variables and directories that change what is imported.
_OPTIONS = ("-I", "-S", "-c")
_PROGRAM = """
import sys
sys.path[:0] = sys.argv[4:]
from steps.publishing.inspection_process import main
main()
"""


@dataclass
class Budget:
    """What remains for inspections; what exceeds it is not inspected."""

    seconds: float = limits.INSPECTION_SECONDS
    total_bytes: int = limits.INSPECTED_BYTES
    files: int = limits.INSPECTED_FILES
    facts: int = limits.INSPECTED_FACTS
    memory_bytes: int = limits.INSPECTION_MEMORY_BYTES


class BlobStreams(Protocol):
    """The repository that has the blobs."""

    def blob_stream(self, oids: Iterable[str]) -> AbstractContextManager[IO[bytes]]:
        """Let git write blobs for another process."""


class File(NamedTuple):
    """A changed file: the ids of its versions, "" for none; or why it is not inspected."""

    path: bytes
    before: str
    after: str
    reason: str = ""


def cluster_of(file: File) -> bytes:
    """Return the name of the cluster."""
    return file.path.partition(b"/")[0]


def blob_ids(files: Iterable[File], *, before: bool = True, after: bool = True) -> list[str]:
    """Return the ids of the versions to read, each once."""
    found: dict[str, None] = {}
    for file in files:
        if not file.reason:
            found |= dict.fromkeys(((file.before,) if before else ()) + ((file.after,) if after else ()))
    found.pop("", None)
    return list(found)


def summarized(  # noqa: PLR0913 - one argument per part of the job
    repository: BlobStreams,
    changes: IO[bytes],
    files: Sequence[File],
    deadline: float,
    budget: Budget,
    *,
    rules: Sequence[Rule] = BUILT_IN,
) -> ChangeSummary:
    """Return the summary of the changes, of which ``files`` are inspected until ``deadline``.

    ``changes`` is a memory file with a letter and a path for each change, each ended by a null byte.
    ``rules`` say what is volatile. Raises TryAgain if the process makes no summary.
    """
    process = _Process(repository, changes, deadline, budget, rules)
    ends: Counter[bytes] = Counter()
    while True:
        ended = process.run(files)
        if isinstance(ended, ChangeSummary):
            return ended
        oids = blob_ids(files)
        left = deadline - time.monotonic()
        if not 0 <= ended.number < len(oids) or left <= 0:
            raise TryAgain(Operation.GIT_DIFF, "Failed to inspect the changes", ended.reason)
        files = _without(oids[ended.number], files, ended.reason, ends)
        if left < _FILES_LEFT * limits.INSPECTED_FILE_SECONDS:
            read = {"", *oids[: ended.number]}
            files = [file for file in files if file.reason or read.issuperset(file[1:3])]


def _without(culprit: str, files: Iterable[File], reason: str, ends: Counter[bytes]) -> list[File]:
    """Skip the file that ended the process. The other files of its cluster are read last.

    ``ends`` counts for each cluster how often one of its files ended the process.
    """
    files = [file._replace(reason=reason) if culprit in file[1:3] else file for file in files]
    ends.update({cluster_of(file) for file in files if culprit in file[1:3]})
    kept = (file for file in files if file.reason or ends[cluster_of(file)] < _ENDS_OF_CLUSTER)
    return sorted(kept, key=lambda file: ends[cluster_of(file)])


class _Ended(NamedTuple):
    """Why the process made no summary, and the number of the blob that it was reading, -1 for none."""

    reason: str
    number: int


class _Process(NamedTuple):
    repository: BlobStreams
    changes: IO[bytes]
    deadline: float
    budget: Budget
    rules: Sequence[Rule]

    def run(self, files: Sequence[File]) -> ChangeSummary | _Ended:
        """Let the process read the files and summarize the changes."""
        with ExitStack() as stack:
            job, result = (stack.enter_context(memory_file(name)) for name in ("job", "result"))
            job.write(self._job(files))
            for file in (job, self.changes):
                file.flush()
                os.lseek(file.fileno(), 0, os.SEEK_SET)
            blobs = stack.enter_context(self.repository.blob_stream(blob_ids(files)))
            status = _run(blobs, (self.changes, job, result), self._left())
            result.seek(0)
            content = result.read(limits.INSPECTION_RESULT_BYTES)
        if status != 0:
            return _Ended(_reason(status), int(content[:_SUMMARY_AT] or b"-1"))
        try:
            return ChangeSummary.model_validate_json(content[_SUMMARY_AT:])
        except ValidationError:
            return _Ended("the process that inspects files returned no summary", -1)

    def _job(self, files: Sequence[File]) -> bytes:
        left = self._left()
        job = {
            "files": [(file.path.decode("latin-1"), *file[1:]) for file in files],
            "read_until": time.monotonic() + _READING * left,
            "file_seconds": limits.INSPECTED_FILE_SECONDS,
            "rules": self.rules,
            "facts": self.budget.facts,
            "facts_of_file": _FACTS_OF_FILE,
            "memory_bytes": self.budget.memory_bytes,
            "cpu_seconds": int(left) + 1,
            "result_bytes": limits.INSPECTION_RESULT_BYTES,
            "summary_at": _SUMMARY_AT,
        }
        return json.dumps(job).encode()

    def _left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())


def _run(blobs: IO[bytes], files: Iterable[IO[bytes]], seconds: float) -> int | None:
    """Run the process; return its exit status, None if it was killed after ``seconds``."""
    descriptors = [file.fileno() for file in files]
    command = [sys.executable, *_OPTIONS, _PROGRAM, *map(str, descriptors), *filter(None, sys.path)]
    process: subprocess.Popen[bytes] | None = None
    try:
        with signals.deferred():  # a signal between the start and the assignment would orphan it
            process = subprocess.Popen(  # noqa: S603 - this interpreter with fixed arguments
                command,
                stdin=blobs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                pass_fds=descriptors,
                start_new_session=True,
            )
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()


def _reason(status: int | None) -> str:
    if status is None:
        return "the inspection took too long"
    if status == -signal.SIGALRM:
        return f"takes more than {limits.INSPECTED_FILE_SECONDS} s to read"
    if status < 0:
        return f"the process that inspects files was killed ({signal.Signals(-status).name})"
    return f"the process that inspects files failed (exit status {status})"


@contextmanager
def memory_file(name: str) -> Iterator[IO[bytes]]:
    """Open a file in memory, which another process can read and write."""
    with os.fdopen(os.memfd_create(name), "w+b") as file:
        yield file
