"""What is set for the whole cluster is so on every node, and stays so."""

from pathlib import Path

from tests.support.cluster import READY_S, Cluster
from tests.support.waiting import wait_until


def test_bounds_hold_on_every_node_and_after_a_restart(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        for room in ("quiet", "own"):
            for number in range(1, 6):
                assert cluster.post(number % 3 + 1, room, f"m{number}").status == 201
        own = '{"Retention": {"MaxMessages": 4}}'
        wait_until(lambda: cluster.request(2, "PATCH", "/rooms/own", own).status == 200, READY_S, "all know how")
        answer = cluster.request(3, "PATCH", "/settings", '{"MaxRooms": 2, "Retention": {"MaxMessages": 2}}')
        assert answer.status == 200
        settings = answer.json()
        wait_until(
            lambda: len(cluster.request(1, "GET", "/rooms/quiet").json()) == 2, READY_S, "nobody posts, and all goes"
        )
        assert cluster.post(1, "third", "hello").status == 409
        cluster.kill()
        cluster.restart()
        for id in cluster.nodes:
            assert cluster.request(id, "GET", "/settings").json() == settings
            assert [post["Id"] for post in cluster.request(id, "GET", "/rooms/quiet").json()] == [4, 5]
            assert [post["Id"] for post in cluster.request(id, "GET", "/rooms/own").json()] == [2, 3, 4, 5]
        assert cluster.post(2, "third", "hello").status == 409
        assert cluster.post(2, "quiet", "hello").json()["Id"] == 6
