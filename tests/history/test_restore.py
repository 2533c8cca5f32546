"""Options and exit codes of restore; tests/history/test_restore_command.py has the whole command."""

from __future__ import annotations

import pytest

from steps.core.exit_codes import Exit
from steps.errors import FixCommandLine
from steps.history.restore import exit_code, parse_mapping
from tests.history.test_restore_manifest import MANIFEST, SKIPPED, UNREAD


def test_mappings_of_namespaces() -> None:
    assert parse_mapping(["a=b", "c=d"]) == {"a": "b", "c": "d"}


@pytest.mark.parametrize("value", ["a", "a=", "=b", "a=B", "a=b=c", "*=b", "a=../b"])
def test_a_mapping_that_is_wrong_is_rejected(value: str) -> None:
    with pytest.raises(FixCommandLine, match="OLD=NEW"):
        parse_mapping([value])


def test_exit_code_says_whether_something_is_left_out() -> None:
    assert exit_code(MANIFEST) is Exit.OK
    assert exit_code(MANIFEST.model_copy(update={"unread": (UNREAD,)})) is Exit.PARTIAL
    lost = SKIPPED.model_copy(update={"left_out": True})
    assert exit_code(MANIFEST.model_copy(update={"skipped": (lost,)})) is Exit.PARTIAL
