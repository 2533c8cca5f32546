"""The pipeline: WorkflowTemplate `git-sync`, discover → download × shards → detect → publish, then report.

docs/architecture.md describes it, docs/contracts.md the artifacts. Values reach containers as
environment variables or arguments, never through a shell.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hera.workflows import (
    DAG,
    Artifact,
    Container,
    NoneArchiveStrategy,
    Parameter,
    RawArtifact,
    RetryStrategy,
    S3Artifact,
    Step,
    Steps,
    Task,
    WorkflowTemplate,
)
from hera.workflows import models as m

from steps.contracts import ARTIFACTS, Mode
from steps.core.approvals import TEMPLATE
from steps.core.exit_codes import Exit
from workflows import environment as env

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = TEMPLATE
IMAGE = "git-sync:dev"

# The name alone is not unique: it can be used again once the workflow is deleted.
_RUN_ID = "{{workflow.name}}.{{workflow.creationTimestamp.s}}"
_RUN_DIR = f"{env.WORK_DIR}/.git-sync/runs/{_RUN_ID}"

# The settings that identify a sync, in the order in which they enter the hash in the artifact keys. Two
# installations that share an artifact repository must not share a state.
_IDENTITY = ("MINIO_ENDPOINT", "MINIO_BUCKET", "MINIO_PREFIX", "GIT_REPOSITORY", "GIT_PATH")


def _parameter(name: str, otherwise: str = "''") -> str:
    """An Argo expression for a parameter of the run; ``otherwise`` if it is empty or missing.

    `argo retry -p` removes all parameters that were not submitted (argo-workflows#11631). An expression that
    reads a missing one is passed to the container as text.
    """
    return f"sprig.default({otherwise}, get(workflow.parameters, '{name}'))"


_BRANCH = _parameter("branch", "inputs.parameters.GIT_BRANCH")
_STATE_KEY = (
    f"{ARTIFACTS}/state/{{{{workflow.namespace}}}}/"
    "{{=sprig.trunc(16, sprig.sha256sum(join(["
    + ", ".join(f"inputs.parameters.{name}" for name in _IDENTITY)
    + f", {_BRANCH}], '|')))}}}}"
)
_RUN_KEY = f"{ARTIFACTS}/runs/{{{{workflow.namespace}}}}/{_RUN_ID}"

RUN_DEADLINE_SECONDS = 2 * 3600

# The deadline of the workflow does not apply to report. The workflow keeps the mutex until report ends, even
# while its image cannot be pulled (argo-workflows#13412). The longest work of report: SCRAPE_INTERVAL of at
# most 10 minutes, and three deliveries of 30 s.
REPORT_DEADLINE = "15m"

# Transient failures, and kills that are not the step's fault: SIGKILL (137, also out of memory) and SIGTERM.
RETRIED_EXIT_CODES = (Exit.TRANSIENT, 137, Exit.TERMINATED)

_MAX_PARALLEL_PODS = 10
_DAY_SECONDS = 86_400


# The parameters of one run. An empty one, which Argo's submit form may send, leaves the ConfigMap's value.
PARAMETERS = [
    Parameter(
        name="clusters",
        value="",
        description="Globs of clusters to sync, such as staging,production-*. Empty: use CLUSTERS",
    ),
    Parameter(name="namespaces", value="", description="Globs of namespaces to sync. Empty: use NAMESPACES"),
    Parameter(
        name="mode",
        enum=list(Mode),
        value=Mode.INCREMENTAL,
        description="full: fetch every object and compare it with Git. incremental: use SYNC_MODE",
    ),
    Parameter(name="branch", value="", description="Branch to push to. Empty: use GIT_BRANCH"),
    Parameter(
        name="dry-run",
        enum=["false", "true"],
        value="false",
        description="true: log what would change, but change nothing. false: use DRY_RUN",
    ),
    Parameter(
        name="allow-delete",
        value="",
        description="<cluster>:<token> from a refusal: approves exactly that set of deletions",
    ),
    Parameter(
        name="allow-new-branch",
        value="",
        description="Token from a refusal: approves that the branch has lost the last pushed commit",
    ),
]


def _from_config_map(*names: str) -> list[Parameter]:
    """Inputs with values from the ConfigMap, for settings that Argo's own expressions read."""
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


# Settings for which a parameter of the run has another value than the ConfigMap. Argo checks the enum of a
# parameter only in its form, so every other text reaches git-sync, which accepts or refuses it.
_OVERRIDES = {
    "SYNC_MODE": f"lower({_parameter('mode')}) in ['', 'incremental'] ? inputs.parameters.SYNC_MODE"
    " : workflow.parameters.mode",
    "DRY_RUN": f"lower({_parameter('dry-run')}) in ['', 'false'] ? inputs.parameters.DRY_RUN"
    " : workflow.parameters['dry-run']",
}
# report needs the setting only for a run without a result, and must not fail because of a wrong text.
_REPORTED_DRY_RUN = (
    f"lower({_parameter('dry-run')}) in ['true', 'yes', 'on', '1', 't', 'y'] ? 'true'"
    " : inputs.parameters.DRY_RUN"
)


def _environment(expressions: Mapping[str, str]) -> env.Access:
    return env.Access(tuple(m.EnvVar(name=name, value=f"{{{{={it}}}}}") for name, it in expressions.items()))


def _or_default(name: str) -> str:
    """An Argo expression for the value of a setting: its default if the ConfigMap's value is empty."""
    default = env.configurable()[name]
    return f"(inputs.parameters.{name} != '' ? inputs.parameters.{name} : '{default}')"


def _retry_strategy(deadline: str | None) -> RetryStrategy:
    codes = ", ".join(str(int(code)) for code in RETRIED_EXIT_CODES)
    return RetryStrategy(
        limit=f"{{{{=asInt({_or_default('RETRY_ATTEMPTS')}) - 1}}}}",
        retry_policy="Always",
        expression="lastRetry.status == 'Error' || asInt(lastRetry.exitCode) < 0"
        f" || asInt(lastRetry.exitCode) in [{codes}]",
        backoff=m.Backoff(
            duration=f"{{{{={_or_default('RETRY_DELAY')}}}}}",
            factor=m.IntOrString(root=2),
            cap="5m",
            max_duration=deadline,
        ),
    )


def _step(
    name: str,
    *options: str,
    access: env.Access = env.VOLUME,
    inputs: Sequence[Parameter | Artifact] = (),
    outputs: Sequence[Parameter | Artifact] = (),
    deadline: str | None = None,
) -> Container:
    """A template that runs one command of git-sync, until ``deadline`` with all its retries."""
    access = env.EVERYWHERE + access
    return Container(
        name=name,
        image=IMAGE,
        image_pull_policy="IfNotPresent",
        command=["git-sync"],
        args=[name, f"--run-id={_RUN_ID}", *options],
        env_from=access.to_settings(),
        env=[
            *access.environment,
            m.EnvVar(name="GIT_BRANCH", value=f"{{{{={_BRANCH}}}}}"),
            m.EnvVar(name="ARGO_NAMESPACE", value="{{workflow.namespace}}"),
        ],
        inputs=[*inputs, *_from_config_map("GIT_BRANCH", "RETRY_ATTEMPTS", "RETRY_DELAY")],
        outputs=list(outputs),
        volume_mounts=list(access.mounts),
        resources=env.resources(),
        security_context=env.container_security(),
        retry_strategy=_retry_strategy(deadline),
        timeout=deadline,
    )


def _artifact(name: str, path: str, key: str, *, archived: bool = False) -> S3Artifact:
    """An optional artifact under a fixed key in Argo's artifact repository."""
    return S3Artifact(
        name=name,
        path=path,
        key=key,
        optional=True,
        archive=None if archived else NoneArchiveStrategy(),
    )


def _result() -> S3Artifact:
    # An output of each step that can be the last one of a run.
    return _artifact("result", f"{_RUN_DIR}/result.json", f"{_RUN_KEY}/result.json")


def _state() -> S3Artifact:
    return _artifact("state", f"{env.WORK_DIR}/sync-metadata.json", f"{_STATE_KEY}/sync-metadata.json")


def _pending(directory: str) -> S3Artifact:
    """The deletions that wait for DELETE_GRACE; without it, no run writes them."""
    return _artifact("pending", f"{directory}/pending", f"{_STATE_KEY}/pending.tgz", archived=True)


def _discover() -> Container:
    """The step that defines the run; the others read only the parameters that they need before it exists."""
    return _step(
        "discover",
        "--cache=/artifacts/cache",
        *(
            f"--{name}={{{{={_parameter(name)}}}}}"
            for name in ("clusters", "namespaces", "allow-delete", "allow-new-branch")
        ),
        access=env.VOLUME + env.BUCKET + env.REPOSITORY + _environment(_OVERRIDES),
        inputs=[
            *_from_config_map(*_IDENTITY, *_OVERRIDES),
            _artifact("cache", "/artifacts/cache", f"{_STATE_KEY}/cache.tgz", archived=True),
            _state(),
            _pending("/artifacts"),
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
        inputs=[Parameter(name="shard")],
    )


def _detect() -> Container:
    return _step("detect", outputs=[_result()])


def _publish() -> Container:
    return _step(
        "publish",
        access=env.VOLUME + env.REPOSITORY,
        inputs=[
            *_from_config_map(*_IDENTITY),
            _state(),
        ],
        outputs=[
            _result(),
            _pending(f"{env.WORK_DIR}/.git-sync"),
            _artifact("cache", f"{env.WORK_DIR}/.git-sync/cache", f"{_STATE_KEY}/cache.tgz", archived=True),
        ],
    )


def _report() -> Container:
    output_dir = "/tmp/report"  # noqa: S108 - inside the pod
    return _step(
        "report",
        "--artifacts=/artifacts",
        f"--output={output_dir}",
        "--started-at={{workflow.creationTimestamp.RFC3339}}",
        # For a run that was killed before discover had written its result.
        f"--filtered={{{{={_parameter('clusters')} != '' || {_parameter('namespaces')} != ''}}}}",
        access=env.REPORT_TARGETS + _environment({"DRY_RUN": _REPORTED_DRY_RUN}),
        inputs=[
            *_from_config_map(*_IDENTITY, "DRY_RUN"),
            _artifact("result", "/artifacts/result.json", f"{_RUN_KEY}/result.json"),
            _artifact("state", "/artifacts/sync-metadata.json", f"{_STATE_KEY}/sync-metadata.json"),
            # A file, because many failures exceed the maximum length of an argument.
            RawArtifact(name="failures", path="/artifacts/failures.json", data="{{workflow.failures}}"),
        ],
        outputs=[
            _artifact("state", f"{output_dir}/sync-metadata.json", f"{_STATE_KEY}/sync-metadata.json"),
            # The pages that Argo's UI shows.
            _artifact("report-html", f"{output_dir}/report.html", f"{_RUN_KEY}/report.html"),
            _artifact("report-markdown", f"{output_dir}/report.md", f"{_RUN_KEY}/report.md"),
        ],
        deadline=REPORT_DEADLINE,
    )


def _metrics() -> m.Metrics:
    """Metrics of Argo's controller: they include runs that were terminated and runs whose report failed."""
    return m.Metrics(
        prometheus=[
            m.Prometheus(
                name="git_sync_workflows_total",
                help="Finished git-sync workflows, by status",
                labels=[m.MetricLabel(key="status", value="{{workflow.status}}")],
                counter=m.Counter(value="1"),
            ),
            m.Prometheus(
                name="git_sync_workflow_duration_seconds",
                help="Duration of the last git-sync workflow, including queueing and pod start-up",
                gauge=m.Gauge(realtime=False, value="{{workflow.duration}}"),
            ),
        ]
    )


def _executor_patch() -> str:
    """A patch of each pod for Argo's own containers: security context, resources, and their token."""
    common = {
        "securityContext": _plain(env.container_security()),
        "resources": _plain(env.executor_resources()),
    }
    token = _plain(env.executor_token())
    return json.dumps(
        {
            "initContainers": [{"name": "init", **common}],
            "containers": [{"name": "wait", **common}],
            # Argo adds this volume with a Secret as its source, which the patch removes.
            "volumes": [{**token, "secret": None}],
        }
    )


def _plain(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _workspace_claim() -> m.PersistentVolumeClaim:
    return m.PersistentVolumeClaim(
        metadata=m.ObjectMeta(name="workspace"),
        spec=m.PersistentVolumeClaimSpec(
            access_modes=["ReadWriteMany"],
            resources=m.VolumeResourceRequirements(requests={"storage": m.Quantity(root=env.VOLUME_SIZE)}),
        ),
    )


def _main() -> None:
    """Add the DAG and its templates to the template that is being defined."""
    discover, download, detect, publish = _discover(), _download(), _detect(), _publish()
    with DAG(name="main", parallelism=_MAX_PARALLEL_PODS):
        discovered = Task(name="discover", template=discover)
        Task(
            name="download",
            template=download,
            depends="discover.Succeeded",
            with_param=discovered.get_parameter("shards"),
            arguments={"shard": "{{item}}"},
        )
        # Failed downloads must not stop the run: detect and publish continue with the other clusters.
        downloaded = "(download.Succeeded || download.Failed || download.Errored || download.Skipped)"
        Task(name="detect", template=detect, depends=f"discover.Succeeded && {downloaded}")
        # publish depends on download too. On Retry, Argo runs failed downloads again, but assesses them only
        # for a task that depends on them. detect has already succeeded, so without this dependency the
        # workflow would never end.
        Task(name="publish", template=publish, depends=f"detect.Succeeded && {downloaded}")


def _exit() -> Steps:
    """The exit handler, and its one step.

    If a template with a retryStrategy is the exit handler itself, it does not run after the deadline of the
    workflow: Argo fails its pod while it is pending (argo-workflows#13060). A DAG does not wait for its task
    after `argo stop`, because Argo fails every DAG then (assessDAGPhase in dag.go of 4.0.7).
    """
    report = _report()
    with Steps(name="exit") as template:
        Step(name="report", template=report)
    return template


def workflow_template() -> WorkflowTemplate:
    """The whole pipeline; schedules and one-off runs only refer to it."""
    with WorkflowTemplate(
        name=NAME,
        labels={"app.kubernetes.io/name": NAME},
        annotations={
            "workflows.argoproj.io/title": "git-sync",
            "workflows.argoproj.io/description": "Syncs cluster backups from the bucket to Git.",
        },
        entrypoint="main",
        arguments=PARAMETERS,
        workflow_metadata=m.WorkflowMetadata(labels={"app.kubernetes.io/name": NAME}),
        pod_metadata=m.Metadata(labels={"app.kubernetes.io/name": NAME}),
        service_account_name=env.SERVICE_ACCOUNT,
        # Only Argo's containers get a token. The container of a step never calls the API server.
        automount_service_account_token=False,
        executor=m.ExecutorConfig(service_account_name=env.SERVICE_ACCOUNT),
        # One run at a time, scheduled or submitted, on every branch.
        synchronization=m.Synchronization(mutexes=[m.Mutex(name=NAME)]),
        active_deadline_seconds=RUN_DEADLINE_SECONDS,
        metrics=_metrics(),
        security_context=env.pod_security(),
        pod_spec_patch=_executor_patch(),
        volumes=env.volumes(),
        volume_claim_templates=[_workspace_claim()],
        # A failed run keeps its volume for Retry, until the workflow itself is deleted.
        volume_claim_gc=m.VolumeClaimGC(strategy="OnWorkflowSuccess"),
        pod_gc=m.PodGC(strategy="OnWorkflowSuccess", delete_delay_duration="1h"),
        ttl_strategy=m.TTLStrategy(
            seconds_after_success=_DAY_SECONDS, seconds_after_failure=3 * _DAY_SECONDS
        ),
    ) as template:
        _main()
        template.on_exit = _exit()
    return template
