"""settings.yaml of the overlays: every setting with its description, for people to edit."""

from __future__ import annotations

import pytest
import yaml

from steps.runtime.settings.catalogue import catalogue
from steps.runtime.settings.reading import read
from workflows import environment as env
from workflows.config_map import settings_file


def test_settings_file_has_every_configurable_setting_with_its_description() -> None:
    text = settings_file()
    config, _ = yaml.safe_load_all(text)
    assert config["data"] == env.configurable()
    meanings = {setting.name: setting.description for setting in catalogue()}
    for name in config["data"]:
        assert f"  # {meanings[name]}\n  {name}: " in text


def test_settings_file_is_valid_as_an_environment() -> None:
    config, _ = yaml.safe_load_all(settings_file())
    assert read(config["data"]).sync.mode == "incremental"


def test_settings_file_is_visible_to_argo() -> None:
    config, installation = yaml.safe_load_all(settings_file())
    # Argo reads only ConfigMaps with this label.
    assert config["metadata"]["labels"] == {"workflows.argoproj.io/configmap-type": "Parameter"}
    assert installation["metadata"]["annotations"] == {"config.kubernetes.io/local-config": "true"}


@pytest.mark.parametrize("value", ["production-east", 'a"b', "a: b # c", "größe", "*/5 * * * *"])
def test_settings_file_quotes_the_given_values(value: str) -> None:
    config, _ = yaml.safe_load_all(settings_file(CLUSTERS=value))
    assert config["data"] == env.configurable() | {"CLUSTERS": value}


def test_settings_file_contains_what_kustomize_copies_into_the_manifests() -> None:
    _, installation = yaml.safe_load_all(settings_file())
    assert set(installation["data"]) == {
        "IMAGE",
        "VOLUME_SIZE",
        "CPU_LIMIT",
        "MEMORY_LIMIT",
        "RUNBOOK_URL",
        "VERIFY_SCHEDULE",
    }
