"""The tests' websocket client: a real handshake, JSON out, JSON in, and every frame that the node sends.

wsproto reads the node's frames, so that a test fails at one that RFC 6455 forbids.  The client reads only when a test
asks it to, and then answers pings and a close frame.

Not here, because they serve something else: `tests/chat/peer.py` is a socket behind its handshake that breaks the
rules, and what holds thousands of sockets in one thread has only `websocket_frames.py`.
"""

import base64
import http.client
import io
import json
import os
import socket
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple, Self

from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode
from wsproto.frame_protocol import Frame as ReadFrame
from wsproto.utilities import generate_accept_token

from tests.support.http_client import HOST, Answer
from tests.support.websocket_frames import CLOSE, FIN, PING, PONG, TEXT, client_frame, handshake

FRAME_S = 15.0
RECEIVE_BYTES = 1 << 16


class Frame(NamedTuple):
    """A frame as a client takes it: a message in fragments is one."""

    opcode: int
    payload: bytes


class HandshakeRefused(ConnectionError):
    """The node answered the handshake with something else than a websocket."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the handshake was refused: {answer.status} {answer.body!r}")
        self.answer = answer


class WebSocketClient:
    """One websocket of a node, open when this returns.  Raises HandshakeRefused, or any other OSError."""

    def __init__(
        self,
        port: int,
        *,
        host: str = HOST,
        token: str = "",
        headers: tuple[str, ...] = (),
        address: str = "",
        receive_buffer: int = 0,
        timeout_s: float = FRAME_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`token`: a bearer token; `headers`: more of them, as lines; `address`: the client's own; `tls`: over TLS.

        `receive_buffer`: bytes of the kernel's, where a slow reader is not to have megabytes of it.
        """
        self.hello: dict[str, Any] = {}  # of the last subscription
        self._timeout_s = timeout_s
        self._protocol = FrameProtocol(client=True, extensions=[])
        self._frames: deque[Frame] = deque()
        self._pieces: list[bytes] = []  # of a message that is not whole yet
        self.socket = socket.socket()
        try:
            self.socket.settimeout(timeout_s)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address:
                self.socket.bind((address, 0))
            if receive_buffer:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.connect((host, port))
            if tls is not None:
                self.socket = tls.wrap_socket(self.socket, server_hostname=host, suppress_ragged_eofs=False)
            authorization = (f"Authorization: Bearer {token}",) if token else ()
            self._shake_hands(port, *headers, *authorization)
        except BaseException:
            self.socket.close()
            raise

    def _shake_hands(self, port: int, *headers: str) -> None:
        key = base64.b64encode(os.urandom(16))
        self.socket.sendall(handshake(port, *headers, key=key.decode()))
        unread = b""
        while b"\r\n\r\n" not in unread:
            unread += self._received()
        head, _, rest = unread.partition(b"\r\n\r\n")
        status_line, _, lines = head.partition(b"\r\n")
        answered = http.client.parse_headers(io.BytesIO(lines + b"\r\n\r\n"))
        if not status_line.startswith(b"HTTP/1.1 101 "):
            while len(rest) < int(answered.get("Content-Length", 0)):
                rest += self._received()
            raise HandshakeRefused(Answer(int(status_line.split()[1]), answered, rest))
        assert answered["Sec-WebSocket-Accept"].encode() == generate_accept_token(key), answered
        assert "Sec-WebSocket-Extensions" not in answered, answered
        self._take(rest)

    def _received(self) -> bytes:
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionAbortedError("the connection has ended")
        return data

    def _take(self, data: bytes) -> None:
        self._protocol.receive_bytes(data)
        for read in self._protocol.received_frames():
            if read.opcode.iscontrol():  # may come between the fragments of a message
                self._frames.append(Frame(int(read.opcode), _payload(read)))
                continue
            self._pieces.append(_payload(read))
            if read.message_finished and read.frame_finished:
                self._frames.append(Frame(int(read.opcode), b"".join(self._pieces)))
                self._pieces.clear()

    # --- every frame ---

    def frame(self, timeout_s: float | None = None) -> Frame:
        """The next frame, whatever it is; it is not answered.  Raises TimeoutError, or ConnectionError at the end."""
        until = monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        while not self._frames:
            self.socket.settimeout(max(0.001, until - monotonic()))
            self._take(self._received())
        return self._frames.popleft()

    def frames(self) -> Iterator[Frame]:
        """The frames that are whole after one more read of the socket."""
        self._take(self._received())
        while self._frames:
            yield self._frames.popleft()

    def send(self, opcode: int, payload: bytes) -> None:
        """Send a frame."""
        self.send_bytes(client_frame(payload, FIN | opcode, os.urandom(4)))

    def send_bytes(self, data: bytes) -> None:
        """Send frames that a test has made, or a part of one."""
        self.socket.settimeout(self._timeout_s)
        self.socket.sendall(data)

    # --- messages ---

    def say(self, **members: object) -> None:
        """Send a JSON object."""
        self.say_raw(json.dumps(members))

    def say_raw(self, text: str) -> None:
        """Send a text."""
        self.send(TEXT, text.encode())

    def receive(self, timeout_s: float | None = None) -> Frame:
        """The next message or close frame.  Answers it if it closes, and pings before it."""
        while (frame := self.frame(timeout_s)).opcode in (PING, PONG):
            if frame.opcode == PING:
                self.send(PONG, frame.payload)
        if frame.opcode == CLOSE:
            with suppress(OSError):  # the node may have gone already
                self.send(CLOSE, frame.payload[:2])
        return frame

    def hear_any(self, timeout_s: float | None = None) -> dict[str, Any]:
        """The next message.  Raises ConnectionAbortedError where the node closes instead."""
        opcode, payload = self.receive(timeout_s)
        if opcode == CLOSE:
            raise ConnectionAbortedError(f"the node closed the websocket with {int.from_bytes(payload[:2])}")
        assert opcode == TEXT, (opcode, payload)
        message = json.loads(payload)
        assert isinstance(message, dict)
        return message

    def hear(self) -> dict[str, Any]:
        """The next message that is not about who is there."""
        while "Presence" in (message := self.hear_any()):
            pass
        return message

    def hear_close(self) -> int:
        """The code that the node closes the websocket with, whatever comes before it."""
        while (frame := self.receive()).opcode != CLOSE:
            pass
        return int.from_bytes(frame.payload[:2])

    def subscribe(self, rooms: object = "*", cursor: str | None = None, ticket: str | None = None) -> str:
        """Subscribe, and return the cursor of the Hello."""
        self.say(Action="subscribe", Rooms=rooms, Cursor=cursor, **({} if ticket is None else {"Ticket": ticket}))
        while "Hello" not in (message := self.hear()):  # what came while it only listened
            assert message.keys() == {"RoomName", "Post"}, message
        self.hello = message["Hello"]
        return str(self.hello["Cursor"])

    def next_post(self) -> dict[str, Any]:
        """The next message about a new post, whatever comes before it."""
        while "Post" not in (message := self.hear()):
            pass
        return message

    def next_texts(self, posts: int) -> list[str]:
        """The texts of so many posts."""
        return [self.next_post()["Post"]["Message"] for _ in range(posts)]

    # --- its end ---

    def close(self) -> None:
        """End the connection without a close frame."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _payload(read: ReadFrame) -> bytes:
    """A frame's payload as bytes again: wsproto gives a text as str, and a close frame as (code, reason)."""
    if read.opcode is Opcode.CLOSE:
        assert isinstance(read.payload, tuple)
        code, reason = read.payload
        return b"" if code == CloseReason.NO_STATUS_RCVD else int(code).to_bytes(2) + str(reason).encode()
    return read.payload.encode() if isinstance(read.payload, str) else bytes(read.payload)  # type: ignore[arg-type]
