"""Deleted rooms and retention in a real cluster: all nodes let go of the same posts, and no restart brings one back."""

import json
import re
from pathlib import Path

from tests.support.cluster import READY_S, Cluster
from tests.support.curl import curl
from tests.support.http_client import Answer
from tests.support.waiting import wait_until

ROOMS = ("general", "old", "again")
QUERIES = ("", "?after=0&limit=3", "?before=25&limit=3", "?around=20&limit=4", "?limit=1000")

REQUEST_ID = re.compile(rb', "request_id": "[0-9a-f]{16}"')


def told(cluster: Cluster, id: int) -> list[tuple[int, str | None, bytes]]:
    """All that a node says of the rooms: status, Link and body of every page, byte for byte but a refusal's own id."""
    targets = ["/rooms", "/rooms?details=true"]
    for room in ROOMS:
        targets += [f"/rooms/{room}{query}" for query in QUERIES]
        targets += [f"/rooms/{room}/messages/{id}" for id in (1, 15, 25, 26, 30, 31)]
    answers = [cluster.request(id, "GET", target) for target in targets]
    return [(answer.status, answer.headers["Link"], REQUEST_ID.sub(b"", answer.body)) for answer in answers]


def change(cluster: Cluster, id: int, method: str, room: str, body: str | None = None) -> Answer:
    """The answer, once the cluster knows that every member knows such a change, which is soon after the first start."""

    def asked() -> Answer | None:
        answer = cluster.request(id, method, f"/rooms/{room}", body)
        return None if answer.status == 409 else answer

    return wait_until(asked, READY_S, f"{method} of a room is known to every member")


def test_what_is_gone_is_gone_on_every_node_and_stays_so_over_a_restart(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        for number in range(1, 26):
            for room in ROOMS:
                posted = cluster.post(1 + number % 3, room, f"m{number}", ClientId=f"{room}-{number}")
                assert posted.status == 201

        retention = json.dumps({"Retention": {"MaxMessages": 10}})
        assert change(cluster, 2, "PATCH", "general", retention).status == 200
        assert curl("-X", "DELETE", f"{cluster.nodes[3].url}/rooms/old") == ""
        assert cluster.request(1, "DELETE", "/rooms/again").status == 204
        for number in range(26, 31):
            assert cluster.post(1 + number % 3, "general", f"m{number}").status == 201
        assert cluster.post(2, "again", "m26").json()["Id"] == 26

        first = told(cluster, 1)
        rooms = json.loads(first[1][2])
        assert [(room["Name"], room["Messages"], room["Retention"]) for room in rooms] == [
            ("again", 1, None),
            ("general", 10, {"MaxMessages": 10}),
        ]
        assert [post["Id"] for post in cluster.request(3, "GET", "/rooms/general?after=0").json()] == [*range(21, 31)]
        assert [cluster.request(2, "GET", f"/rooms/general/messages/{id}").status for id in (20, 21, 31)] == [
            410, 200, 404,
        ]  # fmt: skip
        for id in (2, 3):
            assert told(cluster, id) == first
        cluster.kill()
        cluster.restart()
        for id in cluster.nodes:
            assert told(cluster, id) == first
        repeat = cluster.post(3, "old", "m7", ClientId="old-7")
        assert (repeat.status, repeat.json()["code"]) == (410, "gone")
        assert told(cluster, 2) == first


def test_a_subscriber_hears_of_a_deletion_live_and_by_its_cursor_on_another_node(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        for room in ("general", "other"):
            assert cluster.post(1, room, "hello").status == 201
        with cluster.subscribed(1) as (live, cursor):
            assert change(cluster, 2, "DELETE", "general").status == 204
            frame = live.hear_any()
            assert frame["Event"] == {"Type": "RoomDeleted", "RoomName": "general"}
            assert cluster.post(3, "general", "again").status == 201
            assert live.hear_any()["Post"]["Id"] == 2
        with cluster.subscribed(3, cursor) as (resumed, _):
            assert resumed.hear_any() == frame
            assert resumed.hear_any()["Post"]["Id"] == 2
