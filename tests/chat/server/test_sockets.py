"""send_now and send_to_all never wait, and say what went out."""

import select
import socket

import pytest

from chat.server.sockets import accept_now, poll_now, send_now, send_to_all


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


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_connection_is_accepted_at_once_or_not_at_all(family: socket.AddressFamily, host: str) -> None:
    with socket.create_server((host, 0), family=family) as listener, socket.socket(family) as client:
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            accept_now(listener)
        client.connect(listener.getsockname())
        accepted, address = accept_now(listener)
        with accepted:
            assert address == accepted.getpeername() == client.getsockname()
            assert (accepted.family, accepted.type, accepted.getblocking()) == (family, socket.SOCK_STREAM, True)
            assert not accepted.get_inheritable()
            client.sendall(b"hello")
            assert accepted.recv(5) == b"hello"


def test_a_listener_that_is_closed_accepts_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        accept_now(listener)


def test_what_is_polled_is_told_by_its_descriptor_until_it_is_not() -> None:
    ours, theirs = socket.socketpair()
    with select.epoll() as poll, ours, theirs:
        poll_now(poll.fileno(), ours.fileno(), select.EPOLLIN)
        assert poll.poll(0) == []
        theirs.send(b"x")
        assert poll.poll(0) == [(ours.fileno(), select.EPOLLIN)]
        with pytest.raises(FileExistsError):
            poll_now(poll.fileno(), ours.fileno(), select.EPOLLIN)
        poll.unregister(ours.fileno())
        assert poll.poll(0) == []


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
