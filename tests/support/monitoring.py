"""Runs Debian's Prometheus and Pushgateway on free loopback ports."""

from __future__ import annotations

import json
import math
import shutil
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.support.process import await_port, free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROGRAMS = ("prometheus", "promtool", "prometheus-pushgateway", "amtool")
PACKAGES = "prometheus prometheus-pushgateway prometheus-alertmanager"
_DEADLINE_SECONDS = 30


def missing() -> str:
    """Return the missing programs as the reason for a skip; "" if none is missing."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"needs {', '.join(absent)}: on Debian, apt-get install {PACKAGES}" if absent else ""


@contextmanager
def pushgateway() -> Iterator[str]:
    """Run a Pushgateway without persistence; yield its URL."""
    endpoint = f"127.0.0.1:{free_port()}"
    command = ["prometheus-pushgateway", f"--web.listen-address={endpoint}"]
    with (
        TemporaryDirectory(prefix="pushgateway-") as scratch,
        serving(command, ready="(?i)listening on", log=Path(scratch) / "log"),
    ):
        await_port(endpoint)
        yield f"http://{endpoint}"


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus that scrapes every second."""

    url: str

    def query(self, expression: str, at: float | None = None) -> dict[str, float]:
        """Evaluate at a time (default: now); return each value except NaN by its labels, as JSON."""
        parameters = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
        result = self._get("query", parameters)
        if result["resultType"] == "scalar":
            return {"": float(result["result"][1])}
        values = {_name(row["metric"]): float(row["value"][1]) for row in result["result"]}
        return {name: value for name, value in values.items() if not math.isnan(value)}

    def one(self, expression: str, at: float | None = None) -> float:
        """Return the only value of an expression."""
        (value,) = self.query(expression, at).values()
        return value

    def wait_for(self, expression: str) -> float:
        """Wait until an expression has a value; return the time."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            now = time.time()
            if self.query(expression, now):
                return now
            time.sleep(0.2)
        raise AssertionError(f"{expression} has no value after {_DEADLINE_SECONDS} seconds")

    def rules(self) -> list[dict[str, Any]]:
        """Return the loaded alerting rules, with their health."""
        return [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]

    def _get(self, what: str, parameters: Mapping[str, str]) -> Any:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)["data"]


def _name(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(sorted(labels.items())))


@contextmanager
def prometheus(targets: Mapping[str, str], rules: Path) -> Iterator[Prometheus]:
    """Run a Prometheus with `rules` that scrapes `targets` (job to host:port) and honours their labels."""
    endpoint = f"127.0.0.1:{free_port()}"
    scraped = [
        {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [target]}]}
        for job, target in targets.items()
    ]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": scraped,
    }
    with TemporaryDirectory(prefix="prometheus-") as scratch:
        file = Path(scratch) / "prometheus.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        command = [
            *("prometheus", f"--config.file={file}", f"--storage.tsdb.path={scratch}/data"),
            f"--web.listen-address={endpoint}",
        ]
        with serving(command, ready="Server is ready to receive web requests", log=Path(scratch) / "log"):
            yield Prometheus(f"http://{endpoint}")
