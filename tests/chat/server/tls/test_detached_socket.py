"""A socket over TLS that was taken from the server: all that is sent arrives, once and in order."""

import select
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from chat.server.sockets import Receiver
from chat.server.tls.detached_socket import DetachedTlsSocket
from chat.server.tls.session import TlsSession
from tests.support.certificates import client_context, own_context


@pytest.fixture
def ends() -> Iterator[tuple[DetachedTlsSocket, ssl.SSLSocket]]:
    """The server's end, whose hands are shaken, and the client's."""
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    session, done = TlsSession(own_context()), False
    clients: list[ssl.SSLSocket] = []

    def connect() -> None:
        clients.append(client_context().wrap_socket(far, server_hostname="127.0.0.1", suppress_ragged_eofs=False))

    thread = threading.Thread(target=connect)
    thread.start()
    while not done:
        done = session.shake_hands(near.recv(65536))
        near.sendall(session.encrypt(b""))
    thread.join()
    near.setblocking(False)
    yield DetachedTlsSocket(near, session), clients[0]
    near.close()
    clients[0].close()


def test_bytes_that_the_socket_does_not_take_go_out_before_all_others(
    ends: tuple[DetachedTlsSocket, ssl.SSLSocket],
) -> None:
    ours, theirs = ends
    left = data = b"".join(f"{number:06}".encode() for number in range(30_000))
    received: list[bytes] = []

    def receive() -> None:
        while sum(map(len, received)) < len(data):
            received.append(theirs.recv(16384))

    reader = threading.Thread(target=receive)
    reader.start()
    waits = 0
    while left:
        try:
            left = left[ours.send(left[: 40_000 + waits % 50 * 1000]) :]  # a retry may have more behind the same bytes
        except ssl.SSLWantWriteError:
            waits += 1
            assert select.select([], [ours], [], 10)[1]
    reader.join()
    assert waits > 3
    assert b"".join(received) == data


def test_input_that_comes_in_pieces_is_given_once_it_is_whole(ends: tuple[DetachedTlsSocket, ssl.SSLSocket]) -> None:
    ours, theirs = ends
    receiver = Receiver(1000)  # less than a record
    assert ours.receive_now(receiver) is None
    theirs.sendall(b"x" * 5000)
    pieces = [ours.receive_now(receiver) for _ in range(6)]
    assert pieces == [None] * 5 + [b"x" * 5000]


def test_both_ends_are_told(ends: tuple[DetachedTlsSocket, ssl.SSLSocket]) -> None:
    ours, theirs = ends
    assert ours.send(b"last") == 4
    ours.shutdown(socket.SHUT_WR)
    assert (theirs.recv(10), theirs.recv(10)) == (b"last", b"")
    theirs.unwrap()
    assert ours.receive_now(Receiver(1000)) == b""


def test_bytes_that_were_changed_are_an_error(ends: tuple[DetachedTlsSocket, ssl.SSLSocket]) -> None:
    ours, theirs = ends
    socket.socket.sendall(theirs, b"\x17\x03\x03\x00\x20" + b"x" * 32)
    with pytest.raises(ssl.SSLError):
        ours.receive_now(Receiver(1000))
