"""Live posts from a cluster: every socket gets every post once and in order, and a cursor is good on every node."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.cluster import fanout
from tests.support.cluster import Cluster

FRAME_S = 10


def test_two_hundred_sockets_get_every_post_once_and_in_order(tmp_path: Path) -> None:
    result = fanout.measure(tmp_path, seconds=10)
    assert result.posts > 100


@contextmanager
def subscribed(cluster: Cluster, id: int, cursor: str | None = None) -> Iterator[tuple[ClientConnection, str]]:
    """A socket to one node that gets all rooms, and the cursor that it was greeted with."""
    with connect(f"ws://127.0.0.1:{cluster.nodes[id].port}/ws", compression=None) as websocket:
        subscribe = {"Action": "subscribe", "Rooms": "*"} | ({"Cursor": cursor} if cursor else {})
        websocket.send(json.dumps(subscribe))
        frame = next_frame(websocket)
        while "Hello" not in frame:  # until it subscribes a socket listens to everything
            assert frame.keys() == {"RoomName", "Post"}
            frame = next_frame(websocket)
        hello = frame["Hello"]
        assert set(hello["Nodes"]) == {node.url for node in cluster.nodes.values()}
        assert hello["Nodes"][0] == cluster.nodes[id].url
        yield websocket, hello["Cursor"]


def next_frame(websocket: ClientConnection) -> dict[str, Any]:
    frame = json.loads(websocket.recv(FRAME_S))
    assert isinstance(frame, dict)
    return frame


def next_post(websocket: ClientConnection) -> tuple[str, int, str]:
    """The next frame's room, Id and cursor; it is a post."""
    frame = next_frame(websocket)
    return frame["RoomName"], frame["Post"]["Id"], frame["Cursor"]


def test_a_cursor_resumes_on_another_node_without_a_hole_or_a_repeat(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leader = cluster.start_ready().wait_ready()
        first, second = (id for id in cluster.nodes if id != leader)
        with subscribed(cluster, leader) as (websocket, _):
            assert cluster.post(first, "general", "one").status == 201
            room, id, cursor = next_post(websocket)
            assert (room, id) == ("general", 1)

        cluster.kill(leader)
        cluster.wait_ready()
        for text in ("two", "three"):
            assert cluster.post(first, "general", text).status == 201
        with subscribed(cluster, second, cursor) as (websocket, _):
            assert next_post(websocket)[:2] == ("general", 2)
            assert next_post(websocket)[:2] == ("general", 3)
            assert cluster.post(second, "random", "live").status == 201
            assert next_post(websocket)[:2] == ("random", 1)


def test_a_post_over_the_websocket_is_acknowledged_and_read_on_every_node(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        post = {"Message": "over the socket", "User": "ann", "ClientId": "c-1"}
        with subscribed(cluster, 2) as (websocket, _):
            websocket.send(json.dumps({"Action": "post", "RoomName": "general", "Post": post}))
            frames = [next_frame(websocket), next_frame(websocket)]
        (ack,) = (frame["Ack"] for frame in frames if "Ack" in frame)
        (seen,) = (frame for frame in frames if "RoomName" in frame)
        assert ack["ClientId"] == "c-1"
        assert ack["RoomName"] == seen["RoomName"] == "general"
        assert ack["Post"] == seen["Post"]
        for id in cluster.nodes:
            assert cluster.request(id, "GET", "/rooms/general").json() == [seen["Post"]]
