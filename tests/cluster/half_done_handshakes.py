"""What half-done TLS handshakes do to everybody else: `python -m tests.cluster.half_done_handshakes`.

One node over TLS, and a client that behaves, at an address of its own: it posts at a steady pace on one connection, and
once in a while on a new one.  It does so alone, beside one client that connects and says nothing, and beside 500 whose
handshake the node has answered and who say no more.  Half of these come while the client posts.  Exit code 1 unless the
p99 of its posts is at most twice what it is alone, and none failed.
"""

import argparse
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.support.certificates import client_context
from tests.support.cluster import Cluster, NodeProcess
from tests.support.http_client import HttpClient

WELL_BEHAVED, HOSTILE = "127.0.0.3", "127.0.0.2"
POSTS_S = 100
NEW_EACH = 20  # posts, of which one comes on a new connection
RATIO_MAX = 2.0
DEADLINE_S = 10.0


@dataclass(frozen=True)
class Phase:
    """What the client that behaves met: milliseconds of its posts, and of those with a handshake."""

    name: str
    posts_ms: list[float] = field(default_factory=list)
    new_ms: list[float] = field(default_factory=list)
    failed: list[object] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        return sorted(self.posts_ms)[min(len(self.posts_ms) - 1, int(share * len(self.posts_ms)))]


def measure(directory: Path, crowd: int, seconds: float, *, is_rsa: bool = False) -> list[Phase]:
    """Run the phases, each for so long: alone, beside one mute client, beside `crowd` half-done handshakes."""
    node = NodeProcess(1, directory, is_tls=True)
    tls = client_context()
    if is_rsa:
        tls = use_rsa(node, directory)
    with Cluster(directory, nodes=[node]) as cluster:
        cluster.start_ready()
        post_for(node, tls, min(1.0, seconds / 4), "warm-up")
        alone = post_for(node, tls, seconds, "alone")
        with half_done(node, 1, b""):
            mute = post_for(node, tls, seconds, "beside one mute client")
        hello = client_hello()
        with half_done(node, crowd // 2, hello), coming(node, crowd - crowd // 2, hello, seconds):
            beside = post_for(node, tls, seconds, f"beside {crowd} half-done handshakes")
        return [alone, mute, beside]


def use_rsa(node: NodeProcess, directory: Path) -> ssl.SSLContext:
    """Give the node a key of RSA, whose use takes ten times as long; returns what believes it."""
    certificate, key = directory / "rsa.crt", directory / "rsa.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    node.renew(certificate, key)
    node.tls = ssl.create_default_context(cafile=certificate)
    return node.tls


def post_for(node: NodeProcess, tls: ssl.SSLContext, seconds: float, name: str) -> Phase:
    """Post at a steady pace, and note how long each takes from when it is due."""
    phase = Phase(name)
    began = monotonic()
    with HttpClient(node.port, DEADLINE_S, address=WELL_BEHAVED, tls=tls) as client:
        client.post("general", "connected")
        for number in range(int(seconds * POSTS_S)):
            due = began + number / POSTS_S
            threading.Event().wait(max(0.0, due - monotonic()))
            sent = monotonic()
            if number % NEW_EACH == NEW_EACH - 1:
                with HttpClient(node.port, DEADLINE_S, address=WELL_BEHAVED, tls=tls) as new:
                    post(new, phase, phase.new_ms, sent)
            else:
                post(client, phase, phase.posts_ms, sent)
    return phase


def post(client: HttpClient, phase: Phase, took_ms: list[float], sent: float) -> None:
    try:
        answer = client.post("general", "hello")
        if answer.status != 201:
            phase.failed.append(answer)
    except OSError as error:
        phase.failed.append(error)
    took_ms.append((monotonic() - sent) * 1000)


def client_hello() -> bytes:
    """The first bytes of a handshake: the same serve for all, since none is ended."""
    outgoing = ssl.MemoryBIO()
    client = client_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake needs two")


def begin(node: NodeProcess, sent: bytes) -> socket.socket:
    connected = socket.create_connection(("127.0.0.1", node.port), DEADLINE_S, source_address=(HOSTILE, 0))
    connected.sendall(sent)
    return connected


@contextmanager
def half_done(node: NodeProcess, count: int, sent: bytes) -> Iterator[None]:
    """So many clients that have sent this much of a handshake, and been answered where that is enough for an answer."""
    with ExitStack() as closing:
        begun = [closing.enter_context(begin(node, sent)) for _ in range(count)]
        for connected in begun if sent else ():
            assert connected.recv(1) == b"\x16"
        yield


@contextmanager
def coming(node: NodeProcess, count: int, sent: bytes, seconds: float) -> Iterator[None]:
    """More of them, in ten bursts while the block runs."""
    ended = threading.Event()

    def come() -> None:
        with ExitStack() as closing:
            for _ in range(10):
                for _ in range(count // 10):
                    closing.enter_context(begin(node, sent))
                if ended.wait(seconds / 12):
                    return
            ended.wait()

    thread = threading.Thread(target=come)
    thread.start()
    yield
    ended.set()
    thread.join()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowd", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each phase")
    parser.add_argument("--rsa", action="store_true", help="with a key of RSA 2048 in place of P-256")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        phases = measure(Path(directory), given.crowd, given.seconds, is_rsa=given.rsa)
    alone = phases[0].percentile(0.99)
    for phase in phases:
        print(
            json.dumps(phase.name), f"p50 {phase.percentile(0.5):.1f} ms, p99 {phase.percentile(0.99):.1f} ms "
            f"({phase.percentile(0.99) / alone:.2f} x), new connections up to {max(phase.new_ms):.0f} ms, "
            f"{len(phase.failed)} of {len(phase.posts_ms) + len(phase.new_ms)} failed",
        )  # fmt: skip
    met = all(phase.percentile(0.99) <= RATIO_MAX * alone and not phase.failed for phase in phases)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
