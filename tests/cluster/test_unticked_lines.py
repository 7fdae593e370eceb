"""The lines of the first description that had no tick: each of them over three real nodes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.cluster.clients import Answer
from tests.cluster.harness import Cluster


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
