"""The load of ten-million: what it sends, and that nothing but one acknowledgement for each post satisfies it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chat.realtime.frames import text_frame
from tests.benchmarks import pipelined
from tests.benchmarks.pipelined import Pipeline
from tests.support.http_client import HOST

SOCKETS, ROOMS = 2, ("general", "other", "third")
POSTS = 20
BODY = '{"Message": "hi", "User": "ann"}'
PING, PONG = b"\x89\x00", 0x8A
MASK_BYTES = 4

# To what came in at once, each with RoomName and ClientId; nothing, and the socket is closed.
Answer = Callable[[list[dict[str, str]]], bytes]


def ack(post: dict[str, str]) -> bytes:
    said = {"Ack": {"ClientId": post["ClientId"], "RoomName": post["RoomName"], "Post": {"Message": "-" * 100}}}
    return text_frame(json.dumps(said, separators=(",", ":")).encode())


def ack_all(posts: list[dict[str, str]]) -> bytes:
    return b"".join(map(ack, posts))


class Server:
    """Takes websockets, and answers their posts as it is told to."""

    def __init__(self, answer: Answer) -> None:
        self.received: list[list[dict[str, str]]] = []  # what came in at once, by whatever socket
        self.pongs = 0
        self._answer = answer
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """Until the block ends, before which the clients must have gone."""
        accepting = threading.Thread(target=self._accept, name="accept")
        accepting.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            for thread in [accepting, *self._threads]:
                thread.join()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(sock,), name="serve"))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            data = b""
            while not data.endswith(b'"Rooms": []}'):
                data += sock.recv(4096)
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + text_frame(b'{"Hello":{}}'))
            while data := self._receive(sock):
                posts = self._posts(data)
                if not posts:
                    continue
                self.received.append(posts)
                answer = self._answer(posts)
                if not answer:
                    return
                sock.sendall(answer)

    @staticmethod
    def _receive(sock: socket.socket) -> bytes:
        try:
            return sock.recv(64 * 1024)
        except OSError:
            return b""

    def _posts(self, data: bytes) -> list[dict[str, str]]:
        """What the frames say; a client here sends so little at a time that they come whole."""
        found = []
        while data:
            size, head = data[1] & 0x7F, 2
            if size == 126:
                size, head = int.from_bytes(data[2:4]), 4
            first, text_at = data[0], head + MASK_BYTES
            text, data = data[text_at : text_at + size], data[text_at + size :]
            if first == PONG:
                self.pongs += 1
            else:
                said = json.loads(text)
                found.append({"RoomName": said["RoomName"], "ClientId": said["Post"]["ClientId"]})
        return found


def posted(answer: Answer) -> tuple[Server, Pipeline]:
    """A server that answers so, and what posted to it twice."""
    with Server(answer).running() as server, Pipeline(server.port, SOCKETS, ROOMS, BODY, "t") as pipeline:
        for _ in range(2):
            assert pipeline.post(POSTS).count == POSTS
    return server, pipeline


def test_each_post_is_sent_once_under_a_client_id_of_its_own() -> None:
    server, _ = posted(ack_all)
    ids = [post["ClientId"] for posts in server.received for post in posts]
    assert len(set(ids)) == len(ids) == 2 * POSTS
    assert {len(id) for id in ids} == {16}


def test_a_socket_has_one_post_under_way_to_each_room() -> None:
    server, _ = posted(ack_all)
    rooms = [[post["RoomName"] for post in posts] for posts in server.received]
    assert all(len(set(names)) == len(names) for names in rooms)
    assert {name for names in rooms for name in names} == set(ROOMS)
    assert max(map(len, rooms)) == len(ROOMS)


def test_acknowledgements_that_come_in_pieces_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelined, "RECV_BYTES", 50)
    server, _ = posted(ack_all)
    assert sum(map(len, server.received)) == 2 * POSTS


def test_a_sample_of_the_posts_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelined, "SAMPLED", 4)
    _, pipeline = posted(ack_all)
    assert POSTS / 4 <= len(pipeline.took_s) <= 2 * POSTS / 3
    p50, p99 = pipeline.p50_p99_ms()
    assert 0 < p50 <= p99


def test_a_ping_among_the_acknowledgements_is_answered() -> None:
    server, _ = posted(lambda posts: PING + ack_all(posts))
    assert server.pongs > 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda posts: ack_all(posts + posts[:1]), "is acknowledged, due is"),
        (lambda posts: text_frame(b'{"Error":{"ClientId":"t","code":"unavailable"}}'), "not an acknowledgement"),
        (lambda posts: b"", "a socket was closed"),
    ],
    ids=["acknowledged twice", "an error", "closed"],
)
def test_anything_but_one_acknowledgement_for_each_ends_it(answer: Answer, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        posted(answer)
