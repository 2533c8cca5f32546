"""The source of each setting in a cluster, and the security context of the pods."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import durationpy
from hera.workflows import models as m

from steps.runtime.settings.catalogue import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_MAP = "git-sync-config"
GIT_SECRET = "git-sync-secrets"  # noqa: S105 - the name of a Secret
MINIO_SECRET = "git-sync-minio"  # noqa: S105 - the name of a Secret
PROXY_SECRET = "git-sync-proxy"  # noqa: S105 - the name of a Secret
REPORT_SECRET = "git-sync-report"  # noqa: S105 - the name of a Secret
KEY_SECRET = "git-sync-secrets-key"  # noqa: S105 - the name of a Secret
STATE_SECRET = "git-sync-state"  # noqa: S105 - the name of a Secret
FILES = "git-sync-files"
SERVICE_ACCOUNT = "git-sync"
USER = 65532
VOLUME_SIZE = "5Gi"
CPU_LIMIT = "500m"
MEMORY_LIMIT = "512Mi"

WORK_DIR = "/workspace"
_CREDENTIALS = "/run/secrets/git-sync"
_FILES_DIR = "/etc/git-sync"

# Settings with fixed values, because they are paths inside the pod.
FIXED = {
    "WORK_DIR": WORK_DIR,
    "HOME": "/tmp",  # noqa: S108 - inside the pod
    "LOG_FORMAT": "json",
}
_GIT_FILES = {
    "GIT_TOKEN_FILE": f"{_CREDENTIALS}/git-token",
    "SSH_KEY_PATH": f"{_CREDENTIALS}/ssh-private-key",
    "SSH_KNOWN_HOSTS_PATH": f"{_FILES_DIR}/known_hosts",
}
_MINIO_KEYS = {"MINIO_ACCESS_KEY": "access-key", "MINIO_SECRET_KEY": "secret-key"}

# Secret settings, by the Kubernetes Secret. Its keys are the names of the variables.
BY_SECRET = {
    PROXY_SECRET: ("HTTPS_PROXY",),
    REPORT_SECRET: (
        *("PUSHGATEWAY_URL", "PUSHGATEWAY_USERNAME", "PUSHGATEWAY_PASSWORD"),
        *("WEBHOOK_URL", "WEBHOOK_SECRET"),
    ),
    KEY_SECRET: ("SECRETS_KEY",),
    STATE_SECRET: ("STATE_ACCESS_KEY", "STATE_SECRET_KEY"),
}
_NAMESPACES = ("STATE_NAMESPACE", "ARGO_NAMESPACE")
_ELSEWHERE = {*FIXED, *_GIT_FILES, *_MINIO_KEYS, *sum(BY_SECRET.values(), ()), "GIT_TOKEN", *_NAMESPACES}

# Examples of required values, to be replaced.
_EXAMPLES = {
    "MINIO_ENDPOINT": "minio.example.com:9000",
    "MINIO_BUCKET": "cluster-backups",
    "GIT_REPOSITORY": "https://github.com/your-org/cluster-backups.git",
    "GIT_USERNAME": "cluster-backup-bot",
    "GIT_EMAIL": "backup@example.com",
    "SYNC_SCHEDULE": "*/15 * * * *",
}

# Values for runs that have a time limit (RUN_DEADLINE_SECONDS in pipeline.py): the rest of it is for publish.
_WITH_A_TIME_LIMIT = {"DOWNLOAD_TIMEOUT": "90m"}


def configurable() -> dict[str, str]:
    """Return the settings of the ConfigMap, with their defaults as text."""
    values = _EXAMPLES | _WITH_A_TIME_LIMIT
    return {
        setting.name: values.get(setting.name, _written(setting.default))
        for setting in catalogue()
        if setting.name not in _ELSEWHERE
    }


def _written(default: Any) -> str:
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, timedelta):
        return durationpy.to_str(default)
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return str(default)


@dataclass(frozen=True)
class Access:
    """The secrets and volumes of a container, in addition to the ConfigMap."""

    environment: tuple[m.EnvVar, ...] = ()
    secrets: tuple[str, ...] = ()
    mounts: tuple[m.VolumeMount, ...] = ()

    def __add__(self, other: Access) -> Access:
        return Access(
            self.environment + other.environment,
            tuple(dict.fromkeys(self.secrets + other.secrets)),
            self.mounts + tuple(mount for mount in other.mounts if mount not in self.mounts),
        )

    def to_settings(self) -> list[m.EnvFromSource]:
        """Return the ConfigMap, and the optional secrets whose keys are settings."""
        config = m.EnvFromSource(config_map_ref=m.ConfigMapEnvSource(name=CONFIG_MAP))
        secrets = (m.SecretEnvSource(name=name, optional=True) for name in self.secrets)
        return [config, *(m.EnvFromSource(secret_ref=secret) for secret in secrets)]


def _values(values: Mapping[str, str]) -> tuple[m.EnvVar, ...]:
    return tuple(m.EnvVar(name=name, value=value) for name, value in values.items())


def _minio_key(name: str, key: str) -> m.EnvVar:
    selector = m.SecretKeySelector(name=MINIO_SECRET, key=key)
    return m.EnvVar(name=name, value_from=m.EnvVarSource(secret_key_ref=selector))


_CA_FILES = m.VolumeMount(name="files", mount_path=_FILES_DIR, read_only=True)

EVERYWHERE = Access(_values(FIXED), mounts=(m.VolumeMount(name="tmp", mount_path="/tmp"),))  # noqa: S108 - inside the pod
VOLUME = Access(mounts=(m.VolumeMount(name="workspace", mount_path=WORK_DIR),))
BUCKET = Access(
    tuple(_minio_key(name, key) for name, key in _MINIO_KEYS.items()),
    (PROXY_SECRET, KEY_SECRET),
    (_CA_FILES,),
)
REPOSITORY = Access(
    _values(_GIT_FILES),
    (PROXY_SECRET,),
    (m.VolumeMount(name="git-credentials", mount_path=_CREDENTIALS, read_only=True), _CA_FILES),
)
REPORT_TARGETS = Access((), (REPORT_SECRET, PROXY_SECRET), (_CA_FILES,))


def volumes() -> list[m.Volume]:
    """Return all volumes except the workspace. A pod has those that its container mounts."""
    return [
        m.Volume(name="tmp", empty_dir=m.EmptyDirVolumeSource()),
        m.Volume(
            name="git-credentials",
            # Owned by root and readable only for the group of the pod: ssh accepts such a key.
            secret=m.SecretVolumeSource(secret_name=GIT_SECRET, default_mode=0o440, optional=True),
        ),
        m.Volume(name="files", config_map=m.ConfigMapVolumeSource(name=FILES, optional=True)),
    ]


def resources() -> m.ResourceRequirements:
    """Return requests and limits of a container; the component `large` has higher limits."""
    return m.ResourceRequirements(
        requests={"cpu": m.Quantity(root="100m"), "memory": m.Quantity(root="128Mi")},
        limits={"cpu": m.Quantity(root=CPU_LIMIT), "memory": m.Quantity(root=MEMORY_LIMIT)},
    )


def executor_resources() -> m.ResourceRequirements:
    """Requests and limits of Argo's own containers. A ResourceQuota refuses a pod if one container has none.

    The limits are those of the sample of Argo's configuration (workflow-controller-configmap.yaml,
    `executor`). The container `wait` only waits until the step ends.
    """
    return m.ResourceRequirements(
        requests={"cpu": m.Quantity(root="10m"), "memory": m.Quantity(root="32Mi")},
        limits={"cpu": m.Quantity(root="500m"), "memory": m.Quantity(root="512Mi")},
    )


def executor_token() -> m.Volume:
    """The token of Argo's executor, as Kubernetes itself projects it: it expires, and is renewed.

    Argo would mount a Secret that contains a token without an end.
    """
    return m.Volume(
        name="exec-sa-token",  # Argo's name of the volume, which the executor mounts
        projected=m.ProjectedVolumeSource(
            sources=[
                m.VolumeProjection(
                    service_account_token=m.ServiceAccountTokenProjection(
                        path="token", expiration_seconds=3600
                    )
                ),
                m.VolumeProjection(
                    config_map=m.ConfigMapProjection(
                        name="kube-root-ca.crt", items=[m.KeyToPath(key="ca.crt", path="ca.crt")]
                    )
                ),
                m.VolumeProjection(
                    downward_api=m.DownwardAPIProjection(
                        items=[
                            m.DownwardAPIVolumeFile(
                                path="namespace",
                                field_ref=m.ObjectFieldSelector(field_path="metadata.namespace"),
                            )
                        ]
                    )
                ),
            ]
        ),
    )


def pod_security() -> m.PodSecurityContext:
    """Return what the Pod Security Standard "restricted" requires of a pod."""
    return m.PodSecurityContext(
        run_as_non_root=True,
        run_as_user=USER,
        run_as_group=USER,
        fs_group=USER,
        # Without it the kubelet visits every file of the volume for each pod.
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=m.SeccompProfile(type="RuntimeDefault"),
    )


def container_security() -> m.SecurityContext:
    """Return what the Pod Security Standard "restricted" requires of a container."""
    return m.SecurityContext(
        allow_privilege_escalation=False,
        capabilities=m.Capabilities(drop=["ALL"]),
        read_only_root_filesystem=True,
        run_as_non_root=True,
        seccomp_profile=m.SeccompProfile(type="RuntimeDefault"),
    )
