"""What git, ssh and the Git host print when an exchange fails, separated by who printed it.

The wordings are those of Git 2.39, OpenSSH 9.2 and curl 7.88.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_STATUS = re.compile(r"returned error: (\d{3})|RPC failed; HTTP (\d{3})")

# ssh with LogLevel=DEBUG1 (see config.py): these lines prove the stage that the exchange has reached.
_SSH_DEBUG = "debug1: "
_SSH_AUTHENTICATED = "Authenticated to "
_SSH_EXIT_STATUS = re.compile(r"debug1: Exit status (\d+)")
_SSH_OWN = ("OpenSSH_", _SSH_AUTHENTICATED, "Transferred: ", "Bytes per second: ")

# git prints this if the connection ends before the first answer of the server's git …
_NO_ANSWER = "fatal: Could not read from remote repository."
# … and this advice, which is the same for every cause.
_ADVICE = {
    _NO_ANSWER,
    "Please make sure you have the correct access rights",
    "and the repository exists.",
}
_ERR_PACKET = re.compile(r"(?:fatal: )?remote error: (.*)")
# send-pack prints what the host reports about a pack: JGit's limits, and the rules of Azure DevOps.
_UNPACK = re.compile(r"error: remote unpack failed: (?:error )?(.*)")
_GIT_FRAMING = re.compile(
    r"(hint|warning|Warning|asked for):|error: failed to push some refs to |To \S+$|Done$|[!*=] *\t"
    r"|fast-import: dumping crash report to "
)

# OpenSSH 9.2 prints 13 lines about a host key that has changed. These are the facts in them.
_KEY_CHANGED = re.compile(
    r"The fingerprint for the (?P<kind>\S+) key sent by the remote host is\s+(?P<fingerprint>\S+?)\.?\s.*?"
    r"^Offending \S+ key in (?P<file>.+?):(?P<line>\d+)\s.*?^Host key for (?P<host>\S+) has changed",
    re.DOTALL | re.MULTILINE,
)
_KEY_UNKNOWN = re.compile(r"^No \S+ host key is known for .*$", re.MULTILINE)

# Progress of the server's git and of JGit (Gerrit: "Processing changes: refs: 1, new: 1, done"): it has
# counters, and no cause.
_PROGRESS = re.compile(
    r"(Resolving deltas|Counting objects|Compressing objects|Enumerating objects|Unpacking objects"
    r"|Processing changes|Checking connectivity|Updating references):|Total \d"
)
_REJECTED = re.compile(r"\[(?:remote )?rejected\] (?:\S+ -> \S+ )?\((.*)\)")

# What differs between two runs with the same failure: names of git's temporary files ("tmp_pack_k5YReE"),
# durations of curl ("after 3 ms", "after 30001
# milliseconds with 0 bytes received"), and the ids that hosts add for their support (GitLab: "Correlation ID:
# 01HX…"; Azure DevOps: "Activity ID: <guid>"; GitHub: "Request ID ABCD:1234:…").
_VARIABLE = re.compile(
    r"(?<=tmp_obj)_\w{6}\b|(?<=tmp_idx)_\w{6}\b|(?<=tmp_pack)_\w{6}\b"
    r"| after \d+ (?:ms|milliseconds|seconds)(?: with [\d a-z]+ received)?"
    r"|[\s(\[,;]*\b(?:request|correlation|activity|trace|error)[ _-]id\b[\s:=]*[\w:-]*\d[\w:-]*[)\]]?"
    r"|[\s(\[,;]*\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b[)\]]?",
    re.IGNORECASE,
)

# git over HTTP: "warning: redirecting to https://…/". GitHub: "This repository moved. Please use the new
# location:", GitLab: "Please update your Git remote:"; the address follows on the next lines.
_MOVED = re.compile(
    r"^warning: redirecting to (\S+)|(?:new location|your Git remote):\s+(?:remote:\s*)*(\S+)", re.MULTILINE
)

_COMPARED_LINES = 200


@dataclass
class Output:
    """The lines of one failed git process.

    ``host`` has the words of the Git host: what git prints after "remote:", in an ERR packet, or, over SSH,
    what the host printed instead of an answer. ``unpack`` has what it reports about a pack, ``rejected`` the
    reasons of rejected refs. ``ours`` has what git, curl and ssh print themselves.
    """

    host: list[str] = field(default_factory=list)
    unpack: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    ours: list[str] = field(default_factory=list)
    http_status: int | None = None
    is_authenticated: bool = False
    ssh_exit_status: int | None = None
    is_without_answer: bool = False
    has_err_packet: bool = False

    @property
    def is_ended_by_host(self) -> bool:
        """Whether the host itself ended the exchange, with words: in an ERR packet, or over SSH.

        ssh has connected and authenticated, the program on the server has ended with a status, and its git
        has not answered.
        """
        over_ssh = self.is_authenticated and self.is_without_answer and self.ssh_exit_status is not None
        return bool(self.host) and (self.has_err_packet or over_ssh)

    def quoted(self) -> str:
        """Return the words that explain the failure: the host's, else ours. Each once, and without ids."""
        status = [f"HTTP status {self.http_status}"] if self.http_status else []
        # git rejects the ref with "unpacker error", after the reason why it could not store the pack.
        rejected = [one for one in self.rejected if not (self.unpack and one.endswith("unpacker error"))]
        words = [*self.host, *rejected]
        chosen = [*words, *status] if words else [*self.ours, *(() if self.ours else status)]
        chosen = [*self.unpack, *chosen]
        return "; ".join(_each_once(filter(None, (_VARIABLE.sub("", line).strip() for line in chosen))))


