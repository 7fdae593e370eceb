"""The websocket client of the tests fails at whatever a node may not send, and its frames are those of RFC 6455."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import Frame, FrameProtocol, ParseFailed
from wsproto.utilities import generate_accept_token

from tests.support.websocket_client import HandshakeRefused, WebSocketClient
from tests.support.websocket_frames import CLOSE, FIN, PING, PONG, TEXT, client_frame, frame_at

DEADLINE_S = 10.0


def accepted(key: bytes) -> bytes:
    """The answer that opens a websocket."""
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: %b\r\n\r\n" % generate_accept_token(key)


def server_frame(payload: bytes, first: int = FIN | TEXT) -> bytes:
    """A short frame of a server."""
    return bytes([first, len(payload)]) + payload


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers one handshake by its key, and what it hears after that, once it has ended."""
    heard: list[bytes] = []

    def serve() -> None:
        with listener, listener.accept()[0] as peer:
            peer.settimeout(DEADLINE_S)
            head = b""
            while b"\r\n\r\n" not in head:
                head += peer.recv(1 << 16)
            _, _, rest = head.partition(b"Sec-WebSocket-Key: ")
            peer.sendall(answer(rest.partition(b"\r\n")[0]))
            with suppress(ConnectionResetError):  # the client did not read everything
                while data := peer.recv(1 << 16):
                    heard.append(data)

    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    thread = threading.Thread(target=serve, name="answering")
    thread.start()
    yield port, heard
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def read(data: bytes) -> list[Frame]:
    """A client's frames as wsproto reads them."""
    reader = FrameProtocol(client=False, extensions=[])
    reader.receive_bytes(data)
    return list(reader.received_frames())


def test_a_message_in_fragments_is_one_and_a_ping_between_them_is_answered() -> None:
    sent = server_frame(b'{"a":', TEXT) + server_frame(b"?", FIN | PING) + server_frame(b"1}", FIN)
    with answering(lambda key: accepted(key) + sent) as (port, heard), WebSocketClient(port) as client:
        assert client.hear() == {"a": 1}
    (answered,) = read(b"".join(heard))
    assert (answered.opcode, answered.payload) == (PONG, b"?")


def test_a_close_is_answered_with_its_code() -> None:
    sent = server_frame(b"\x03\xf0bye", FIN | CLOSE)
    with answering(lambda key: accepted(key) + sent) as (port, heard), WebSocketClient(port) as client:
        assert client.hear_close() == 1008
    (answered,) = read(b"".join(heard))
    assert (answered.opcode, answered.payload) == (CLOSE, (1008, ""))


@pytest.mark.parametrize(
    "sent",
    [
        client_frame(b"{}"),
        server_frame(b"{}", 0x40 | FIN | TEXT),
        server_frame(b"{}", FIN | 3),
        server_frame(b"\xff"),
        server_frame(b"{}", FIN),
        server_frame(b"?", PING),
        server_frame(b"\x03", FIN | CLOSE),
        b"\x81\x7e\x00\x02{}",
    ],
    ids=["masked", "a reserved bit", "an opcode", "UTF-8", "no start", "a ping in pieces", "half a code", "a length"],
)
def test_a_frame_that_a_server_may_not_send_is_an_error(sent: bytes) -> None:
    served = answering(lambda key: accepted(key) + sent)
    with served as (port, _), pytest.raises(ParseFailed), WebSocketClient(port) as client:
        client.frame()


def test_a_refused_handshake_is_told_with_its_answer() -> None:
    refusal = b'HTTP/1.1 401 Unauthorized\r\nContent-Length: 13\r\n\r\n{"code":"no"}'
    with answering(lambda key: refusal) as (port, _), pytest.raises(HandshakeRefused) as refused:
        WebSocketClient(port)
    assert (refused.value.answer.status, refused.value.answer.body) == (401, b'{"code":"no"}')


def test_a_handshake_that_accepts_another_key_is_an_error() -> None:
    with answering(lambda key: accepted(key[::-1])) as (port, _), pytest.raises(AssertionError):
        WebSocketClient(port)


@given(st.sampled_from([0, 1, 125, 126, 65_535, 65_536]), st.binary(min_size=4, max_size=4))
def test_a_clients_frame_is_read_by_wsproto(size: int, mask: bytes) -> None:
    text = "x" * size
    read_back = read(client_frame(text.encode(), FIN | TEXT, mask))
    assert "".join(str(frame.payload) for frame in read_back) == text


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_servers_frame_is_found_once_it_is_whole(size: int) -> None:
    data = bytes(FrameProtocol(client=False, extensions=[]).send_data("x" * size))
    assert frame_at(bytearray(b"?" + data), 1) == (TEXT, b"x" * size, 1 + len(data))
    assert frame_at(bytearray(data[:-1]), 0) is None
