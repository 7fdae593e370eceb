"""One post to thousands of sockets, beside the `websockets` library's own `broadcast`.

The clock runs from the moment that the post is sent until the last socket has the frame.  Ours is committed meanwhile,
on a single node, and synced to its disk; the library's server is told the very text of our frame and broadcasts that.
The same client program, the same bytes, and both servers run at the same time and are told something in turn, so that
whatever else the machine does hits both alike.

Also what a socket that is open and idle costs the server, by its resident memory.
"""

import json
import resource
import socket
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.benchmarks import broadcast_server, ours
from tests.benchmarks.crowd import Crowd
from tests.benchmarks.framework import Benchmark, Figure, Round, Setting, at_most, times_at_most
from tests.benchmarks.watching import resident_bytes_of
from tests.support.http_client import HOST
from tests.support.websocket_frames import client_frame

FEW, MANY = 1_000, 5_000
WARM_UP = 20  # posts: more than a young connection's kernel acknowledges at once, each at the sender's cost
POSTS = 20
PAUSE_S = 0.1  # between two: ours leaves as much time to the engine as a fan-out took, before it begins another one
DESCRIPTORS = 20_000
SUBSCRIBE = client_frame(json.dumps({"Action": "subscribe", "Rooms": "*"}).encode())


@dataclass(slots=True)
class Side:
    """A server with its sockets, and how long each post took to the last of them."""

    crowd: Crowd
    say: Callable[[bytes], None]
    socket_bytes: float = 0.0
    took_ms: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Theirs:
    """The library's half of a round, until it is asked for."""

    figures: dict[str, float] = field(default_factory=dict)


def our_round(setting: Setting) -> Round:
    """Both sides; the library's is left to `their_round`."""
    allow_descriptors()
    figures: dict[str, float] = {}
    theirs = _theirs(setting).figures
    for sockets in (FEW, MANY):
        mine, others = _measured(setting, setting.scaled(sockets))
        for side, found in ((mine, figures), (others, theirs)):
            found[f"{sockets:,} sockets"] = statistics.median(side.took_ms)
            found["memory a socket"] = found["memory a subscriber"] = side.socket_bytes / 1000
    with _our_server(setting.directory / "subscribed", setting.scaled(MANY), SUBSCRIBE) as side:
        figures["memory a subscriber"] = side.socket_bytes / 1000
    return Round(figures)


def their_round(setting: Setting) -> Round:
    return Round(_theirs(setting).figures)


def _theirs(setting: Setting) -> Theirs:
    @contextmanager
    def make() -> Iterator[Theirs]:
        yield Theirs()

    return setting.kept.get("broadcast", make, Theirs)


def _measured(setting: Setting, sockets: int) -> tuple[Side, Side]:
    pace, text = threading.Event(), b""  # nobody sets it
    directory = setting.directory / str(sockets)
    with _our_server(directory / "ours", sockets) as mine, _their_server(directory, sockets) as theirs:
        for number in range(WARM_UP + POSTS):
            for side in (mine, theirs):
                pace.wait(PAUSE_S if number >= WARM_UP else 0)
                seconds, frame = side.crowd.hear(partial(side.say, text))
                text = frame[4:]  # the library says what ours has said
                if number >= WARM_UP:
                    side.took_ms.append(seconds * 1000)
    return mine, theirs


@contextmanager
def _our_server(directory: Path, sockets: int, said: bytes = b"") -> Iterator[Side]:
    directory.mkdir(parents=True)
    with ours.running(directory, 1) as running, socket.create_connection((HOST, running.leader.port)) as poster:
        assert running.leader.process is not None
        poster.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"POST /rooms/{ours.ROOM} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(ours.BODY)}\r\n\r\n"
        asked = 0

        def say(_: bytes) -> None:
            nonlocal asked
            if asked:  # the answer to the post before has been there for long
                assert poster.recv(4096).startswith(b"HTTP/1.1 201 ")
            asked += 1
            poster.sendall((head + ours.BODY).encode())

        with _crowd(running.leader.port, running.leader.process.pid, sockets, said) as (crowd, cost):
            yield Side(crowd, say, cost)


@contextmanager
def _their_server(directory: Path, sockets: int) -> Iterator[Side]:
    with broadcast_server.running(directory) as (port, pid, speaker), _crowd(port, pid, sockets) as (crowd, cost):
        yield Side(crowd, lambda text: speaker.sendall(client_frame(text)), cost)


@contextmanager
def _crowd(port: int, pid: int, sockets: int, said: bytes = b"") -> Iterator[tuple[Crowd, float]]:
    """So many sockets, and what one of them costs the server in bytes."""
    with Crowd(port, said) as crowd:
        before = resident_bytes_of(pid)
        crowd.join(sockets)
        yield crowd, (resident_bytes_of(pid) - before) / sockets


def allow_descriptors() -> None:
    """This process's limit is its children's too.  Raises ValueError where the machine's is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), max(hard, DESCRIPTORS)))


BENCHMARKS = (
    Benchmark(
        "broadcast",
        "one post to so many sockets of one node, until the last has it, beside the broadcast of websockets",
        (
            Figure(f"{FEW:,} sockets", "ms", times_at_most(0.7)),
            Figure(f"{MANY:,} sockets", "ms", times_at_most(0.7)),
            Figure("memory a socket", "KB", at_most(15)),
            Figure("memory a subscriber", "KB", at_most(15)),
        ),
        our_round,
        their_round,
        peer="websockets",
        needs=("websockets",),
    ),
)
