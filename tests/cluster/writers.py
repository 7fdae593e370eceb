"""Writers that put a load on the nodes, and the check that every node has what they were told.

A writer does what api.md asks of a client: a ClientId with every post, and the same one again, on the next node, until
the post is acknowledged.  What it was told is what the cluster is held to.
"""

import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from tests.support.http_client import Answer, HttpClient
from tests.support.waiting import LOOK_AGAIN_S, wait_until

PAGE = 1000  # posts a page, the most that api.md allows
TRY_AGAIN = {503, 504}  # not proposed; outcome unknown: both are safe to repeat with the same ClientId


def read_room(port: int, room: str, *, stale: bool = False) -> list[dict[str, Any]]:
    """Every post of a room, page by page, oldest first."""
    posts: list[dict[str, Any]] = []
    consistency = "&consistency=stale" if stale else ""
    with HttpClient(port) as client:
        while True:
            last = posts[-1]["Id"] if posts else 0
            path = f"/rooms/{room}?after={last}&limit={PAGE}{consistency}"

            def page(path: str = path) -> Answer | None:
                answer = client.request("GET", path)
                return None if answer.status in TRY_AGAIN else answer

            answer = wait_until(page, 15, f"{path} is answered by port {port}")
            assert answer.status == 200, answer
            found = answer.json()
            if not found:
                return posts
            posts += found


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What a writer was told: this post stands in this room under this Id.  Times are monotonic seconds."""

    room: str
    user: str
    client_id: str
    message: str
    id: int
    began: float  # the first try
    at: float


class Writer(threading.Thread):
    """Posts one message after the other, as fast as they are acknowledged, until it is told to stop.

    With `pause_s` it waits so long after each, where it is not its own rate that is wanted.
    """

    def __init__(self, name: str, ports: Sequence[int], rooms: Sequence[str], pause_s: float = 0.0) -> None:
        super().__init__(name=name)
        self._pause_s = pause_s
        self._ports = itertools.cycle(ports)
        self._rooms = rooms
        self._stopping = threading.Event()
        self.acknowledged: list[Acknowledged] = []
        self.surprises: list[Answer] = []  # neither an acknowledgement nor a reason to try again

    def run(self) -> None:
        client = HttpClient(next(self._ports))
        for number in itertools.count(1):
            room = self._rooms[number % len(self._rooms)]
            client_id, message = f"{self.name}-{number}", f"{self.name} says {number}"
            began = monotonic()
            while not self._stopping.is_set():
                if self._post(client, room, client_id, message, began):
                    break
                client.close()
                client = HttpClient(next(self._ports))
            if self._stopping.wait(self._pause_s):
                break
        client.close()

    def _post(self, client: HttpClient, room: str, client_id: str, message: str, began: float) -> bool:
        """Whether this post needs no further try."""
        try:
            answer = client.post(room, message, self.name, client_id)
        except OSError:
            self._stopping.wait(LOOK_AGAIN_S)
            return False
        if answer.status in TRY_AGAIN:
            self._stopping.wait(LOOK_AGAIN_S)
            return False
        if answer.status in {200, 201}:
            id = answer.json()["Id"]
            self.acknowledged.append(Acknowledged(room, self.name, client_id, message, id, began, monotonic()))
        else:
            self.surprises.append(answer)
        return True

    def stop(self) -> None:
        self._stopping.set()


@contextmanager
def load(
    ports: Sequence[int],
    *,
    writers: int = 4,
    rooms: Sequence[str] = ("general",),
    prefix: str = "writer",
    pause_s: float = 0.0,
) -> Iterator[list[Writer]]:
    """Writers at work, each beginning at another node, while the block runs; they have ended when it is left."""
    at_work = [
        Writer(f"{prefix}{n}", [*ports[n % len(ports) :], *ports[: n % len(ports)]], rooms, pause_s)
        for n in range(writers)
    ]
    for writer in at_work:
        writer.start()
    try:
        yield at_work
    finally:
        for writer in at_work:
            writer.stop()
        for writer in at_work:
            writer.join()


def acknowledged_by(writers: Sequence[Writer]) -> list[Acknowledged]:
    """Everything the writers were told; they were told nothing unexpected."""
    assert [surprise for writer in writers for surprise in writer.surprises] == []
    return [acknowledgement for writer in writers for acknowledgement in writer.acknowledged]


def check_history(acknowledged: Sequence[Acknowledged], rooms: dict[str, list[dict[str, Any]]]) -> None:
    """Every acknowledged post stands once, where its writer was told, and the Ids of a room count without a gap."""
    for room, posts in rooms.items():
        assert [post["Id"] for post in posts] == list(range(1, len(posts) + 1)), f"the Ids of {room} have a gap"
        told = [(post["User"], post["ClientId"]) for post in posts]
        assert len(set(told)) == len(told), f"{room} has a post twice"
    for told_post in acknowledged:
        posts = rooms[told_post.room]
        assert told_post.id <= len(posts), f"lost: {told_post}"
        post = posts[told_post.id - 1]
        stands = (post["User"], post["ClientId"], post["Message"])
        assert stands == (told_post.user, told_post.client_id, told_post.message), f"told {told_post}, stands {post}"


def check_every_node(ports: Iterable[int], rooms: Sequence[str], acknowledged: Sequence[Acknowledged]) -> None:
    """Every node tells the same history, and it holds all that was acknowledged."""
    told = [{room: read_room(port, room) for room in rooms} for port in ports]
    assert all(history == told[0] for history in told), "the nodes tell different histories"
    check_history(acknowledged, told[0])


def wait_for_posts(writers: Sequence[Writer], count: int, deadline_s: float = 30) -> None:
    """Until they have been told of so many posts, all together."""
    wait_until(lambda: count_posts(writers) >= count, deadline_s, f"{count} posts are acknowledged")


def count_posts(writers: Sequence[Writer]) -> int:
    return sum(len(writer.acknowledged) for writer in writers)
