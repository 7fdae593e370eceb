"""Every socket gets every post once, in Id order: `python -m tests.cluster.fanout --seconds 60`.

Threads post to the three nodes as fast as they are acknowledged, but never further ahead of the slowest socket than a
window: it is the delivery that is tested, not how a client is dropped that reads too slowly.
"""

import argparse
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tests.cluster.listeners import Listeners
from tests.support.cluster import Cluster
from tests.support.http_client import HttpClient

ROOMS = ("general", "random")
WINDOW = 200  # posts a room; some 30 KiB, a fraction of what the server lets a socket fall behind
DEADLINE_S = 20  # for what was posted to reach every socket


@dataclass(frozen=True, slots=True)
class Result:
    """What was posted and delivered, and in which time."""

    posts: int
    frames: int
    seconds: float


class Poster(threading.Thread):
    """Posts to one node and one room until the time is up."""

    def __init__(self, number: int, port: int, listeners: Listeners, seconds: float) -> None:
        super().__init__(name=f"poster-{number}")
        self._port = port
        self._room = ROOMS[number % len(ROOMS)]
        self._listeners = listeners
        self._seconds = seconds
        self.posted = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        end = monotonic() + self._seconds
        with HttpClient(self._port) as client:
            while monotonic() < end and not self.wrong:
                answer = client.post(self._room, f"{self.name} says {self.posted}", self.name)
                if answer.status != 201:
                    self.wrong.append(f"{self.name}: {answer}")
                    return
                self.posted += 1
                slowest = answer.json()["Id"] - WINDOW
                if not self._listeners.wait_for(self._room, slowest, DEADLINE_S):
                    self.wrong.append(f"{self.name}: not every socket has post {slowest} after {DEADLINE_S} s")


def newest_ids(cluster: Cluster) -> dict[str, int]:
    newest = {room: cluster.request(1, "GET", f"/rooms/{room}?limit=1").json() for room in ROOMS}
    return {room: posts[-1]["Id"] for room, posts in newest.items()}


def measure(directory: Path, *, seconds: float, sockets: int = 200, posters: int = 4) -> Result:
    """Raises AssertionError where a socket missed a post, got one twice or out of order, or was closed."""
    with Cluster(directory) as cluster:
        ports = cluster.start_ready().ports()
        with Listeners(ports, sockets) as listeners:
            for room in ROOMS:  # from here on every socket is known to be listening
                assert cluster.post(1, room, "first").status == 201
                assert listeners.wait_for(room, 1, DEADLINE_S), listeners.wrong()
            started_at = monotonic()
            threads = [Poster(n, ports[n % len(ports)], listeners, seconds) for n in range(posters)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            newest = newest_ids(cluster)
            arrived = [listeners.wait_for(room, id, DEADLINE_S) for room, id in newest.items()]
            taken_s = monotonic() - started_at
        assert [wrong for thread in threads for wrong in thread.wrong] + listeners.wrong() == []
        assert all(arrived), f"not every socket has got {newest}"
        assert all(listener.first_ids == dict.fromkeys(ROOMS, 1) for listener in listeners.all)
        assert all(listener.last_ids == newest for listener in listeners.all)
        posts = sum(newest.values())
        assert posts == len(ROOMS) + sum(thread.posted for thread in threads)
        return Result(posts, posts * sockets, taken_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--posters", type=int, default=4)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raft-chat-fanout-") as directory:
        result = measure(Path(directory), seconds=flags.seconds, sockets=flags.sockets, posters=flags.posters)
    print(f"{result.posts} posts from {flags.posters} threads, {result.frames} frames to {flags.sockets} sockets:")
    print(f"each once and in order, {result.frames / result.seconds:.0f} frames/s for {result.seconds:.1f} s")


if __name__ == "__main__":
    main()
