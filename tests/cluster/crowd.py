"""A crowd of hostile clients at one address, and a sink for it.

Each is a process: `python -m tests.cluster.crowd --help`.  The crowd: connections that idle, readers of an export that
read nothing, websockets that send the frame that costs most, and a program that reacts as fast as it is answered.  What
is closed comes back within a second.  It prints a line once everything is open, and goes on until its stdin ends.

The sink accepts and discards.  It answers just as much as the crowd needs to go on: what the same crowd costs the
machine by itself is measured beside it.
"""

import argparse
import json
import os
import selectors
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

from tests.support.websocket_frames import client_frame, handshake

HOST = "127.0.0.1"
CROWD = "127.0.0.2"  # where it comes from
NICE = 19
BACK_AFTER_S = 1.0  # what was closed
VARIANTS = 5  # of the frame: more names than the node remembers
AT_ONCE = 64  # connections that are opened between two looks at the others
RECEIVE_BYTES = 1 << 16
_GET = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
_EXPORT = b"GET /rooms/big/export HTTP/1.1\r\nHost: localhost\r\n\r\n"
ACCENTED = "e\u0301"
_EMOJI = "%F0%9F%91%8D"


def worst_frame(variant: int) -> bytes:
    """The legal message whose work is the most: a subscription to a thousand rooms, with names to be normalised."""
    rooms = [f"{variant}{number:03}" + ACCENTED * 18 for number in range(1_000)]
    text = json.dumps({"Action": "subscribe", "Rooms": rooms}, ensure_ascii=False)
    return client_frame(text.encode())


@dataclass
class Kind:
    """One kind of clients: what each says first, and what it says whenever it has been answered or can send."""

    count: int
    first: bytes
    again: bytes = b""  # after each answer, or without waiting for one
    waits: bool = True  # for an answer before `again`
    reads: bool = True


class Attacker:
    """One connection of the crowd."""

    def __init__(self, kind: Kind, port: int) -> None:
        self.kind = kind
        self.answered = 0
        self.is_open = False  # it has sent something, or was refused
        self._unsent = kind.first
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if not kind.reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind((CROWD, 0))
        self.socket.connect_ex((HOST, port))

    @property
    def events(self) -> int:
        reading = selectors.EVENT_READ if self.kind.reads else 0
        return reading | (selectors.EVENT_WRITE if self._unsent else 0)

    def ready(self, events: int) -> bool:
        """Go on; False where the connection is over."""
        try:
            if events & selectors.EVENT_READ and not self._receive():
                return False
            if events & selectors.EVENT_WRITE:
                self._send()
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def _receive(self) -> bool:
        data = self.socket.recv(RECEIVE_BYTES)
        if data and not self.answered and not self.kind.waits:
            self._unsent = self.kind.again  # the handshake is over
        if data and self.kind.waits and self.kind.again and not self._unsent:
            self._unsent = self.kind.again
        self.answered += bool(data)
        return bool(data)

    def _send(self) -> None:
        self._unsent = self._unsent[self.socket.send(self._unsent) :]
        self.is_open = True
        if not self._unsent and not self.kind.waits and self.answered:
            self._unsent = self.kind.again


class Crowd:
    """All attackers, in one thread."""

    def __init__(self, port: int, kinds: Sequence[Kind]) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._to_open: list[Kind] = [kind for kind in kinds for _ in range(kind.count)]
        self._back: list[Kind] = []
        self._still: list[Attacker] = []  # those that do nothing more, and stay open
        self._back_at = 0.0
        self._opening = 0
        self.answered = 0
        self._selector.register(sys.stdin, selectors.EVENT_READ)

    def run(self) -> None:
        """Until stdin ends."""
        announced = False
        while True:
            for key, events in self._selector.select(0.0 if self._to_open else 0.1):
                if key.data is None:
                    return
                self._go_on(key, events)
            self._open_some()
            if not self._to_open and not self._opening and not announced:
                announced = True
                print("open", flush=True)

    def _go_on(self, key: selectors.SelectorKey, events: int) -> None:
        attacker: Attacker = key.data
        was_open = attacker.is_open
        goes_on = attacker.ready(events)
        self._opening -= not was_open and (attacker.is_open or not goes_on)
        if not goes_on:
            self._selector.unregister(attacker.socket)
            attacker.socket.close()
            self._back.append(attacker.kind)
        elif not attacker.events:
            self._selector.unregister(attacker.socket)
            self._still.append(attacker)
        elif attacker.events != key.events:
            self._selector.modify(attacker.socket, attacker.events, attacker)

    def _open_some(self) -> None:
        if monotonic() >= self._back_at:
            self._back_at = monotonic() + BACK_AFTER_S
            self._to_open, self._back = self._to_open + self._back, []
        for _ in range(min(AT_ONCE, len(self._to_open))):
            kind = self._to_open.pop()
            try:
                attacker = Attacker(kind, self._port)
            except OSError:  # it is out of ports or descriptors
                self._back.append(kind)
                continue
            self._opening += 1
            self._selector.register(attacker.socket, attacker.events, attacker)


def kinds(idle: int, readers: int, frames: int, reacting: int) -> list[Kind]:
    """The crowd in numbers."""
    react = f"PUT /rooms/big/messages/1/reactions/{_EMOJI}?user=mallory HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    unreact = react.replace(b"PUT ", b"DELETE ", 1)
    return [
        Kind(idle, _GET),
        Kind(readers, _EXPORT, reads=False),
        Kind(frames, handshake(1), again=b"".join(map(worst_frame, range(VARIANTS))), waits=False),
        Kind(reacting, react, again=react + unreact),
    ]


class Sink:
    """Accepts and discards; what asks for an answer gets the shortest one."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server((HOST, 0), backlog=1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(sys.stdin, selectors.EVENT_READ)

    def run(self) -> None:
        """Until stdin ends."""
        print(self.port, flush=True)
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        client.setblocking(False)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._discard(client))

    def _discard(self, client: socket.socket) -> None:
        try:
            data = client.recv(RECEIVE_BYTES)
            if data.startswith((b"GET ", b"PUT ", b"DELETE ")):
                client.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(client)
            client.close()


def main(arguments: Iterator[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.crowd", description=__doc__.splitlines()[0])
    parser.add_argument("role", choices=("crowd", "sink"))
    parser.add_argument("--port", type=int, default=0, help="what the crowd attacks")
    for name, count in (("idle", 4_200), ("readers", 60), ("frames", 12), ("reacting", 1)):
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args(arguments and [*arguments])
    run: Callable[[], None]
    if given.role == "sink":
        run = Sink().run
    else:
        os.nice(NICE)
        run = Crowd(given.port, kinds(given.idle, given.readers, given.frames, given.reacting)).run
    run()


if __name__ == "__main__":
    main()
