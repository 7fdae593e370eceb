"""Leadership goes where it is asked to go, on three real nodes."""

from pathlib import Path

from tests.cluster.writers import acknowledged_by, check_history, load, read_room
from tests.support.cluster import READY_S, Cluster
from tests.support.waiting import wait_until


def test_leadership_is_handed_over_by_request_under_load_without_a_post_lost_or_doubled(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        with load(cluster.ports()) as writers:
            for target in (1, 2, 3, 1):
                for asked in (1, 2, 3):  # the second and the third ask for what is so
                    assert cluster.request(asked, "POST", f"/raft/{target}/lead").status == 204
                    assert cluster.nodes[asked].status()["Leader"] == target
        cluster.wait_ready()
        told = [read_room(node.port, "general") for node in cluster.nodes.values()]
        assert told[0] == told[1] == told[2]
        check_history(acknowledged_by(writers), {"general": told[0]})


def test_a_transfer_that_cannot_be_is_refused_in_words(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        leader = cluster.start_ready().wait_ready()
        dead, asked = (id for id in cluster.nodes if id != leader)
        cluster.kill(dead)
        refusals = {9: ("not_a_voter", "there is no member 9"), dead: ("not_in_contact", "does not answer")}

        def refused(target: int) -> bool:
            answer = cluster.request(asked, "POST", f"/raft/{target}/lead")
            code, words = refusals[target]
            return answer.status == 409 and answer.json()["code"] == code and words in answer.json()["detail"]

        for target in refusals:
            wait_until(lambda target=target: refused(target), READY_S, f"{target} is refused")  # type: ignore[misc]
        assert cluster.leader() == leader
        assert cluster.post(asked, "general", "one").status == 201

        cluster.kill(leader)
        wait_until(lambda: not cluster.nodes[asked].status()["Leader"], READY_S, "nobody leads")
        answer = cluster.request(asked, "POST", f"/raft/{asked}/lead")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
