"""What git, ssh and curl say when they fail, and what it means for the operator."""

from __future__ import annotations

import re

from steps.core.operations import Operation
from steps.errors import FixConfiguration, SyncError, TryAgain
from steps.runtime.logs import redacted

MESSAGES = {
    Operation.GIT_CLONE: "Failed to read the repository",
    Operation.GIT_PUSH: "Failed to push to repository",
    Operation.GIT_COMMIT: "Failed to commit",
}

# What a person must set right, by git's, ssh's and curl's own words. The rest may pass by itself.
_HUMAN = (
    (r"unprotected private key", "the SSH key's permissions are too open: chmod 600"),
    (r"invalid format|error in libcrypto|load key", "the SSH key cannot be used"),
    (
        r"no space left on device|read-only file system|disk quota|out of diskspace|could(n't| not) write",
        "the disk is full or read-only",
    ),
    (r"unable to create temporary|insufficient permission", "the repository cannot be written"),
    (
        (
            r"authentication failed|could not read (username|password)|permission denied \("
            r"|returned error: 40[13]|access denied|invalid credentials|no supported authentication"
        ),
        "authentication failed",
    ),
    (r"host key verification failed|no .* host key is known", "host key verification failed"),
    (r"certificate|ssl: no alternative|CAfile", "TLS certificate not trusted"),
    (
        (
            r"not found|does not appear to be a git repository|does not exist|not a git repository"
            r"|returned error: 404"
        ),
        "repository not found",
    ),
    (r"repository corruption on the remote side", "the repository is damaged"),
    (
        r"transport .*not allowed|protocol .*not supported|unable to find remote helper",
        "protocol not allowed",
    ),
    (
        (
            r"hook declined|protected branch|pre-receive|not allowed|denied|deny|\[remote rejected\]"
            r"|maximum .* redirects|returned error: 4(?!08|09|21|23|25|29)\d\d"
        ),
        "the server refused",
    ),
)


# A push that met another one, or a server in trouble: it says "rejected", and it will pass.
_PASSING = re.compile(
    r"cannot lock ref|failed to update ref|stale info|fetch first|internal (server )?error", re.I
)


_LASTING = re.compile(r"exists; cannot create|permission denied|no space left|hook declined", re.I)

# What git repeats of our own settings: a repository may be called certificates.git, a branch deny-all.
_NAMES = re.compile(
    r"'[^'\s]+'|\"[^\"\s]+\"|refs/heads/\S+|^To .*$|(?:resolve host:|connect to host|connect to) \S+", re.M
)
_STATUS = re.compile(r"The requested URL returned error: \d+")


def explained(operation: Operation, said: str) -> SyncError:
    """Turn git's words into an error; the server's own words come with it."""
    lines = [line.strip() for line in said.split("\n") if line.strip("@ \r")]
    server = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    ours = [line for line in lines if not line.startswith(("remote:", "hint:", "warning:", "Warning:"))]
    rejected = re.findall(r"\[(?:remote )?rejected\] \((.*)\)", said)
    status = _STATUS.findall(said)[-1:]
    words = "; ".join(filter(None, [*server, *rejected, *status] if server or rejected else ours or lines))
    words = redacted(words)[:1000]  # before the cut
    meant = _NAMES.sub("", said)
    passing = any(map(_PASSING.search, rejected)) and not _LASTING.search(meant)
    for pattern, cause in () if passing else _HUMAN:
        if re.search(pattern, meant, re.IGNORECASE):
            return FixConfiguration(operation, MESSAGES[operation], f"{cause}: {words}")
    return TryAgain(operation, MESSAGES[operation], words or "git ended without a word")
