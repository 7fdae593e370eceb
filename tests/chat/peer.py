"""The other end of a websocket behind its handshake, frame by frame: it is slow, fragments messages, breaks the rules.

A client that keeps the rules is `tests/support/websocket_client.py`.
"""

import socket
from selectors import EVENT_READ, DefaultSelector
from time import monotonic

from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, TextMessage
from wsproto.utilities import LocalProtocolError

from tests.support.websocket_frames import client_frame

DEADLINE_S = 10
MASK = b"\1\2\3\4"


def tcp_pair(receive_buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
    """A connected pair of TCP sockets: the server's end and the client's."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as the server has it: what is sent is there
    client.settimeout(DEADLINE_S)
    return server, client


class Peer:
    """A client behind its handshake."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._protocol = Connection(ConnectionType.CLIENT)
        self._events: list[Event] = []

    def send(self, event: Event) -> None:
        """A frame as wsproto makes it."""
        self.socket.sendall(self._protocol.send(event))

    def say(self, text: str) -> None:
        """One text message in one frame."""
        self.send(TextMessage(text))

    def frame(self, first_byte: int, payload: bytes) -> None:
        """A masked frame of any first byte (FIN, reserved bits, opcode)."""
        self.socket.sendall(client_frame(payload, first_byte, MASK))

    def hear(self, deadline_s: float = DEADLINE_S) -> Event | None:
        """The next frame; None where the connection has ended.  TimeoutError past the deadline."""
        until = monotonic() + deadline_s
        while not self._events:
            self.socket.settimeout(max(0.01, until - monotonic()))
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            try:
                self._protocol.receive_data(data)
            except LocalProtocolError:  # bytes after the close frame: a test wants to see that there are none
                raise AssertionError(f"{len(data)} bytes after the close frame") from None
            self._events += self._protocol.events()
        return self._events.pop(0)

    def hear_text(self) -> str:
        """The next message, whole."""
        pieces: list[str] = []
        while True:
            event = self.hear()
            assert isinstance(event, TextMessage), event
            pieces.append(event.data)
            if event.message_finished:
                return "".join(pieces)

    def hear_close(self) -> int:
        """The code of the close frame, whatever comes before it; the connection ends right behind it."""
        while not isinstance(event := self.hear(), CloseConnection):
            assert event is not None, "the connection ended without a close frame"
        assert self.hear() is None
        return int(event.code)

    def hears_nothing(self) -> bool:
        """Whether nothing has arrived; only where a test knows that what could come has been sent."""
        with DefaultSelector() as selector:
            selector.register(self.socket, EVENT_READ)
            return not self._events and not selector.select(0)

    def close(self) -> None:
        """End it without a word."""
        self.socket.close()
