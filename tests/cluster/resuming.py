"""A node dies with all its websockets, which go on at the others: `python -m tests.cluster.resuming --sockets 1000`.

Every socket subscribes to one room on one node, while writers post through all three.  The node is killed with -9;
each socket then does what a client does: it goes to the next of the nodes that its Hello named, with its last cursor.
What it heard before and after has to be every post once, in the order of their Ids.

All sockets are one thread's, so the figures hold its own time too: some 50 µs for each that comes back.
"""

import argparse
import json
import selectors
import socket
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from urllib.parse import urlsplit

from tests.cluster.writers import acknowledged_by, count_posts, load, wait_for_posts
from tests.support.cluster import Cluster
from tests.support.http_client import HOST
from tests.support.waiting import wait_until
from tests.support.websocket_frames import CLOSE, FIN, PING, PONG, TEXT, client_frame, frame_at, handshake

ROOM = "general"
WRITERS = 4
PAUSE_S = 0.02  # of a writer after each post: some 150 posts a second, each to every socket
POSTS_BEFORE = 100  # the node is killed
POSTS_AFTER = 200
TRY_AGAIN_S = 0.05  # after a node that did not take it
DEADLINE_S = 30
EVERYBODY_S = 60  # for thousands of sockets to be greeted


@dataclass(frozen=True, slots=True)
class Result:
    """What the sockets went through.  Times are seconds from just before the kill, ascending, one for each socket."""

    posts: int
    missed: int
    repeated: int
    greeted_s: list[float]  # by another node
    caught_up_s: list[float]  # heard the first post that it had not heard before

    def within(self, seconds: float) -> float:
        """Which part of the sockets had caught up by then."""
        return sum(took <= seconds for took in self.caught_up_s) / len(self.caught_up_s)


class Subscriber:
    """One socket after the other, each going on where the last one ended."""

    def __init__(self, port: int, user: str | None) -> None:
        self.ports = [port]  # this one first; the others as the Hello names them
        self.user = user
        self.ids: list[int] = []  # of the posts heard
        self.cursor: str | None = None
        self.greeted_at: list[float] = []
        self.heard_at = 0.0  # the first post after the last greeting
        self.socket = socket.socket()
        self._unread = bytearray()
        self._upgraded = False

    def connect(self) -> None:
        """Begin to; nothing here waits."""
        self.socket.setblocking(False)
        self.socket.connect_ex((HOST, self.ports[0]))
        self._unread.clear()
        self._upgraded = False

    def connected(self) -> None:
        """Say all there is to say.  Raises OSError: nobody is there."""
        subscribe = {"Action": "subscribe", "Rooms": [ROOM], "User": self.user, "Cursor": self.cursor}
        self.socket.sendall(handshake(self.ports[0]) + client_frame(json.dumps(subscribe).encode()))

    def receive(self, known: dict[bytes, tuple[int, str]]) -> bool:
        """Take in what has come; False: the connection is over.  `known`: the Id and the cursor of each payload."""
        try:
            received = self.socket.recv(1 << 16)
        except OSError:
            return False
        self._unread += received
        if not self._upgraded:
            head, end, rest = self._unread.partition(b"\r\n\r\n")
            if not end:
                return bool(received)
            if not head.startswith(b"HTTP/1.1 101 "):
                return False
            self._unread, self._upgraded = rest, True
        start = 0
        while (frame := frame_at(self._unread, start)) is not None:
            opcode, payload, start = frame
            if opcode == CLOSE:
                return False
            if opcode == PING:
                self.socket.send(client_frame(payload, FIN | PONG))
            elif opcode == TEXT:
                self._take(payload, known)
        del self._unread[:start]
        return bool(received)

    def _take(self, payload: bytes, known: dict[bytes, tuple[int, str]]) -> None:
        if payload.startswith(b'{"Hello"'):
            hello = json.loads(payload)["Hello"]
            self.cursor = hello["Cursor"]
            self.ports = [urlsplit(url).port or 0 for url in hello["Nodes"]]
            self.greeted_at.append(monotonic())
            self.heard_at = 0.0
            return
        if payload.startswith(b'{"Presence"'):  # hundreds for each that comes
            return
        if payload not in known:
            frame = json.loads(payload)
            if "Cursor" not in frame:  # before it had subscribed
                return
            known[payload] = frame["Post"]["Id"], frame["Cursor"]
        id, self.cursor = known[payload]
        self.ids.append(id)
        self.heard_at = self.heard_at or monotonic()

    def move_on(self) -> None:
        """To the next node."""
        self.socket.close()
        self.socket = socket.socket()
        self.ports.append(self.ports.pop(0))


