"""Hundreds of websockets that only listen, in one thread, checking every frame they get.

A client that checks every frame costs more than the server does; so a listener is a plain socket.  The server sends all
clients the same bytes, so a payload is decoded once and then recognised.
"""

import json
import selectors
import socket
import threading
from collections.abc import Sequence
from types import TracebackType

from tests.support.http_client import HOST
from tests.support.websocket_frames import CLOSE, FIN, PING, PONG, TEXT, client_frame, frame_at, handshake

CONNECT_S = 10


class Listener:
    """One socket: what it has got so far, and what was wrong with it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.last_ids: dict[str, int] = {}  # by room
        self.first_ids: dict[str, int] = {}
        self.wrong: str | None = None
        self.socket = socket.create_connection((HOST, port), timeout=CONNECT_S)
        self._unread = bytearray(self._shake_hands())
        self.socket.setblocking(False)

    def _shake_hands(self) -> bytes:
        """What was read past the head of the answer."""
        self.socket.sendall(handshake(self.port))
        answer = b""
        while b"\r\n\r\n" not in answer:
            received = self.socket.recv(4096)
            assert received, f"closed during the handshake: {answer!r}"
            answer += received
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return rest

    def receive(self, known: dict[bytes, tuple[str, int]]) -> None:
        """Take in what has arrived.  `known` maps a payload to the room and Id in it, for all listeners together."""
        try:
            received = self.socket.recv(1 << 16)
        except OSError as error:
            received = b""
            self.wrong = self.wrong or str(error)
        if not received:
            self.wrong = self.wrong or "closed by the server"
            return
        self._unread += received
        start = 0
        while (frame := frame_at(self._unread, start)) is not None:
            opcode, payload, start = frame
            self._take(opcode, payload, known)
        del self._unread[:start]

    def _take(self, opcode: int, payload: bytes, known: dict[bytes, tuple[str, int]]) -> None:
        if opcode == TEXT:
            if payload not in known:
                frame = json.loads(payload)
                known[payload] = (frame["RoomName"], frame["Post"]["Id"])
            self._take_post(*known[payload])
        elif opcode == PING:
            self.socket.send(client_frame(payload, FIN | PONG))
        elif opcode == CLOSE:
            self.wrong = self.wrong or f"closed with {int.from_bytes(payload[:2])}"

    def _take_post(self, room: str, id: int) -> None:
        last = self.last_ids.get(room)
        if last is None:
            self.first_ids[room] = id
        elif id != last + 1:
            self.wrong = self.wrong or f"{room}: Id {id} after Id {last}"
        self.last_ids[room] = id


class Listeners:
    """All of them and the thread that reads them.  Opened with the object, closed with the block."""

    def __init__(self, ports: Sequence[int], count: int) -> None:
        self.all = [Listener(ports[n % len(ports)]) for n in range(count)]
        self._selector = selectors.DefaultSelector()
        for listener in self.all:
            self._selector.register(listener.socket, selectors.EVENT_READ, listener)
        self._known: dict[bytes, tuple[str, int]] = {}
        self._progress = threading.Condition()
        self._slowest: dict[str, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name="listeners")

    def __enter__(self) -> "Listeners":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()
        self._selector.close()
        for listener in self.all:
            listener.socket.close()

    def _read(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(0.1):
                listener: Listener = key.data
                listener.receive(self._known)
                if listener.wrong:
                    self._selector.unregister(listener.socket)
            self._tell_progress()

    def _tell_progress(self) -> None:
        rooms = {room for listener in self.all for room in listener.last_ids}
        with self._progress:
            self._slowest = {room: min(listener.last_ids.get(room, 0) for listener in self.all) for room in rooms}
            self._progress.notify_all()

    def wait_for(self, room: str, id: int, deadline_s: float) -> bool:
        """Whether every listener has got post `id` of the room by then, and nothing was wrong with any."""

        def known() -> bool:
            return self._slowest.get(room, 0) >= id or bool(self.wrong())

        with self._progress:
            return self._progress.wait_for(known, deadline_s) and not self.wrong()

    def wrong(self) -> list[str]:
        return [f"a socket on port {listener.port}: {listener.wrong}" for listener in self.all if listener.wrong]
