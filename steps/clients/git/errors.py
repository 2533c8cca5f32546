"""The messages of git, ssh and curl, and the error that each becomes.

The wordings are those of Git 2.39 (with its servers receive-pack and upload-pack), OpenSSH 9.2 and
curl 7.88, except where a host is named. tests/clients/git/test_errors.py has examples.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from steps.core.operations import Operation
from steps.errors import FixConfiguration, SyncError, TryAgain, volume_usage
from steps.runtime.redaction import redacted

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = {
    Operation.GIT_CLONE: "Failed to read the repository",
    Operation.GIT_PUSH: "Failed to push to repository",
    Operation.GIT_COMMIT: "Failed to commit",
}

_DISK_FULL = "the disk is full or read-only"
_REFUSED = "the server refused"

# Failures that last until a person acts: the first pattern that matches gives the cause. Every other
# failure is transient.
PERMANENT = (
    # ssh prints "WARNING: UNPROTECTED PRIVATE KEY FILE!"
    (r"unprotected private key", "the SSH key's permissions are too open: chmod 600"),
    # ssh: 'Load key "/etc/ssh-key/id": invalid format', '… error in libcrypto'
    (r"invalid format|error in libcrypto|load key", "the SSH key cannot be used"),
    (
        # strerror of ENOSPC, EROFS and EDQUOT. git: "sha1 file '…' write error. Out of diskspace",
        # "couldn't write …". git does not name ENOSPC in all of these.
        r"no space left on device|read-only file system|disk quota|out of diskspace|could(n't| not) write",
        _DISK_FULL,
    ),
    # git, for a file:// repository; "remote:" before it where it is the server's
    (r"unable to create temporary|insufficient permission", "the repository cannot be written"),
    (
        (
            # git over HTTP: "Authentication failed for '…'"; "could not read Username for '…': terminal
            # prompts disabled" where it has no credential. ssh: "git@host: Permission denied (publickey)."
            r"authentication failed|could not read (username|password)|permission denied \("
            # curl 22: "The requested URL returned error: 403". GitLab: "HTTP Basic: Access denied"
            r"|returned error: 40[13]|access denied|invalid credentials|no supported authentication"
        ),
        "authentication failed",
    ),
    # ssh: "Host key verification failed.", "No ED25519 host key is known for … and you have requested
    # strict checking."
    (r"host key verification failed|no .* host key is known", "host key verification failed"),
    # curl 60 and 77: "SSL certificate problem: …"; with GnuTLS (Debian's git) "server certificate
    # verification failed. CAfile: none"; "SSL: no alternative certificate subject name matches …"
    (r"certificate|ssl: no alternative|CAfile", "TLS certificate not trusted"),
    (
        (
            # git: "repository 'https://…/' not found", "'…' does not appear to be a git repository".
            # GitHub over SSH: "ERROR: Repository not found."
            r"not found|does not appear to be a git repository|does not exist|not a git repository"
            r"|returned error: 404"
        ),
        "repository not found",
    ),
    # upload-pack: "aborting due to possible repository corruption on the remote side."
    (r"repository corruption on the remote side", "the repository is damaged"),
    (
        # git: "transport 'http' not allowed" (GIT_ALLOW_PROTOCOL), "unable to find remote helper for '…'".
        # curl 1: 'Protocol "file" not supported or disabled in libcurl', after a redirect
        r"transport .*not allowed|protocol .*not supported|unable to find remote helper",
        "protocol not allowed",
    ),
    (
        (
            # receive-pack: "pre-receive hook declined", "deny updating a hidden ref". GitLab: "You are not
            # allowed to push code to protected branches on this project."
            r"hook declined|protected branch|pre-receive|not allowed|denied|deny|\[remote rejected\]"
            # curl 47: "Maximum (20) redirects followed". Of the statuses 4xx these are transient: 408, 409,
            # 421, 423, 425 and 429
            r"|maximum .* redirects|returned error: 4(?!08|09|21|23|25|29)\d\d"
        ),
        _REFUSED,
    ),
)

# Causes that a server can report after it has received the push. A hook may print any other word too, and
# quote paths such as certificate.yaml.
_CAUSES_AT_THE_SERVER = {_DISK_FULL, "the repository cannot be written", _REFUSED}

# Reasons of a rejected ref that are transient: another push came first (send-pack: "stale info", "fetch
# first"; receive-pack: "cannot lock ref", "failed to update ref"), or the server has an internal error …
_TRANSIENT_REJECTION = re.compile(
    r"cannot lock ref|failed to update ref|stale info|fetch first|internal (server )?error", re.I
)
# … unless the output names a cause that lasts, such as "cannot lock ref 'refs/heads/backups/prod':
# 'refs/heads/backups' exists; cannot create 'refs/heads/backups/prod'".
_PERMANENT_REJECTION = re.compile(
    r"exists; cannot create|permission denied|no space left|hook declined", re.I
)

# Names in the output that come from our settings: a repository may be called certificates.git, a branch
# deny-all.
_NAMES = re.compile(
    r"'[^'\s]+'|\"[^\"\s]+\"|refs/heads/\S+|^To .*$|(?:resolve host:|connect to host|connect to) \S+", re.M
)
_QUOTED_CHARACTERS = 1000
_STATUS = re.compile(r"The requested URL returned error: \d+")

# send-pack: "! [remote rejected] main -> main (pre-receive hook declined)". Azure DevOps continues the reason
# on the next lines. A proxy may limit the size of a push, with status 413.
_REFUSED_PUSH = re.compile(r"\[remote rejected\]|returned error: 413")


class PushRefused(FixConfiguration):
    """The host received a push and refused it: for its content, or for any other reason.

    ``host_message`` is the host's message, redacted and shortened. ``output`` is everything that git printed;
    it may contain secrets.
    """

    def __init__(self, host_message: str, output: str) -> None:
        super().__init__(Operation.GIT_PUSH, MESSAGES[Operation.GIT_PUSH], f"{_REFUSED}: {host_message}")
        self.host_message = host_message
        self.output = output


def git_error(operation: Operation, output: str, status: int, directory: Path | None = None) -> SyncError:
    """Return the error that git's output and exit status mean; it quotes the server's messages.

    ``directory`` is that of the local repository, which is named if its volume is full.
    """
    lines = [line.strip() for line in output.split("\n") if line.strip("@ \r")]
    server = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    ours = [line for line in lines if not line.startswith(("remote:", "hint:", "warning:", "Warning:"))]
    rejected = re.findall(r"\[(?:remote )?rejected\] \((.*)\)", output)
    http_status = _STATUS.findall(output)[-1:]
    quoted = "; ".join(
        filter(None, [*server, *rejected, *http_status] if server or rejected else ours or lines)
    )
    quoted = _shortened(redacted(quoted))  # in this order: half a secret would not be recognized
    without_names = _NAMES.sub("", output)
    is_transient = any(map(_TRANSIENT_REJECTION.search, rejected)) and not _PERMANENT_REJECTION.search(
        without_names
    )
    is_refused_push = operation is Operation.GIT_PUSH and _REFUSED_PUSH.search(output) is not None
    for pattern, cause in () if is_transient else PERMANENT:
        if is_refused_push and cause not in _CAUSES_AT_THE_SERVER:
            continue
        if re.search(pattern, without_names, re.IGNORECASE):
            if is_refused_push and cause == _REFUSED:
                return PushRefused(quoted, output)
            is_here = cause == _DISK_FULL and directory is not None and not (server or rejected)
            usage = f"; {directory} ({volume_usage(str(directory))})" if is_here else ""
            return FixConfiguration(operation, MESSAGES[operation], f"{cause}: {quoted}{usage}")
    return TryAgain(
        operation, MESSAGES[operation], quoted or f"git exited with status {status} and printed nothing"
    )


def _shortened(text: str) -> str:
    """Keep the first and the last words, because a reason may be at either end of a long output."""
    if len(text) <= _QUOTED_CHARACTERS:
        return text
    half = _QUOTED_CHARACTERS // 2
    head, tail = text[:half], text[-half:]
    return f"{head.rpartition(' ')[0] or head} … {tail.partition(' ')[2] or tail}"
