"""A peer that does what a test tells it to, byte by byte: the other end of raft/rpc/peer_client.py."""

import socket
import threading
from collections.abc import Callable
from types import TracebackType

DEADLINE_S = 10.0  # for anything that is expected to happen

Script = Callable[[socket.socket], None]


class ScriptedPeer:
    """Listens on a free port; the first connection is given to the first script, and so on, a thread each.

    A connection is closed when its script has ended.  What a script raises is raised again when the peer is left.
    """

    def __init__(self, *scripts: Script) -> None:
        self.connections = 0
        self._scripts = scripts
        self._failures: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE_S)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, name="scripted-peer")]

    def __enter__(self) -> "ScriptedPeer":
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close() alone does not
        self._listener.close()
        for thread in self._threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
        if error is None and self._failures:
            raise self._failures[0]

    def _accept(self) -> None:
        for script in self._scripts:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return  # the test has left before it connected as often as there are scripts
            self.connections += 1
            peer.settimeout(DEADLINE_S)
            thread = threading.Thread(target=self._run, args=(script, peer), name="scripted-peer-connection")
            self._threads.append(thread)
            thread.start()

    def _run(self, script: Script, peer: socket.socket) -> None:
        with peer:
            try:
                script(peer)
            except BaseException as error:  # noqa: BLE001  the test's own thread raises it again
                self._failures.append(error)


def take_request(peer: socket.socket) -> tuple[bytes, bytes]:
    """(head, body) of the next request."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += take_some(peer)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += take_some(peer)
    return head, body


def take_some(peer: socket.socket) -> bytes:
    """What has arrived; ConnectionError at the end."""
    data = peer.recv(1 << 18)
    if not data:
        raise ConnectionResetError("the caller closed the connection")
    return data


def wait_for_end(peer: socket.socket) -> None:
    """Until the caller closes."""
    try:
        while peer.recv(1 << 18):
            pass
    except ConnectionResetError:
        pass


def answer(body: bytes, status: int = 200, *headers: bytes) -> bytes:
    """An answer's bytes."""
    lines = [b"HTTP/1.1 %d Fact" % status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answering(*answers: bytes) -> Script:
    """Take a request and send the next of `answers`, until none is left; then wait for the caller to close."""

    def script(peer: socket.socket) -> None:
        for bytes_ in answers:
            take_request(peer)
            peer.sendall(bytes_)
        wait_for_end(peer)

    return script
