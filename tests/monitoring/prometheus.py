"""A real Prometheus that scrapes some nodes, with the alerts of docs/monitoring, and the queries of the dashboard."""

import json
import math
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.monitoring.traffic import Place
from tests.support.cluster import ROOT
from tests.support.http_client import request
from tests.support.ports import Port
from tests.support.waiting import wait_until

MONITORING = ROOT / "docs" / "monitoring"
READY_S = 20.0
JOB = "raft-chat"

Query = tuple[str, str]  # where it stands, and its expression

_CONFIGURATION = """\
global: {{scrape_interval: {interval_ms}ms, scrape_timeout: {interval_ms}ms, evaluation_interval: {interval_ms}ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: {job}
    authorization: {{credentials_file: "{token}"}}
    static_configs: [{{targets: {targets}}}]
"""
_COMPARISON = re.compile(r"\s(==|<|>) [\d.e+]+$")


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer of its HTTP API."""
        answer = request(self._port, "GET", f"/api/v1/{path}?{urlencode(query)}")
        assert answer.status == 200, answer
        return answer.json()["data"]

    def values(self, expression: str) -> list[float]:
        """The values of the series that a query finds now; NaN is no value."""
        found = self.ask("query", query=expression)["result"]
        values = [float(series["value"][1]) for series in found]
        return [value for value in values if not math.isnan(value)]

    def alerts(self) -> list[Query]:
        """Name and condition of each alert that it has loaded."""
        groups = self.ask("rules")["groups"]
        return [(f"alert {rule['name']}", rule["query"]) for group in groups for rule in group["rules"]]

    def unanswered(self, queries: Sequence[Query]) -> list[Query]:
        """The queries that find nothing."""
        return [query for query in queries if not self.values(query[1])]


@contextmanager
def running(directory: Path, places: Sequence[Place], token: Path, interval_ms: int) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these nodes with the metrics token; it has answered once when this returns."""
    port = Port()
    targets = json.dumps([f"{host}:{number}" for host, number in places])
    file = directory / "prometheus.yml"
    rules = MONITORING / "alerts.yml"
    file.write_text(_CONFIGURATION.format(interval_ms=interval_ms, rules=rules, job=JOB, targets=targets, token=token))
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}",
             f"--web.listen-address=127.0.0.1:{port.number}", "--log.level=warn"],
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        wait_until(lambda: _answers(port.number), READY_S, f"Prometheus is ready: {log.read_text()[-2000:]}")
        yield Prometheus(port.number)
    finally:
        process.kill()
        process.wait()
        port.release()


def _answers(port: int) -> bool:
    try:
        return request(port, "GET", "/-/ready").status == 200
    except OSError:
        return False


def dashboard_queries(range_s: int) -> list[Query]:
    """Title and expression of each query of the dashboard, with all nodes chosen."""
    panels = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    filled = {"$__rate_interval": f"{range_s}s", "$job": JOB, "$instance": ".*"}
    queries = []
    for panel in panels:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in filled.items():
                expression = expression.replace(name, value)
            queries.append((panel["title"], expression))
    return queries


def without_limit(alert: Query) -> Query:
    """The alert's condition without its comparison: a healthy cluster has data for it all the same."""
    name, expression = alert
    bare, found = _COMPARISON.subn("", expression)
    assert found == 1, f"{name} does not end in a comparison with a number: {expression}"
    return name, bare
