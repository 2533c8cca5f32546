"""Separating what git, ssh and the host print."""

from __future__ import annotations

import pytest

from steps.clients.git.output import moved_to, parsed

SSH = (
    "OpenSSH_9.2p1 Debian-2+deb12u6, OpenSSL 3.0.19\n"
    "debug1: Connecting to h [192.0.2.1] port 22.\n"
    'Authenticated to h ([192.0.2.1]:22) using "publickey".\n'
    "{}debug1: channel 0: free: client-session, nchannels 1\n"
    "Transferred: sent 2244, received 2912 bytes, in 0.0 seconds\n"
    "Bytes per second: sent 779556.7, received 1011617.3\n"
    "debug1: Exit status {}\n"
    "fatal: Could not read from remote repository.\n\n"
    "Please make sure you have the correct access rights\nand the repository exists.\n"
)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_parsed_takes_for_the_hosts_words_what_the_ssh_session_printed(end: str) -> None:
    out = parsed(SSH.format(f"no such key{end}", 1))
    assert (out.host, out.ours) == (["no such key"], [])
    assert out.is_ended_by_host


@pytest.mark.parametrize(
    "text",
    [
        SSH.format("", 255),
        SSH.format("connection lost", -1),
        "Access denied\nssh: connect to host h: timed out\nfatal: Could not read from remote repository.",
    ],
    ids=["no words", "no exit status", "before the login"],
)
def test_parsed_session_without_words_and_exit_status_is_not_ended_by_the_host(text: str) -> None:
    assert not parsed(text).is_ended_by_host


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("fatal: Could not connect to h after 12 ms: No route", "fatal: Could not connect to h: No route"),
        ("fatal: Timed out after 30001 milliseconds with 0 bytes received", "fatal: Timed out"),
        ("remote: Internal error (Request ID AB12:34:5F)", "Internal error"),
        ("remote: TF400733. Activity ID: 0f8fad5b-d9cb-469f-a165-70867728950e", "TF400733."),
        ("fatal: tmp_pack_k5YReE\nfast-import: dumping crash report to f_7", "fatal: tmp_pack"),
        ("error: unable to write ab/tmp_obj_a1B2c3", "error: unable to write ab/tmp_obj"),
        ("remote: Resolving deltas: 100% (3/3), done.\nremote: Denied", "Denied"),
        ("remote: Denied by policy\n!\ta:b\t[remote rejected] (Denied by policy)", "Denied by policy"),
        ("remote: denied\nremote: Denied by a\nremote: Denied by a", "denied; Denied by a"),
    ],
)  # fmt: skip
def test_quoted_has_each_word_of_the_host_once_and_nothing_that_differs_between_runs(
    text: str, quoted: str
) -> None:
    assert parsed(text).quoted() == quoted


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("warning: redirecting to https://h/new.git/\n", "https://h/new.git/"),
        ("remote: This repository moved. Please use the new location:\nremote:   h:n.git\n", "h:n.git"),
        (
            "remote: 'r' was moved.\nremote: Please update your Git remote:\nremote: \nremote: h:new\n",
            "h:new",
        ),
        ("warning: something else\n", None),
    ],
    ids=["redirect", "github", "gitlab", "other"],
)
def test_moved_to_finds_the_new_address_of_a_renamed_repository(text: str, address: str | None) -> None:
    assert moved_to(text) == address
