"""Members without a vote for good: they serve like any other, and decide nothing until they are asked to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.test_websocket_cluster import place
from tests.cluster.writers import TRY_AGAIN, read_room
from tests.support.cluster import READY_S, Cluster
from tests.support.http_client import Answer
from tests.support.waiting import wait_until

LEARNER = 4


@contextmanager
def with_a_learner(directory: Path) -> Iterator[Cluster]:
    """Three voters, and node 4 without a vote."""
    with Cluster(directory) as cluster:
        cluster.start_ready()
        learner = cluster.new_node(LEARNER)
        assert cluster.request(1, "POST", f"/raft/{LEARNER}?voting=false", learner.peer_url).status == 204
        cluster.join(LEARNER)
        wait_until(lambda: learner.status()["Leader"], READY_S, "the learner follows")
        cluster.wait_ready()
        yield cluster


def post_until_taken(cluster: Cluster, id: int, message: str) -> None:
    def taken() -> bool:
        answer = cluster.post(id, "general", message, ClientId=message)
        assert answer.status in {200, 201} | TRY_AGAIN, answer
        return answer.status in {200, 201}

    wait_until(taken, READY_S, f"node {id} takes {message}")


def messages_at(cluster: Cluster, id: int) -> list[str]:
    answer: Answer = cluster.request(id, "GET", "/rooms/general?limit=1000")
    assert answer.status == 200, answer
    return [post["Message"] for post in answer.json()]


def test_support_non_voting_followers(tmp_path: Path) -> None:
    """They serve reads, posts and sockets, and go on when the leader dies."""
    with with_a_learner(tmp_path) as cluster, cluster.subscribed(LEARNER) as (websocket, _):
        said: list[str] = []
        for number in range(12):  # by all in turn; what was answered anywhere is read here at once
            said.append(f"message {number}")
            assert cluster.post(1 + number % 4, "general", said[-1]).status == 201
            assert messages_at(cluster, LEARNER) == said
        assert [place(websocket.hear_any()) for _ in said] == [("general", id) for id in range(1, 13)]

        post = {"User": "ann", "Message": "by socket", "ClientId": "c-1"}
        websocket.say(Action="post", RoomName="general", Post=post)
        frames = [websocket.hear_any(), websocket.hear_any()]
        assert any("Ack" in frame for frame in frames)
        assert {frame["Post"]["Id"] for frame in frames if "Post" in frame} == {13}

        leader = cluster.leader()
        cluster.kill(leader)
        post_until_taken(cluster, LEARNER, "after")
        assert place(websocket.hear_any()) == ("general", 14)
        cluster.wait_ready()
        assert messages_at(cluster, LEARNER) == [*said, "by socket", "after"]
        assert cluster.nodes[LEARNER].status()["Leader"] not in (leader, LEARNER)
        assert cluster.members(LEARNER)[LEARNER]["Voting"] is False


def test_it_counts_for_no_majority(tmp_path: Path) -> None:
    with with_a_learner(tmp_path) as cluster:
        assert cluster.post(LEARNER, "general", "one").status == 201
        leader = cluster.leader()
        first, second = (id for id in (1, 2, 3) if id != leader)
        cluster.kill(first, LEARNER)  # half of the members, and one of three voters
        assert cluster.post(leader, "general", "two of three").status == 201
        cluster.join(LEARNER)
        wait_until(lambda: cluster.nodes[LEARNER].status()["Leader"] == leader, READY_S, "it is back")
        read = "/rooms/general"  # which it answers once it knows that there is no login
        wait_until(lambda: cluster.request(LEARNER, "GET", read).status == 200, READY_S, "it reads")

        cluster.kill(second)  # half of the members again, and one of three voters is left
        wait_until(lambda: not cluster.nodes[leader].status()["Leader"], READY_S, "the leader steps down")
        term = cluster.nodes[leader].status()["Term"]
        for id in (leader, LEARNER):
            refused = cluster.post(id, "general", "one of three")
            assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert cluster.nodes[LEARNER].status()["Role"] == "follower"
        assert cluster.nodes[leader].status()["Term"] == term
        shown = [post["Message"] for post in read_room(cluster.nodes[LEARNER].port, "general", stale=True)]
        assert shown == ["one", "two of three"]


def test_it_votes_and_may_lead_once_it_is_asked_to(tmp_path: Path) -> None:
    with with_a_learner(tmp_path) as cluster:
        refused = cluster.request(2, "POST", f"/raft/{LEARNER}/lead")
        assert (refused.status, refused.json()["code"]) == (409, "not_a_voter")
        assert cluster.request(LEARNER, "POST", f"/raft/{LEARNER}/promote").status == 204
        assert cluster.members(LEARNER)[LEARNER]["Voting"] is True
        assert cluster.request(2, "POST", f"/raft/{LEARNER}/promote").status == 204  # it is so already
        assert cluster.request(2, "POST", f"/raft/{LEARNER}/lead").status == 204
        assert cluster.leader() == LEARNER
        cluster.kill(1)
        assert cluster.post(2, "general", "three of four").status == 201


def test_a_promotion_waits_for_a_member_that_is_away_and_comes_when_it_is_back(tmp_path: Path) -> None:
    with with_a_learner(tmp_path) as cluster:
        cluster.kill(LEARNER)
        later = cluster.request(2, "POST", f"/raft/{LEARNER}/promote")
        assert later.status == 504
        assert "it will vote once it has caught up" in later.json()["detail"]
        leader = cluster.leader()
        cluster.kill(leader)
        cluster.wait_ready()
        cluster.start(leader)
        cluster.join(LEARNER)
        asked = next(id for id in (1, 2, 3) if id != leader)
        wait_until(lambda: cluster.members(asked)[LEARNER]["Voting"], READY_S, "the new leader gives it its vote")
