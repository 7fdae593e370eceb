"""The cluster's secret: its file, and connections whose two ends have the same one, another one or none."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from raft.errors import StartRefused, UnprovedPeer
from raft.rpc.calls import Hello, HelloReply, Sender
from raft.rpc.cluster_secret import TRY_AGAIN_S, ClusterSecret, read_keys
from raft.rpc.codec import decode_answer, encode
from raft.rpc.endpoint import Endpoint
from raft.rpc.peer_client import Addresses, PeerConnection, ProofRefused
from tests.chat.wire import DEADLINE_S
from tests.raft.peer_port import App, PeerPort
from tests.support.secrets import OTHER, SECRET, secret_file

ONE, TWO = Sender(1, "aa", "c1", ""), Sender(2, "bb", "c1", "")
HELLO = encode(TWO, Hello(2, 1))
LISTED = HelloReply({1: "http://127.0.0.1:1"}, {}, ())


# The file


def test_a_file_has_one_key_or_two(tmp_path: Path) -> None:
    assert read_keys(secret_file(tmp_path, SECRET)) == [SECRET.encode()]
    assert read_keys(secret_file(tmp_path, f" {OTHER}\r", "", SECRET)) == [OTHER.encode(), SECRET.encode()]
    assert read_keys(secret_file(tmp_path, f"\ufeff{SECRET}")) == [SECRET.encode()]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("",), "has to hold one key"),
        ((SECRET, OTHER, "t" * 44), "has to hold one key"),
        (("s" * 31,), "fewer than 32 characters; make one with: head -c 32 /dev/urandom | base64"),
        ((SECRET, "short"), "fewer than 32 characters"),
        ((SECRET, SECRET), "the same key twice"),
        (("s" * 5_000,), "has to hold one key"),
    ],
)
def test_a_file_of_anything_else_is_refused_in_words(tmp_path: Path, keys: tuple[str, ...], words: str) -> None:
    path = secret_file(tmp_path, *keys)
    with pytest.raises(StartRefused) as refused:
        ClusterSecret(path, lambda: ONE)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)
    assert not any(key in str(refused.value) for key in keys if key)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o601])
def test_a_file_that_everybody_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path)
    path.chmod(mode)
    with pytest.raises(ValueError, match=f"every user of this machine: chmod o-rwx {path}"):
        read_keys(path)
    path.chmod(0o640)
    assert read_keys(path) == [SECRET.encode()]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match=r"--cluster-secret-file: .*nowhere cannot be read: No such file"):
        ClusterSecret(tmp_path / "nowhere", lambda: ONE)


def test_a_reload_takes_what_the_file_holds_and_keeps_what_stays(tmp_path: Path) -> None:
    secret = ClusterSecret(secret_file(tmp_path, SECRET), lambda: ONE)
    [first] = before = secret.keys
    secret.reload()
    assert secret.keys is before
    secret_file(tmp_path, OTHER, SECRET)
    secret.reload()
    assert len(secret.keys) == 2 and secret.keys[1] is first


def test_a_file_that_cannot_be_used_leaves_the_earlier_keys_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = ClusterSecret(secret_file(tmp_path, SECRET), lambda: ONE)
    before = secret.keys
    secret_file(tmp_path, "short")
    secret.reload()
    assert secret.keys is before
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the earlier keys stay in force" in record.message
    assert "short" not in record.message


# Connections


class Node:
    """A port that says hello, with a secret of its own file or with none."""

    def __init__(self, directory: Path, sender: Sender, *, accepts_unsigned: bool = False) -> None:
        self.directory = directory
        self.sender = sender
        self.accepts_unsigned = accepts_unsigned
        self.secret: ClusterSecret | None = None
        self.calls = 0
        self.changes_answers = self.refuses = False
        self.port = PeerPort(f"peers-{sender.id}")

    def start(self, *keys: str) -> None:
        """Serve, with these keys or with none."""
        self.directory.mkdir(exist_ok=True)
        self.secret = None
        if keys:
            path = secret_file(self.directory, *keys)
            self.secret = ClusterSecret(path, lambda: self.sender, accepts_unsigned=self.accepts_unsigned)
        self.port.shut()
        self.port.open(self._counted(Endpoint(lambda: self.sender, lambda: LISTED, self.secret)))

    def _counted(self, endpoint: Endpoint) -> App:
        def app(environ, start_response):  # type: ignore[no-untyped-def]
            self.calls += 1
            if self.refuses:
                start_response("401 Unauthorized", [("Content-Length", "0")])
                return []
            body = endpoint(environ, start_response)
            return [part[:-1] + b"?" for part in body] if self.changes_answers else body

        return app

    def reload(self, *keys: str) -> None:
        assert self.secret is not None
        secret_file(self.directory, *keys)
        self.secret.reload()

    def connection(self, to: "Node") -> PeerConnection:
        return PeerConnection(to.port.url, Addresses(secret=self.secret), to.sender.id)


class Pair:
    """Node 2, which calls, and node 1."""

    def __init__(self, path: Path) -> None:
        self.one, self.two = Node(path / "1", ONE), Node(path / "2", TWO)
        self.connection: PeerConnection | None = None

    def start(self, one: tuple[str, ...], two: tuple[str, ...], *, unsigned: bool = False) -> None:
        self.one.accepts_unsigned = self.two.accepts_unsigned = unsigned
        self.one.start(*one)
        self.two.start(*two)
        self.connection = self.two.connection(self.one)

    def hello(self, body: bytes = HELLO) -> int:
        """Say hello and check who answers; the status."""
        assert self.connection is not None
        status, answer = self.connection.call(body, DEADLINE_S)
        if status == 200:
            assert decode_answer(answer, self.connection.proved) == (ONE, LISTED)
        return status

    def refusal(self) -> str:
        with pytest.raises(ProofRefused) as refused:
            self.hello()
        return str(refused.value)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.one.port.close()
        self.two.port.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()


def test_calls_between_nodes_with_one_secret_take_one_handshake(pair: Pair) -> None:
    pair.start((SECRET,), (SECRET,))
    assert [pair.hello() for _ in range(5)] == [200] * 5
    assert pair.one.calls == 2 + 5


def test_a_large_call_and_its_answer_arrive_whole(pair: Pair) -> None:
    pair.start((SECRET,), (SECRET,))
    assert pair.hello(HELLO[:-2] + b" " * 400_000 + b"}\n") == 200


def test_an_answer_that_was_changed_on_its_way_is_not_believed(pair: Pair) -> None:
    pair.start((SECRET,), (SECRET,))
    assert pair.hello() == 200
    pair.one.changes_answers = True
    with pytest.raises(UnprovedPeer, match="an answer of member 1 was changed on its way"):
        pair.hello()
    pair.one.changes_answers = False
    assert pair.hello() == 200, "a new connection is proved anew"


def test_a_refusal_that_is_not_proved_is_not_believed_either(pair: Pair) -> None:
    """A forged 401 would have the client make the call again."""
    pair.start((SECRET,), (SECRET,))
    assert pair.hello() == 200
    pair.one.refuses = True
    before = pair.one.calls
    with pytest.raises(ProofRefused, match="answers with status 401, and without a proof"):
        pair.hello()
    assert pair.one.calls - before == 1


def test_a_node_with_another_secret_is_refused_and_both_logs_say_what_to_do(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    pair.start((SECRET,), (OTHER,))
    assert "it refuses this node's cluster secret" in pair.refusal()
    pair.refusal()
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert told == [
        "refused a peer at 127.0.0.1: member 2 has another cluster secret: give it the same --cluster-secret-file"
    ]


def test_a_node_without_a_secret_is_told_that_one_is_needed(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    pair.start((SECRET,), ())
    assert pair.hello() == 401
    assert "without the cluster's secret: start it with the same --cluster-secret-file" in caplog.text


def test_a_node_that_has_no_secret_is_not_called(pair: Pair) -> None:
    pair.start((), (SECRET,))
    assert pair.refusal() == "it has no cluster secret: start it with the same --cluster-secret-file"


def test_another_member_than_the_one_that_is_called_is_refused(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    pair.start((SECRET,), (SECRET,))
    pair.one.sender = Sender(3, "aa", "c1", "")
    assert "or its id or cluster" in pair.refusal()
    assert "member 2 calls member 1 here, at member 3: compare --cluster" in caplog.text


# A secret is replaced


@pytest.mark.parametrize(
    "steps",
    [
        [("one", (OTHER, SECRET)), ("two", (OTHER, SECRET)), ("one", (OTHER,)), ("two", (OTHER,))],
        [("two", (OTHER, SECRET)), ("one", (OTHER, SECRET)), ("two", (OTHER,)), ("one", (OTHER,))],
        [("one", (SECRET, OTHER)), ("two", (SECRET, OTHER)), ("two", (OTHER,)), ("one", (OTHER,))],
    ],
)
def test_a_secret_is_replaced_on_one_node_after_the_other_and_no_call_fails(
    pair: Pair, steps: list[tuple[str, tuple[str, ...]]]
) -> None:
    pair.start((SECRET,), (SECRET,))
    assert pair.hello() == 200
    for name, keys in steps:
        getattr(pair, name).reload(*keys)
        assert [pair.hello() for _ in range(3)] == [200] * 3
    assert pair.connection is not None and pair.connection._session is not None
    assert pair.one.secret is not None
    assert pair.connection._session.key is not pair.one.secret.keys[0]  # each node has objects of its own
    pair.one.reload("t" * 44)
    assert "it refuses this node's cluster secret" in pair.refusal()


def test_a_connection_whose_key_the_other_side_gave_up_is_proved_anew_within_the_call(pair: Pair) -> None:
    pair.start((SECRET, OTHER), (SECRET, OTHER))
    assert pair.hello() == 200
    pair.one.reload(OTHER)
    before = pair.one.calls
    assert pair.hello() == 200
    assert pair.one.calls - before == 1 + 2 + 1  # the call that is refused, a handshake, and the call again


def test_a_key_that_is_gone_opens_nothing_any_more(pair: Pair) -> None:
    pair.start((SECRET,), (SECRET,))
    assert pair.hello() == 200
    pair.one.reload(OTHER)
    assert "it refuses this node's cluster secret" in pair.refusal()
    pair.one.reload(SECRET)
    assert pair.hello() == 200


# From no secret to one


def test_a_node_that_accepts_unsigned_peers_calls_them_and_asks_for_a_secret_once(pair: Pair) -> None:
    pair.start((), (SECRET,), unsigned=True)
    assert [pair.hello() for _ in range(3)] == [200] * 3
    assert pair.one.calls == 1 + 3
    assert pair.connection is not None
    pair.connection.close()
    assert pair.hello() == 200
    assert pair.one.calls == 1 + 4, "it was not asked again at once"


def test_a_node_that_accepts_unsigned_peers_is_called_by_them(pair: Pair) -> None:
    pair.start((SECRET,), (), unsigned=True)
    assert [pair.hello() for _ in range(3)] == [200] * 3


def test_two_nodes_that_accept_unsigned_peers_sign_all_the_same(pair: Pair) -> None:
    pair.start((SECRET,), (SECRET,), unsigned=True)
    assert pair.hello() == 200
    assert pair.connection is not None and pair.connection._session is not None


def test_a_peer_that_has_a_secret_by_now_is_asked_for_it_before_it_takes_a_call(pair: Pair) -> None:
    pair.start((), (SECRET,), unsigned=True)
    assert pair.hello() == 200
    pair.one.accepts_unsigned = False
    pair.one.start(SECRET)
    assert pair.connection is not None
    pair.connection.close()  # as when the other node is restarted
    assert pair.hello() == 200
    assert pair.connection._session is not None


def test_a_peer_without_a_secret_is_asked_for_one_again_after_a_time(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.start((), (SECRET,), unsigned=True)
    assert pair.hello() == 200
    assert pair.two.secret is not None and pair.connection is not None
    pair.two.secret._asked_s[1] -= TRY_AGAIN_S
    pair.one.accepts_unsigned = True
    pair.one.start(SECRET)
    pair.connection.close()
    assert pair.hello() == 200
    assert pair.connection._session is not None


def test_another_secret_is_refused_where_unsigned_peers_are_accepted(pair: Pair) -> None:
    pair.start((SECRET,), (OTHER,), unsigned=True)
    assert "it refuses this node's cluster secret" in pair.refusal()
