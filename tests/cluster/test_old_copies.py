"""A node on an older copy of its data directory, with nothing at the start that tells: the cluster finds it out."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

from tests.support.cluster import READY_S, Cluster, NodeProcess, refused_start
from tests.support.waiting import wait_until

ENDS_S = 8


def copy_of(data_dir: Path) -> Path:
    copy = data_dir.with_name(data_dir.name + "-copy")
    shutil.copytree(data_dir, copy)
    return copy


def boots(node: NodeProcess) -> list[int]:
    """Its starts since the last one that it knows to be recorded."""
    found: list[int] = json.loads((node.data_dir / "identity.json").read_bytes())["Boots"]
    return found


def wait_recorded(node: NodeProcess) -> None:
    wait_until(lambda: len(boots(node)) == 1, READY_S, f"node {node.id} knows that its start is recorded")


def test_an_older_copy_that_is_said_to_have_moved_is_refused_by_the_cluster(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        assert cluster.terminate(3) == 0
        node = cluster.nodes[3]
        older = copy_of(node.data_dir)
        cluster.restart(3)
        wait_recorded(node)
        assert cluster.post(1, "general", "since the copy").status == 201
        assert cluster.terminate(3) == 0

        node.data_dir = older
        node.start(*node.flags(cluster.url_list, "--moved"))
        assert node.wait_exit(ENDS_S) == 1
        assert "member 3 runs on an older copy" in node.log()
        assert "older copy" in refused_start(node, *node.flags(cluster.url_list, "--moved"))
        assert any("member 3 runs on an older copy" in cluster.nodes[id].log() for id in (1, 2))
        assert cluster.post(1, "general", "undisturbed").status == 201


def test_five_starts_in_a_row_without_a_majority_are_no_older_copy(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        for node in cluster.nodes.values():
            wait_recorded(node)
        cluster.kill(1, 2, 3)
        for _ in range(5):
            cluster.start(1)
            wait_until(lambda: cluster.nodes[1].status()["Role"] != "starting", READY_S, "node 1 takes part")
            cluster.kill(1)
        assert len(boots(cluster.nodes[1])) == 6
        cluster.start(1, 2, 3)
        cluster.wait_ready()
        assert cluster.post(1, "general", "again").status == 201


def test_a_log_that_lost_what_it_acknowledged_within_one_start_ends_its_node_and_the_leader_says_why(
    tmp_path: Path,
) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        leader = cluster.wait_leader()
        follower = cluster.nodes[leader % 3 + 1]
        assert cluster.post(leader, "general", "before").status == 201
        [log] = follower.data_dir.glob("log-*.jsonl")
        before = log.read_bytes()
        for _ in range(5):
            last = cluster.post(leader, "general", "acknowledged")
            assert last.status == 201
        index = last.json()["Id"]
        wait_until(lambda: cluster.members(leader)[follower.id]["MatchIndex"] >= index, READY_S, "it holds all")
        cluster.kill(follower.id)
        log.write_bytes(before)  # the same file, so that PLACE is none the wiser
        for made in follower.data_dir.glob("*.idx"):
            made.unlink()
        cluster.start(follower.id)
        assert follower.wait_exit(ENDS_S) == 1
        assert "older copy" in follower.log()
        cluster.nodes[leader].wait_says(f"member {follower.id} has stopped: ")
        assert "older copy" in refused_start(follower, *follower.flags(cluster.url_list))
        assert cluster.post(leader, "general", "and on").status == 201


def test_a_copy_of_a_single_node_from_before_the_cluster_grew_serves_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        cluster.start_ready()
        node = cluster.nodes[1]
        assert cluster.post(1, "general", "alone").status == 201
        wait_recorded(node)
        assert cluster.terminate(1) == 0
        older = copy_of(node.data_dir)
        cluster.restart(1)
        for id in (2, 3):
            added = cluster.new_node(id)
            assert cluster.request(1, "POST", f"/raft/{id}", added.peer_url).status == 204
            cluster.join(id)
            wait_until(lambda id=id: cluster.members(1)[id]["Voting"], READY_S, f"node {id} votes")  # type: ignore[misc]
        cluster.wait_ready()
        cluster.kill(1)
        cluster.wait_ready()

        node.data_dir = older
        node.start(*node.flags(f"1={node.peer_url}"))
        answered: set[int] = set()

        def ended() -> bool:
            with suppress(OSError):
                answered.add(node.request("GET", "/rooms/general", timeout_s=1).status)
                answered.add(cluster.post(1, "general", "on the copy").status)
            return not node.running

        wait_until(ended, ENDS_S, "the copy has ended")
        assert node.wait_exit() == 1
        assert answered <= {503}
        assert "member 1 runs on an older copy" in node.log()
        assert any("member 1 runs on an older copy" in cluster.nodes[id].log() for id in (2, 3))
