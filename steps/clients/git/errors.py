"""The error that a failed git process becomes, from what git, ssh, curl and the Git host printed.

Where possible the stage of the exchange decides, and the status: the HTTP status, the host's rejection of a
push, or that the host itself ended the exchange. Words decide what is left. They are those of Git 2.39 (with
its servers receive-pack and upload-pack), OpenSSH 9.2 and curl 7.88, except where a host is named.
tests/clients/git/test_host_answers.py has the answers of many hosts.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from steps.clients.git.output import Output, parsed
from steps.core.operations import Operation
from steps.errors import FixConfiguration, SyncError, TryAgain, is_full, volume_usage
from steps.runtime.redaction import redacted

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = {
    Operation.GIT_CLONE: "Failed to read the repository",
    Operation.GIT_PUSH: "Failed to push to repository",
    Operation.GIT_COMMIT: "Failed to commit",
    Operation.GIT_DIFF: "Failed to read the commits",
}


class Cause(NamedTuple):
    """Why git failed, for as long as a person does not act, and what to do."""

    text: str
    advice: str = ""


_AUTHENTICATION = Cause("authentication failed", "renew the token (GIT_TOKEN) or the key (SSH_KEY_PATH)")
_NOT_ALLOWED = Cause("not allowed", "give the owner of GIT_TOKEN or SSH_KEY_PATH the right to push")
_NOT_FOUND = Cause("repository not found", "check GIT_REPOSITORY, and that this identity may read it")
_REFUSED = Cause("the server refused")
# Gitea 1.26 answers with a page and status 200 to the token of a blocked account.
_NOT_GIT = Cause(
    "the server answered with a web page, not with Git",
    "check GIT_REPOSITORY, and that the account is not blocked",
)
_SIGN_IN = Cause("redirected to a sign-in page", "has the token expired? Renew it (GIT_TOKEN)")
_DISK_FULL = Cause("the disk is full or read-only")
_UNWRITABLE = Cause(
    "the repository cannot be written",
    "give the user of git-sync, or of the server, write access to its files",
)

# What git prints about a disk: ours, or that of the host.
_ANYWHERE = (
    (
        # strerror of ENOSPC, EROFS and EDQUOT. git: "sha1 file '…' write error. Out of diskspace",
        # "couldn't write …". git does not name ENOSPC in all of these.
        r"no space left on device|read-only file system|disk quota|out of diskspace|could(n't| not) write",
        _DISK_FULL,
    ),
    # git, for a file:// repository; "remote:" before it where it is the server's
    (r"unable to create temporary|insufficient permission", _UNWRITABLE),
    # upload-pack: "aborting due to possible repository corruption on the remote side."
    (r"repository corruption on the remote side", Cause("the repository is damaged")),
)

# What git, ssh and curl print themselves, about failures that last until a person acts: the first pattern
# that matches gives the cause. Every other failure is transient.
_OURS = (
    # ssh prints "WARNING: UNPROTECTED PRIVATE KEY FILE!"
    (r"unprotected private key", Cause("the SSH key's permissions are too open: chmod 600")),
    # ssh: 'Load key "/etc/ssh-key/id": invalid format', '… error in libcrypto'
    (r"^load key .*: ", Cause("the SSH key cannot be used", "check SSH_KEY_PATH")),
    # git: "error: cannot run ssh: No such file or directory". dash: "1: ssh: not found"
    (r"cannot run ssh|\bssh: (command )?not found", Cause("ssh does not run", "install openssh-client")),
    (
        # "Unable to negotiate with … port 22: no matching host key type found. Their offer: ssh-rsa" from ssh
        r"unable to negotiate with",
        Cause("ssh and the server have no common algorithm", "use a newer server, or https"),
    ),
    (
        (
            # git over HTTP: "Authentication failed for '…'"; "could not read Username for '…': terminal
            # prompts disabled" where it has no credential. ssh: "git@host: Permission denied (publickey).";
            # or it quotes the server with "Too many authentication failures"
            r"authentication failed|could not read (username|password)|permission denied \("
            r"|too many authentication failures"
        ),
        _AUTHENTICATION,
    ),
    (
        # ssh: "Host key verification failed.", "No ED25519 host key is known for … and you have requested
        # strict checking."
        r"host key verification failed|no .* host key is known|key of \S+ has changed to",
        Cause("host key verification failed", "compare the fingerprint, then correct SSH_KNOWN_HOSTS_PATH"),
    ),
    (
        # curl 35: with GnuTLS (Debian's git) "gnutls_handshake() failed: An unexpected TLS packet was
        # received", with OpenSSL "SSL routines::wrong version number"
        r"unexpected tls packet|wrong version number|packet length too long",
        Cause("not TLS: http?", "the port of GIT_REPOSITORY does not use TLS"),
    ),
    # curl 60 and 77: "SSL certificate problem: …"; with GnuTLS "server certificate verification failed.
    # CAfile: none"; "SSL: no alternative certificate subject name matches …"
    (r"certificate|ssl: no alternative|CAfile", Cause("TLS certificate not trusted", "set GIT_CA_FILE")),
    (
        # curl 56: "CONNECT tunnel failed, response 407", "Received HTTP code 407 from proxy after CONNECT"
        r"(tunnel failed, response|received http code) 4\d\d",
        Cause("the proxy refused", "check HTTPS_PROXY"),
    ),
    # git, after 302 to a page whose address does not end in info/refs
    (r"unable to update url base from redirection", _SIGN_IN),
    (
        (
            # git reads from a server that does not answer with Git as if it had plain files, and pushes with
            # WebDAV. It prints "…/info/refs not valid: is this a git repository?" or "git-http-push failed"
            r"not valid: (is this|could not determine)|git-http-push failed|no dav locking"
            # with Git's content type, but without its content
            r"|invalid server response"
        ),
        _NOT_GIT,
    ),
    # git over SSH prints "protocol error: bad line length character: This" if the login shell there answers
    # with "This account is currently not available." (/usr/sbin/nologin)
    (
        r"bad line length character",
        Cause("the server answered with text, not with Git", "check the login shell of this user there"),
    ),
    (
        # git: "repository 'https://…/' not found", "'…' does not appear to be a git repository"
        r"repository\s+not found|does not appear to be a git repository|does not exist|not a git repository",
        _NOT_FOUND,
    ),
    # git, for a repository with --object-format=sha256
    (r"hash algorithm|mismatched algorithms", Cause("the repository does not use SHA-1 object ids")),
    (
        # git: "transport 'http' not allowed" (GIT_ALLOW_PROTOCOL), "unable to find remote helper for '…'".
        # curl 1: 'Protocol "file" not supported or disabled in libcurl', after a redirect
        r"transport .*not allowed|protocol .*not supported|unable to find remote helper",
        Cause("protocol not allowed"),
    ),
    # curl 47: "Maximum (20) redirects followed"
    (r"maximum .* redirects", _REFUSED),
)

# -- HTTP ------------------------------------------------------------------------------------------------

# These statuses last until a person acts. 3xx: git follows redirects of its first request only. 501: a server
# that does not know POST. Every other 5xx is transient.
_STATUSES = {401: _AUTHENTICATION, 403: _NOT_ALLOWED, 404: _NOT_FOUND, 501: _NOT_GIT, 505: _REFUSED}
# timeout, conflict, misdirected, locked, too early, too many requests
_TRANSIENT_STATUSES = {408, 409, 421, 423, 425, 429}

CAUSES = {cause.text for _, cause in (*_ANYWHERE, *_OURS)} | {one.text for one in _STATUSES.values()}

# -- words of hosts --------------------------------------------------------------------------------------

# Passing conditions, with which a host ends an exchange or rejects a push. Gitea 1.26: "Internal Server
# Connection Error" (its hook cannot reach it). GitLab 17: "Internal API unreachable", "4:Deadline Exceeded",
# "The repository is temporarily read-only. Please try again later." Bitbucket Data Center 8: "under heavy
# load". GitHub: "Internal Server Error", "secondary rate limit". Gerrit 3.9: "internal server error",
# "shutting down". upload-pack: "not our ref", for a branch that another push replaced during the fetch.
_PASSING = re.compile(
    r"\binternal (server |api |connection |server connection )?(error|unreachable)"
    r"|temporar(y|ily)|try again (later|in |shortly|soon)|unavailable|unreachable|deadline exceeded"
    r"|(connection|request|operation|command) timed out|connection (refused|reset)|bad gateway"
    r"|maintenance|heavy load|overloaded|shutting down|rate limit|too many requests|not our ref",
    re.IGNORECASE,
)
# In the words of a host that has not seen any content yet, these mean the same. A hook may quote them.
_PASSING_BEFORE_CONTENT = re.compile(
    r"try again|\bretry\b|\bbusy\b|time(d )?out|too many (connections|sessions)", re.I
)

# tests/clients/git/host_answers.yaml has these answers, as "missing".
_MISSING = re.compile(
    r"not found|could not be found|cannot find|does not exist|no such|does not appear to be a git repository"
    r"|not a git repository",
    re.IGNORECASE,
)

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

# Names in the output that come from our settings or the bucket: a repository may be called certificates.git,
# a branch deny-all, an object maintenance/busy.yaml.
_NAMES = re.compile(
    r"'[^'\s]+'|\"[^\"\s]+\"|refs/heads/\S+|^To .*$|(?:resolve host:|connect to host|connect to) \S+"
    r"|\S*/\S*",
    re.M,
)
_QUOTED_CHARACTERS = 1000

# send-pack: "! [remote rejected] main -> main (pre-receive hook declined)". Azure DevOps continues the reason
# on the next lines. A proxy may limit the size of a push, with status 413.
_REFUSED_PUSH = re.compile(r"\[remote rejected\]|returned error: 413")


class HostRefusal(SyncError):
    """The host received a push and refused it.

    ``host_message`` is the host's message, redacted and shortened. ``output`` is everything that git printed;
    it may contain secrets.
    """

    def __init__(self, error: str, host_message: str, output: str) -> None:
        super().__init__(Operation.GIT_PUSH, MESSAGES[Operation.GIT_PUSH], error)
        self.host_message = host_message
        self.output = output


class PushRefused(HostRefusal, FixConfiguration):
    """The host refused the push for its content, or for any other reason that lasts."""


class PushRefusedForNow(HostRefusal, TryAgain):
    """The host's words mean a passing problem, or quote the content.

    A hook that cannot reach the host prints "under maintenance" as a hook that dislikes this value does. So a
    retry may help; if it does not, the search for refused changes decides.
    """


def git_error(operation: Operation, text: str, status: int, directory: Path | None = None) -> SyncError:
    """Return the error that git's output and exit status mean; it quotes the host's words.

    ``directory`` is that of the local repository, which is named if its volume is full.
    """
    out = parsed(text)
    quoted = _shortened(redacted(out.quoted()))  # in this order: half a secret would not be recognized
    is_push_refused = operation is Operation.GIT_PUSH and _REFUSED_PUSH.search(text) is not None
    cause = _rejection(out, text) if is_push_refused or out.rejected else _cause(out, text)
    here = None if out.host or out.rejected else directory
    if cause is None and here is not None and is_full(here):
        cause = _DISK_FULL  # Git 2.39 does not name it: "failed to write new configuration file"
    if cause is None and is_push_refused and "hook declined" in text:
        return PushRefusedForNow(quoted, quoted, text)
    if cause is None:
        return TryAgain(operation, MESSAGES[operation], quoted or _without_words(out, status))
    if is_push_refused and cause is _REFUSED:
        return PushRefused(f"{cause.text}: {quoted}", quoted, text)
    advice = f"; {cause.advice}" if cause.advice else ""
    if cause is _DISK_FULL and here is not None:
        advice = f"; {here} ({volume_usage(str(here))})"
    return FixConfiguration(operation, MESSAGES[operation], f"{cause.text}: {quoted}{advice}")


def _without_words(out: Output, status: int) -> str:
    if out.is_authenticated:
        return "the server ended the SSH session and gave no reason"
    return f"git exited with status {status} and printed nothing"


def not_git(operation: Operation) -> FixConfiguration:
    """Return the error for an answer that git took for an empty repository, and that is not Git's."""
    error = f"{_NOT_GIT.text}: the answer has no refs and no capabilities; {_NOT_GIT.advice}"
    return FixConfiguration(operation, MESSAGES[operation], error)


