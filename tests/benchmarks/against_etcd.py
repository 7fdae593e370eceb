"""Our three nodes beside etcd's: `python -m tests.benchmarks.against_etcd [--seconds 10] [--rounds 2]`.

wrk posts the same message to the leader of three of our nodes and, as a value put through the v3 JSON gateway, to the
leader of three of etcd's (Debian: etcd-server, wrk).  One after the other, A B A B, each on a fresh cluster with the
other one stopped: on few cores what idles beside it would cost the one that is measured.  Both answer after an fsync on
a majority.  etcd puts one and the same key, which is what it does fastest.

It fails where an answer was an error or the leader changed under the load.
"""

import argparse
import base64
import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import wrk
from tests.cluster.clients import HOST, request
from tests.cluster.harness import READY_S, Cluster, Port
from tests.cluster.waiting import wait_until

MESSAGE = "The quick brown fox jumps over the lazy dog, and then it does so once more, for the length."
CONNECTIONS = 64
WARM_UP_S = 1


@dataclass(frozen=True, slots=True)
class Target:
    """A running cluster to measure: what to post where, and who leads in which term, to be compared afterwards."""

    url: str
    body: str
    leadership: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Measured:
    """Both figures of one cluster in one round."""

    many: wrk.Figures
    one: wrk.Figures


@contextmanager
def raft_chat() -> Iterator[Target]:
    with tempfile.TemporaryDirectory(prefix="raft-chat-bench-") as directory, Cluster(Path(directory)) as cluster:
        leader = cluster.nodes[cluster.start_ready().wait_ready()]

        def leadership() -> object:
            status = leader.status()
            return status["Leader"], status["Term"]

        yield Target(f"{leader.url}/rooms/general", json.dumps({"Message": MESSAGE, "User": "ann"}), leadership)


@contextmanager
def etcd() -> Iterator[Target]:
    with tempfile.TemporaryDirectory(prefix="etcd-bench-") as directory, ExitStack() as closing:
        ports = [(Port(), Port()) for _ in range(3)]
        for pair in ports:
            for port in pair:
                closing.callback(port.release)
        clients = [client.number for client, _ in ports]
        peers = [f"http://{HOST}:{peer.number}" for _, peer in ports]
        for number in range(3):
            closing.enter_context(_etcd_node(number, Path(directory), clients[number], peers))
        leader = wait_until(lambda: _etcd_leader(clients), READY_S, "one of etcd's nodes leads")
        put = {"key": _base64("general"), "value": _base64(MESSAGE)}
        yield Target(f"http://{HOST}:{leader}/v3/kv/put", json.dumps(put), lambda: _etcd_status(leader)[1:])


@contextmanager
def _etcd_node(number: int, directory: Path, client_port: int, peers: list[str]) -> Iterator[None]:
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


def _etcd_status(port: int) -> tuple[str, str, str]:
    """This member's id, the leader's, and the term.  Raises OSError while it does not answer."""
    answer = request(port, "POST", "/v3/maintenance/status", "{}", timeout_s=2)
    if answer.status != 200:
        raise OSError(f"etcd answers {answer.status}")
    status = answer.json()
    return status["header"]["member_id"], status.get("leader", "0"), status["raftTerm"]


def _etcd_leader(ports: list[int]) -> int | None:
    for port in ports:
        member, leader, _ = _etcd_status(port)
        if member == leader:
            return port
    return None


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def measure(target: Target, seconds: int) -> Measured:
    """Warm up, then 64 connections, then one; AssertionError where an answer was an error or the leader changed."""
    before = target.leadership()
    wrk.post(target.url, target.body, connections=CONNECTIONS, seconds=WARM_UP_S)
    many = wrk.post(target.url, target.body, connections=CONNECTIONS, seconds=seconds)
    one = wrk.post(target.url, target.body, connections=1, seconds=max(1, seconds // 2))
    assert many.failed == one.failed == 0, f"{many.failed} and {one.failed} requests failed"
    assert target.leadership() == before, f"the leader changed: {before}, {target.leadership()}"
    return Measured(many, one)


def table(ours: list[Measured], theirs: list[Measured]) -> str:
    """The medians of the rounds, one line a figure, and how many times etcd's ours is."""
    figures: dict[str, Callable[[Measured], float]] = {
        f"posts/s, {CONNECTIONS} connections": lambda measured: measured.many.per_second,
        f"p50 ms, {CONNECTIONS} connections": lambda measured: measured.many.p50_ms,
        f"p99 ms, {CONNECTIONS} connections": lambda measured: measured.many.p99_ms,
        "posts/s, 1 connection": lambda measured: measured.one.per_second,
        "p50 ms, 1 connection": lambda measured: measured.one.p50_ms,
        "p99 ms, 1 connection": lambda measured: measured.one.p99_ms,
    }
    lines = [f"{'':28}{'raft-chat':>12}{'etcd':>12}{'ratio':>8}"]
    for name, figure in figures.items():
        a, b = (statistics.median(map(figure, rounds)) for rounds in (ours, theirs))
        lines.append(f"{name:28}{a:12,.2f}{b:12,.2f}{a / b:8.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="for 64 connections; half as long for one")
    parser.add_argument("--rounds", type=int, default=2)
    flags = parser.parse_args()
    results: dict[str, list[Measured]] = {"raft-chat": [], "etcd": []}
    for number in range(1, flags.rounds + 1):
        for name, start in (("raft-chat", raft_chat), ("etcd", etcd)):
            with start() as target:
                measured = measure(target, flags.seconds)
            results[name].append(measured)
            print(
                f"round {number}, {name:9} {measured.many.per_second:8,.0f} posts/s, p50 {measured.one.p50_ms:.2f} ms"
            )
    print(table(results["raft-chat"], results["etcd"]))


if __name__ == "__main__":
    main()
