"""Live posts from a cluster: every socket gets every post once and in order, and a cursor is good on every node."""

from pathlib import Path
from typing import Any

from tests.cluster import fanout
from tests.support.cluster import Cluster


def test_two_hundred_sockets_get_every_post_once_and_in_order(tmp_path: Path) -> None:
    result = fanout.measure(tmp_path, seconds=10)
    assert result.posts > 100


def place(heard: dict[str, Any]) -> tuple[str, int]:
    """The room and the Id of a post that a subscriber has heard; every such message has a cursor."""
    assert "Cursor" in heard
    return heard["RoomName"], heard["Post"]["Id"]


def test_a_cursor_resumes_on_another_node_without_a_hole_or_a_repeat(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leader = cluster.start_ready().wait_ready()
        first, second = (id for id in cluster.nodes if id != leader)
        with cluster.subscribed(leader) as (websocket, _):
            assert cluster.post(first, "general", "one").status == 201
            heard = websocket.hear_any()
            assert place(heard) == ("general", 1)

        cluster.kill(leader)
        cluster.wait_ready()
        for text in ("two", "three"):
            assert cluster.post(first, "general", text).status == 201
        with cluster.subscribed(second, heard["Cursor"]) as (websocket, _):
            assert place(websocket.hear_any()) == ("general", 2)
            assert place(websocket.hear_any()) == ("general", 3)
            assert cluster.post(second, "random", "live").status == 201
            assert place(websocket.hear_any()) == ("random", 1)


def test_a_post_over_the_websocket_is_acknowledged_and_read_on_every_node(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        post = {"Message": "over the socket", "User": "ann", "ClientId": "c-1"}
        with cluster.subscribed(2) as (websocket, _):
            websocket.say(Action="post", RoomName="general", Post=post)
            frames = [websocket.hear_any(), websocket.hear_any()]
        (ack,) = (frame["Ack"] for frame in frames if "Ack" in frame)
        (seen,) = (frame for frame in frames if "RoomName" in frame)
        assert ack["ClientId"] == "c-1"
        assert ack["RoomName"] == seen["RoomName"] == "general"
        assert ack["Post"] == seen["Post"]
        for id in cluster.nodes:
            assert cluster.request(id, "GET", "/rooms/general").json() == [seen["Post"]]
