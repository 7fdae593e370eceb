"""Real nodes answer as their own /openapi.json says: what is drawn from that is sent, and every answer looked at.

These are slices; `python -m tests.contract --cases 10000` sends as many as are asked for.
"""

from pathlib import Path

from tests.cluster.people import FLAGS, QUICK_PASSWORDS, People
from tests.contract.cases import Report, run
from tests.contract.citizens import Citizens
from tests.support.cluster import Cluster

ONE_TURN = 1  # of each operation and mode, whatever comes to more


def test_every_answer_of_an_open_node_is_one_that_openapi_json_tells(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        report = run(cluster.start_ready().nodes[1].url, ONE_TURN)
    hold(report, {200, 201, 204, 400, 404, 409})


def test_every_answer_under_a_login_is_one_that_openapi_json_tells(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        cluster.start()
        citizens = Citizens(People(cluster))
        report = run(cluster.nodes[1].url, ONE_TURN, identities=citizens)
    hold(report, {200, 201, 204, 400, 401, 403, 404})


def hold(report: Report, met: set[int]) -> None:
    """Nothing was answered otherwise; `met`: statuses without which nothing was tried."""
    assert not report.failures, f"{report}\n\n" + "\n\n".join(report.failures.values())
    assert met <= set(report.statuses)
