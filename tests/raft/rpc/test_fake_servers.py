"""A server that has proved nothing costs the node that calls it neither memory nor more than the time-out."""

import socket
import threading
import time
from pathlib import Path

import pytest

from raft.rpc.calls import Sender
from raft.rpc.cluster_secret import ClusterSecret
from raft.rpc.peer_client import STRANGERS_BYTES_MAX, Addresses, PeerConnection, ProofRefused
from tests.raft.scripted_peer import DEADLINE_S, ScriptedPeer, take_request, wait_for_end
from tests.support.secrets import secret_file

TIMEOUT_S = 0.2
DRIP_S = 0.02


def calling(peer: ScriptedPeer, path: Path) -> PeerConnection:
    secret = ClusterSecret(secret_file(path), lambda: Sender(2, "bb", "c1", ""))
    return PeerConnection(peer.url, Addresses(secret=secret), 1)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"])
def test_a_server_that_drips_its_part_of_the_handshake_is_given_up_at_the_time_out(head: bytes, tmp_path: Path) -> None:
    given_up = threading.Event()

    def drip(peer: socket.socket) -> None:
        take_request(peer)
        peer.sendall(head)
        try:
            while not given_up.wait(DRIP_S):
                peer.sendall(b"x")
        except OSError:
            pass

    with ScriptedPeer(drip) as peer:
        began_s = time.monotonic()
        try:
            with pytest.raises(TimeoutError):
                calling(peer, tmp_path).call(b"", TIMEOUT_S)
            assert time.monotonic() - began_s < DEADLINE_S / 2
        finally:
            given_up.set()


def test_a_large_answer_to_a_handshake_is_not_read(tmp_path: Path) -> None:
    def promise(peer: socket.socket) -> None:
        take_request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (STRANGERS_BYTES_MAX + 1))
        wait_for_end(peer)

    with ScriptedPeer(promise) as peer, pytest.raises(ProofRefused, match="bytes to a handshake"):
        calling(peer, tmp_path).call(b"", DEADLINE_S)
