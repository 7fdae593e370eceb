"""The lines of the first description that had no tick: each of them over three real nodes."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.cluster.people import FLAGS, PASSWORD, QUICK_PASSWORDS, People, wait_login
from tests.support.cluster import READY_S, Cluster
from tests.support.http_client import Answer, HttpClient
from tests.support.waiting import wait_until


def test_identity_and_login_support(tmp_path: Path) -> None:
    """Whoever is to be somebody is it on every node, whatever node he logged in at, and as long as he should be."""
    with Cluster(tmp_path, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        people = People(cluster.start_ready())

        # Who one is, is the same everywhere; who is nobody reads and writes nothing.
        for id in cluster.nodes:
            assert cluster.post(id, "general", "m", user="ann").status == 401
            assert cluster.request(id, "GET", "/rooms/general").status == 401
            assert people.post("bob", id, f"by bob at {id}").json()["User"] == "bob"
            assert people.post("bob", id, "m", User="ann").json()["code"] == "not_your_name"
            assert people.post("gus", id, "m").status == 404  # a guest is in no room yet

        # By an invite made at one node somebody signs up at another, once, and logs in at a third.
        invite = {"Role": "guest", "Rooms": ["general"]}
        secret = people.request("ann", 1, "POST", "/invites", invite).json()["Invite"]
        zoe = {"Name": "zoe", "Password": PASSWORD, "Invite": secret}
        assert cluster.request(2, "POST", "/users", json.dumps(zoe)).status == 201
        yan = json.dumps({**zoe, "Name": "yan"})
        assert cluster.request(3, "POST", "/users", yan).json()["code"] == "bad_invite"
        people.token["zoe"] = people.log_in("zoe", 3)
        assert people.post("zoe", 1, "by zoe").status == 201

        # A token that is revoked at one node is good for nothing at any.
        second = people.log_in("bob", 2)
        assert people.request("bob", 3, "POST", "/logout").status == 204
        for id, node in cluster.nodes.items():
            assert people.post("bob", id, "too late").json()["code"] == "bad_token"
            with HttpClient(node.port, token=second) as client:
                assert client.request("GET", "/rooms/general").status == 200

        # Who is deactivated is out everywhere; what he said stays, and so does his name.
        assert people.request("ann", 1, "PATCH", "/users/zoe", {"Active": False}).status == 200
        for id in cluster.nodes:
            assert people.request("zoe", id, "GET", "/rooms").status == 401
        login = json.dumps({"Name": "zoe", "Password": PASSWORD})
        assert cluster.request(2, "POST", "/login", login).json()["code"] == "bad_login"
        taken = {"Name": "zoe", "Role": "member"}
        assert people.request("ann", 2, "POST", "/users", taken).json()["code"] == "name_taken"

        # All of it outlives all nodes.
        cluster.kill()
        cluster.restart()
        wait_login(cluster)
        for id in cluster.nodes:
            posts = people.request("ann", id, "GET", "/rooms/general").json()
            assert [post["User"] for post in posts] == ["bob", "bob", "bob", "zoe"]
            assert people.post("bob", id, "too late").json()["code"] == "bad_token"
            with HttpClient(cluster.nodes[id].port, token=second) as client:
                assert client.request("GET", "/me").json()["User"] == "bob"
        leader = cluster.wait_leader()
        cluster.kill(leader)
        other = next(id for id in cluster.nodes if id != leader)
        wait_until(lambda: people.post("ann", other, "still here").status == 201, READY_S, "another node leads")


def test_pagination_of_messages_and_rooms(tmp_path: Path) -> None:
    """Whoever follows the links from node to node meets all that is there once, whatever comes meanwhile."""
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        cluster.wait_settled()
        rooms = [f"room{number:02}" for number in range(30)]
        for number, room in enumerate(rooms):
            assert cluster.request(number % 3 + 1, "PUT", f"/rooms/{room}").status == 201
        for number in range(1, 41):
            assert cluster.post(number % 3 + 1, "room07", f"{number}").json()["Id"] == number
        with somebody_posts(cluster):
            for start, relation in (("/rooms?limit=7", "next"), ("/rooms?limit=7&before=room99", "prev")):
                pages = walk(cluster, start, relation)
                met = [name for page in (pages if relation == "next" else pages[::-1]) for name in page]
                assert met == sorted(set(met)), "in order, and none twice"
                assert set(rooms) <= set(met)
            around = cluster.request(1, "GET", "/rooms?around=room15&limit=5")
            assert around.json()[2] == "room15"
            assert links(around).keys() == {"prev", "next"}
            pages = walk(cluster, "/rooms/room07?limit=9", "prev")
            ids = [post["Id"] for page in pages[::-1] for post in page]
            assert ids == list(range(1, len(ids) + 1)), "all to the beginning, in order, and none twice"
            assert len(ids) >= 40
            pages = walk(cluster, "/rooms/room07?limit=9&after=0", "next", pages_max=5)
            assert [post["Id"] for page in pages for post in page] == list(range(1, 46))
            around = cluster.request(2, "GET", "/rooms/room07?around=20&limit=3")
            assert [post["Id"] for post in around.json()] == [19, 20, 21]
            assert links(around).keys() == {"prev", "next"}
        lists = [cluster.request(id, "GET", "/rooms?details=true").json() for id in cluster.nodes]
        assert lists[0] == lists[1] == lists[2]
        assert {room["Name"]: room["Messages"] for room in lists[0]}["room07"] >= 40


@contextmanager
def somebody_posts(cluster: Cluster) -> Iterator[None]:
    """Meanwhile posts come to one room, and rooms come and go between the others; five posts before it begins."""
    begun, ended = Event(), Event()

    def post() -> None:
        for number in count(41):
            assert cluster.post(number % 3 + 1, "room07", f"{number}").status == 201
            passing = f"/rooms/room{number % 30:02}-and-a-half"
            assert cluster.request(number % 3 + 1, "PUT", passing).status == 201
            if number >= 45:
                begun.set()
            assert cluster.request((number + 1) % 3 + 1, "DELETE", passing).status == 204
            if ended.is_set():
                return

    posting = Thread(target=post, name="somebody")
    posting.start()
    try:
        assert begun.wait(30)
        yield
    finally:
        ended.set()
        posting.join()


def walk(cluster: Cluster, target: str | None, relation: str, pages_max: int = 99) -> list[list[Any]]:
    """The pages that the links lead to, each asked of the next node."""
    pages: list[list[Any]] = []
    nodes = cycle(cluster.nodes)
    while target is not None and len(pages) < pages_max:
        answer = cluster.request(next(nodes), "GET", target)
        assert answer.status == 200
        pages.append(answer.json())
        target = links(answer).get(relation)
    return pages


def links(answer: Answer) -> dict[str, str]:
    """The targets of a page's Link header by their relation."""
    return {relation: to for to, relation in re.findall(r'<([^>]*)>; rel="(\w+)"', answer.headers.get("Link", ""))}
