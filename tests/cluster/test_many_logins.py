"""Passwords take a core for as long as they are compared; the cluster goes on meanwhile."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from chat.auth.secrets import AT_ONCE, WAITING_MAX
from tests.cluster.people import FLAGS, People
from tests.cluster.writers import TRY_AGAIN
from tests.support.cluster import Cluster, Forked
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

# A third of what a password takes: the nodes are as busy with them, for seconds all the same.
PASSWORDS = Forked("from chat.auth.secrets import Passwords; Passwords.__init__.__defaults__ = ('scrypt:32768:8:1',)")
LOGINS = AT_ONCE + WAITING_MAX + 2  # so that some are told to come again
DEADLINE_S = 60
POST_S = 5


def guess(port: int, number: int) -> int:
    """A wrong password from an address, and for a name, of its own; the status once there was time to compare it."""
    body = json.dumps({"Name": f"nobody {number}", "Password": "wrong password"})
    with HttpClient(port, DEADLINE_S, address=f"127.2.0.{number + 1}") as client:

        def answered() -> int | None:
            status = client.request("POST", "/login", body).status
            return None if status in TRY_AGAIN else status

        return wait_until(answered, DEADLINE_S, "a login is answered")


def test_many_logins_at_once_cost_no_leader_and_hold_up_no_post(tmp_path: Path) -> None:
    with Cluster(tmp_path, flags=FLAGS, command=PASSWORDS) as cluster:
        leader = cluster.start_ready().wait_leader()
        people = People(cluster)
        term = cluster.nodes[leader].status()["Term"]
        with ThreadPoolExecutor(LOGINS) as pool:
            guesses = [pool.submit(guess, cluster.nodes[leader].port, number) for number in range(LOGINS)]
            slowest_s = 0.0
            while not all(each.done() for each in guesses):
                began = monotonic()
                assert people.post("bob", leader, "hello").status in (201, 429)
                slowest_s = max(slowest_s, monotonic() - began)
            assert [each.result() for each in guesses] == [401] * LOGINS
        assert slowest_s < POST_S
        assert {node.status()["Term"] for node in cluster.running()} == {term}
