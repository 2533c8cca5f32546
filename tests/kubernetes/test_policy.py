"""What a run writes of an object."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import TypeAdapter

from steps.kubernetes.policy import Policy, VolatileFields
from steps.kubernetes.rules_file import parse_rules
from steps.kubernetes.volatile import BUILT_IN

STRIP = Policy(VolatileFields.STRIP)


def test_policy_that_keeps_everything_has_no_digest() -> None:
    assert not Policy().rewrites
    assert Policy().digest == ""


def test_digest_depends_on_every_rule() -> None:
    others = [
        Policy(VolatileFields.STRIP, (*BUILT_IN, *parse_rules(text)))
        for text in (
            b"- {kinds: [A], drop: [b]}",
            b"- {kinds: [A], keep: [b]}",
            b"- {kinds: [A], omit: true}",
        )
    ]
    assert len({policy.digest for policy in (STRIP, *others)}) == 4


@pytest.mark.parametrize("seed", ["0", "1"])
def test_digest_is_the_same_in_every_process(seed: str) -> None:
    code = "from steps.kubernetes.policy import *; print(Policy(VolatileFields.STRIP).digest, end='')"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C"}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert printed.stdout.decode() == STRIP.digest


def test_policy_of_a_run_document_is_the_same() -> None:
    adapter = TypeAdapter(Policy)
    again = adapter.validate_json(adapter.dump_json(STRIP))
    assert again == STRIP
    assert again.digest == STRIP.digest


def test_policy_strips_by_its_rules() -> None:
    policy = Policy(
        VolatileFields.STRIP, (*BUILT_IN, *parse_rules(b"- {kinds: [Pod], keep: [status.phase]}"))
    )
    content = b"kind: Pod\nstatus:\n  phase: Running\n  ip: 1\n"
    assert policy.rewrite(content).content == b"kind: Pod\nstatus:\n  phase: Running\n"
    assert STRIP.rewrite(content).content == b"kind: Pod\n"
