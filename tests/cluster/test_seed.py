"""The user's own description, command for command, with the real curl.

The commands stand here as they were given; only the ports are mapped to reserved ones before they are run.
"""

import json
import re
import shlex
from pathlib import Path

from tests.support.cluster import COMMAND, READY_S, ROOT, Cluster, NodeProcess
from tests.support.curl import curl
from tests.support.waiting import wait_until

START_SINGLE = "raft-chat --id 1 --cluster http://127.0.0.1:12379 --port 12380"
THREE = "http://127.0.0.1:12379,http://127.0.0.1:22379,http://127.0.0.1:32379"
START = {
    1: f"raft-chat --id 1 --cluster {THREE} --port 12380",
    2: f"raft-chat --id 2 --cluster {THREE} --port 22380",
    3: f"raft-chat --id 3 --cluster {THREE} --port 32380",
}
START_FOURTH = f"raft-chat --id 4 --cluster {THREE},http://127.0.0.1:42379 --port 42380 --join"
POST_HELLO = """curl -L http://127.0.0.1:12380/rooms/general -d '{"Message": "hello", "User": "username"}'"""
POST_FOO = """curl -L http://127.0.0.1:12380/rooms/general -d '{"Message": "foo", "User": "username"}'"""
POST_BAR = """curl -L http://127.0.0.1:22380/rooms/general -d '{"Message": "bar", "User": "username"}'"""
READ_ROOM = "curl -L http://127.0.0.1:12380/rooms/general"
READ_ROOMS = "curl -L http://127.0.0.1:12380/rooms"
READ_SHORT = "curl -L http://127.0.0.1:12380/general"
ADD_FOURTH = "curl -L http://127.0.0.1:12380/raft/4 -d http://127.0.0.1:42379"
REMOVE_THIRD = "curl -L http://127.0.0.1:12380/raft/3 -X DELETE"


def mapped(cluster: Cluster, text: str) -> str:
    """Port 12380 of the seed is where node 1 takes clients, 12379 where its peers reach it; so for each node."""

    def port(match: re.Match[str]) -> str:
        node = cluster.nodes[int(match[1])]
        return str(node.port if match[2] == "2380" else node.peer_port)

    return re.sub(r"\b([1-9])(2380|2379)\b", port, text)


def run(cluster: Cluster, command: str) -> str:
    name, *arguments = shlex.split(mapped(cluster, command))
    assert name == "curl"
    return curl(*arguments)


def start(cluster: Cluster, node: NodeProcess, command: str) -> None:
    name, *flags = shlex.split(mapped(cluster, command))
    assert name == "raft-chat"
    node.start(*flags)


def start_all(cluster: Cluster) -> None:
    for id, command in START.items():
        start(cluster, cluster.nodes[id], command)
    cluster.wait_ready()


def messages(room: str) -> list[tuple[int, str, str]]:
    return [(post["Id"], post["User"], post["Message"]) for post in json.loads(room)]


def test_a_single_node_takes_a_message_and_shows_it(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, command=COMMAND) as cluster:
        start(cluster, cluster.nodes[1], START_SINGLE)
        cluster.wait_ready()
        post = json.loads(run(cluster, POST_HELLO))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", post.pop("PostedAt"))
        assert {"Id": 1, "User": "username", "Message": "hello"}.items() <= post.items()
        assert messages(run(cluster, READ_ROOM)) == [(1, "username", "hello")]
        assert json.loads(run(cluster, READ_ROOMS)) == ["general"]


def test_a_single_node_has_everything_after_a_restart(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, command=COMMAND) as cluster:
        start(cluster, cluster.nodes[1], START_SINGLE)
        cluster.wait_ready()
        run(cluster, POST_HELLO)
        assert cluster.terminate(1) == 0
        start(cluster, cluster.nodes[1], START_SINGLE)
        cluster.wait_ready()
        assert messages(run(cluster, READ_ROOM)) == [(1, "username", "hello")]


def test_a_message_sent_to_one_node_is_read_from_all(tmp_path: Path) -> None:
    with Cluster(tmp_path, command=COMMAND) as cluster:
        start_all(cluster)
        run(cluster, POST_FOO)
        for node in cluster.nodes.values():
            assert messages(curl("-L", f"{node.url}/rooms/general")) == [(1, "username", "foo")]
            assert json.loads(curl("-L", f"{node.url}/rooms")) == ["general"]


def test_a_cluster_survives_a_node_and_the_node_catches_up(tmp_path: Path) -> None:
    with Cluster(tmp_path, command=COMMAND) as cluster:
        start_all(cluster)
        run(cluster, POST_FOO)
        cluster.kill(1)
        run(cluster, POST_BAR)
        start(cluster, cluster.nodes[1], START[1])
        cluster.wait_ready()
        assert messages(run(cluster, READ_SHORT)) == [(1, "username", "foo"), (2, "username", "bar")]


def test_a_fourth_node_joins_and_the_third_is_removed(tmp_path: Path) -> None:
    with Cluster(tmp_path, command=COMMAND) as cluster:
        start_all(cluster)
        run(cluster, POST_FOO)
        fourth = cluster.new_node(4)

        assert run(cluster, ADD_FOURTH) == ""
        start(cluster, fourth, START_FOURTH)
        wait_until(lambda: cluster.members(1)[4]["Voting"], READY_S, "node 4 has caught up and votes")
        assert messages(curl("-L", f"{fourth.url}/rooms/general")) == [(1, "username", "foo")]
        curl("-L", f"{fourth.url}/rooms/general", "-d", '{"Message": "bar", "User": "username"}')

        assert run(cluster, REMOVE_THIRD) == ""
        assert cluster.nodes[3].wait_exit() == 0
        cluster.wait_ready()
        assert set(cluster.members(1)) == {1, 2, 4}
        assert messages(run(cluster, READ_ROOM)) == [(1, "username", "foo"), (2, "username", "bar")]


def test_a_removed_leader_hands_over_and_exits(tmp_path: Path) -> None:
    with Cluster(tmp_path, command=COMMAND) as cluster:
        start_all(cluster)
        run(cluster, POST_FOO)
        leader = cluster.wait_ready()
        stays = next(id for id in cluster.nodes if id != leader)

        assert curl("-L", f"{cluster.nodes[leader].url}/raft/{leader}", "-X", "DELETE") == ""
        assert cluster.nodes[leader].wait_exit() == 0
        cluster.wait_ready()
        assert set(cluster.members(stays)) == {1, 2, 3} - {leader}
        assert cluster.post(stays, "general", "bar").status == 201


def test_the_readme_says_these_very_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = {
        *(START_SINGLE, *START.values(), START_FOURTH, POST_HELLO, POST_FOO, POST_BAR),
        *(READ_ROOM, READ_ROOMS, READ_SHORT, ADD_FOURTH, REMOVE_THIRD),
    }
    assert commands - set(readme) == set()