def moved_to(text: str) -> str | None:
    """Return the new address of a renamed repository, which git or the host has named; None otherwise."""
    found = _MOVED.search(text)
    return found and (found[1] or found[2])


def parsed(text: str) -> Output:
    """Separate what git printed."""
    text = text.replace(_SSH_DEBUG, f"\n{_SSH_DEBUG}")  # a host's words need not end with a line feed
    lines = [stripped for line in re.split(r"[\r\n]", text) if (stripped := line.strip("@= \t"))]
    out = Output(rejected=_REJECTED.findall(text), is_without_answer=_NO_ANSWER in lines)
    if found := _STATUS.findall(text):
        out.http_status = int(found[-1][0] or found[-1][1])
    for line in lines:
        _add(out, line)
    if changed := _KEY_CHANGED.search(text):
        out.ours = [
            "the {kind} key of {host} has changed to {fingerprint}, and line {line} of {file} has another "
            "one".format_map(changed.groupdict())
        ]
    elif unknown := _KEY_UNKNOWN.search(text):
        out.ours = [unknown[0].strip()]
    return out


def _add(out: Output, line: str) -> None:
    if line.startswith("remote:"):
        words = line.removeprefix("remote:").strip("= ")
        if not _PROGRESS.match(words):
            out.host.append(words)
    elif line.startswith(_SSH_DEBUG):
        if status := _SSH_EXIT_STATUS.match(line):
            out.ssh_exit_status = int(status[1])
    elif line.startswith(_SSH_OWN):
        out.is_authenticated |= line.startswith(_SSH_AUTHENTICATED)
    elif packet := _ERR_PACKET.match(line):
        out.has_err_packet = True
        out.host.append(packet[1])
    elif unpack := _UNPACK.match(line):
        out.unpack.append(unpack[1])
    elif line.startswith("redirect: "):
        out.ours.append(line.partition("?")[0])  # the query of a sign-in page differs each time
    elif line in _ADVICE or _GIT_FRAMING.match(line):
        return
    elif out.is_authenticated and out.is_without_answer:
        out.host.append(line)
    else:
        out.ours.append(line)


def _each_once(words: Iterable[str]) -> list[str]:
    """Drop what is repeated: hosts print a reason in a message and again as the reason of a rejected ref."""
    different = list(dict.fromkeys(words))
    if len(different) > _COMPARED_LINES:
        return different
    kept: list[str] = []
    for line in different:
        if not any(line in other for other in kept):
            kept = [*(other for other in kept if other not in line), line]
    return kept
