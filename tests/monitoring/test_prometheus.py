"""Queries of a real Prometheus after real runs, with metrics from a real Pushgateway and from `serve`.

All checks share one sequence of seven runs: three of them fail, and the state is lost before the sixth. The
windows of the documented queries (5 minutes, an hour) cover the whole sequence; queries are evaluated at the
last scrape.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from steps.contracts import State
from steps.reporting.metrics import exposition
from steps.runtime.settings.reading import read
from tests.support import monitoring
from tests.support.bucket import new_bucket
from tests.support.process import await_port, free_port
from tests.support.repositories import bare_repository
from tests.support.sync import Sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bucket import Bucket
    from tests.support.monitoring import Prometheus
    from tests.support.s3 import S3Server

pytestmark = pytest.mark.skipif(monitoring.missing() != "", reason=monitoring.missing())

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "workflows" / "monitoring"
RULES = yaml.load((MONITORING / "rules.yaml").read_bytes(), yaml.CSafeLoader)
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
OBJECTS = {f"clusterbackup/{name}/shop/{n}.yaml": b"x" for name in ("east", "west") for n in range(5)}
SERVED, PUSHED = 'job="served"', 'job="git-sync"'
FIRST_RUNS, RUNS, FAILURES = 5, 7, 3


@dataclass(frozen=True)
class Story:
    """The states of the runs, and the Prometheus that scraped them.

    `before` is a Unix timestamp before the state is lost, `at` one after the last run.
    """

    prometheus: Prometheus
    before: float
    at: float
    states: list[dict[str, Any]]

    @property
    def files(self) -> list[int]:
        return [state["counters"]["files_processed"] for state in self.states]


@pytest.fixture
def story(s3: S3Server, tmp_path: Path) -> Iterator[Story]:
    folder = tmp_path
    bucket = new_bucket(s3)
    bucket.put_many(OBJECTS)
    port = free_port()
    with monitoring.pushgateway() as gateway:
        sync = Sync.between(bucket, bare_repository(folder / "backups.git"), folder / "work").with_settings(
            PUSHGATEWAY_URL=gateway, SCRAPE_INTERVAL="2s", SYNC_SCHEDULE="*/15 * * * *", RETRY_ATTEMPTS="1"
        )
        server = sync.start("serve", METRICS_PORT=str(port))
        await_port(f"127.0.0.1:{port}", timeout_seconds=20)
        targets = {"pushgateway": gateway.removeprefix("http://"), "served": f"127.0.0.1:{port}"}
        try:
            with monitoring.prometheus(targets, MONITORING / "rules.yaml") as prometheus:
                yield _tell(sync, prometheus)
        finally:
            server.kill()
            server.communicate()


def _tell(sync: Sync, prometheus: Prometheus) -> Story:
    prometheus.wait_for("git_sync_duration_seconds_count{" + SERVED + "} == 0")
    closed_port = f"127.0.0.1:{free_port()}"

    def seen(runs: int) -> float:
        """Wait until Prometheus has scraped this number of runs from both targets."""
        both = (f"git_sync_duration_seconds_count{{{way}}} == {runs}" for way in (SERVED, PUSHED))
        return max(map(prometheus.wait_for, both))

    def run(runs: int, exit_code: int, **settings: str) -> float:
        assert sync(**settings).exit == exit_code
        return seen(runs)

    bucket = sync.bucket
    run(1, 0)
    run(2, 30, MINIO_ENDPOINT=closed_port)
    assert sync("report").exit == 0, "a repeated report counts nothing"
    bucket.put("clusterbackup/east/shop/0.yaml", b"changed")
    run(3, 0)
    bucket.put("clusterbackup/west/shop/.gitignore", b"x")
    run(4, 0)
    for key in OBJECTS:
        if "/west/" in key:
            bucket.delete(key)
    before = run(5, 20)
    states = [sync.state]

    (sync.work_dir / "sync-metadata.json").unlink()
    assert sync(MINIO_ENDPOINT=closed_port).exit == 30
    prometheus.wait_for(f"git_sync_duration_seconds_count{{{PUSHED}}} == 1")
    for key, body in OBJECTS.items():
        bucket.put(key, body)
    at = run(2, 0)
    states.append(sync.state)
    return Story(prometheus, before, at, states)


QUERIES = re.findall(r"```promql\n(.*?)\n```", (ROOT / "docs" / "metrics.md").read_text())
RATE, FILES, DURATION, SINCE = (0, 1, 2, 3)


def query(number: int, way: str) -> str:
    """One of the four queries of docs/metrics.md, over the series of one target."""
    return re.sub(r"(git_sync_[a-z_]+)", rf"\1{{{way}}}", QUERIES[number])


def test_metrics_page_has_the_four_queries() -> None:
    assert QUERIES == [
        "(1 - rate(git_sync_errors_total[5m]) / rate(git_sync_duration_seconds_count[5m])) * 100",
        "increase(git_sync_files_processed_total[1h])",
        "rate(git_sync_duration_seconds_sum[5m]) / rate(git_sync_duration_seconds_count[5m])",
        "time() - git_sync_last_success_timestamp",
    ]


def success_rate_is_the_share_of_successful_runs(story: Story, way: str) -> None:
    """Two of five runs fail; a repeated report does not count. Later three of seven, across a lost state."""
    assert story.prometheus.one(query(RATE, way), story.before) == pytest.approx(100 * 3 / 5)
    assert story.prometheus.one(query(RATE, way), story.at) == pytest.approx(100 * 4 / 7, rel=0.03)


def files_per_hour_match_the_processed_files(story: Story, way: str) -> None:
    """Exact except for the extrapolation of increase() at the ends of the window; includes the first run."""
    asked = story.prometheus
    assert story.files == [10 + 10 + 10 + 5, 10]
    assert asked.one(query(FILES, way), story.before) == pytest.approx(story.files[0], rel=0.15)
    assert asked.one(query(FILES, way), story.at) == pytest.approx(sum(story.files), rel=0.15)


def average_duration_matches_the_runs(story: Story, way: str) -> None:
    sums = [state["counters"]["duration_sum_seconds"] for state in story.states]
    first = story.prometheus.one(query(DURATION, way), story.before)
    assert first == pytest.approx(sums[0] / FIRST_RUNS, rel=1e-3)
    assert story.prometheus.one(query(DURATION, way), story.at) == pytest.approx(sum(sums) / RUNS, rel=0.05)


def time_since_last_success_starts_at_its_end(story: Story, way: str) -> None:
    for state, at in zip(story.states, (story.before, story.at), strict=True):
        seconds = at - datetime.fromisoformat(state["last_success"]["at"]).timestamp()
        assert story.prometheus.one(query(SINCE, way), at) == pytest.approx(seconds, abs=0.1)


def lost_success_is_absent_and_the_pushed_one_stays(story: Story) -> None:
    lost = "min_over_time(git_sync_duration_seconds_count{%s}[5m]) == 0"
    assert story.prometheus.query(lost % PUSHED, story.at)
    zeros = "count_over_time((git_sync_last_success_timestamp{%s} == 0)[5m:1s])"
    assert story.prometheus.query(zeros % PUSHED, story.at) == {}
    assert story.prometheus.query(zeros % SERVED, story.at) == {}
    gaps = f"count_over_time(git_sync_last_success_timestamp{{{PUSHED}}}[20s])"
    assert story.prometheus.query(gaps, story.at)


def rules_are_loaded_and_the_expected_alerts_fire(story: Story) -> None:
    rules = story.prometheus.rules()
    assert len(rules) == sum(len(group["rules"]) for group in RULES["groups"])
    assert {rule["health"] for rule in rules} == {"ok"}
    firing = 'max_over_time(ALERTS{alertname=~"GitSync.*", alertstate="firing"}[5m])'
    fired = {json.loads(labels)["alertname"] for labels in story.prometheus.query(firing, story.at)}
    assert fired == {"GitSyncClusterMissing", "GitSyncDeletionsRefused"}


def expressions() -> list[tuple[str, str]]:
    """Yield every query of the dashboard, with the title of its panel."""
    return [
        (f"{panel['title']} {target['refId']}", target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
        if "_last_filtered_run_" not in target["expr"]  # the story has no run with filter options
    ]


def query_has_data(story: Story, way: str, expression: str) -> None:
    asked = expression
    variables = {"$job": way.split(chr(34))[1], "$branch": ".*"}
    for variable, value in (variables | {"$cluster": ".*", "$__range": "5m"}).items():
        asked = asked.replace(variable, value)
    assert "$" not in asked
    assert story.prometheus.query(asked, story.at), asked


def dashboard_variables_find_job_branch_and_cluster(story: Story) -> None:
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            ((selector, label),) = re.findall(r"label_values\((.*), (\w+)\)$", variable["definition"])
            asked = selector.replace("$job", ".*").replace("$branch", ".*")
            found = {json.loads(name).get(label) for name in story.prometheus.query(asked, story.at)}
            expected = {"job": "git-sync", "branch": "main", "cluster": "east"}[label]
            assert expected in found


def promtool(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, text=True, check=False)


def promtool_check_metrics_passes(story: Story) -> None:
    settings = read({"SYNC_SCHEDULE": "*/15 * * * *"})
    state = State.model_validate(story.states[0])
    for text in (exposition(settings.http, state)[0], exposition(settings.http, None)[0]):
        done = promtool("check", "metrics", stdin=text.decode())
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    broken = promtool("check", "metrics", stdin="# TYPE wrong_total gauge\nwrong_total 1\n")
    assert broken.returncode != 0


def test_prometheus_metrics_match_the_runs(story: Story, subtests: pytest.Subtests) -> None:
    """One test with subtests, because the sequence of runs takes half a minute."""
    for way in (SERVED, PUSHED):
        for check in (
            success_rate_is_the_share_of_successful_runs,
            files_per_hour_match_the_processed_files,
            average_duration_matches_the_runs,
            time_since_last_success_starts_at_its_end,
        ):
            with subtests.test(check.__name__, way=way):
                check(story, way)
        for title, expression in expressions():
            with subtests.test("the dashboard query has data", panel=title, way=way):
                query_has_data(story, way, expression)
    for whole in (
        lost_success_is_absent_and_the_pushed_one_stays,
        rules_are_loaded_and_the_expected_alerts_fire,
        dashboard_variables_find_job_branch_and_cluster,
        promtool_check_metrics_passes,
    ):
        with subtests.test(whole.__name__):
            whole(story)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_documented_commands_delete_the_pushgateway_group_of_a_branch(sync: Sync, bucket: Bucket) -> None:
    """On a real Pushgateway, with groups of real runs; the groups of other branches stay."""
    guide = (ROOT / "docs" / "monitoring.md").read_text()
    (commands,) = re.findall(r"```bash\n(curl -X DELETE .*?)```", guide, re.DOTALL)
    bucket.put_many(OBJECTS)
    with monitoring.pushgateway() as gateway:

        def branches() -> set[str]:
            with urllib.request.urlopen(f"{gateway}/metrics", timeout=10) as page:
                return set(
                    re.findall(r'^git_sync_consecutive_failures{branch="(.*?)"', page.read().decode(), re.M)
                )

        for branch in ("main", "old", "backups/old"):
            assert sync(GIT_BRANCH=branch, PUSHGATEWAY_URL=gateway, SCRAPE_INTERVAL="0s").exit == 0
        assert branches() == {"main", "old", "backups/old"}
        environment = os.environ | {"PUSHGATEWAY_URL": gateway}
        subprocess.run(["bash", "-ec", commands], env=environment, capture_output=True, check=True)
        assert branches() == {"main"}


@pytest.mark.parametrize("kind", ["rules", "alertmanager"])
def test_promtool_and_amtool_accept_the_files(kind: str) -> None:
    if kind == "rules":
        done = promtool("check", "rules", str(MONITORING / "rules.yaml"))
    else:
        file = str(MONITORING / "alertmanager.yaml")
        done = subprocess.run(["amtool", "check-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "file", ["rules_test.yaml", pytest.param("rules_days_test.yaml", marks=pytest.mark.slow)]
)
def test_promtool_rule_tests_pass(file: str) -> None:
    done = promtool("test", "rules", str(Path(__file__).with_name(file)))
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_rule_tests_fail_for_a_changed_rule(tmp_path: Path) -> None:
    """Runs the rule tests against rules with another threshold."""
    rules = (
        (MONITORING / "rules.yaml")
        .read_text()
        .replace("consecutive_failures >= 3", "consecutive_failures >= 2")
    )
    (tmp_path / "rules.yaml").write_text(rules)
    tests = yaml.safe_load(Path(__file__).with_name("rules_test.yaml").read_text())
    tests["rule_files"] = ["rules.yaml"]
    tests["tests"] = [test for test in tests["tests"] if "GitSyncFailing" in test["name"]]
    (tmp_path / "rules_test.yaml").write_text(json.dumps(tests))
    done = promtool("test", "rules", str(tmp_path / "rules_test.yaml"))
    assert done.returncode != 0
    assert "GitSyncFailing" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=GitSyncNoSuccess severity=critical", "git-sync-pager"),
        ("alertname=GitSyncClusterStale severity=warning cluster=east", "git-sync-chat"),
        ("alertname=GitSyncQuarantine severity=info", "git-sync-digest"),
        ("alertname=Other severity=critical", "default"),
    ],
)
def test_alertmanager_routes_alerts_by_severity(labels: str, receiver: str) -> None:
    command = ["amtool", "config", "routes", "test", f"--config.file={MONITORING / 'alertmanager.yaml'}"]
    done = subprocess.run([*command, *labels.split()], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == receiver
