"""How long a killed leader is missed: `python -m tests.cluster.failover --rounds 20`.

From the kill -9 to the first post acknowledged after it, as a client on another node sees it: it posts, and tries
again with the same ClientId on the next survivor until one of them says 200 or 201.
"""

import argparse
import itertools
import statistics
import tempfile
from pathlib import Path
from time import monotonic

from tests.cluster.writers import TRY_AGAIN
from tests.support.cluster import READY_S, Cluster
from tests.support.http_client import HttpClient

GIVE_UP_S = 15


def next_acknowledged(clients: list[HttpClient], client_id: str) -> float:
    """The time at which a post sent now is acknowledged by one of the nodes."""
    end = monotonic() + GIVE_UP_S
    for client in itertools.cycle(clients):
        assert monotonic() < end, f"nothing is acknowledged within {GIVE_UP_S} s"
        try:
            answer = client.post("general", "still there?", client_id=client_id)
        except OSError:
            continue
        if answer.status in TRY_AGAIN:
            continue
        assert answer.status in {200, 201}, answer
        return monotonic()
    raise AssertionError("no survivor")


def one_round(cluster: Cluster, number: int, start_s: float = READY_S) -> float:
    """Kill the leader, wait for the next acknowledged post, bring the node back; the seconds in between."""
    leader = cluster.wait_ready()
    clients = [HttpClient(node.port) for node in cluster.nodes.values() if node.id != leader]
    try:
        for client in clients:
            assert client.post("general", "warm").status == 201
        killed_at = monotonic()
        cluster.kill(leader)
        missed_s = next_acknowledged(clients, f"round-{number}") - killed_at
    finally:
        for client in clients:
            client.close()
    cluster.restart(leader, deadline_s=start_s)
    return missed_s


def measure(directory: Path, rounds: int) -> list[float]:
    with Cluster(directory) as cluster:
        cluster.start_ready()
        return [one_round(cluster, number) for number in range(rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="raft-chat-failover-") as directory:
        missed_ms = [1000 * seconds for seconds in measure(Path(directory), rounds)]
    print("kill -9 of the leader to the next acknowledged post, ms:")
    print(" ".join(f"{milliseconds:.0f}" for milliseconds in missed_ms))
    print(f"median {statistics.median(missed_ms):.0f}, worst {max(missed_ms):.0f}, rounds {rounds}")


if __name__ == "__main__":
    main()
