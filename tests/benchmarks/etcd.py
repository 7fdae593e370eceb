"""etcd (Debian: etcd-server) as a peer: three nodes on this machine, spoken to through its v3 JSON gateway.

Like ours it answers a put after an fsync on a majority, and a range linearizably.  Keys and values travel as base64 in
JSON.
"""

import base64
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import READY_S
from tests.support.http_client import HOST, request
from tests.support.ports import Port
from tests.support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Etcd:
    """A running cluster: the client ports of its nodes."""

    leader: int
    followers: Sequence[int]

    @property
    def ports(self) -> list[int]:
        return [self.leader, *self.followers]


def put_url(port: int) -> str:
    return f"http://{HOST}:{port}/v3/kv/put"


def range_url(port: int) -> str:
    return f"http://{HOST}:{port}/v3/kv/range"


def put_body(key: str, value: str) -> str:
    return json.dumps({"key": encoded(key), "value": encoded(value)})


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@contextmanager
def running(directory: Path) -> Iterator[Etcd]:
    """Three nodes, fresh; AssertionError where the leader changes while the block runs."""
    with ExitStack() as closing:
        ports = [(Port(), Port()) for _ in range(3)]
        for pair in ports:
            for port in pair:
                closing.callback(port.release)
        clients = [client.number for client, _ in ports]
        peers = [f"http://{HOST}:{peer.number}" for _, peer in ports]
        for number in range(3):
            closing.enter_context(_node(number, directory, clients[number], peers))
        leader = wait_until(lambda: _leader(clients), READY_S, "one of etcd's nodes leads")
        before = _status(leader)
        yield Etcd(leader, [port for port in clients if port != leader])
        assert _status(leader) == before, f"the leader of etcd changed: {before}, {_status(leader)}"


@contextmanager
def _node(number: int, directory: Path, client_port: int, peers: list[str]) -> Iterator[None]:
    client = f"http://{HOST}:{client_port}"
    flags = {
        "name": f"node{number}",
        "data-dir": directory / f"node{number}",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peers[number],
        "initial-advertise-peer-urls": peers[number],
        "initial-cluster": ",".join(f"node{n}={peer}" for n, peer in enumerate(peers)),
        "initial-cluster-state": "new",
        "log-level": "error",
    }
    with (
        (directory / f"node{number}.log").open("wb") as log,
        subprocess.Popen(["etcd", *(f"--{name}={value}" for name, value in flags.items())], stderr=log) as process,
    ):
        try:
            yield
        finally:
            process.kill()


def _status(port: int) -> tuple[str, str, str]:
    """This member's id, the leader's, and the term.  Raises OSError while it does not answer."""
    answer = request(port, "POST", "/v3/maintenance/status", "{}", timeout_s=2)
    if answer.status != 200:
        raise OSError(f"etcd answers {answer.status}")
    status = answer.json()
    return status["header"]["member_id"], status.get("leader", "0"), status["raftTerm"]


def _leader(ports: list[int]) -> int | None:
    for port in ports:
        member, leader, _ = _status(port)
        if member == leader:
            return port
    return None
