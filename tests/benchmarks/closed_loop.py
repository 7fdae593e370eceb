"""Posts over many connections from one thread, each connection waiting for its answer before it asks again.

One program for HTTP and for websockets: raw bytes out, one recv back, every answer looked at.  So what differs is what
the server does with the two.
"""

import itertools
import json
import select
import socket
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from time import monotonic

from tests.benchmarks import ours
from tests.benchmarks.crowd import PING_FRAME, Crowd, without_pings
from tests.support.http_client import HOST
from tests.support.websocket_frames import client_frame, frame_end

RECV_BYTES = 16 * 1024
ANSWER_S = 10
SUBSCRIBE_TO_NOTHING = client_frame(json.dumps({"Action": "subscribe", "Rooms": []}).encode())

Check = Callable[[bytes], bool]  # whether the answer is all there; AssertionError where it is not the one wanted


@dataclass(frozen=True, slots=True)
class Posted:
    """One run."""

    answers: int  # in all, the warm-up too
    per_second: float
    p50_ms: float
    p99_ms: float


def created(answer: bytes) -> bool:
    """A whole HTTP answer that says 201."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    assert head.startswith(b"HTTP/1.1 201 "), answer
    _, _, rest = head.partition(b"Content-Length: ")
    return len(body) == int(rest.partition(b"\r\n")[0])


def acknowledged(answer: bytes) -> bool:
    """A whole frame that is an Ack, and nothing else."""
    end = frame_end(answer, 0)
    assert end in (0, len(answer)), answer
    assert not end or answer.startswith(b'{"Ack":{"ClientId":"', 4), answer
    return bool(end)


def over_http(
    port: int, body: str, connections: int, warm_up_s: float, seconds: float, rooms: Sequence[str] = (ours.ROOM,)
) -> Posted:
    """POST to these rooms in turn."""
    rest = f"HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    requests = [f"POST /rooms/{room} {rest}".encode() for room in rooms]
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.create_connection((HOST, port))) for _ in range(connections)]
        for connected in sockets:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return ask(sockets, requests, created, warm_up_s, seconds)


def over_websockets(port: int, body: str, connections: int, warm_up_s: float, seconds: float) -> Posted:
    """The same posts, over sockets that hear nothing but their own acknowledgements."""
    post = {"Action": "post", "RoomName": ours.ROOM, "Post": json.loads(body)}
    with Crowd(port, SUBSCRIBE_TO_NOTHING) as crowd:
        crowd.join(connections)
        sockets = list(crowd.sockets.values())
        return ask(sockets, [client_frame(json.dumps(post).encode())], acknowledged, warm_up_s, seconds)


def ask(
    sockets: Sequence[socket.socket], requests: Sequence[bytes], is_whole: Check, warm_up_s: float, seconds: float
) -> Posted:
    """Send a request on each socket, the next one with each answer, for so long; then wait for the last answers."""
    following = itertools.cycle(requests)
    epoll = select.epoll()
    by_descriptor = {connected.fileno(): connected for connected in sockets}
    asked_s: dict[int, float] = {}
    partly: dict[int, bytes] = {}
    took: list[float] = []
    answers = 0
    began = monotonic()
    counted_from, end = began + warm_up_s, began + warm_up_s + seconds
    for descriptor, connected in by_descriptor.items():
        epoll.register(descriptor, select.EPOLLIN)
        asked_s[descriptor] = monotonic()
        connected.sendall(next(following))
    while asked_s:
        events = epoll.poll(ANSWER_S)
        assert events, f"{len(asked_s)} posts are not answered in {ANSWER_S} s"
        for descriptor, _ in events:
            connected = by_descriptor[descriptor]
            answer = connected.recv(RECV_BYTES)
            assert answer, "a connection was closed"
            if descriptor in partly:
                answer = partly.pop(descriptor) + answer
            if PING_FRAME in answer:  # no HTTP answer has it, and no text in ASCII
                answer = without_pings(answer, connected)
            if not is_whole(answer):
                partly[descriptor] = answer
                continue
            answers += 1
            now = monotonic()
            if now >= end:
                del asked_s[descriptor]
                continue
            if now >= counted_from:
                took.append(now - asked_s[descriptor])
            asked_s[descriptor] = now
            connected.send(next(following))
    epoll.close()
    took.sort()
    return Posted(answers, len(took) / seconds, statistics.median(took) * 1000, took[len(took) * 99 // 100] * 1000)


def room_names(count: int) -> list[str]:
    return [f"room-{number}" for number in range(count)]


def main(port: int, connections: int, rooms: int, seconds: float) -> None:
    print("posting", flush=True)
    print(json.dumps(asdict(over_http(port, ours.BODY, connections, 0, seconds, room_names(rooms)))))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
