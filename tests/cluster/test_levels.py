"""Programs of different levels in one cluster: what is new is used when all know it, and who lags is told so."""

from pathlib import Path

from tests.support.cluster import READY_S, Cluster, Forked, refused_start
from tests.support.waiting import wait_until


def at_level(level: int, *newer: str) -> Forked:
    """The program at this level, with the commands of these types at level 2."""
    setup = f"import chat.commands, raft_chat_node; chat.commands.LEVEL = raft_chat_node.LEVEL = {level}"
    for name in newer:
        setup += f"; chat.commands._LEVELS[chat.commands.KINDS[{name!r}]] = 2"
    return Forked(setup)


OLD, NEW = at_level(7), at_level(8)


def cluster_at(directory: Path, program: Forked) -> Cluster:
    return Cluster(directory, command=program)


def wait_level(cluster: Cluster, asked: int, id: int, level: int) -> None:
    wait_until(lambda: cluster.members(asked)[id]["Level"] == level, READY_S, f"node {id} is noted at level {level}")


def test_a_rolling_upgrade_is_noted_member_by_member_and_an_old_program_may_come_back_until_it_is_complete(
    tmp_path: Path,
) -> None:
    with cluster_at(tmp_path, OLD) as cluster:
        cluster.start_ready()
        assert {member["Level"] for member in cluster.members(1).values()} == {7}
        for id, program, level in ((1, NEW, 8), (1, OLD, 7), (1, NEW, 8), (2, NEW, 8)):
            assert cluster.terminate(id) == 0
            cluster.nodes[id].program = program
            cluster.restart(id)
            wait_level(cluster, 3, id, level)
        assert cluster.post(1, "general", "as before").status == 201


def test_after_the_upgrade_an_old_program_is_refused_by_its_log_and_by_the_cluster_it_would_join(
    tmp_path: Path,
) -> None:
    words = "this raft-chat knows level 7, and its cluster uses level 8: start a newer one"
    with cluster_at(tmp_path, NEW) as cluster:
        cluster.start_ready()
        assert cluster.post(3, "general", "one").status == 201
        assert cluster.terminate(3) == 0
        back = cluster.nodes[3]
        back.program = OLD
        assert words in refused_start(back, *back.flags(cluster.url_list))

        added = cluster.new_node(4)
        added.program = OLD
        assert cluster.request(1, "POST", "/raft/4", added.peer_url).status == 204
        cluster.join(4)
        assert added.wait_exit() == 1
        assert words in added.log()
        added.program = NEW
        cluster.join(4)
        wait_until(lambda: cluster.members(1)[4]["Voting"], READY_S, "node 4 votes")
