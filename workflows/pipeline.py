"""The pipeline: WorkflowTemplate `git-sync`, discover → download × shards → detect → publish, then report.

docs/architecture.md describes it, docs/contracts.md the artifacts. Values reach containers as
environment or arguments, never inside a shell string: there is no shell.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hera.workflows import (
    DAG,
    Artifact,
    Container,
    NoneArchiveStrategy,
    Parameter,
    RawArtifact,
    RetryStrategy,
    S3Artifact,
    Task,
    WorkflowTemplate,
)
from hera.workflows import models as m

from steps.contracts import ARTIFACTS, Mode
from steps.core.exit_codes import Exit
from workflows import environment as env

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "git-sync"
IMAGE = "git-sync:dev"

# Unique and telling: a workflow's name alone comes again once the workflow is deleted.
_RUN_ID = "{{workflow.name}}.{{workflow.creationTimestamp.s}}"
_RUN_DIR = f"{env.WORK_DIR}/.git-sync/runs/{_RUN_ID}"

# The settings that say what is synced to where, as inputs of the templates that name artifacts by them:
# two installations that share an artifact repository must not share a state.
_IDENTITY = ("MINIO_ENDPOINT", "MINIO_BUCKET", "MINIO_PREFIX", "GIT_REPOSITORY", "GIT_PATH")
_BRANCH = "(workflow.parameters.branch != '' ? workflow.parameters.branch : inputs.parameters.GIT_BRANCH)"
_STATE_KEY = (
    f"{ARTIFACTS}/state/{{{{workflow.namespace}}}}/"
    "{{=sprig.trunc(16, sprig.sha256sum(join(["
    + ", ".join(f"inputs.parameters.{name}" for name in _IDENTITY)
    + f", {_BRANCH}], '|')))}}}}"
)
_RUN_KEY = f"{ARTIFACTS}/runs/{{{{workflow.namespace}}}}/{_RUN_ID}"

# Argo tries again what may pass, and what was not the step's doing: a lost pod, a signal, no memory.
TRIED_AGAIN = (Exit.TRANSIENT, 137, Exit.TERMINATED)

_MOST_AT_A_TIME = 10
_DAY = 86_400


# Those of one run. Empty, as a form may leave them, they say nothing: the ConfigMap counts.
PARAMETERS = [
    Parameter(name="clusters", value="", description="Globs of clusters, such as staging,production-*"),
    Parameter(name="namespaces", value="", description="Globs of namespaces"),
    Parameter(
        name="mode",
        enum=list(Mode),
        value=Mode.INCREMENTAL,
        description="full: fetch every object and compare it with Git. Else as SYNC_MODE says",
    ),
    Parameter(name="branch", value="", description="Branch to push to, instead of GIT_BRANCH"),
    Parameter(
        name="dry-run",
        enum=["false", "true"],
        value="false",
        description="true: log what would change, change nothing. Else as DRY_RUN says",
    ),
    Parameter(
        name="allow-delete",
        value="",
        description="<cluster>:<token> from a refusal: allows that very set of deletions, and no other",
    ),
]


def _configured(*names: str) -> list[Parameter]:
    """Inputs with the values that stand in the ConfigMap: for what Argo itself has to know."""
    return [
        Parameter(
            name=name,
            value_from=m.ValueFrom(
                config_map_key_ref=m.ConfigMapKeySelector(name=env.CONFIG_MAP, key=name),
                default=env.configurable()[name],
            ),
        )
        for name in names
    ]


def _or_default(name: str) -> str:
    """An expression: the setting, or its default where it is empty."""
    default = env.configurable()[name]
    return f"(inputs.parameters.{name} != '' ? inputs.parameters.{name} : '{default}')"


def _retried() -> RetryStrategy:
    codes = ", ".join(str(int(code)) for code in TRIED_AGAIN)
    return RetryStrategy(
        limit=f"{{{{=asInt({_or_default('RETRY_ATTEMPTS')}) - 1}}}}",
        retry_policy="Always",
        expression="lastRetry.status == 'Error' || asInt(lastRetry.exitCode) < 0"
        f" || asInt(lastRetry.exitCode) in [{codes}]",
        backoff=m.Backoff(
            duration=f"{{{{={_or_default('RETRY_DELAY')}}}}}", factor=m.IntOrString(root=2), cap="5m"
        ),
    )


def _step(
    name: str,
    *options: str,
    access: env.Access = env.VOLUME,
    inputs: Sequence[Parameter | Artifact] = (),
    outputs: Sequence[Parameter | Artifact] = (),
) -> Container:
    """A template that runs one command of git-sync."""
    access = env.EVERYWHERE + access
    return Container(
        name=name,
        image=IMAGE,
        image_pull_policy="IfNotPresent",
        command=["git-sync"],
        args=[name, f"--run-id={_RUN_ID}", *options],
        env_from=access.to_settings(),
        env=[*access.environment, m.EnvVar(name="GIT_BRANCH", value=f"{{{{={_BRANCH}}}}}")],
        inputs=[*inputs, *_configured("GIT_BRANCH", "RETRY_ATTEMPTS", "RETRY_DELAY")],
        outputs=list(outputs),
        volume_mounts=list(access.mounts),
        resources=env.resources(),
        security_context=env.container_security(),
        retry_strategy=_retried(),
    )


def _kept(name: str, path: str, key: str, *, archived: bool = False) -> S3Artifact:
    """An artifact under a key of its own, in whatever bucket Argo keeps artifacts; none is no error."""
    return S3Artifact(
        name=name,
        path=path,
        key=key,
        optional=True,
        archive=None if archived else NoneArchiveStrategy(),
    )


def _result() -> S3Artifact:
    # From every step that may be a run's last.
    return _kept("result", f"{_RUN_DIR}/result.json", f"{_RUN_KEY}/result.json")


def _discover() -> Container:
    """The step that makes the run what it is: the parameters are for it alone."""
    chosen = {
        "SYNC_MODE": "workflow.parameters.mode == 'full' ? 'full' : inputs.parameters.SYNC_MODE",
        "DRY_RUN": "workflow.parameters['dry-run'] == 'true' ? 'true' : inputs.parameters.DRY_RUN",
    }
    return _step(
        "discover",
        "--cache=/artifacts/cache",
        *(
            f"--{name}={{{{workflow.parameters.{name}}}}}"
            for name in ("clusters", "namespaces", "allow-delete")
        ),
        access=env.VOLUME
        + env.BUCKET
        + env.REPOSITORY
        + env.Access(tuple(m.EnvVar(name=name, value=f"{{{{={said}}}}}") for name, said in chosen.items())),
        inputs=[
            *_configured(*_IDENTITY, *chosen),
            _kept("cache", "/artifacts/cache", f"{_STATE_KEY}/cache.tgz", archived=True),
        ],
        outputs=[
            Parameter(name="shards", value_from=m.ValueFrom(path=f"{_RUN_DIR}/shards.json")),
            _result(),
        ],
    )


def _download() -> Container:
    return _step(
        "download",
        "--shard={{inputs.parameters.shard}}",
        access=env.VOLUME + env.BUCKET,
        inputs=[Parameter(name="shard"), Parameter(name="label")],
    )


def _detect() -> Container:
    return _step("detect", outputs=[_result()])


def _publish() -> Container:
    return _step(
        "publish",
        access=env.VOLUME + env.REPOSITORY,
        inputs=[
            *_configured(*_IDENTITY),
            _kept("state", f"{env.WORK_DIR}/sync-metadata.json", f"{_STATE_KEY}/sync-metadata.json"),
        ],
        outputs=[
            _result(),
            _kept("cache", f"{env.WORK_DIR}/.git-sync/cache", f"{_STATE_KEY}/cache.tgz", archived=True),
        ],
    )


def _report() -> Container:
    written = "/tmp/report"  # noqa: S108 - the pod's own
    return _step(
        "report",
        "--artifacts=/artifacts",
        f"--output={written}",
        "--started-at={{workflow.creationTimestamp.RFC3339}}",
        access=env.REPORT_TARGETS,
        inputs=[
            *_configured(*_IDENTITY),
            _kept("result", "/artifacts/result.json", f"{_RUN_KEY}/result.json"),
            _kept("state", "/artifacts/sync-metadata.json", f"{_STATE_KEY}/sync-metadata.json"),
            # As a file, for with many failures it is longer than an argument may be.
            RawArtifact(name="failures", path="/artifacts/failures.json", data="{{workflow.failures}}"),
        ],
        outputs=[
            _kept("state", f"{written}/sync-metadata.json", f"{_STATE_KEY}/sync-metadata.json"),
            # For people: Argo's UI shows them.
            _kept("report-html", f"{written}/report.html", f"{_RUN_KEY}/report.html"),
            _kept("report-markdown", f"{written}/report.md", f"{_RUN_KEY}/report.md"),
        ],
    )


def _metrics() -> m.Metrics:
    """What only Argo's controller can count: also runs that were terminated, and whose report failed."""
    return m.Metrics(
        prometheus=[
            m.Prometheus(
                name="git_sync_workflows_total",
                help="Workflows of git-sync that ended, by status",
                labels=[m.MetricLabel(key="status", value="{{workflow.status}}")],
                counter=m.Counter(value="1"),
            ),
            m.Prometheus(
                name="git_sync_workflow_duration_seconds",
                help="Duration of the last workflow of git-sync, pods and queueing included",
                gauge=m.Gauge(realtime=False, value="{{workflow.duration}}"),
            ),
        ]
    )


