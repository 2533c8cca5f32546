"""The catalogue: every setting once, with its default."""

from __future__ import annotations

from steps.runtime.settings.catalogue import catalogue
from steps.runtime.settings.reading import read
from tests.runtime.settings.parsing import DEFAULTS, EVERY_VARIABLE, REQUIRED, SECRETS, groups, value


def test_catalogue_lists_every_variable_in_order() -> None:
    assert list(EVERY_VARIABLE) == [setting.name for setting in catalogue()]


def test_catalogue_has_the_variables_of_every_group() -> None:
    settings = read({name: text for name, (text, _) in EVERY_VARIABLE.items()})
    in_groups = {field.alias for group in groups(settings) for field in type(group).model_fields.values()}
    assert in_groups == {setting.name for setting in catalogue()}


def test_catalogue_has_the_defaults_of_the_groups() -> None:
    settings = read(REQUIRED)
    assert {name: value(settings, name) for name in DEFAULTS} == DEFAULTS
    documented = {setting.name: setting.default for setting in catalogue()}
    assert {name: documented[name] for name in DEFAULTS} == DEFAULTS


def test_catalogue_marks_the_secrets() -> None:
    assert {setting.name for setting in catalogue() if setting.is_secret} == set(SECRETS)


def test_catalogue_describes_every_setting_once() -> None:
    names = [setting.name for setting in catalogue()]
    assert len(names) == len(set(names))
    assert all(setting.description for setting in catalogue())
