"""The files for Prometheus, Alertmanager and Grafana, checked without running these programs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from steps.contracts import State
from steps.reporting.metrics import exposition
from steps.runtime.settings.reading import read

if TYPE_CHECKING:
    from prometheus_client import Metric

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "workflows" / "monitoring"
MANIFESTS = ROOT / "workflows" / "manifests"
RULES = yaml.load((MONITORING / "rules.yaml").read_bytes(), yaml.CSafeLoader)
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
TESTS = [
    test
    for file in ("rules_test.yaml", "rules_days_test.yaml")
    for test in yaml.load(Path(__file__).with_name(file).read_bytes(), yaml.CSafeLoader)["tests"]
]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
METRICS = (ROOT / "docs" / "metrics.md").read_text()


def known_metrics() -> dict[str, Metric]:
    """Return every metric that git-sync can expose."""
    (example,) = re.findall(
        r"^```json\n(.*?)^```$", (ROOT / "docs" / "contracts.md").read_text(), re.MULTILINE | re.DOTALL
    )
    settings = read({"SYNC_SCHEDULE": "*/15 * * * *"})
    state = State.model_validate_json(example)
    text = exposition(settings.http, state.model_copy(update={"last_filtered_run": state.last_run}))[
        0
    ].decode()
    families = text_string_to_metric_families(text)
    return {f"{one.name}_total" if one.type == "counter" else one.name: one for one in families}


def named_metrics(expression: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"git_sync_\w+", expression)}


def test_prometheusrule_has_the_groups_of_rules_yaml() -> None:
    resource: dict[str, Any] = yaml.safe_load((MANIFESTS / "monitoring" / "prometheusrule.yaml").read_text())
    assert resource["spec"] == RULES


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_has_severity_summary_description_and_runbook_section(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"
    assert re.search(rf"^### {alert}$", RUNBOOK, re.MULTILINE)


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_has_a_promtool_case_that_fires_and_one_that_does_not(alert: str) -> None:
    cases = [case for test in TESTS for case in test.get("alert_rule_test", []) if case["alertname"] == alert]
    assert {bool(case.get("exp_alerts")) for case in cases} == {True, False}


def test_rules_and_dashboard_query_only_existing_metrics() -> None:
    known = set(known_metrics())
    expressions = [rule["expr"] for rule in ALERTS.values()]
    expressions += [t["expr"] for panel in DASHBOARD["panels"] for t in panel.get("targets", [])]
    for expression in expressions:
        assert named_metrics(expression) <= known, expression


def test_dashboard_shows_every_metric() -> None:
    expressions = " ".join(t["expr"] for panel in DASHBOARD["panels"] for t in panel.get("targets", []))
    # The dashboard shows push failures with git_sync_push_failures_total and the exit code of the last run.
    assert set(known_metrics()) - named_metrics(expressions) == {
        "git_sync_last_run_push_failed",
        "git_sync_last_filtered_run_timestamp_seconds",
    }


def test_dashboard_panels_do_not_overlap_or_share_an_id() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def metrics_table() -> str:
    """Return the table of metrics for docs/metrics.md."""
    rows = ["| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
    for name, metric in known_metrics().items():
        labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
        named = ", ".join(f"`{label}`" for label in sorted(labels))
        rows.append(f"| `{name}` | {metric.type} | {named} | {metric.documentation} |")
    return "\n".join(rows) + "\n"


def test_metrics_page_lists_every_metric() -> None:
    assert metrics_table() in METRICS, f"docs/metrics.md should contain this table:\n\n{metrics_table()}"