class Subscribers:
    """All of them and the thread that serves them, while the block runs."""

    def __init__(self, port: int, count: int, *, named: bool) -> None:
        self.all = [Subscriber(port, f"user {number}" if named else None) for number in range(count)]
        self._selector = selectors.DefaultSelector()
        self._waiting: list[tuple[float, Subscriber]] = []  # to try the next node, and when
        self._known: dict[bytes, tuple[int, str]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="subscribers")

    def __enter__(self) -> "Subscribers":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()
        self._selector.close()
        for subscriber in self.all:
            subscriber.socket.close()

    def _run(self) -> None:
        for subscriber in self.all:
            self._connect(subscriber)
        while not self._stopping.is_set():
            for key, events in self._selector.select(TRY_AGAIN_S):
                self._serve(key.data, events)
            now = monotonic()
            due = [subscriber for at, subscriber in self._waiting if at <= now]
            self._waiting = [(at, subscriber) for at, subscriber in self._waiting if at > now]
            for subscriber in due:
                self._connect(subscriber)

    def _connect(self, subscriber: Subscriber) -> None:
        subscriber.connect()
        self._selector.register(subscriber.socket, selectors.EVENT_WRITE, subscriber)

    def _serve(self, subscriber: Subscriber, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            try:
                subscriber.connected()
            except OSError:
                self._move_on(subscriber, TRY_AGAIN_S)
            else:
                self._selector.modify(subscriber.socket, selectors.EVENT_READ, subscriber)
        elif not subscriber.receive(self._known):
            self._move_on(subscriber, 0.0)

    def _move_on(self, subscriber: Subscriber, after_s: float) -> None:
        self._selector.unregister(subscriber.socket)
        subscriber.move_on()
        if after_s:
            self._waiting.append((monotonic() + after_s, subscriber))
        else:
            self._connect(subscriber)

    def all_have(self, id: int) -> bool:
        return all(subscriber.ids and subscriber.ids[-1] >= id for subscriber in self.all)


def measure(directory: Path, *, sockets: int = 200, kill_leader: bool = True, named: bool = False) -> Result:
    """`named`: each is another user's.  Raises AssertionError where a post does not reach every socket in time."""
    with Cluster(directory) as cluster:
        leader = cluster.start_ready().wait_leader()
        doomed = leader if kill_leader else next(id for id in cluster.nodes if id != leader)
        with (
            Subscribers(cluster.nodes[doomed].port, sockets, named=named) as subscribers,
            load(cluster.ports(), writers=WRITERS, rooms=[ROOM], pause_s=PAUSE_S) as writers,
        ):
            all_greeted = "every socket is greeted"
            wait_until(lambda: all(each.greeted_at for each in subscribers.all), EVERYBODY_S, all_greeted)
            wait_for_posts(writers, count_posts(writers) + POSTS_BEFORE)
            wait_until(lambda: all(each.ids for each in subscribers.all), DEADLINE_S, "every socket has heard a post")
            killed_at = monotonic()
            cluster.kill(doomed)
            wait_for_posts(writers, count_posts(writers) + POSTS_AFTER)
            for writer in writers:
                writer.stop()
                writer.join()
            newest = max(told.id for told in acknowledged_by(writers))
            wait_until(lambda: subscribers.all_have(newest), DEADLINE_S, f"every socket has heard post {newest}")
        return result(subscribers.all, newest, killed_at)


def result(subscribers: Sequence[Subscriber], newest: int, killed_at: float) -> Result:
    missed = repeated = 0
    for subscriber in subscribers:
        heard = set(subscriber.ids)
        missed += newest - subscriber.ids[0] + 1 - len(heard)
        repeated += len(subscriber.ids) - len(heard)
    if not repeated:
        assert all(subscriber.ids == sorted(subscriber.ids) for subscriber in subscribers), "posts out of order"
    return Result(
        posts=newest,
        missed=missed,
        repeated=repeated,
        greeted_s=sorted(subscriber.greeted_at[-1] - killed_at for subscriber in subscribers),
        caught_up_s=sorted(subscriber.heard_at - killed_at for subscriber in subscribers),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--follower", action="store_true", help="kill a follower, not the leader")
    parser.add_argument("--named", action="store_true", help="each socket says who it is, and is told who is there")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raft-chat-resuming-") as directory:
        seen = measure(Path(directory), sockets=flags.sockets, kill_leader=not flags.follower, named=flags.named)
    print(f"{flags.sockets} sockets, {seen.posts} posts: {seen.missed} missed, {seen.repeated} repeated")
    for what, took in (("greeted by another node", seen.greeted_s), ("caught up", seen.caught_up_s)):
        p50, p95 = took[len(took) // 2], took[len(took) * 95 // 100]
        print(f"{what}: p50 {p50:.2f} s, p95 {p95:.2f} s, the last {took[-1]:.2f} s after the kill")
    print(f"within 2 s: {seen.within(2):.1%}")


if __name__ == "__main__":
    main()