def _rejection(out: Output, text: str) -> Cause | None:
    """Return the cause of a push that the host received and did not accept; None if it is transient."""
    without_names = _NAMES.sub("", text)
    is_lasting = _PERMANENT_REJECTION.search(without_names) is not None
    if any(map(_TRANSIENT_REJECTION.search, out.rejected)) and not is_lasting:
        return None
    # A hook may print any other word too, and quote the content.
    if cause := _first(_ANYWHERE, without_names):
        return cause
    return None if _is_passing(out) else _REFUSED


def _cause(out: Output, text: str) -> Cause | None:
    """Return why git failed, None if the failure is transient."""
    if cause := _first(_ANYWHERE, _NAMES.sub("", text)):
        return cause
    if out.is_ended_by_host:
        return _ending(out)
    if status := out.http_status:
        return _answer(status, out)
    return _first(_OURS, _NAMES.sub("", "\n".join(out.ours)))


def _answer(status: int, out: Output) -> Cause | None:
    """Return what an HTTP status means, None if it is transient."""
    if status in _TRANSIENT_STATUSES or (status == HTTPStatus.FORBIDDEN and _is_passing(out)):
        return None
    return _STATUSES.get(status, None if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _REFUSED)


def _ending(out: Output) -> Cause | None:
    """Return the cause of an exchange that the host has ended with words, before any content."""
    if _is_passing(out) or any(map(_PASSING_BEFORE_CONTENT.search, out.host)):
        return None
    return _NOT_FOUND if any(map(_MISSING.search, out.host)) else _REFUSED


def _is_passing(out: Output) -> bool:
    return any(_PASSING.search(_NAMES.sub("", line)) for line in (*out.host, *out.unpack, *out.rejected))


def _first(patterns: tuple[tuple[str, Cause], ...], text: str) -> Cause | None:
    found = (cause for pattern, cause in patterns if re.search(pattern, text, re.IGNORECASE | re.MULTILINE))
    return next(found, None)


def _shortened(text: str) -> str:
    """Keep the first and the last words, because a reason may be at either end of a long output."""
    if len(text) <= _QUOTED_CHARACTERS:
        return text
    half = _QUOTED_CHARACTERS // 2
    head, tail = text[:half], text[-half:]
    return f"{head.rpartition(' ')[0] or head} … {tail.partition(' ')[2] or tail}"
