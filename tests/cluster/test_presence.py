"""Who is there and who types, told between real nodes beside the log."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from tests.support.cluster import Cluster
from tests.support.websocket_client import WebSocketClient

FRAME_S = 15


@contextmanager
def present(cluster: Cluster, id: int, user: str) -> Iterator[WebSocketClient]:
    """A user's websocket on one node, greeted."""
    with WebSocketClient(cluster.nodes[id].port) as client:
        client.say(Action="subscribe", Rooms="*", User=user)
        assert next_frame(client, "Hello")
        yield client


def next_frame(client: WebSocketClient, kind: str) -> dict[str, Any]:
    """The next frame of this kind; others before it are passed over."""
    end = monotonic() + FRAME_S
    while kind not in (frame := client.hear_any(max(0.0, end - monotonic()))):
        pass
    found = frame[kind]
    assert isinstance(found, dict)
    return found


def online(user: str) -> dict[str, object]:
    return {"User": user, "Online": True}


def test_who_is_there_and_who_types_is_known_on_every_node_and_written_on_none(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leader = cluster.start_ready().wait_settled()
        written = cluster.nodes[leader].status()["LastIndex"]
        with present(cluster, 1, "ann") as ann, present(cluster, 2, "bob") as bob:
            assert {next_frame(ann, "Presence")["User"] for _ in range(2)} == {"ann", "bob"}
            assert {next_frame(bob, "Presence")["User"] for _ in range(2)} == {"ann", "bob"}
            with present(cluster, 3, "eve") as eve:
                assert {next_frame(eve, "Presence")["User"] for _ in range(3)} == {"ann", "bob", "eve"}
                assert next_frame(ann, "Presence") == next_frame(bob, "Presence") == online("eve")
                eve.say(Action="typing", RoomName="general", User="eve")
                for websocket in (ann, bob, eve):
                    assert next_frame(websocket, "Typing") == {"RoomName": "general", "User": "eve"}
            for websocket in (ann, bob):
                assert next_frame(websocket, "Presence") == {"User": "eve", "Online": False}
        assert cluster.nodes[leader].status()["LastIndex"] == written


def test_who_goes_on_at_another_node_when_his_own_is_killed_was_not_away(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        with present(cluster, 1, "ann") as ann:
            assert next_frame(ann, "Presence") == online("ann")
            with present(cluster, 2, "bob") as bob:
                assert next_frame(ann, "Presence") == online("bob")
                cluster.kill(2)
                bob.close()
            with present(cluster, 3, "bob") as again:
                assert {next_frame(again, "Presence")["User"] for _ in range(2)} == {"ann", "bob"}
                again.say(Action="typing", RoomName="general", User="bob")
                frames = [ann.hear_any()]
                assert frames == [{"Typing": {"RoomName": "general", "User": "bob"}}]
