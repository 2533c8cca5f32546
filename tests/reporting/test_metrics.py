"""The metrics: which are exposed and pushed, and that a failed push does not fail a run."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from steps.contracts import State
from steps.reporting.metrics import exposition
from steps.runtime.settings.reading import read
from tests.support.first_sync import first_sync
from tests.support.process import free_port
from tests.support.receiver import Receiver, receiver
from tests.support.results import NOON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import trustme

    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

EAST = {f"clusterbackup/east/shop/{number}.yaml": b"%d" % number for number in range(3)}


@pytest.fixture
def gateway() -> Iterator[Receiver]:
    """A server that accepts pushes."""
    with receiver() as running:
        yield running


@pytest.fixture
def pushing(sync: Sync, bucket: Bucket, gateway: Receiver) -> Sync:
    """A sync that pushes its metrics, with three objects in the bucket."""
    bucket.put_many(EAST)
    return sync.with_settings(PUSHGATEWAY_URL=gateway.url, SCRAPE_INTERVAL="10ms")


Samples = dict[tuple[str, str], float]


def parsed(text: str) -> Samples:
    """Return each sample except buckets, by its name and label values."""
    return {
        (sample.name, "/".join(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def pushed(gateway: Receiver) -> list[Samples]:
    return [parsed(delivery.body.decode()) for delivery in gateway.got]


def exposed(sync: Sync) -> Samples:
    """Return the metrics of the state."""
    state = State.model_validate(sync.state)
    return parsed(exposition(read(sync.settings).http, state)[0].decode())


# -- values ---------------------------------------------------------------------------------------


def test_served_metrics_are_overdue_before_the_first_success() -> None:
    settings = read({"SYNC_SCHEDULE": "0 * * * *"}).http
    text = exposition(settings, None, served_since=NOON)[0].decode()
    (overdue,) = re.findall(r"^git_sync_overdue_timestamp_seconds (\S+)$", text, re.MULTILINE)
    assert float(overdue) == (NOON + timedelta(hours=3)).timestamp()
    assert "git_sync_overdue" not in exposition(settings, None)[0].decode()


def test_required_metrics_have_the_required_names_and_no_labels(sync: Sync) -> None:
    first_sync(sync, EAST)
    text = exposition(read(sync.settings).http, State.model_validate(sync.state))[0].decode()
    for line in (
        "# TYPE git_sync_duration_seconds histogram",
        "# TYPE git_sync_errors_total counter",
        "# TYPE git_sync_files_processed_total counter",
        "# TYPE git_sync_last_success_timestamp gauge",
        "# TYPE git_sync_clusters_backed_up gauge",
        "git_sync_duration_seconds_count 1.0",
        'git_sync_duration_seconds_bucket{le="+Inf"} 1.0',
        "git_sync_errors_total 0.0",
        "git_sync_files_processed_total 3.0",
        "git_sync_clusters_backed_up 1.0",
    ):
        assert f"{line}\n" in text
    assert re.search(r"^git_sync_last_success_timestamp \S+$", text, re.MULTILINE)
    labels = set(re.findall(r"[{,](\w+)=", text))
    assert labels == {"le", "version", "cluster", "change", "step", "target"}


def test_metrics_are_cumulative_over_the_runs_of_one_state(sync: Sync, bucket: Bucket) -> None:
    first_sync(sync, EAST)
    first = exposed(sync)
    bucket.put_many({"clusterbackup/east/shop/0.yaml": b"changed", "clusterbackup/west/a/b.yaml": b"new"})
    bucket.delete("clusterbackup/east/shop/1.yaml")
    assert sync().exit == 0
    bucket.put("clusterbackup/east/shop/.gitignore", b"x")
    for key in ("clusterbackup/east/shop/0.yaml", "clusterbackup/east/shop/2.yaml"):
        bucket.delete(key)
    assert sync().exit == 20
    last = exposed(sync)

    def at(name: str, label: str = "") -> float:
        return last[f"git_sync_{name}", label]

    assert (at("duration_seconds_count"), at("errors_total"), at("consecutive_failures")) == (3, 1, 1)
    assert at("files_processed_total") == 3 + 3 + 1
    assert (at("clusters_backed_up"), at("last_run_exit_code")) == (2, 20)
    assert at("last_success_timestamp") > first["git_sync_last_success_timestamp", ""]
    changes = {
        change: at("cluster_files_changed_total", f"{change}/east")
        for change in ("added", "modified", "deleted")
    }
    assert changes == {"added": 3, "modified": 1, "deleted": 1}
    east, west = (
        {
            name: at(f"cluster_{name}", cluster)
            for name in (
                "files",
                "missing",
                "deletions_refused",
                "quarantined_keys",
            )
        }
        for cluster in ("east", "west")
    )
    assert east == {"files": 2, "missing": 1, "deletions_refused": 2, "quarantined_keys": 1}
    assert west == {"files": 1, "missing": 0, "deletions_refused": 0, "quarantined_keys": 0}
    success = "cluster_last_success_timestamp_seconds"
    assert at(success, "east") < at(success, "west")
    assert at("bytes_downloaded_total") == 3 + len("changed") + len("new")
    assert at("push_attempts_total") == 2


def test_run_duration_is_the_sum_of_the_step_durations(sync: Sync) -> None:
    first_sync(sync, EAST)
    run = sync.state["last_run"]
    assert list(run["step_seconds"]) == ["discover", "download", "detect", "publish"]
    values = exposed(sync)
    total = sum(values["git_sync_step_duration_seconds", step] for step in run["step_seconds"])
    assert total == pytest.approx(values["git_sync_last_run_duration_seconds", ""])


def test_cluster_in_neither_bucket_nor_git_has_no_series(sync: Sync, bucket: Bucket) -> None:
    first_sync(sync, EAST | {"clusterbackup/west/a/b.yaml": b"x"})
    bucket.delete("clusterbackup/west/a/b.yaml")
    assert sync(CLUSTER_VANISHED="delete").exit == 0
    assert exposed(sync)["git_sync_cluster_missing", "west"] == 1
    assert sync("run", "--clusters=east").exit == 0
    assert ("git_sync_cluster_files", "west") in exposed(sync), (
        "a filtered run keeps the series of other clusters"
    )
    assert sync().exit == 0
    assert not {name for name, label in exposed(sync) if label.endswith("west")}


def test_listed_timestamp_is_kept_until_the_next_listing_of_the_cluster(sync: Sync) -> None:
    first_sync(sync, EAST | {"clusterbackup/west/a/b.yaml": b"x"})
    first = exposed(sync)
    listed, newest = (f"git_sync_cluster_{what}_timestamp_seconds" for what in ("listed", "newest_object"))
    listing = datetime.fromisoformat(sync.state["listed"]["east"]).timestamp()
    assert first[listed, "east"] == pytest.approx(listing)
    assert first[listed, "east"] - first[newest, "east"] < 26 * 3600
    time.sleep(1.1)  # the clock of the server has whole seconds
    assert sync("run", "--clusters=west").exit == 0
    last = exposed(sync)
    assert last[listed, "west"] > first[listed, "west"]
    assert last[listed, "east"] == first[listed, "east"]


def test_run_filtered_by_options_is_not_a_success(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(EAST)
    successes = {
        ("git_sync_cluster_last_success_timestamp_seconds", "east"),
        ("git_sync_last_success_timestamp", ""),
    }
    assert sync("run", "--namespaces=shop").exit == 0
    assert not successes & exposed(sync).keys(), "unknown values are absent, not 0"
    assert sync(NAMESPACES="shop").exit == 0, "filters in the settings define the installation"
    assert successes <= exposed(sync).keys()


def test_next_run_and_overdue_follow_the_schedule(sync: Sync, bucket: Bucket) -> None:
    bucket.put_many(EAST)
    nightly = sync.with_settings(SYNC_SCHEDULE="0 4 * * *", SYNC_TIMEZONE="Europe/Berlin")
    assert nightly().exit == 0
    values = exposed(nightly)
    success = values["git_sync_last_success_timestamp", ""]
    due, overdue = (values[f"git_sync_{name}_timestamp_seconds", ""] for name in ("next_run", "overdue"))
    assert 0 <= due - success <= 25 * 3600
    assert due + 47 * 3600 <= overdue <= due + 49 * 3600, "two more nights, perhaps with a clock change"
    assert ("git_sync_expected_interval_seconds", "") in values
    plain = exposed(sync)
    assert plain["git_sync_overdue_timestamp_seconds", ""] == pytest.approx(success + 7200)
    assert ("git_sync_expected_interval_seconds", "") not in plain


def test_failed_push_is_counted_separately_with_its_attempts(
    sync: Sync, bucket: Bucket, repository: Path
) -> None:
    bucket.put_many(EAST)
    hook = repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert sync().exit == 40
    values = exposed(sync)
    assert (values["git_sync_push_attempts_total", ""], values["git_sync_push_failures_total", ""]) == (
        3,
        1,
    )
    assert sync(MINIO_ENDPOINT=f"127.0.0.1:{free_port()}", RETRY_ATTEMPTS="1").exit == 30
    assert exposed(sync)["git_sync_push_failures_total", ""] == 1


# -- the Pushgateway ------------------------------------------------------------------------------


def test_metrics_are_added_to_the_group_of_job_and_branch(pushing: Sync, gateway: Receiver) -> None:
    assert pushing().exit == 0
    delivery = gateway.got[-1]
    assert (delivery.method, delivery.target) == ("POST", "/metrics/job/git-sync/branch/main")
    assert delivery.headers["content-type"].startswith("text/plain")
    assert "authorization" not in delivery.headers
    assert pushing(GIT_BRANCH="backups/east", PUSHGATEWAY_JOB="nightly").exit == 0
    branch = base64.urlsafe_b64encode(b"backups/east").decode()
    assert gateway.got[-1].target == f"/metrics/job/nightly/branch@base64/{branch}"


def test_new_series_are_pushed_as_zero_first(pushing: Sync, gateway: Receiver, bucket: Bucket) -> None:
    assert pushing().exit == 0
    bucket.put("clusterbackup/west/a/b.yaml", b"new")
    assert pushing().exit == 0
    assert pushing().exit == 0
    runs = [values["git_sync_duration_seconds_count", ""] for values in pushed(gateway)]
    assert runs == [0, 1, 1, 2, 3], "a zero push comes before the first run and before a new cluster"
    west = [values.get(("git_sync_cluster_files_changed_total", "added/west")) for values in pushed(gateway)]
    assert west == [None, None, 0, 1, 1]
    assert ("git_sync_last_success_timestamp", "") not in pushed(gateway)[0]


def test_repeated_report_counts_nothing_twice(pushing: Sync, gateway: Receiver) -> None:
    assert pushing().exit == 0
    assert pushing("report").exit == 0
    last, again = pushed(gateway)[-2:]
    assert last == again


def test_failure_that_is_reported_twice_counts_once(sync: Sync, bucket: Bucket) -> None:
    first_sync(sync, EAST)
    for key in EAST:
        bucket.delete(key)
    assert sync().exit == 20
    assert sync("report").exit == 0
    assert exposed(sync)["git_sync_consecutive_failures", ""] == 1
    assert sync().exit == 20
    assert exposed(sync)["git_sync_consecutive_failures", ""] == 2


def test_failed_run_keeps_the_last_success(pushing: Sync, gateway: Receiver) -> None:
    assert pushing().exit == 0
    assert pushing(MINIO_USE_SSL="true").exit == 40
    before, after = pushed(gateway)[-2:]
    success = ("git_sync_last_success_timestamp", "")
    assert before[success] == after[success]
    assert (after["git_sync_errors_total", ""], after["git_sync_clusters_backed_up", ""]) == (1, 0)


def test_success_of_one_branch_is_not_pushed_for_another(pushing: Sync, gateway: Receiver) -> None:
    assert pushing().exit == 0
    assert pushing(GIT_BRANCH="mistyped", MINIO_USE_SSL="true").exit == 40
    after = pushed(gateway)[-1]
    assert gateway.got[-1].target.endswith("/branch/mistyped")
    assert after["git_sync_errors_total", ""] == 1
    assert not [name for name, _ in after if "success" in name or "cluster_" in name or "overdue" in name]


def test_filtered_run_keeps_the_values_of_other_objects(
    pushing: Sync, gateway: Receiver, bucket: Bucket
) -> None:
    bucket.put("clusterbackup/east/.gitignore", b"x")
    assert pushing().exit == 0
    before = pushed(gateway)[-1]
    assert pushing("run", "--namespaces=nothere").exit == 0
    after = pushed(gateway)[-1]
    seen = ("missing", "quarantined_keys", "deletions_refused", "newest_object_timestamp_seconds", "files")
    for name in seen:
        series = (f"git_sync_cluster_{name}", "east")
        assert after[series] == before[series], name
    assert before["git_sync_cluster_quarantined_keys", "east"] == 1


def test_push_does_not_overwrite_the_report_of_another_run(pushing: Sync, gateway: Receiver) -> None:
    """Another run can be reported while this one waits for the Pushgateway."""
    assert pushing().exit == 0
    state = pushing.work_dir / "sync-metadata.json"

    def report_other_run() -> None:
        gateway.during = lambda: None
        assert pushing(PUSHGATEWAY_URL="").exit == 0

    gateway.status, gateway.during = 500, report_other_run
    assert pushing().exit == 0
    counters = json.loads(state.read_text())["counters"]
    assert (counters["runs"], counters["pushgateway_errors"]) == (3, 1)


def test_push_ignores_a_long_retry_after(pushing: Sync, gateway: Receiver) -> None:
    gateway.status, gateway.headers = 503, {"Retry-After": "3600"}
    assert pushing().exit == 0
    assert pushing.state["counters"]["pushgateway_errors"] == 1


def test_dry_run_pushes_nothing(pushing: Sync, gateway: Receiver) -> None:
    assert pushing("run", "--dry-run").exit == 0
    assert gateway.got == []


def test_push_over_https_with_a_password_and_a_private_ca(
    sync: Sync, bucket: Bucket, ca: trustme.CA, tmp_path: Path
) -> None:
    bucket.put_many(EAST)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with receiver(tls=ca) as gateway:
        login = {
            "PUSHGATEWAY_USERNAME": "sync",
            "PUSHGATEWAY_PASSWORD": "p:ß-secret",
            "SCRAPE_INTERVAL": "0s",
        }
        secure = sync.with_settings(PUSHGATEWAY_URL=gateway.url, **login)
        assert secure(PUSHGATEWAY_CA_FILE=str(tmp_path / "ca.pem")).exit == 0
        assert (
            base64.b64decode(gateway.got[-1].headers["authorization"].split()[1])
            == "sync:p:ß-secret".encode()
        )
        gateway.got.clear()
        result = secure()
        assert (result.exit, gateway.got) == (0, [])
        assert "certificate verify failed" in result.errors
        result = secure(PUSHGATEWAY_CA_FILE=str(tmp_path / "absent.pem"))
        assert (result.exit, gateway.got) == (0, [])
        assert "absent.pem cannot be read" in result.errors
        assert "p:ß-secret" not in result.text


@pytest.mark.parametrize("fault", ["unreachable", "500", "redirect"])
def test_unreachable_pushgateway_is_logged_and_counted_but_does_not_fail_the_run(
    fault: str, pushing: Sync, gateway: Receiver
) -> None:
    failing = pushing
    if fault == "unreachable":
        failing = pushing.with_settings(PUSHGATEWAY_URL=f"http://127.0.0.1:{free_port()}")
    elif fault == "redirect":
        gateway.status, gateway.headers = 302, {"Location": f"{gateway.url}/elsewhere"}
    else:
        gateway.status = 500
    result = failing()
    assert result.exit == 0
    (line,) = result.of("metrics_push", "error")
    assert line["message"] == "Failed to push the metrics"
    cause = {
        "unreachable": "connection refused",
        "500": "the server answered 500: accepted",
        "redirect": "302",
    }[fault]
    assert cause in line["error"]
    assert result.lines[-1]["operation"] == "sync_complete"
    assert not any(delivery.target == "/elsewhere" for delivery in gateway.got)
    assert pushing.state["counters"]["pushgateway_errors"] == 1
    gateway.status = 200
    assert pushing().exit == 0
    assert pushed(gateway)[-1]["git_sync_delivery_errors_total", "pushgateway"] == 1


def test_report_with_a_damaged_state_pushes_nothing(pushing: Sync, gateway: Receiver) -> None:
    assert pushing().exit == 0
    count = len(gateway.got)
    (pushing.work_dir / "sync-metadata.json").write_text("{")
    assert pushing("report").exit == 40
    assert len(gateway.got) == count


def test_cluster_name_cannot_forge_a_metric(sync: Sync, bucket: Bucket) -> None:
    name = 'e"}\\ 1 \u00e9 <script>{cluster="x'
    bucket.put(f"clusterbackup/{name.replace(chr(92), '')}/a/b.yaml", b"x")
    assert sync().exit == 0
    clusters = {label for metric, label in exposed(sync) if metric == "git_sync_cluster_files"}
    assert clusters == {name.replace("\\", "")}


def test_long_cluster_names_stay_distinct(sync: Sync) -> None:
    names = {f"{'x' * 220}-{which}" for which in ("a", "b")}
    first_sync(sync, {f"clusterbackup/{name}/a.yaml": b"x" for name in names})
    assert {label for metric, label in exposed(sync) if metric == "git_sync_cluster_files"} == names


def test_state_has_the_values_of_the_metrics(sync: Sync) -> None:
    first_sync(sync, EAST)
    state = json.loads((sync.work_dir / "sync-metadata.json").read_text())
    assert state["consecutive_failures"] == 0
    assert state["clusters"]["east"]["added"] == 3
