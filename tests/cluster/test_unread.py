"""What is unread, who is mentioned and what is pinned: the same on every node, and still so when all were killed."""

from pathlib import Path
from typing import Any

from tests.cluster.people import FLAGS, QUICK_PASSWORDS, People, wait_login
from tests.support.cluster import Cluster
from tests.support.waiting import wait_until
from tests.support.websocket_client import WebSocketClient

TOLD_S = 15  # markers go to the log every 5 s


def counts(people: People, name: str, id: int) -> tuple[int, int, int] | None:
    """What a node tells somebody of the one room there is."""
    room: dict[str, Any]
    (room,) = people.request(name, id, "GET", "/rooms?details=true").json()
    return (room["ReadId"], room["Unread"], room["Mentions"]) if "ReadId" in room else None


def test_what_is_read_on_one_node_is_read_on_all_and_outlives_them(tmp_path: Path) -> None:
    with Cluster(tmp_path, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        people = People(cluster.start_ready())
        for id, text in enumerate(("hi", "hello @bob", "@nobody and @bob"), 1):
            assert people.post("ann", id, text).status == 201
        assert people.request("bob", 2, "PUT", "/rooms/general/messages/2/pin").status == 204
        for id in cluster.nodes:
            assert counts(people, "bob", id) == (1, 2, 2)
            assert [post["Id"] for post in people.request("bob", id, "GET", "/rooms/general/pins").json()] == [2]

        with (
            WebSocketClient(cluster.nodes[1].port, token=people.token["bob"]) as laptop,
            WebSocketClient(cluster.nodes[3].port, token=people.token["bob"]) as phone,
        ):
            laptop.subscribe()
            phone.subscribe()
            phone.say(Action="read", RoomName="general", Id=2)
            while "Event" not in (told := laptop.hear()):
                assert "Presence" in told
            assert told == {"Event": {"Type": "Marked", "RoomName": "general", "Id": 2}}
        for id in cluster.nodes:
            wait_until(lambda id=id: counts(people, "bob", id) == (2, 1, 1), TOLD_S, "it is read on every node")  # type: ignore[misc]

        assert people.request("bob", 1, "PUT", "/rooms/general/read", {"Id": 3}).status == 202
        wait_until(lambda: counts(people, "bob", 2) == (3, 0, 0), TOLD_S, "it is read")
        cluster.kill(*cluster.nodes)
        cluster.start(*cluster.nodes)
        wait_login(cluster)
        for id in cluster.nodes:
            assert counts(people, "bob", id) == (3, 0, 0)
            assert [post["Id"] for post in people.request("ann", id, "GET", "/rooms/general/pins").json()] == [2]
