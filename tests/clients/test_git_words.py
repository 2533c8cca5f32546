"""What git says, as it says it, and what it is taken for."""

from __future__ import annotations

import pytest

from steps.clients.git_words import explained
from steps.core.exits import Exit

NOBODY_NEED_ACT = [
    "fatal: unable to access 'https://git.example.com/certificates.git/': Could not resolve host: git.example.com",
    "fatal: unable to access 'https://access-denied.example.com/x.git/': "
    "Could not resolve host: access-denied.example.com",
    "fatal: unable to access 'https://git.example.com/denied.git/': "
    "Failed to connect to git.example.com port 443 after 3 ms: Couldn't connect to server",
    "ssh: connect to host certificate.example.com port 22: Connection refused\r\n"
    "fatal: Could not read from remote repository.",
    "error: RPC failed; curl 56 Recv failure: Connection reset by peer\n"
    "To https://git.example.com/permission-denied.git",
    "To https://git.example.com/x.git\n!\tc0ffee:refs/heads/not-allowed\t[rejected] (stale info)\nDone",
    "remote: slow down\nfatal: unable to access 'https://git.example.com/x.git/': "
    "The requested URL returned error: 429",
    "fatal: unable to access 'https://git.example.com/x.git/': The requested URL returned error: 408",
]

SOMEBODY_MUST_ACT = {
    "remote: file too large\nerror: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413": (
        "the server refused: file too large; The requested URL returned error: 413"
    ),
    "fatal: unable to access 'https://git.example.com/x.git/': The requested URL returned error: 410": (
        "the server refused: "
    ),
    "error: RPC failed; HTTP 404 curl 22 The requested URL returned error: 404": "repository not found: ",
    "fatal: unable to access 'https://git.example.com/x.git/': Maximum (20) redirects followed": (
        "the server refused: "
    ),
    "remote: fatal: bad tree object c0ffee\n"
    "remote: aborting due to possible repository corruption on the remote side.": "the repository is damaged: ",
    "fatal: Authentication failed for 'https://git.example.com/x.git/'": "authentication failed: ",
    "fatal: repository 'https://git.example.com/x.git/' not found": "repository not found: ",
    "Host key verification failed.\r\nfatal: Could not read from remote repository.": (
        "host key verification failed: "
    ),
    "No ED25519 host key is known for [git.example.com]:22 and you have requested strict checking.": (
        "host key verification failed: "
    ),
    "fatal: transport 'http' not allowed": "protocol not allowed: ",
}


@pytest.mark.parametrize("said", NOBODY_NEED_ACT)
def test_what_may_pass_is_tried_again_whatever_repository_host_and_branch_are_called(said: str) -> None:
    assert explained("git_push", said).exit is Exit.TRANSIENT


@pytest.mark.parametrize(("said", "error"), SOMEBODY_MUST_ACT.items())
def test_what_a_person_must_mend_is_said(said: str, error: str) -> None:
    problem = explained("git_push", said)
    assert problem.exit is Exit.CONFIGURATION
    assert problem.error.startswith(error)


def test_the_status_is_told_beside_the_servers_words() -> None:
    said = "remote: slow down\nfatal: unable to access 'https://h/x/': The requested URL returned error: 429"
    assert explained("git_clone", said).error == "slow down; The requested URL returned error: 429"
