"""A rolling upgrade to a next version, half of it back, and again: with either version as the leader."""

import json
from pathlib import Path

from chat.commands import LEVEL
from tests.cluster.next_version import LATER, NEXT, SUFFIX
from tests.support.cluster import NODE, READY_S, Cluster, Program, refused_start
from tests.support.http_client import Answer
from tests.support.waiting import wait_until


def restart_as(cluster: Cluster, id: int, program: Program) -> None:
    assert cluster.terminate(id) == 0
    cluster.nodes[id].program = program
    cluster.restart(id)


def lead(cluster: Cluster, id: int) -> None:
    """Have this node lead."""
    assert cluster.request(id, "POST", f"/raft/{id}/lead").status == 204
    wait_until(lambda: cluster.leader() == id, READY_S, f"node {id} leads")


def set_topic(cluster: Cluster, id: int, topic: str) -> Answer:
    return cluster.request(id, "PATCH", "/rooms/general", json.dumps({"Topic": topic}))


def check_all_serve(cluster: Cluster, text: str) -> None:
    """Every node takes a message and a change, and each one shows all of them."""
    for id in cluster.nodes:
        assert cluster.post(id, "general", f"{text} {id}").status == 201
        assert set_topic(cluster, id, f"{text} {id}").status == 200
    pages = []
    for id, node in cluster.nodes.items():
        index = node.status()["CommitIndex"]
        pages.append(cluster.request(id, "GET", f"/rooms/general?min_index={index}").json())
    assert pages[0] == pages[1] == pages[2]
    assert [post["Message"] for post in pages[0]][-3:] == [f"{text} {id}" for id in cluster.nodes]


def test_a_cluster_of_two_versions_works_with_either_as_the_leader_down_again_and_up(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        restart_as(cluster, 1, NEXT)
        assert '"Later": true' in (cluster.nodes[1].data_dir / "identity.json").read_text()
        for leader in (1, 2):
            lead(cluster, leader)
            check_all_serve(cluster, f"led by {leader}")
            refused = set_topic(cluster, 1, LATER)
            assert refused.status == 409 and refused.json()["code"] == "level_too_low", refused
        restart_as(cluster, 1, NODE)
        check_all_serve(cluster, "down again")

        for id in (1, 2, 3):
            restart_as(cluster, id, NEXT)
        wait_until(
            lambda: {member["Level"] for member in cluster.members(1).values()} == {LEVEL + 1}, READY_S, "all are met"
        )
        wait_until(lambda: set_topic(cluster, 1, LATER).status == 200, READY_S, "the new command may be used")
        for id, node in cluster.nodes.items():
            index = node.status()["CommitIndex"]
            (room,) = cluster.request(id, "GET", f"/rooms?details=true&min_index={index}").json()
            assert room["Topic"] == LATER + SUFFIX
        assert cluster.terminate(3) == 0
        node = cluster.nodes[3]
        node.program = NODE
        words = f"this raft-chat knows level {LEVEL}, and its cluster uses level {LEVEL + 1}: start a newer one"
        assert words in refused_start(node, *node.flags(cluster.url_list))
        assert cluster.post(1, "general", "goes on").status == 201
