"""The committed manifests: generated from workflows/, complete, consistent and restricted."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import durationpy
import jsonschema
import pytest
import yaml

from steps.core import limits
from steps.core.exit_codes import Exit
from steps.runtime.settings.catalogue import catalogue
from steps.runtime.settings.reading import read
from tests.support import argo
from workflows import environment as env
from workflows.__main__ import MANIFESTS, manifests

INSTALL = (Path(__file__).parents[2] / "docs" / "install.md").read_text()
GENERATED = manifests()


def documents(path: str) -> list[dict[str, Any]]:
    return [
        document for document in yaml.load_all((MANIFESTS / path).read_bytes(), yaml.CSafeLoader) if document
    ]


(TEMPLATE,) = documents("base/workflowtemplate.yaml")
CRONS = documents("schedule/cronworkflows.yaml")
SPEC = TEMPLATE["spec"]
TEMPLATES = {template["name"]: template for template in SPEC["templates"]}
STEPS = {name: template for name, template in TEMPLATES.items() if "container" in template}
OVERLAYS = ("central", "distributed", "cronjob")
SETTINGS = {name: documents(f"overlays/{name}/settings.yaml") for name in OVERLAYS}
JOBS = [job for job in documents("cronjob/cronjob.yaml") if job["kind"] == "CronJob"]
PODS = [job["spec"]["jobTemplate"]["spec"]["template"]["spec"] for job in JOBS]
(SERVE,) = documents("components/serve/deployment.yaml")
PODS.append(SERVE["spec"]["template"]["spec"])
CONTAINERS = [step["container"] for step in STEPS.values()] + [pod["containers"][0] for pod in PODS]


# -- committed files ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GENERATED)
def test_committed_manifest_equals_the_generated_one(path: str) -> None:
    assert (MANIFESTS / path).read_text() == GENERATED[path], "run `make manifests`"


@pytest.mark.parametrize("version", argo.VERSIONS)
@pytest.mark.parametrize("document", [TEMPLATE, *CRONS], ids=lambda document: document["metadata"]["name"])
def test_manifest_has_only_fields_of_argos_crds(document: dict[str, Any], version: str) -> None:
    folder = argo.crds(version)
    if folder is None:
        pytest.skip("Argo's CRDs need Go and the Go module proxy, or ARGO_CRDS")
    schema = argo.strict_schema(folder, document["kind"])
    jsonschema.Draft202012Validator(schema).validate(document)
    unknown = deepcopy(document)
    unknown["spec"]["concurrencyPolice"] = "Forbid"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(unknown)


@pytest.mark.parametrize("version", argo.VERSIONS)
def test_argo_lint_passes(version: str, tmp_path: Path) -> None:
    binary = argo.linter(version)
    if binary is None:
        pytest.skip(f"argo is not installed (tests/workflows/build-argo {version})")

    def lint(template: Path) -> subprocess.CompletedProcess[str]:
        schedule = MANIFESTS / "schedule/cronworkflows.yaml"
        command = [binary, "lint", "--offline", str(template), str(schedule)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    template = MANIFESTS / "base/workflowtemplate.yaml"
    done = lint(template)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "workflowtemplate.yaml"
    wrong.write_text(template.read_text().replace("{{tasks.discover", "{{tasks.dscover"))
    assert lint(wrong).returncode != 0


@pytest.mark.parametrize(
    "file", sorted(MANIFESTS.rglob("kustomization.yaml")), ids=lambda file: file.parent.name
)
def test_kustomization_refers_to_existing_files(file: Path) -> None:
    kustomization = yaml.safe_load(file.read_text())
    named = [*kustomization.get("resources", []), *kustomization.get("components", [])]
    assert all((file.parent / path).exists() for path in named)
    assert named or file.parent.parent.name == "components"


def test_overlay_applies_schedules_last() -> None:
    # Argo reads a new CronWorkflow once. Without its template, the schedule did not fire for 20 minutes.
    for overlay in ("central", "distributed"):
        kustomization = yaml.safe_load((MANIFESTS / "overlays" / overlay / "kustomization.yaml").read_text())
        assert kustomization["sortOptions"] == {"order": "fifo"}
        assert kustomization["resources"][-1] == "../../schedule"


# -- references -----------------------------------------------------------------------------------


def variables(value: Any) -> set[str]:
    """Return every plain {{variable}}, and every variable within an {{=expression}}."""
    text = json.dumps(value, ensure_ascii=False)
    found = set(re.findall(r"\{\{([\w.-]+)\}\}", text))
    for expression in re.findall(r"\{\{=(.*?)\}\}", text):
        found |= set(
            re.findall(r"(?:inputs|workflow|tasks)\.[\w.-]+(?:\['[\w-]+'\]|, '[\w-]+')?", expression)
        )
    return {re.sub(r"\['([\w-]+)'\]|, '([\w-]+)'", r".\1\2", name) for name in found}


GLOBAL = {
    "workflow.name",
    "workflow.namespace",
    "workflow.failures",
    "workflow.status",
    "workflow.duration",
    "workflow.creationTimestamp.s",
    "workflow.creationTimestamp.RFC3339",
} | {f"workflow.parameters.{parameter['name']}" for parameter in SPEC["arguments"]["parameters"]}


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_uses_only_defined_variables(name: str) -> None:
    template = TEMPLATES[name]
    known = GLOBAL | {
        f"inputs.parameters.{p['name']}" for p in template.get("inputs", {}).get("parameters", [])
    }
    for task in template.get("dag", {}).get("tasks", []):
        outputs = TEMPLATES[task["template"]].get("outputs", {}).get("parameters", [])
        known |= {f"tasks.{task['name']}.outputs.parameters.{parameter['name']}" for parameter in outputs}
        known |= {"item"}  # of shards.json
    assert variables(template) <= known
    assert variables({key: value for key, value in SPEC.items() if key != "templates"}) <= GLOBAL


def test_task_arguments_match_the_inputs_of_their_template() -> None:
    assert SPEC["entrypoint"] in TEMPLATES
    (report,) = TEMPLATES[SPEC["onExit"]]["steps"]
    tasks = TEMPLATES[SPEC["entrypoint"]]["dag"]["tasks"] + report
    for task in tasks:
        inputs = TEMPLATES[task["template"]].get("inputs", {})
        needed = {
            p["name"] for p in inputs.get("parameters", []) if "value" not in p and "valueFrom" not in p
        }
        assert {p["name"] for p in task.get("arguments", {}).get("parameters", [])} == needed
    words = {word for task in tasks for word in re.findall(r"(\w+)\.\w+", task.get("depends", ""))}
    assert words <= {task["name"] for task in tasks}
    assert {task["template"] for task in tasks} | {SPEC["onExit"], SPEC["entrypoint"]} == set(TEMPLATES)


def test_exit_handler_has_the_one_step_report() -> None:
    """After a deadline or a stop, Argo fails an exit handler that has a retryStrategy, or that is a DAG."""
    handler = TEMPLATES[SPEC["onExit"]]
    assert handler == {"name": "exit", "steps": [[{"name": "report", "template": "report"}]]}


def test_report_has_a_deadline_longer_than_its_deliveries() -> None:
    report = STEPS["report"]
    deadline = durationpy.from_str(report["timeout"]).total_seconds()
    longest_scrape_interval = 600
    assert longest_scrape_interval + 3 * limits.DELIVERY_SECONDS < deadline <= 1200
    assert report["retryStrategy"]["backoff"]["maxDuration"] == report["timeout"]


def test_downloads_end_early_enough_for_detect_and_publish() -> None:
    for data in (SETTINGS[name][0]["data"] for name in OVERLAYS):
        downloads = durationpy.from_str(data["DOWNLOAD_TIMEOUT"]).total_seconds()
        limit = SPEC["activeDeadlineSeconds"]
        assert limit - downloads - limits.DOWNLOAD_LATE_SECONDS >= 20 * 60
    deadlines = {job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] for job in JOBS}
    assert deadlines == {SPEC["activeDeadlineSeconds"]}


def test_mutex_does_not_depend_on_parameters() -> None:
    assert SPEC["synchronization"] == {"mutexes": [{"name": "git-sync"}]}


def test_schedules_refer_to_the_template_and_its_parameters() -> None:
    parameters = {parameter["name"]: parameter for parameter in SPEC["arguments"]["parameters"]}
    for cron in CRONS:
        workflow = cron["spec"]["workflowSpec"]
        assert workflow["workflowTemplateRef"]["name"] == TEMPLATE["metadata"]["name"]
        arguments = workflow["arguments"]["parameters"]
        assert [argument["name"] for argument in arguments] == list(parameters), "Resubmit offers them"
        for argument in arguments:
            of_template = parameters[argument["name"]]
            assert argument["value"] in of_template.get("enum", [""])
            assert argument.get("enum") == of_template.get("enum")
        assert cron["spec"]["concurrencyPolicy"] == "Forbid"


def test_every_mount_has_a_volume() -> None:
    volumes = {volume["name"] for volume in SPEC["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in SPEC["volumeClaimTemplates"]}
    mounted = {mount["name"] for step in STEPS.values() for mount in step["container"]["volumeMounts"]}
    assert mounted == volumes
    for pod in PODS:
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == {
            volume["name"] for volume in pod["volumes"]
        }


def test_input_artifacts_have_the_keys_of_output_artifacts() -> None:
    def keys(side: str) -> set[str]:
        artifacts = [
            a for step in STEPS.values() for a in step.get(side, {}).get("artifacts", []) if "s3" in a
        ]
        # No artifact exists before the first run or after a failed run.
        assert all(artifact["optional"] for artifact in artifacts)
        return {artifact["s3"]["key"] for artifact in artifacts}

    # The pages are for people; no step reads them.
    assert keys("inputs") == {key for key in keys("outputs") if not key.endswith((".html", ".md"))}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_config_map_has_every_key_that_manifests_refer_to(overlay: str) -> None:
    config, installation = SETTINGS[overlay]
    asked = re.findall(r"configMapKeyRef': \{'name': '([\w-]+)', 'key': '(\w+)'", str(TEMPLATE))
    assert asked
    assert {(config["metadata"]["name"], key) for key in config["data"]} >= set(asked)
    # Without the label Argo does not see the ConfigMap.
    assert config["metadata"]["labels"] == {"workflows.argoproj.io/configmap-type": "Parameter"}
    sources = {"git-sync-config": config["data"], "git-sync-installation": installation["data"]}
    component = yaml.safe_load((MANIFESTS / "components/settings/kustomization.yaml").read_text())
    for replacement in component["replacements"]:
        source = replacement["source"]
        assert source["fieldPath"].removeprefix("data.") in sources[source["name"]]


def test_every_config_map_and_secret_is_documented() -> None:
    text = str(CONTAINERS) + str(SPEC["volumes"])
    names = set(
        re.findall(r"(?:secretKeyRef|secretRef|configMapRef|configMap)': \{[^}]*'name': '([\w-]+)'", text)
    )
    names |= set(re.findall(r"'secretName': '([\w-]+)'", text))
    assert names == {
        *(env.CONFIG_MAP, env.FILES),
        *(env.GIT_SECRET, env.MINIO_SECRET, env.PROXY_SECRET, env.REPORT_SECRET, env.STATE_SECRET),
        env.KEY_SECRET,
    }
    section = INSTALL.split("## ConfigMaps and Secrets", 1)[1].split("\n## ", 1)[0]
    assert not [name for name in names if f"`{name}`" not in section]


# -- settings -------------------------------------------------------------------------------------


def test_every_text_of_a_parameter_but_the_harmless_ones_reaches_git_sync() -> None:
    """Argo checks the enum of a parameter only in its form: `argo submit -p dry-run=True` is accepted."""
    by_name = {variable["name"]: variable.get("value") for variable in STEPS["discover"]["container"]["env"]}
    for parameter, setting, harmless in (
        ("mode", "SYNC_MODE", "incremental"),
        ("dry-run", "DRY_RUN", "false"),
    ):
        given = f"get(workflow.parameters, '{parameter}')"
        condition, separator, rest = by_name[setting].partition(" ? ")
        assert condition == f"{{{{=lower(sprig.default('', {given})) in ['', '{harmless}']"
        there = "workflow.parameters.mode" if parameter == "mode" else "workflow.parameters['dry-run']"
        assert separator + rest == f" ? inputs.parameters.{setting} : {there}}}}}"


def test_no_expression_needs_a_parameter_that_retry_may_remove() -> None:
    """`argo retry -p` removes the parameters that were not submitted (argo-workflows#11631)."""
    text = json.dumps(TEMPLATES)
    assert "{{workflow.parameters" not in text
    for expression in re.findall(r"\{\{=(.*?)\}\}", text):
        condition = expression.partition(" ? ")[0]
        assert "workflow.parameters" not in re.sub(r"sprig\.default\([^()]*, get\([^()]*\)\)", "", condition)


def test_every_setting_can_be_set_in_the_manifests() -> None:
    from_secrets = {name for names in env.BY_SECRET.values() for name in names}
    for overlay in OVERLAYS:
        config, _ = SETTINGS[overlay]
        by_container = {variable["name"] for container in CONTAINERS for variable in container["env"]}
        settable = set(config["data"]) | by_container | from_secrets | {"GIT_TOKEN"}  # by GIT_TOKEN_FILE
        assert {setting.name for setting in catalogue()} <= settable


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_config_map_is_valid_and_has_no_secret(overlay: str) -> None:
    config, _ = SETTINGS[overlay]
    read(config["data"])
    assert set(config["data"]) <= {setting.name for setting in catalogue()}
    assert not [
        setting.name for setting in catalogue() if setting.is_secret and setting.name in config["data"]
    ]


def test_argo_uses_the_default_for_an_empty_setting() -> None:
    # An empty value counts as not set, so the expressions fall back to the default of the setting.
    for name in ("RETRY_ATTEMPTS", "RETRY_DELAY"):
        (default,) = (setting.default for setting in catalogue() if setting.name == name)
        written = str(default) if isinstance(default, int) else durationpy.to_str(default)
        alternative = f"(inputs.parameters.{name} != '' ? inputs.parameters.{name} : '{written}')"
        assert all(alternative in str(step["retryStrategy"]) for step in STEPS.values())
    schedules = {name: SETTINGS[name][0]["data"] for name in OVERLAYS}
    assert all(data["SYNC_SCHEDULE"] and data["SYNC_TIMEZONE"] for data in schedules.values())


def rendered(overlay: str, folder: Path, *components: str, **settings: str) -> dict[str, dict[str, Any]]:
    """Objects, by kind and name, that kustomize renders for an overlay with edited settings.yaml."""
    kubectl = argo.kubectl()
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    copy = folder / "manifests"
    shutil.copytree(MANIFESTS, copy)
    file = copy / "overlays" / overlay / "settings.yaml"
    text = file.read_text()
    for name, value in settings.items():
        text, found = re.subn(rf"^  {name}: .*$", f'  {name}: "{value}"', text, flags=re.MULTILINE)
        assert found == 1
    file.write_text(text)
    kustomization = file.with_name("kustomization.yaml")
    listed = "".join(f"- ../../components/{name}\n" for name in components)
    kustomization.write_text(kustomization.read_text().replace("components:\n", f"components:\n{listed}"))
    done = subprocess.run(
        [kubectl, "kustomize", str(file.parent)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    return {f"{thing['kind']}/{thing['metadata']['name']}": thing for thing in objects}


def test_kustomize_copies_settings_to_the_argo_manifests(tmp_path: Path) -> None:
    objects = rendered(
        *("central", tmp_path, "rwo", "large"),
        IMAGE="registry.example.com/x:1",
        VOLUME_SIZE="7Gi",
        SYNC_SCHEDULE="0 4 * * *",
        VERIFY_SCHEDULE="1 2 3 4 5",
        SYNC_TIMEZONE="Europe/Berlin",
    )
    spec = objects["WorkflowTemplate/git-sync"]["spec"]
    containers = [template["container"] for template in spec["templates"] if "container" in template]
    assert {container["image"] for container in containers} == {"registry.example.com/x:1"}
    assert all(c["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"} for c in containers)
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "7Gi"
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    schedules = {
        name: objects[f"CronWorkflow/{name}"]["spec"]["schedules"] for name in ("git-sync", "git-sync-verify")
    }
    assert schedules == {"git-sync": ["0 4 * * *"], "git-sync-verify": ["1 2 3 4 5"]}
    assert {objects[f"CronWorkflow/{name}"]["spec"]["timezone"] for name in schedules} == {"Europe/Berlin"}
    assert "ConfigMap/git-sync-installation" not in objects
    assert {thing["metadata"].get("namespace", "backup-system") for thing in objects.values()} == {
        "backup-system"
    }


@pytest.mark.parametrize(("overlay", "components"), [("central", ("serve",)), ("cronjob", ())])
def test_openshift_component_sets_no_user_and_no_group(
    overlay: str, components: tuple[str, ...], tmp_path: Path
) -> None:
    objects = rendered(overlay, tmp_path, *components, "openshift")
    pods = [
        thing["spec"] if thing["kind"] == "WorkflowTemplate" else pod_of(thing)
        for thing in objects.values()
        if thing["kind"] in {"WorkflowTemplate", "CronJob", "Deployment"}
    ]
    assert len(pods) == 2
    for pod in pods:
        security = pod["securityContext"]
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(security)
        assert (security["runAsNonRoot"], security["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert not re.search(r"runAs(User|Group)|fsGroup:", yaml.safe_dump(objects))


def pod_of(thing: dict[str, Any]) -> dict[str, Any]:
    spec = thing["spec"]["jobTemplate"]["spec"] if thing["kind"] == "CronJob" else thing["spec"]
    pod = spec["template"]["spec"]
    assert isinstance(pod, dict)
    return pod


def test_copied_manifests_contain_all_that_the_components_refer_to(tmp_path: Path) -> None:
    objects = rendered(
        *("central", tmp_path, "serve", "prometheus-operator"),
        RUNBOOK_URL="https://wiki.example.com/git-sync/runbook",
    )
    assert {"ServiceMonitor/git-sync", "Deployment/git-sync"} <= objects.keys()
    groups = objects["PrometheusRule/git-sync"]["spec"]["groups"]
    links = {rule["alert"]: rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"]}
    assert links == {name: f"https://wiki.example.com/git-sync/runbook#{name.lower()}" for name in links}
    assert "GitSyncAbsent" in links


def test_kustomize_copies_settings_to_the_cron_jobs(tmp_path: Path) -> None:
    objects = rendered(
        "cronjob", tmp_path, IMAGE="registry.example.com/x:1", VOLUME_SIZE="7Gi", SYNC_SCHEDULE="0 4 * * *"
    )
    job = objects["CronJob/git-sync-cronjob"]["spec"]
    assert job["schedule"] == "0 4 * * *"
    assert (
        job["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example.com/x:1"
    )
    claim = objects["PersistentVolumeClaim/git-sync-workspace"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "7Gi"
    assert not [name for name in objects if "Workflow" in name]


def test_distributed_overlay_pushes_to_a_branch_per_cluster() -> None:
    data = SETTINGS["distributed"][0]["data"]
    assert data["GIT_BRANCH"] == f"backups/{data['CLUSTERS']}"


# -- permissions of pods --------------------------------------------------------------------------


SECRETS = {
    "discover": {env.MINIO_SECRET, env.GIT_SECRET, env.PROXY_SECRET, env.KEY_SECRET},
    "download": {env.MINIO_SECRET, env.PROXY_SECRET, env.KEY_SECRET},
    "detect": set(),
    "publish": {env.GIT_SECRET, env.PROXY_SECRET},
    "report": {env.REPORT_SECRET, env.PROXY_SECRET},
}


@pytest.mark.parametrize("name", SECRETS)
def test_step_gets_only_the_secrets_that_it_needs(name: str) -> None:
    container = STEPS[name]["container"]
    seen = {source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source}
    seen |= {
        v["valueFrom"]["secretKeyRef"]["name"]
        for v in container["env"]
        if "secretKeyRef" in v.get("valueFrom", {})
    }
    volumes = {volume["name"]: volume for volume in SPEC["volumes"]}
    mounted = [volumes.get(mount["name"], {}) for mount in container["volumeMounts"]]
    seen |= {volume["secret"]["secretName"] for volume in mounted if "secret" in volume}
    assert seen == SECRETS[name]
    assert ("workspace" in {mount["name"] for mount in container["volumeMounts"]}) == (name != "report")


def test_every_container_is_restricted_and_runs_no_shell() -> None:
    patch = json.loads(SPEC["podSpecPatch"])
    for container in CONTAINERS + patch["initContainers"] + patch["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["runAsNonRoot"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in CONTAINERS + patch["initContainers"] + patch["containers"]:
        for kind in ("requests", "limits"):
            assert set(container["resources"][kind]) == {"cpu", "memory"}
    for container in CONTAINERS:
        assert container["command"] == ["git-sync"]
        assert container["image"]
    for security in (SPEC["securityContext"], *(pod["securityContext"] for pod in PODS)):
        assert security["runAsUser"] == security["fsGroup"] == env.USER > 0
    (namespace,) = documents("namespace/namespace.yaml")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_only_transient_failures_are_retried() -> None:
    for step in STEPS.values():
        retry = step["retryStrategy"]
        assert retry["retryPolicy"] == "Always"
        assert "RETRY_ATTEMPTS" in retry["limit"]
        assert "RETRY_DELAY" in retry["backoff"]["duration"]
        (codes,) = re.findall(r"asInt\(lastRetry\.exitCode\) in \[([\d, ]+)\]", retry["expression"])
        tried_again = {int(code) for code in codes.split(",")}
        assert tried_again == {Exit.TRANSIENT, 137, Exit.TERMINATED}
    for job in JOBS:
        (_, fail) = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
        assert fail["action"] == "FailJob"
        assert set(fail["onExitCodes"]["values"]) == {Exit.TRANSIENT, 137, Exit.TERMINATED}
        assert fail["onExitCodes"]["operator"] == "NotIn"
    assert "retryStrategy" not in SPEC
    assert "retryStrategy" not in TEMPLATES["main"]


def test_only_the_executor_gets_a_token_and_it_expires() -> None:
    assert SPEC["automountServiceAccountToken"] is False
    assert SPEC["executor"] == {"serviceAccountName": SPEC["serviceAccountName"]}
    (volume,) = json.loads(SPEC["podSpecPatch"])["volumes"]
    assert volume["name"] == "exec-sa-token"
    assert volume["secret"] is None
    token, authority, namespace = volume["projected"]["sources"]
    assert token["serviceAccountToken"]["expirationSeconds"] == 3600
    assert authority["configMap"]["name"] == "kube-root-ca.crt"
    assert namespace["downwardAPI"]["items"][0]["path"] == "namespace"


def test_executor_role_allows_only_task_results() -> None:
    role, binding = documents("base/executor-role.yaml")
    assert role["rules"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    ]
    assert [subject["name"] for subject in binding["subjects"]] == [SPEC["serviceAccountName"]]


def test_network_policy_denies_ingress_and_limits_egress_ports() -> None:
    (policy,) = documents("namespace/networkpolicy.yaml")
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in spec, "all ingress is denied"
    assert all(set(rule) == {"ports"} and rule["ports"] for rule in spec["egress"])
    wanted = spec["podSelector"]["matchLabels"].items()
    pods = [
        SPEC["podMetadata"],
        *(job["spec"]["jobTemplate"]["spec"]["template"]["metadata"] for job in JOBS),
    ]
    assert all(wanted <= pod["labels"].items() for pod in pods)


def test_minio_policy_allows_only_reading() -> None:
    policy = json.loads((MANIFESTS / "minio-policy.json").read_text())
    actions = [action for statement in policy["Statement"] for action in statement["Action"]]
    assert sorted(actions) == ["s3:GetObject", "s3:ListBucket"]


# -- serve ----------------------------------------------------------------------------------------


def test_serve_reads_the_state_key_that_the_pipeline_writes() -> None:
    """Evaluates Argo's expression for the key by hand, and compares it with the settings' key."""
    (key,) = {
        artifact["s3"]["key"]
        for artifact in TEMPLATES["report"]["outputs"]["artifacts"]
        if artifact["name"] == "state"
    }
    prefix, expression, rest = re.split(r"\{\{=(.*)\}\}", key)
    assert re.match(r"sprig\.trunc\(16, sprig\.sha256sum\(join\(\[", expression)
    assert expression.endswith(", '|')))")
    values = SETTINGS["central"][0]["data"] | {"GIT_BRANCH": "backups/east", "GIT_PATH": "a/b/"}
    # The parameter `branch` affects one run only; serve reads the state of runs without it.
    joined = "|".join(values[name] for name in re.findall(r"inputs\.parameters\.(\w+)", expression))
    digest = hashlib.sha256(joined.encode()).hexdigest()[:16]
    expected = prefix.replace("{{workflow.namespace}}", "backup-system") + digest + rest
    given = {name: value for name, value in values.items() if value}
    server = dict.fromkeys(
        ("STATE_ENDPOINT", "STATE_BUCKET", "STATE_ACCESS_KEY", "STATE_SECRET_KEY"), "artifacts"
    )
    for environ, found in (
        (given | {"STATE_NAMESPACE": "backup-system"}, expected),
        ({"STATE_NAMESPACE": "n", "STATE_KEY": "elsewhere"}, "elsewhere"),
    ):
        state = read(environ | server).state
        assert state
        assert state.key == found


def test_service_selects_the_serve_pod_and_servicemonitor_selects_the_service() -> None:
    (service,) = documents("components/serve/service.yaml")
    (monitor,) = documents("components/prometheus-operator/servicemonitor.yaml")
    (policy,) = documents("components/serve/networkpolicy.yaml")
    labels = SERVE["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == SERVE["spec"]["selector"]["matchLabels"] == labels
    assert monitor["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    (container,) = SERVE["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert {service["spec"]["ports"][0]["targetPort"], monitor["spec"]["endpoints"][0]["port"]} == {
        port["name"]
    }
    assert port["containerPort"] == policy["spec"]["ingress"][0]["ports"][0]["port"]
    assert {"name": "METRICS_PORT", "value": str(port["containerPort"])} in container["env"]
