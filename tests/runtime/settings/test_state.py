"""Settings of the state in S3."""

from __future__ import annotations

from steps.runtime.settings.identity import argo_state_key
from steps.runtime.settings.reading import Needs, read
from tests.runtime.settings.parsing import EVERY_VARIABLE, problems

STATE = {
    name: EVERY_VARIABLE[name][0]
    for name in ("STATE_ENDPOINT", "STATE_BUCKET", "STATE_ACCESS_KEY", "STATE_SECRET_KEY")
}


def test_state_is_in_work_dir_without_an_endpoint() -> None:
    assert read({"STATE_BUCKET": "argo-artifacts"}, Needs.STATE).state is None


def test_state_requires_the_other_variables_with_an_endpoint() -> None:
    assert set(problems({"STATE_ENDPOINT": "h:9000"}, Needs.STATE)) == {
        "STATE_BUCKET",
        "STATE_KEY",
        "STATE_ACCESS_KEY",
        "STATE_SECRET_KEY",
    }


def test_state_key_is_derived_from_the_namespace() -> None:
    environ = STATE | {"STATE_NAMESPACE": "backups"}
    state = read(environ, Needs.STATE).state
    assert state is not None
    assert state.key == argo_state_key(environ, "backups")


def test_state_key_takes_precedence_over_the_namespace() -> None:
    state = read(STATE | {"STATE_NAMESPACE": "backups", "STATE_KEY": "k"}, Needs.STATE).state
    assert state is not None
    assert state.key == "k"


def test_state_requires_a_readable_ca_file() -> None:
    environ = STATE | {"STATE_KEY": "k", "STATE_CA_FILE": "/nowhere"}
    assert set(problems(environ, Needs.STATE)) == {"STATE_CA_FILE"}
