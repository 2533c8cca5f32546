"""What git says, as it says it, and what it is taken for."""

from __future__ import annotations

import pytest

from steps.clients.git.errors import explained
from steps.core.exit_codes import Exit
from steps.core.operations import Operation

NOBODY_NEED_ACT = [
    "fatal: unable to access 'https://h/certificates.git/': Could not resolve host: h",
    "fatal: unable to access 'https://denied.example.com/': Could not resolve host: denied.example.com",
    "fatal: unable to access 'https://h/deny.git/': Failed to connect to certificate.example.com port 443",
    "ssh: connect to host certificate.example.com port 22: Connection refused\r\nfatal: Could not read",
    "error: RPC failed; curl 56 Recv failure: Connection reset by peer\nTo https://h/not-allowed.git",
    "To https://h/x.git\n!\tc0ffee:refs/heads/deny-all\t[rejected] (stale info)\nDone",
    "remote: slow down\nfatal: unable to access 'https://h/x/': The requested URL returned error: 429",
    "fatal: unable to access 'https://h/x.git/': The requested URL returned error: 408",
]

SOMEBODY_MUST_ACT = {
    "remote: too large\nerror: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413": (
        "the server refused: too large; The requested URL returned error: 413"
    ),
    "fatal: unable to access 'https://h/x.git/': The requested URL returned error: 410": (
        "the server refused: "
    ),
    "error: RPC failed; HTTP 404 curl 22 The requested URL returned error: 404": "repository not found: ",
    "fatal: unable to access 'https://h/x.git/': Maximum (20) redirects followed": "the server refused: ",
    "remote: aborting due to possible repository corruption on the remote side.": (
        "the repository is damaged: "
    ),
    "error: unable to create temporary file: No space left on device": "the disk is full or read-only: ",
    "error: unable to create temporary file: Permission denied": "the repository cannot be written: ",
    "fatal: Authentication failed for 'https://h/x.git/'": "authentication failed: ",
    "fatal: repository 'https://h/x.git/' not found": "repository not found: ",
    "Host key verification failed.\r\nfatal: Could not read": "host key verification failed: ",
    "No ED25519 host key is known for [h]:22 and you have requested strict checking.": (
        "host key verification failed: "
    ),
    "fatal: transport 'http' not allowed": "protocol not allowed: ",
    "fatal: unable to access 'https://h/': Protocol \"file\" not supported or disabled in libcurl": (
        "protocol not allowed: "
    ),
}


@pytest.mark.parametrize("said", NOBODY_NEED_ACT)
def test_what_may_pass_is_tried_again_whatever_repository_host_and_branch_are_called(said: str) -> None:
    assert explained(Operation.GIT_PUSH, said).exit is Exit.TRANSIENT


@pytest.mark.parametrize(("said", "error"), SOMEBODY_MUST_ACT.items())
def test_what_a_person_must_mend_is_said(said: str, error: str) -> None:
    problem = explained(Operation.GIT_PUSH, said)
    assert problem.exit is Exit.CONFIGURATION
    assert problem.error.startswith(error)


def test_the_status_is_told_beside_the_servers_words() -> None:
    said = "remote: slow down\nfatal: unable to access 'https://h/x/': The requested URL returned error: 429"
    assert explained(Operation.GIT_CLONE, said).error == "slow down; The requested URL returned error: 429"
