"""RULES_FILE is checked strictly."""

from __future__ import annotations

import re

import pytest

from steps.kubernetes.fields import EVERY_ITEM
from steps.kubernetes.rules_file import InvalidRules, parse_rules, written_rules
from steps.kubernetes.volatile import BUILT_IN, Rule


def test_rules_have_kinds_fields_labels_and_omit() -> None:
    text = b"""\
# why
- kinds: [Pod, "Lease.coordination.k8s.io"]
  drop: [status, "metadata.annotations[a.b/c]", "spec.x[*].y"]
  keep: [status.phase]
- kinds: ["*"]
  labels: {app: "web*"}
  omit: yes
"""
    assert parse_rules(text) == (
        Rule(
            ("Pod", "Lease.coordination.k8s.io"),
            (("status",), ("metadata", "annotations", "a.b/c"), ("spec", "x", EVERY_ITEM, "y")),
            (("status", "phase"),),
        ),
        Rule(("*",), labels=(("app", "web*"),), omit=True),
    )


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"[]"])
def test_file_without_rules_has_none(text: bytes) -> None:
    assert parse_rules(text) == ()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"kinds: [Pod]", "the file must be one list of rules"),
        (b"[]\n---\n[]", "the file must be one list of rules"),
        (b"- a\n- b: [\n", "it is not YAML (line 3)"),
        (b"- {kinds: [A], kinds: [B]}", "the file contains a duplicate key (line 1)"),
        (b"- text", "rule 1 (line 1): a rule is a mapping with the key kinds"),
        (b"- drop: [status]", "rule 1 (line 1): kinds is missing"),
        (b"- {kinds: [], omit: true}", "kinds is missing"),
        (b"- {kinds: [A], secret: [metadata.name]}", "this field cannot be dropped"),
        (b"- {kinds: [A], secret: [a], labels: {b: c}}", "secret cannot depend on labels"),
        (b"- {kinds: Pod, omit: true}", "kinds must be a list of texts"),
        (b"- {kinds: [1], omit: true}", "kinds must be a list of texts"),
        (b"# c\n- {kinds: [A], omit: true}\n\n- kinds: [B]\n  omit: 1\n", "rule 2 (line 4): omit must be"),
        (b"- {kinds: [A], drop: [kind]}", "kind: this field cannot be dropped"),
        (b"- {kinds: [A], drop: [a..b]}", "a..b: a key is empty"),
        (b"- {kinds: [A], drop: ['']}", "drop must be a list of texts"),
        (b"- {kinds: [A], labels: [a]}", "labels must be a mapping"),
        (b"- {kinds: [A], hidden: [a]}", "unknown key 'hidden'"),
        (b"- {kinds: [A]}", "the rule changes nothing"),
        (b"\xff", "it is not UTF-8"),
    ],
)
def test_wrong_file_is_rejected_with_rule_and_line(text: bytes, error: str) -> None:
    with pytest.raises(InvalidRules, match=re.escape(error)):
        parse_rules(text)


def test_written_rules_are_read_as_they_were() -> None:
    assert parse_rules(written_rules(BUILT_IN).encode()) == BUILT_IN


def test_secret_fields_are_parsed_and_written() -> None:
    (rule,) = parse_rules(
        b"- {kinds: [Database.example.com], secret: [spec.password, 'spec.users[*].password']}"
    )
    assert rule.secret == (("spec", "password"), ("spec", "users", EVERY_ITEM, "password"))
    assert parse_rules(written_rules([rule]).encode()) == (rule,)