def _init_and_wait() -> str:
    """A patch that makes Argo's own containers as restricted as ours."""
    security = env.container_security().model_dump(by_alias=True, exclude_none=True)
    return json.dumps(
        {
            "initContainers": [{"name": "init", "securityContext": security}],
            "containers": [{"name": "wait", "securityContext": security}],
        }
    )


def workflow_template() -> WorkflowTemplate:
    """All of the pipeline; schedules and one-offs only refer to it."""
    with WorkflowTemplate(
        name=NAME,
        labels={"app.kubernetes.io/name": NAME},
        annotations={
            "workflows.argoproj.io/title": "git-sync",
            "workflows.argoproj.io/description": "Brings the clusters' backups from the bucket into Git.",
        },
        entrypoint="main",
        arguments=PARAMETERS,
        workflow_metadata=m.WorkflowMetadata(labels={"app.kubernetes.io/name": NAME}),
        pod_metadata=m.Metadata(labels={"app.kubernetes.io/name": NAME}),
        service_account_name=env.SERVICE_ACCOUNT,
        # One run at a time, however it was begun and whatever its branch.
        synchronization=m.Synchronization(mutexes=[m.Mutex(name=NAME)]),
        active_deadline_seconds=2 * 3600,
        metrics=_metrics(),
        security_context=env.pod_security(),
        pod_spec_patch=_init_and_wait(),
        volumes=env.volumes(),
        volume_claim_templates=[
            m.PersistentVolumeClaim(
                metadata=m.ObjectMeta(name="workspace"),
                spec=m.PersistentVolumeClaimSpec(
                    access_modes=["ReadWriteMany"],
                    resources=m.VolumeResourceRequirements(
                        requests={"storage": m.Quantity(root=env.VOLUME_SIZE)}
                    ),
                ),
            )
        ],
        # A failed run keeps its volume for Retry, until it is removed itself.
        volume_claim_gc=m.VolumeClaimGC(strategy="OnWorkflowSuccess"),
        pod_gc=m.PodGC(strategy="OnWorkflowSuccess", delete_delay_duration="1h"),
        ttl_strategy=m.TTLStrategy(seconds_after_success=_DAY, seconds_after_failure=3 * _DAY),
    ) as template:
        discover, download, detect, publish = _discover(), _download(), _detect(), _publish()
        template.on_exit = _report()
        with DAG(name="main", parallelism=_MOST_AT_A_TIME):
            found = Task(name="discover", template=discover)
            Task(
                name="download",
                template=download,
                depends="discover.Succeeded",
                with_param=found.get_parameter("shards"),
                arguments={"shard": "{{item.index}}", "label": "{{item.label}}"},
            )
            # Whatever became of the downloads: a cluster that failed must not hold up the others.
            downloaded = "(download.Succeeded || download.Failed || download.Errored || download.Skipped)"
            Task(name="detect", template=detect, depends=f"discover.Succeeded && {downloaded}")
            # On Retry Argo opens failed downloads again, but looks at them only on behalf of a task that
            # depends on them; detect has ended by then, and the workflow would never.
            Task(name="publish", template=publish, depends=f"detect.Succeeded && {downloaded}")
    return template
