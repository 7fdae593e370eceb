"""No call of a peer that has not proved the cluster's secret does anything: each call, in each way to forge it.

The member behind the port is a real one.  Member 2 is known to it, so nothing but the secret is between the two.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chat.server.limits import Limits
from raft.core.configuration import AddMember, Configuration, Member, RemoveMember
from raft.core.entries import command_entry
from raft.core.raft_messages import (
    AppendEntries,
    InstallSnapshot,
    ProposalId,
    RequestVote,
    SnapshotMeta,
    TimeoutNow,
)
from raft.errors import RefusedPeer, UnprovedPeer
from raft.rpc.calls import (
    AcceptClock,
    ChangeMembership,
    FetchEntries,
    Hello,
    HelloReply,
    Notice,
    Propose,
    ReadIndex,
    RecordedBoot,
    Sender,
    SnapshotChunk,
    TransferLeadership,
    WantSnapshot,
)
from raft.rpc.cluster_secret import ClusterSecret
from raft.rpc.codec import Answer, Call, decode_call, encode
from raft.rpc.endpoint import Endpoint
from raft.rpc.handshake import NONCE_BYTES, Claim, ClientHandshake, Key, digest_of
from raft.rpc.proved_calls import ProvedCalls
from raft.storage.identity import Founder
from tests.chat.wire import Client, Response, serving
from tests.raft.members import Host
from tests.raft.proving import Caller, ask, is_refusal
from tests.support.secrets import OTHER, SECRET, secret_file

CLUSTER = "c1"
PEER = Sender(2, "bb", CLUSTER, "")
TERM = 99
CONFIGURATION = Configuration({2: Member(2, "http://127.0.0.1:9", True)}).encode()
CALLS: dict[str, Call] = {
    "Hello": Hello(2, 1),
    "Propose": Propose(2, 1, ((ProposalId(2, 1, 1, 0), b'{"x":1}'),)),
    "AppendEntries": AppendEntries(
        2, 1, TERM, 0, 0, (command_entry(1, TERM, 0, ProposalId(2, 1, 1, 0), b'{"x":1}'),), 1, 0
    ),
    "Heartbeat": AppendEntries(2, 1, TERM, 0, 0, (), 0, 0, heartbeat=True),
    "RequestVote": RequestVote(2, 1, TERM, TERM, TERM, transfer=True),
    "InstallSnapshot": InstallSnapshot(2, 1, TERM, SnapshotMeta(9, TERM, 0, 0, CONFIGURATION)),
    "SnapshotChunk": SnapshotChunk(2, 1, 9, TERM, 100, 0, b""),
    "ChangeMembership": ChangeMembership(2, 1, "AddMember", 7, "http://127.0.0.1:9", True),
    "TransferLeadership": TransferLeadership(2, 1, 2),
    "AcceptClock": AcceptClock(2, 1),
    "Notice": Notice(2, 1, b"told"),
    "TimeoutNow": TimeoutNow(2, 1, TERM),
    "RecordedBoot": RecordedBoot(2, 1, 7),
    "ReadIndex": ReadIndex(2, 1, TERM),
    "WantSnapshot": WantSnapshot(2, 1, 7),
    "FetchEntries": FetchEntries(2, 1, (1, 2)),
}


class Watched:
    """A member alone in its cluster but for learner 2, behind a port that wants the secret."""

    def __init__(self, path: Path) -> None:
        self.host = host = Host(1, path / "1")
        host.secret_file = secret_file(path)
        host.start({1: Founder(host.port.url, host.incarnate(), "http://chat-1")})
        host.member.change(AddMember(2, "http://127.0.0.1:9", voting=False))
        assert host.result_of(b"before") is not None
        host.member.admit(self.peer, 1)  # nothing but the secret is missing
        self.reached: list[str] = []
        self._watch()

    def _watch(self) -> None:
        """Note whatever the port hands on."""
        member = self.host.member

        def watched(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
            def reach(*arguments: object) -> Any:
                self.reached.append(name)
                return method(*arguments)

            return reach

        for name in ("hello", "admit", "serve"):
            setattr(member, name, watched(name, getattr(member, name)))

    @property
    def port(self) -> int:
        return int(self.host.port.url.rpartition(":")[2])

    @property
    def peer(self) -> Sender:
        return Sender(2, "bb", self.host.member.cluster_id, "")

    def state(self) -> dict[str, Any]:
        """Term, log and membership."""
        status = self.host.member.status()
        members = [(member["Id"], member["Url"], member["Voting"]) for member in status["Members"]]  # type: ignore[attr-defined]
        return {"Members": members, **{name: status[name] for name in ("Term", "LastIndex", "CommitIndex", "Role")}}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    member = Watched(tmp_path_factory.mktemp("secret"))
    yield member
    member.host.close()


def unsigned(port: int, peer: Sender, body: bytes) -> Response:
    with Client(port) as client:
        return ask(client, body)


def wrongly_signed(port: int, peer: Sender, body: bytes) -> Response:
    """The MAC is of another session; the connection's own is sound."""
    with Caller(port) as other, Caller(port) as caller:
        assert (other.prove(peer, 1).status, caller.prove(peer, 1).status) == (200, 200)
        return ask(caller, other.sealed(body))


