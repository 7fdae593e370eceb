"""send_now and send_to_all never wait, and say what went out."""

import socket

import pytest

from chat.server.sockets import send_now, send_to_all


def test_what_fits_is_sent_at_once_and_a_full_buffer_takes_nothing() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert send_now(ours.fileno(), b"hello\0world") == 11
        assert theirs.recv(100) == b"hello\0world"
        total = 0
        while sent := send_now(ours.fileno(), b"x" * 10_000):
            total += sent
        theirs.setblocking(False)
        received = 0
        while received < total:
            received += len(theirs.recv(1 << 20))
        assert received == total


def test_a_socket_whose_peer_is_gone_raises_and_no_signal_ends_the_process() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(OSError, match="send failed"):
        send_now(ours.fileno(), b"hello")


def test_the_same_bytes_to_many_tells_for_each_what_went_out() -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    (first, first_peer), (full, _), (gone, gone_peer) = pairs
    while send_now(full.fileno(), b"x" * 10_000):
        pass
    gone_peer.close()
    taken = send_to_all([first.fileno(), full.fileno(), gone.fileno(), -1, first.fileno()], b"hello")
    assert taken == [5, -1, -1, -1, 5]
    assert first_peer.recv(100) == b"hellohello"
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
