"""Faults of how peers prove the cluster's secret."""

from raft.rpc.cluster_secret import ClusterSecret
from raft.rpc.endpoint import Endpoint
from raft.rpc.handshake import ServerHandshake, Session, _answer_head, _request_head
from raft.rpc.peer_certificates import PeerCertificates
from raft.rpc.peer_client import PeerConnection
from raft.rpc.proved_calls import ProvedCalls
from tests.mutation.mutant import mutant

FORGED = "raft/rpc/test_unproved_calls.py::test_no_forged_call_does_anything"

PEERS = (
    mutant(
        "proof-for-another-member",
        "A server accepts a proof that was made for another member.",
        "a rule of raft/rpc/handshake.py: a proof is of all that was said",
        ServerHandshake.prove,
        "target != own.id or peer.id == own.id",
        "peer.id == own.id",
        test=f"{FORGED}[RequestVote-for_another_member]",
    ),
    mutant(
        "proof-of-another-cluster",
        "A server accepts a proof of a member of another cluster with the same secret.",
        "a rule of raft/rpc/handshake.py: both name the same cluster",
        ServerHandshake.prove,
        "own.cluster_id and peer.cluster_id and peer.cluster_id != own.cluster_id",
        "False",
        test=f"{FORGED}[AppendEntries-of_another_cluster]",
    ),
    mutant(
        "call-not-counted",
        "The MAC of a call does not cover the call's number.",
        "a rule of raft/rpc/handshake.py: a call that comes again has the wrong MAC",
        _request_head,
        "% number",
        "% 0",
        test=f"{FORGED}[Propose-replayed]",
    ),
    mutant(
        "answer-not-counted",
        "The MAC of an answer does not cover the call's number.",
        "a rule of raft/rpc/handshake.py: an answer to another call has the wrong MAC",
        _answer_head,
        "(number, status)",
        "(0, status)",
        test="raft/rpc/test_handshake.py::test_an_answer_to_another_call_or_with_another_status_is_refused",
    ),
    mutant(
        "answer-not-opened",
        "A client believes an answer whatever its MAC is.",
        "a rule of raft/rpc/handshake.py: each answer has a MAC",
        PeerConnection._exchange,
        "answer = _opened(session, status, answer)",
        "answer = answer[32:]",
        test="raft/rpc/test_cluster_secret.py::test_an_answer_that_was_changed_on_its_way_is_not_believed",
    ),
    mutant(
        "sender-not-the-proved-one",
        "A proved peer may call in the name of another member.",
        "a rule of the issue: the sender agrees with what the connection has proved",
        Session.check,
        "sender.id != self.peer.id or ",
        "",
        test="raft/rpc/test_unproved_calls.py::test_no_proved_peer_speaks_for_another_one[id-AppendEntries]",
    ),
    mutant(
        "unsigned-calls-taken",
        "A call without a MAC is taken by a node that accepts none.",
        "the public promise: --cluster-secret-file keeps everybody else out",
        ProvedCalls.open,
        "if self._secret.accepts_unsigned:",
        "if True:",
        test=f"{FORGED}[ChangeMembership-unsigned]",
    ),
    mutant(
        "proof-without-a-new-challenge",
        "A challenge takes more than one proof.",
        "a rule of raft/rpc/proved_calls.py: a challenge, then its proof",
        ProvedCalls._prove,
        'connection.pop("handshake", None)',
        'connection.get("handshake")',
        test="raft/rpc/test_unproved_calls.py::test_a_challenge_takes_one_proof",
    ),
    mutant(
        "certificate-of-another-member",
        "A caller may show the certificate of any member of its host.",
        "a rule of raft/rpc/peer_certificates.py: where it names members, one of them is the caller",
        PeerCertificates.check_caller,
        "_check_member(certificate, sender.id)",
        "pass",
        test="raft/rpc/test_peer_certificates.py::test_a_caller_with_the_certificate_of_another_member_is_refused",
    ),
    mutant(
        "certificate-of-another-host",
        "A caller may show any certificate of the authority.",
        "a rule of raft/rpc/peer_certificates.py: it names the host of the member's URL",
        PeerCertificates.check_caller,
        "if not _names_host(certificate, host):",
        "if False:",
        test="raft/rpc/test_peer_certificates.py::"
        "test_a_certificate_that_does_not_name_the_host_is_good_for_nobody_there",
    ),
    mutant(
        "key-that-is-gone-accepted",
        "A connection outlives the key that it was proved with.",
        "a rule of raft/rpc/cluster_secret.py: a connection ends with its key",
        Endpoint._serve_proved,
        "if opened.is_retired:",
        "if False:",
        test="raft/rpc/test_cluster_secret.py::test_a_key_that_is_gone_opens_nothing_any_more",
    ),
    mutant(
        "key-lost-by-a-bad-file",
        "A file that cannot be used takes the earlier keys away.",
        "a rule of raft/rpc/cluster_secret.py: at a reload the earlier keys stay then",
        ClusterSecret.reload,
        "        return\n    if keys == self.keys",
        "        self.keys = ()\n        return\n    if keys == self.keys",
        test="raft/rpc/test_cluster_secret.py::test_a_file_that_cannot_be_used_leaves_the_earlier_keys_in_force",
    ),
)
