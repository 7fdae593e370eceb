"""One websocket of a real node, frame by frame."""

import json
import socket
from collections.abc import Iterator
from typing import Any, Self

from tests.cluster.listeners import CLOSE, PING, PONG, TEXT, client_frame, frame_at, upgrade
from tests.support.cluster import NodeProcess
from tests.support.http_client import HOST

FRAME_S = 10


class Socket:
    """A client that sees every frame, pings too."""

    def __init__(self, node: NodeProcess, token: str | None = None) -> None:
        self.socket = socket.create_connection((HOST, node.port), FRAME_S)
        headers = () if token is None else (f"Authorization: Bearer {token}",)
        self.socket.sendall(upgrade(node.port, *headers))
        self._unread = bytearray()
        try:
            self._take_head()
        except BaseException:  # it was refused
            self.socket.close()
            raise

    def _take_head(self) -> None:
        while b"\r\n\r\n" not in self._unread:
            self._receive()
        head, _, rest = bytes(self._unread).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self._unread = bytearray(rest)

    def _receive(self) -> None:
        data = self.socket.recv(1 << 16)
        assert data, "the connection has ended"
        self._unread += data

    def frame(self) -> tuple[int, bytes]:
        """The opcode and the payload of the next frame."""
        while (found := frame_at(self._unread, 0)) is None:
            self._receive()
        opcode, payload, end = found
        del self._unread[:end]
        return opcode, payload

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Those that are here already; and what has come, where something has."""
        self._receive()
        while (found := frame_at(self._unread, 0)) is not None:
            opcode, payload, end = found
            del self._unread[:end]
            yield opcode, payload

    def say(self, **said: object) -> None:
        self.send(TEXT, json.dumps(said).encode())

    def send(self, opcode: int, payload: bytes) -> None:
        self.socket.sendall(client_frame(opcode, payload))

    def hear(self) -> dict[str, Any]:
        """The next message; pings are answered."""
        while (frame := self.frame())[0] == PING:
            self.send(PONG, frame[1])
        opcode, payload = frame
        assert opcode == TEXT, frame
        found = json.loads(payload)
        assert isinstance(found, dict)
        return found

    def hear_close(self) -> int:
        """The code that the node closes it with."""
        while (frame := self.frame())[0] != CLOSE:
            pass
        return int.from_bytes(frame[1][:2])

    def subscribe(self, cursor: str | None = None, ticket: str | None = None) -> str:
        """The cursor that it is greeted with."""
        self.say(Action="subscribe", Rooms="*", Cursor=cursor, **({} if ticket is None else {"Ticket": ticket}))
        while "Hello" not in (frame := self.hear()):  # what came while it only listened
            assert frame.keys() == {"RoomName", "Post"}, frame
        return str(frame["Hello"]["Cursor"])

    def next_post(self) -> tuple[str, str]:
        """The next post's text and cursor, whatever else is told before."""
        while "Post" not in (frame := self.hear()):
            pass
        return frame["Post"]["Message"], frame["Cursor"]

    def next_texts(self, posts: int) -> list[str]:
        """Of so many posts."""
        return [self.next_post()[0] for _ in range(posts)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