def with_another_secret(port: int, peer: Sender, body: bytes) -> Response:
    with Caller(port) as caller:
        return caller.prove(peer, 1, OTHER)


def for_another_member(port: int, peer: Sender, body: bytes) -> Response:
    """The proof is what a peer sent that called member 3, and was passed on."""
    with Caller(port) as caller:
        return caller.prove(peer, 3)


def of_another_cluster(port: int, peer: Sender, body: bytes) -> Response:
    with Caller(port) as caller:
        return caller.prove(Sender(2, "bb", "0ther", ""), 1)


def in_the_members_own_name(port: int, peer: Sender, body: bytes) -> Response:
    with Caller(port) as caller:
        return caller.prove(Sender(1, "bb", peer.cluster_id, ""), 1)


def replayed(port: int, peer: Sender, body: bytes) -> Response:
    """All that a sound connection sent so far is sent again on a new one."""
    with Caller(port) as caller:
        sent: list[bytes] = []
        send = caller.send
        caller.send = lambda data: (sent.append(data), send(data))[1]  # type: ignore[method-assign,func-returns-value]
        caller.prove(peer, 1)
        last = ask(caller, caller.sealed(b"no call")).status
        assert last == 400, "the connection itself was sound"
        sealed = ask(caller, sent[-1].partition(b"\r\n\r\n")[2])  # again on the same connection
        assert is_refusal(sealed)
    with Client(port) as client:
        answers = [client.ask(data) for data in sent[:2]]
        assert answers[0].status == 200
        return answers[1]


def reflected(port: int, peer: Sender, body: bytes) -> Response:
    """What the member itself sealed comes back as a call."""
    with Caller(port) as caller:
        caller.prove(peer, 1)
        answer = ask(caller, caller.sealed(b"no call"))
        return ask(caller, answer.body)


def cut_short(port: int, peer: Sender, body: bytes) -> Response:
    with Caller(port) as caller:
        caller.prove(peer, 1)
        return ask(caller, caller.sealed(body)[:-1])


def lengthened(port: int, peer: Sender, body: bytes) -> Response:
    with Caller(port) as caller:
        caller.prove(peer, 1)
        return ask(caller, caller.sealed(body) + b"\n")


def unsigned_on_a_proved_connection(port: int, peer: Sender, body: bytes) -> Response:
    with Caller(port) as caller:
        caller.prove(peer, 1)
        return ask(caller, body)


