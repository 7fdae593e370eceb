"""A real node answers as its own /openapi.json says: what is drawn from that is sent, and every answer looked at.

These are slices; `python -m tests.contract --cases 10000` sends as many as are asked for.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.harness import Cluster
from tests.contract.cases import run

CASES = 200


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory: Path = tmp_path_factory.mktemp("open")
    with Cluster(directory, 1) as cluster:
        yield cluster.start_ready().nodes[1].url


def test_every_answer_of_an_open_node_is_one_that_openapi_json_tells(url: str) -> None:
    report = run(url, CASES)
    assert not report.failures, f"{report}\n\n" + "\n\n".join(report.failures.values())
    assert {200, 201, 204, 400, 404, 410} <= set(report.statuses)  # else nothing was met
