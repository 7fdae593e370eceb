"""Posts over websockets, many under way on each, from one thread that costs little beside what it measures.

- A socket has one post under way to each of a few rooms: posts of one socket to one room follow one another whatever a
  client does, so what is sent ahead to the same room only waits, and what is sent to another goes at once.
- A frame is rendered but for its ClientId, which is a number of the same length in each; so is the place where an
  acknowledgement tells it.  The number says which socket and which room it was, and the acknowledgement is held to be
  the one that is due there: each post is acknowledged once, in its room's order.
- All acknowledgements of one recv are followed by one send of as many posts.

Anything else than an acknowledgement, and a socket that closes, is an AssertionError.
"""

import json
import select
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Self

from tests.benchmarks.closed_loop import SUBSCRIBE_TO_NOTHING
from tests.benchmarks.crowd import PING_FRAME, Crowd, without_pings
from tests.support.websocket_frames import client_frame, frame_end

RECV_BYTES = 64 * 1024  # more than all acknowledgements that one socket can wait for
ANSWER_S = 30.0  # for hopeless cases
SAMPLED = 61  # every so manieth post is timed; prime, so that all sockets and rooms get their turn

_ID_DIGITS = 15  # and a letter before them: as long as the ClientIds that the server makes where none is sent
_ACK = b'{"Ack":{"ClientId":"'
_HEAD_BYTES = 4  # of a server's frame of 126 bytes and more
_DIGITS_AT = _HEAD_BYTES + len(_ACK) + 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one call of `post` came to."""

    count: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


class Pipeline:
    """So many sockets to one port, and what all their posts took."""

    def __init__(self, port: int, sockets: int, rooms: Sequence[str], body: str, mark: str) -> None:
        """`body`: a post's JSON, without a ClientId; those begin with `mark`, a letter that no other pipeline has."""
        assert len(mark) == 1, mark
        self.took_s: list[float] = []  # of the sampled ones, from the send to the acknowledgement
        self._crowd = Crowd(port, SUBSCRIBE_TO_NOTHING)
        self._count = sockets
        self._rooms = len(rooms)
        self._slots = sockets * self._rooms  # places for one post each, that of socket s and room r is s * rooms + r
        self._due = list(range(self._slots))  # the number that is under way in each, or goes next
        self._asked_s: dict[int, float] = {}  # of the sampled ones that are under way
        self._heads, self._tails = zip(*(_frame_around_id(room, body, mark) for room in rooms), strict=True)

    def __enter__(self) -> Self:
        self._crowd.__enter__()
        self._crowd.join(self._count)
        self._sockets = list(self._crowd.sockets.values())
        self._numbers = {socket.fileno(): number for number, socket in enumerate(self._sockets)}
        self._unread = [b""] * self._count
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._crowd.__exit__(kind, error, at)

    def post(self, count: int) -> Stretch:
        """Post so many, and wait until each is acknowledged."""
        began = monotonic()
        to_send, missing = count, count
        for number in range(self._count):
            first = number * self._rooms
            slots = range(first, first + min(self._rooms, to_send))
            self._send(number, [self._due[slot] for slot in slots])
            to_send -= len(slots)
        with select.epoll() as epoll:
            for descriptor in self._numbers:
                epoll.register(descriptor, select.EPOLLIN)
            while missing:
                events = epoll.poll(ANSWER_S)
                assert events, f"{missing} posts are not acknowledged in {ANSWER_S:.0f} s"
                for descriptor, _ in events:
                    number = self._numbers[descriptor]
                    following = self._receive(number)
                    missing -= len(following)
                    self._send(number, following[:to_send])
                    to_send -= min(to_send, len(following))
        return Stretch(count, monotonic() - began)

    def p50_p99_ms(self) -> tuple[float, float]:
        took = sorted(self.took_s)
        return statistics.median(took) * 1000, took[len(took) * 99 // 100] * 1000

    def _send(self, number: int, posts: Sequence[int]) -> None:
        if not posts:
            return
        frames = []
        for post in posts:
            room = post % self._rooms
            frames.append(b"%b%015d%b" % (self._heads[room], post, self._tails[room]))
            if post % SAMPLED == 0:
                self._asked_s[post] = monotonic()
        data = b"".join(frames)
        sent = self._sockets[number].send(data)
        assert sent == len(data), "what one socket has under way fits its buffer"

    def _receive(self, number: int) -> list[int]:
        """What goes next in the places whose posts are acknowledged now."""
        socket = self._sockets[number]
        data = socket.recv(RECV_BYTES)
        assert data, "a socket was closed"
        data = self._unread[number] + data
        if PING_FRAME in data:  # no text in ASCII has it, but a length may
            data = without_pings(data, socket)
        following, start, slots, due = [], 0, self._slots, self._due
        while end := frame_end(data, start):
            assert data.startswith(_ACK, start + _HEAD_BYTES), f"not an acknowledgement: {data[start:end]!r}"
            post = int(data[start + _DIGITS_AT : start + _DIGITS_AT + _ID_DIGITS])
            assert due[post % slots] == post, f"{post} is acknowledged, due is {due[post % slots]}"
            due[post % slots] = post + slots
            following.append(post + slots)
            if post in self._asked_s:
                self.took_s.append(monotonic() - self._asked_s.pop(post))
            start = end
        self._unread[number] = data[start:]
        return following


def _frame_around_id(room: str, body: str, mark: str) -> tuple[bytes, bytes]:
    """A post's frame before the digits of its ClientId, and after."""
    digits = "-" * _ID_DIGITS
    post = {"Action": "post", "RoomName": room, "Post": json.loads(body) | {"ClientId": mark + digits}}
    head, _, tail = client_frame(json.dumps(post, separators=(",", ":")).encode()).partition(digits.encode())
    return head, tail
