"""Settings and secrets of a pod: where each comes from, and what a pod may do."""

from __future__ import annotations

from hera.workflows import models as m

from steps.runtime.settings.catalogue import catalogue
from workflows import environment as env
from workflows.environment import Access


def test_configurable_settings_are_those_that_come_from_nowhere_else() -> None:
    elsewhere = {name for names in env.BY_SECRET.values() for name in names} | set(env.FIXED)
    assert not set(env.configurable()) & elsewhere
    assert set(env.configurable()) < {setting.name for setting in catalogue()}


def test_configurable_settings_contain_no_secret() -> None:
    assert not [
        setting.name for setting in catalogue() if setting.is_secret and setting.name in env.configurable()
    ]


def test_configurable_settings_have_their_defaults_as_text() -> None:
    texts = env.configurable()
    assert (texts["MINIO_USE_SSL"], texts["RETRY_DELAY"], texts["MAX_DELETE_PERCENT"]) == ("true", "5s", "20")
    assert (texts["CLUSTERS"], texts["HEALTH_MAX_AGE"], texts["WEBHOOK_ON"]) == ("", "", "always")


def test_access_adds_up_without_repetitions() -> None:
    mount = m.VolumeMount(name="files", mount_path="/etc/git-sync")
    one = Access((m.EnvVar(name="A", value="1"),), ("secret-1",), (mount,))
    two = Access((m.EnvVar(name="B", value="2"),), ("secret-1", "secret-2"), (mount,))
    total = one + two
    assert [variable.name for variable in total.environment] == ["A", "B"]
    assert total.secrets == ("secret-1", "secret-2")
    assert total.mounts == (mount,)


def test_settings_are_required_and_secrets_are_optional() -> None:
    config, secret = Access(secrets=("secret-1",)).to_settings()
    assert config.config_map_ref == m.ConfigMapEnvSource(name="git-sync-config")
    assert secret.secret_ref == m.SecretEnvSource(name="secret-1", optional=True)


def test_git_credentials_are_readable_for_owner_and_group_only() -> None:
    (volume,) = (volume for volume in env.volumes() if volume.secret)
    assert volume.secret is not None
    assert volume.secret.default_mode == 0o440


def test_pod_and_container_are_restricted() -> None:
    pod, container = env.pod_security(), env.container_security()
    assert pod.run_as_user == pod.run_as_group == pod.fs_group == env.USER
    assert container.capabilities == m.Capabilities(drop=["ALL"])
    assert (container.allow_privilege_escalation, container.read_only_root_filesystem) == (False, True)
