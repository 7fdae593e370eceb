"""A vote given by a real process, which is then killed: term and vote were on its disk before the answer was sent."""

from pathlib import Path

from chat.commands import LEVEL
from raft.core.raft_messages import RequestVote, RequestVoteReply
from raft.rpc.calls import Sender
from raft.rpc.codec import decode_answer, encode
from raft.rpc.peer_client import PeerConnection
from raft.storage.identity import decode
from tests.support.cluster import READY_S, Cluster
from tests.support.waiting import wait_until

AHEAD = 1 << 20  # a log that is up to date with any, whatever the other one holds


def asked(cluster: Cluster, voter: int, candidate: int, term: int) -> RequestVoteReply | None:
    """What `voter` answers to a request in the name of `candidate`; None while it does not take part.

    Raises OSError while nobody is there.
    """
    identity = decode((cluster.nodes[candidate].data_dir / "identity.json").read_bytes())
    sender = Sender(candidate, identity.incarnation, identity.cluster_id, "", LEVEL)
    connection = PeerConnection(cluster.nodes[voter].peer_url)
    try:
        question = RequestVote(candidate, voter, term, last_log_index=AHEAD, last_log_term=term)
        status, body = connection.call(encode(sender, question), READY_S)
    finally:
        connection.close()
    if status != 200:
        return None
    answer = decode_answer(body)[1]
    assert isinstance(answer, RequestVoteReply)
    return answer


def test_a_vote_is_kept_over_kill_9(tmp_path: Path) -> None:
    voter, first, second = 1, 2, 3
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        cluster.kill(first, second)
        term = cluster.nodes[voter].status()["Term"] + 5

        def granted() -> bool:
            reply = asked(cluster, voter, first, term)  # refused for as long as it hears a leader, or leads itself
            return reply is not None and reply.vote_granted

        wait_until(granted, READY_S, "node 1 votes for 2")
        cluster.kill(voter)
        cluster.start(voter)
        refused = wait_until(lambda: asked(cluster, voter, second, term), READY_S, "node 1 is back")
        assert (refused.vote_granted, refused.term) == (False, term)
        again = asked(cluster, voter, first, term)
        assert again is not None and (again.vote_granted, again.term) == (True, term)
