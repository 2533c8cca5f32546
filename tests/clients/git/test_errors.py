"""What git, ssh and curl print when they fail, and the error that each becomes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from steps.clients.git.errors import PushRefused, git_error
from steps.core.exit_codes import Exit
from steps.core.operations import Operation
from tests.soak.full_disks import file_system, obstacle

if TYPE_CHECKING:
    from pathlib import Path

TRANSIENT = [
    "fatal: unable to access 'https://h/certificates.git/': Could not resolve host: h",
    "fatal: unable to access 'https://denied.example.com/': Could not resolve host: denied.example.com",
    "fatal: unable to access 'https://h/deny.git/': Failed to connect to certificate.example.com port 443",
    "ssh: connect to host certificate.example.com port 22: Connection refused\r\nfatal: Could not read",
    "error: RPC failed; curl 56 Recv failure: Connection reset by peer\nTo https://h/not-allowed.git",
    "To https://h/x.git\n!\tc0ffee:refs/heads/deny-all\t[rejected] (stale info)\nDone",
    "remote: slow down\nfatal: unable to access 'https://h/x/': The requested URL returned error: 429",
    "fatal: unable to access 'https://h/x.git/': The requested URL returned error: 408",
    "kex_exchange_identification: Connection closed by remote host\nfatal: Could not read from",
]

PERMANENT = {
    "remote: too large\nerror: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413": (
        "the server refused: too large; HTTP status 413"
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
    "Unable to negotiate with 192.0.2.1 port 22: no matching host key type found. Their offer: ssh-rsa": (
        "ssh and the server have no common algorithm: "
    ),
    "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures": (
        "authentication failed: "
    ),
    "fatal: unable to access 'https://h/': Received HTTP code 407 from proxy after CONNECT": (
        "the proxy refused: "
    ),
    "fatal: unable to access 'https://h/': error:0A00010B:SSL routines::wrong version number": (
        "not TLS: http?: "
    ),
    "fatal: transport 'http' not allowed": "protocol not allowed: ",
    "fatal: unable to access 'https://h/': Protocol \"file\" not supported or disabled in libcurl": (
        "protocol not allowed: "
    ),
    "!\tc0ffee:refs/heads/backups/prod\t[remote rejected] (cannot lock ref 'refs/heads/backups/prod': "
    "'refs/heads/backups' exists; cannot create 'refs/heads/backups/prod')": "the server refused: ",
}


@pytest.mark.parametrize("output", TRANSIENT)
def test_transient_failure_is_retried_with_any_words_in_names_of_repository_host_and_branch(
    output: str,
) -> None:
    assert git_error(Operation.GIT_PUSH, output, 128).exit is Exit.TRANSIENT


@pytest.mark.parametrize(("output", "error"), PERMANENT.items())
def test_permanent_failure_names_its_cause(output: str, error: str) -> None:
    problem = git_error(Operation.GIT_PUSH, output, 128)
    assert problem.exit is Exit.CONFIGURATION
    assert problem.error.startswith(error)


def test_error_quotes_the_http_status_after_the_servers_message() -> None:
    output = (
        "remote: slow down\nfatal: unable to access 'https://h/x/': The requested URL returned error: 429"
    )
    problem = git_error(Operation.GIT_CLONE, output, 128)
    assert problem.error == "slow down; HTTP status 429"


def test_error_without_output_names_the_exit_status() -> None:
    problem = git_error(Operation.GIT_CLONE, "", 141)
    assert problem.exit is Exit.TRANSIENT
    assert problem.error == "git exited with status 141 and printed nothing"


def test_long_output_is_quoted_with_its_first_and_its_last_words() -> None:
    lines = [f"line {number}\n" for number in range(10_000)]
    output = f"fatal: the first reason\n{''.join(lines)}error: the last reason\n"
    error = git_error(Operation.GIT_CLONE, output, 128).error
    assert error.startswith("fatal: the first reason; line 0; line 1;")
    assert re.search(r"; line \d+; line … line \d+; |; line … \d+; line", error)
    assert error.endswith("line 9999; error: the last reason")
    assert len(error) <= 1010


def test_full_disk_names_the_local_repository_and_its_volume(tmp_path: Path) -> None:
    output = "fatal: sha1 file 'x' write error. Out of diskspace"
    error = git_error(Operation.GIT_COMMIT, output, 128, tmp_path).error
    assert re.search(rf"Out of diskspace; {tmp_path} \(volume /.* has .* free\)$", error)


@pytest.mark.parametrize(
    "output", ["remote: fatal: No space left on device", "! [remote rejected] main (no space left)"]
)
def test_full_disk_of_the_server_names_no_local_volume(output: str, tmp_path: Path) -> None:
    assert "(volume" not in git_error(Operation.GIT_PUSH, output, 1, tmp_path).error


@pytest.mark.parametrize(
    "words",
    [
        "path: clusterbackup/east/certificate.yaml:2",
        "the repository was not found in the list of archives; access denied",
        "Load key is invalid",
        "",
    ],
)
def test_push_that_a_hook_refuses_is_refused_with_any_output_of_the_hook(words: str) -> None:
    output = f"remote: {words}\nTo https://h/x.git\n!\tx:y\t[remote rejected] (pre-receive hook declined)"
    problem = git_error(Operation.GIT_PUSH, output, 1)
    assert isinstance(problem, PushRefused)
    assert problem.error == f"the server refused: {problem.host_message}"
    assert problem.host_message == "; ".join(filter(None, [words, "pre-receive hook declined"]))
    assert problem.output == output


def test_refused_push_is_found_in_a_reason_of_several_lines() -> None:
    output = (
        "error: remote unpack failed: error VS403654: The push was rejected because it contains secrets.\n"
        "To https://dev.azure.com/o/_git/r\n"
        "!\tx:y\t[remote rejected] (VS403654: The push was rejected because it contains secrets.\n"
        "\npaths: /clusterbackup/east/a.yaml(31,23-75) : SEC101/176\n)"
    )
    problem = git_error(Operation.GIT_PUSH, output, 1)
    assert isinstance(problem, PushRefused)
    assert "/clusterbackup/east/a.yaml(31,23-75)" in problem.host_message


@pytest.mark.parametrize(
    "output",
    [
        "remote: fatal: write error: No space left on device\n!\tx:y\t[remote rejected] (unpacker error)",
        "fatal: Authentication failed for 'https://h/x.git/'",
        "fatal: unable to access 'https://h/x.git/': The requested URL returned error: 403",
    ],
)
def test_push_that_did_not_reach_a_rule_of_the_host_is_not_refused_by_it(output: str) -> None:
    problem = git_error(Operation.GIT_PUSH, output, 1)
    assert problem.exit is Exit.CONFIGURATION
    assert not isinstance(problem, PushRefused)


def test_git_error_names_a_full_volume_that_git_does_not_name(tmp_path: Path) -> None:
    if obstacle():
        pytest.skip(obstacle())
    room = tmp_path / "small"
    with file_system(room, "size=4k"):
        (room / "filler").write_bytes(bytes(4096))
        output = "error: failed to write new configuration file"
        problem = git_error(Operation.GIT_CLONE, output, 128, room)
        assert problem.exit == 40
        assert f"the disk is full or read-only: {output}; {room} (volume {room} has 0.0 of" in problem.error
        remote = git_error(Operation.GIT_CLONE, f"remote: {output}", 128, room)
        assert remote.exit == 30


def test_unwritable_local_repository_has_its_reason_and_the_cure() -> None:
    output = (
        "error: remote unpack failed: unable to create temporary object directory\n"
        "To file:///srv/backups.git\n!\tx:refs/heads/main\t[remote rejected] (unpacker error)\nDone\n"
        "error: failed to push some refs to 'file:///srv/backups.git'"
    )
    assert git_error(Operation.GIT_PUSH, output, 1).error == (
        "the repository cannot be written: unable to create temporary object directory; "
        "give the user of git-sync, or of the server, write access to its files"
    )
