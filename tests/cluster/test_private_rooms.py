"""A private room is there for its members on every node, and for nobody else on any."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.cluster.people import FLAGS, QUICK_PASSWORDS, People
from tests.support.cluster import Cluster
from tests.support.websocket_client import WebSocketClient


def listening(people: People, name: str, id: int) -> WebSocketClient:
    """A client of theirs that hears of all that they see, from now on."""
    client = WebSocketClient(people.cluster.nodes[id].port, token=people.token[name])
    client.say(Action="subscribe", Rooms="*")
    assert "Hello" in client.hear_any()
    return client


def told(listener: WebSocketClient) -> dict[str, Any]:
    """The next message with a cursor."""
    while "Cursor" not in (message := listener.hear_any()):
        pass
    return message


def test_a_private_room_is_there_for_its_members_on_every_node_and_for_nobody_else(tmp_path: Path) -> None:
    with Cluster(tmp_path, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        cluster.start_ready()
        people = People(cluster)
        made = people.request("bob", 1, "POST", "/rooms", {"Name": "plans", "Visibility": "private"})
        assert made.status == 201
        room = made.json()["Name"]
        for id in cluster.nodes:  # each holds what is acknowledged by then, so that nobody is told of it as of news
            assert people.request("bob", id, "GET", "/rooms").json() == [room]
        gus, bob = listening(people, "gus", 3), listening(people, "bob", 2)
        assert people.post("bob", 1, "first", quote(room)).status == 201
        assert told(bob)["Post"]["Message"] == "first"
        for id in cluster.nodes:
            assert people.request("gus", id, "GET", f"/rooms/{room}").json() == []
            assert people.request("gus", id, "GET", f"/rooms/{room}/messages/1").status == 404
            assert people.request("gus", id, "GET", "/rooms").json() == []
            assert people.post("gus", id, "hello?", room).status == 404
            assert [post["Message"] for post in people.request("bob", id, "GET", f"/rooms/{room}").json()] == ["first"]
        assert people.request("bob", 2, "PUT", f"/rooms/{room}/members/gus").status == 204
        came = told(gus)["Event"]
        assert (came["Type"], came["Room"]["Name"]) == ("RoomChanged", room), "of what was said before he hears nothing"
        assert people.post("gus", 3, "hello", room).status == 201
        assert told(gus)["Post"]["Message"] == "hello"
        assert people.request("bob", 3, "DELETE", f"/rooms/{room}/members/gus").status == 204
        assert told(gus)["Event"]["Type"] == "RoomDeleted"
        assert people.post("bob", 1, "he is gone", room).status == 201
        assert people.request("bob", 1, "PUT", "/rooms/lobby").status == 201
        assert people.request("bob", 2, "PUT", "/rooms/lobby/members/gus").status == 204
        assert told(gus)["Event"]["RoomName"] == "lobby", "and of what is said after he has gone nothing either"
        for listener in (gus, bob):
            listener.close()
        cluster.kill()
        cluster.restart()
        for id in cluster.nodes:
            assert people.request("gus", id, "GET", "/rooms").json() == ["lobby"]
            assert people.request("bob", id, "GET", "/rooms").json() == ["lobby", room]
            assert people.request("gus", id, "GET", f"/rooms/{room}/members").status == 404