ATTACKS: list[Callable[[int, Sender, bytes], Response]] = [
    unsigned, wrongly_signed, with_another_secret, for_another_member, of_another_cluster, in_the_members_own_name,
    replayed, reflected, cut_short, lengthened, unsigned_on_a_proved_connection,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("name", CALLS)
def test_no_forged_call_does_anything(
    name: str, attack: Callable[[int, Sender, bytes], Response], watched: Watched
) -> None:
    before = watched.state()
    response = attack(watched.port, watched.peer, encode(watched.peer, CALLS[name]))
    assert is_refusal(response)
    assert response.headers["connection"] == "close"
    assert (watched.state(), watched.reached) == (before, [])


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("sender", [Sender(3, "bb", "", ""), Sender(2, "cc", "", "")], ids=["id", "incarnation"])
def test_no_proved_peer_speaks_for_another_one(name: str, sender: Sender, watched: Watched) -> None:
    call = replace(CALLS[name], source=sender.id)
    body = encode(Sender(sender.id, sender.incarnation, watched.peer.cluster_id, ""), call)
    before = watched.state()
    with Caller(watched.port) as caller:
        caller.prove(watched.peer, 1)
        answer = caller.call(body)
    assert (answer.status, watched.state(), watched.reached) == (403, before, [])
    assert f"from: member {sender.id}, on a connection of member 2" in answer.body.decode()


def test_a_member_knows_the_urls_of_members_and_who_was_removed(tmp_path: Path) -> None:
    """The hosts that certificates have to name."""
    host = Host(1, tmp_path / "1")
    host.start({1: Founder(host.port.url, host.incarnate(), "http://chat-1")})
    try:
        host.member.change(AddMember(2, "http://127.0.0.1:9", voting=False))
        assert [host.member.url_of(id) for id in (1, 2, 3)] == [host.port.url, "http://127.0.0.1:9", ""]
        host.member.change(RemoveMember(2))
        with pytest.raises(RefusedPeer, match="member 2 was removed from cluster"):
            host.member.url_of(2)
    finally:
        host.close()


def test_no_proved_peer_changes_its_cluster(watched: Watched) -> None:
    with Caller(watched.port) as caller:
        caller.prove(watched.peer, 1)
        answer = caller.call(encode(Sender(2, "bb", "c9", ""), CALLS["Hello"]))
    assert (answer.status, watched.reached) == (403, [])


def test_no_proved_peer_vouches_for_commands_of_another_one(watched: Watched) -> None:
    """The operator of a node is who that node says; so what is proposed names the node that proposes it."""
    proposals = ((ProposalId(3, 1, 1, 0), b'{"x":1}'),)
    with Caller(watched.port) as caller:
        caller.prove(watched.peer, 1)
        answer = caller.call(encode(watched.peer, Propose(2, 1, proposals)))
    assert (answer.status, watched.reached) == (400, [])
    assert "they are never passed on" in answer.body.decode()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /rpc HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /rooms HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_a_stranger_gets_one_answer_whatever_is_asked(request_: bytes, watched: Watched) -> None:
    with Client(watched.port) as client:
        assert is_refusal(client.ask(request_))


def test_a_connection_ends_with_a_wrong_proof(watched: Watched) -> None:
    with Caller(watched.port) as caller:
        assert caller.prove(watched.peer, 3).status == 401
        assert caller.closed()


def test_a_challenge_takes_one_proof(tmp_path: Path) -> None:
    """The server's own rule, whatever became of the connection."""
    calls = ProvedCalls(ClusterSecret(secret_file(tmp_path), lambda: Sender(1, "aa", CLUSTER, "")))
    handshake = ClientHandshake((Key(OTHER.encode()),), Claim(2, CLUSTER, digest_of("bb")), 1, b"c" * NONCE_BYTES)
    connection: dict[str, Any] = {}
    wrong = handshake.prove(calls.open(connection, handshake.challenge).reply)
    for words in ("has another cluster secret", "was not asked for"):
        with pytest.raises(UnprovedPeer, match=words):
            calls.open(connection, wrong)


def test_no_mutation_of_a_call_reaches_the_member(watched: Watched) -> None:
    chance = random.Random(7)
    body = encode(watched.peer, CALLS["AppendEntries"])
    for _ in range(60):
        with Caller(watched.port) as caller:
            caller.prove(watched.peer, 1)
            sealed = bytearray(caller.sealed(body))
            sealed[chance.randrange(len(sealed))] ^= 1 << chance.randrange(8)
            assert is_refusal(ask(caller, bytes(sealed)))
    assert watched.reached == []


# The same calls of a peer that has proved the secret


def test_a_stranger_cannot_send_much_until_the_secret_is_proved(tmp_path: Path) -> None:
    engine = Taking()
    secret = ClusterSecret(secret_file(tmp_path), engine.sender)
    more, few = Limits(body_bytes=1 << 20), Limits(body_bytes=4 << 10)

    def prove(environ: dict[str, Any]) -> None:
        environ["raft_chat.set_limits"](more)

    endpoint = Endpoint(engine.sender, engine.hello, secret, on_proved=prove)
    endpoint.engine = engine
    large = encode(PEER, Notice(2, 1, b"x" * 100_000))
    with serving(endpoint, limits=few) as server:
        with Client(server.port) as stranger:
            stranger.send(b"POST /rpc HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
            assert stranger.response().status == 413, "nothing of the body was read"
        with Caller(server.port) as caller:
            caller.prove(PEER, 1)
            assert caller.call(large).status == 200
        with Client(server.port) as stranger:
            assert ask(stranger, large).status == 413, "the next connection is a stranger's again"


class Taking:
    """An engine that takes every call, and answers none."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def sender(self) -> Sender:
        return Sender(1, "aa", CLUSTER, "")

    def hello(self) -> HelloReply:
        self.calls.append(CALLS["Hello"])
        return HelloReply({}, {}, ())

    def admit(self, sender: Sender, target: int) -> None:
        assert (sender, target) == (PEER, 1)

    def serve(self, call: Call, done: Callable[[Answer], None]) -> None:
        self.calls.append(call)
        done(HelloReply({}, {}, ()))

    def connection_ended(self, member: int) -> None:
        assert member == PEER.id


def test_every_call_of_a_proved_peer_arrives_as_it_was_sent(tmp_path: Path) -> None:
    engine = Taking()
    endpoint = Endpoint(engine.sender, engine.hello, ClusterSecret(secret_file(tmp_path), engine.sender))
    endpoint.engine = engine
    with serving(endpoint) as server, Caller(server.port) as caller:
        assert caller.prove(PEER, 1, SECRET).status == 200
        for call in CALLS.values():
            assert caller.call(encode(PEER, call)).status == 200
    sent = [decode_call(encode(PEER, call), 0)[1] for call in CALLS.values()]
    assert [unnumbered(call) for call in engine.calls] == [unnumbered(call) for call in sent]


def unnumbered(call: Call) -> Call:
    """The call without the number that its receiver gives it."""
    return decode_call(encode(PEER, call), 0)[1]
