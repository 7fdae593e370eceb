"""The port of the peers: who gets which answer, through Werkzeug's client and over real sockets."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest
from werkzeug.test import Client, TestResponse

from chat.server.limits import Limits
from raft.core.entries import command_entry
from raft.core.raft_messages import AppendEntries, AppendEntriesReply, ProposalId, RequestVote, RequestVoteReply
from raft.errors import InvalidMessage, RefusedPeer
from raft.rpc.calls import Hello, HelloReply, ReadIndex, ReadIndexReply, Sender
from raft.rpc.codec import Answer, Call, decode_answer, encode
from raft.rpc.endpoint import Endpoint
from raft.rpc.peer_client import BODY_BYTES_MAX, PeerConnection
from tests.chat.wire import DEADLINE_S, serving
from tests.support.wsgi import deferring

NEW = Sender(1, "aa", "", "http://127.0.0.1:12380")
OWN = Sender(1, "aa", "c1", "http://127.0.0.1:12380")
PEER = Sender(2, "bb", "c1", "http://127.0.0.1:22380")
LISTED = HelloReply({1: "http://127.0.0.1:12379"}, {}, ())
FOUNDED = HelloReply(LISTED.listed, {1: "aa"}, ())
VOTE = encode(PEER, RequestVote(2, 1, 5, 10, 4))
HEARTBEAT = encode(PEER, AppendEntries(2, 1, 5, 0, 0, (), 0, 0, heartbeat=True))
HELLO = encode(PEER, Hello(2, 1))


class FakeEngine:
    """Takes calls in; the test answers them."""

    def __init__(self, refuses: RefusedPeer | InvalidMessage | None = None) -> None:
        self.calls: SimpleQueue[tuple[Call, Callable[[Answer], None]]] = SimpleQueue()
        self.admitted: list[tuple[Sender, int]] = []
        self.ended: list[int] = []
        self._refuses = refuses

    def sender(self) -> Sender:
        return OWN

    def hello(self) -> HelloReply:
        return FOUNDED

    def admit(self, sender: Sender, target: int) -> None:
        self.admitted.append((sender, target))
        if isinstance(self._refuses, RefusedPeer):
            raise self._refuses

    def serve(self, call: Call, done: Callable[[Answer], None]) -> None:
        if self._refuses is not None:
            raise self._refuses
        self.calls.put((call, done))

    def connection_ended(self, member: int) -> None:
        self.ended.append(member)

    def next(self) -> tuple[Call, Callable[[Answer], None]]:
        return self.calls.get(timeout=DEADLINE_S)


class AnsweringEngine(FakeEngine):
    """Answers each vote at once, in the caller's thread, granting it."""

    def serve(self, call: Call, done: Callable[[Answer], None]) -> None:
        if isinstance(call, ReadIndex):
            done(ReadIndexReply(9))
            return
        if isinstance(call, AppendEntries):
            done(AppendEntriesReply(1, call.source, call.term, True, 0, 0, True, request=call.request))
            return
        assert isinstance(call, RequestVote)
        done(granted(call))


def granted(call: RequestVote) -> RequestVoteReply:
    return RequestVoteReply(1, call.source, call.term, vote_granted=True, request=call.request)


def endpoint_with(engine: FakeEngine | None) -> Endpoint:
    endpoint = Endpoint(lambda: NEW, lambda: LISTED)
    endpoint.engine = engine
    return endpoint


def post(endpoint: Endpoint, body: bytes, path: str = "/rpc") -> TestResponse:
    return Client(deferring(endpoint)).post(path, data=body)


def check_problem(response: TestResponse, status: int, code: str) -> dict[str, object]:
    problem: dict[str, object] = json.loads(response.data)
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert response.content_type == "application/problem+json"
    assert problem["title"] and problem["detail"]
    return problem


# Where to, and how


@pytest.mark.parametrize("path", ["/", "/rpc/", "/rpcs", "/rooms/general"])
def test_any_other_path_is_not_found(path: str) -> None:
    check_problem(post(endpoint_with(FakeEngine()), VOTE, path), 404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_any_other_method_is_not_allowed(method: str) -> None:
    response = Client(deferring(endpoint_with(FakeEngine()))).open("/rpc", method=method)
    check_problem(response, 405, "method")
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("body", [b"", b"garbage", b"{}\n", VOTE[:-1], VOTE.replace(b'"term":5', b'"term":-5')])
def test_what_is_no_rpc_is_a_bad_request_and_reaches_nobody(body: bytes) -> None:
    engine = FakeEngine()
    check_problem(post(endpoint_with(engine), body), 400, "invalid")
    assert (engine.admitted, engine.calls.empty()) == ([], True)


def test_a_bad_request_names_the_field() -> None:
    response = post(endpoint_with(FakeEngine()), VOTE.replace(b'"term":5', b'"term":-5'))
    assert "term" in str(json.loads(response.data)["detail"])


@pytest.mark.parametrize("length", ["x", "-1", str(BODY_BYTES_MAX + 1)])
def test_a_length_that_cannot_be_is_a_bad_request(length: str) -> None:
    response = Client(deferring(endpoint_with(FakeEngine()))).post("/rpc", environ_overrides={"CONTENT_LENGTH": length})
    assert "Content-Length" in str(check_problem(response, 400, "invalid")["detail"])


@pytest.mark.parametrize("call", [HEARTBEAT, VOTE])
def test_the_engine_is_told_of_the_end_of_a_connection_that_a_leader_used(call: bytes) -> None:
    engine, connection = AnsweringEngine(), dict[str, Callable[[], None]]()
    response = Client(deferring(endpoint_with(engine))).post(
        "/rpc", data=call, environ_overrides={"raft_chat.connection": connection}
    )
    assert response.status_code == 200
    for on_end in connection.values():
        on_end()
    assert engine.ended == ([PEER.id] if call is HEARTBEAT else [])


# Before there is an engine


def test_a_blank_member_says_hello_with_what_it_was_started_with() -> None:
    response = post(endpoint_with(None), HELLO)
    assert decode_answer(response.data) == (NEW, LISTED)


def test_a_blank_member_serves_nothing_else() -> None:
    check_problem(post(endpoint_with(None), VOTE), 503, "not_ready")


def test_a_blank_member_that_is_about_to_start_says_so() -> None:
    def hello() -> HelloReply:
        raise RefusedPeer("not_ready", "member 1 is starting")

    check_problem(post(Endpoint(lambda: NEW, hello), HELLO), 503, "not_ready")


def test_a_member_with_an_engine_says_hello_as_the_engine_does_to_anybody() -> None:
    engine = FakeEngine(RefusedPeer("unknown_member", "who are you"))
    response = post(endpoint_with(engine), HELLO)
    assert decode_answer(response.data) == (OWN, FOUNDED)
    assert engine.admitted == []


# Who may not


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("other_cluster", 403),
        ("other_incarnation", 403),
        ("unknown_member", 403),
        ("removed", 410),
        ("not_ready", 503),
    ],
)
def test_who_may_not_speak_is_told_why_and_by_which_cluster(code: str, status: int) -> None:
    engine = FakeEngine(RefusedPeer(code, "in words"))
    problem = check_problem(post(endpoint_with(engine), VOTE), status, code)
    assert (problem["detail"], problem["cluster_id"]) == ("in words", "c1")
    assert engine.admitted == [(PEER, 1)]


def test_what_the_engine_cannot_take_is_a_bad_request() -> None:
    engine = FakeEngine(InvalidMessage("two leaders in one term"))
    assert check_problem(post(endpoint_with(engine), VOTE), 400, "invalid")["detail"] == "two leaders in one term"


# Answers


def test_an_answer_that_is_there_at_once_is_returned() -> None:
    response = post(endpoint_with(AnsweringEngine()), VOTE)
    assert (response.status_code, response.content_type) == (200, "application/json")
    sender, reply = decode_answer(response.data)
    assert sender == OWN
    assert isinstance(reply, RequestVoteReply)
    assert reply.vote_granted


def test_an_answer_that_comes_later_is_waited_for() -> None:
    engine = FakeEngine()

    def answer_later() -> None:
        call, done = engine.next()
        assert isinstance(call, RequestVote)
        done(granted(call))

    thread = threading.Thread(target=answer_later, name="answers")
    thread.start()
    response = post(endpoint_with(engine), VOTE)
    thread.join(DEADLINE_S)
    assert isinstance(decode_answer(response.data)[1], RequestVoteReply)


def test_every_call_has_a_number_of_its_own() -> None:
    engine = FakeEngine()
    numbers = []

    def answer_all() -> None:
        for _ in range(5):
            call, done = engine.next()
            assert isinstance(call, RequestVote)
            numbers.append(call.request)
            done(granted(call))

    thread = threading.Thread(target=answer_all, name="answers")
    thread.start()
    endpoint = endpoint_with(engine)
    for _ in range(5):
        post(endpoint, VOTE)
    thread.join(DEADLINE_S)
    assert len(set(numbers)) == 5


# Over real sockets, deferred


@contextmanager
def calling(endpoint: Endpoint) -> Iterator[PeerConnection]:
    """A connection to a real server of the endpoint."""
    with serving(endpoint, limits=Limits(body_bytes=BODY_BYTES_MAX)) as server:
        connection = PeerConnection(f"http://127.0.0.1:{server.port}")
        try:
            yield connection
        finally:
            connection.close()


def test_calls_and_answers_go_over_a_real_connection_again_and_again() -> None:
    with calling(endpoint_with(AnsweringEngine())) as connection:
        for _ in range(50):
            status, body = connection.call(VOTE, DEADLINE_S)
            assert (status, type(decode_answer(body)[1])) == (200, RequestVoteReply)
        assert connection.call(encode(PEER, ReadIndex(2, 1)), DEADLINE_S)[0] == 200


def test_an_answer_that_comes_later_arrives() -> None:
    engine = FakeEngine()
    with calling(endpoint_with(engine)) as connection:
        answers: list[tuple[int, bytes]] = []
        caller = threading.Thread(target=lambda: answers.append(connection.call(VOTE, DEADLINE_S)), name="caller")
        caller.start()
        call, done = engine.next()
        assert isinstance(call, RequestVote)
        done(granted(call))
        caller.join(DEADLINE_S)
    [(status, body)] = answers
    assert (status, decode_answer(body)) == (200, (OWN, RequestVoteReply(1, 2, 5, vote_granted=True)))


def test_answers_of_many_callers_find_their_own() -> None:
    engine = FakeEngine()
    with serving(endpoint_with(engine)) as server:
        url = f"http://127.0.0.1:{server.port}"
        terms: dict[int, int] = {}

        def ask(term: int) -> None:
            connection = PeerConnection(url)
            _, body = connection.call(encode(PEER, RequestVote(2, 1, term, 0, 0)), DEADLINE_S)
            reply = decode_answer(body)[1]
            assert isinstance(reply, RequestVoteReply)
            terms[term] = reply.term
            connection.close()

        callers = [threading.Thread(target=ask, args=(term,), name=f"caller-{term}") for term in range(1, 9)]
        for caller in callers:
            caller.start()
        for call, done in reversed([engine.next() for _ in callers]):
            assert isinstance(call, RequestVote)
            done(granted(call))
        for caller in callers:
            caller.join(DEADLINE_S)
    assert terms == {term: term for term in range(1, 9)}


@pytest.mark.parametrize(
    ("refuses", "status"),
    [(RefusedPeer("removed", "gone"), 410), (InvalidMessage("nonsense"), 400), (None, 200)],
)
def test_a_refusal_over_a_real_connection_takes_back_the_promised_answer_and_keeps_the_connection(
    refuses: RefusedPeer | InvalidMessage | None, status: int
) -> None:
    engine = FakeEngine(refuses) if refuses else AnsweringEngine()
    with calling(endpoint_with(engine)) as connection:
        assert [connection.call(VOTE, DEADLINE_S)[0] for _ in range(3)] == [status] * 3


def test_a_caller_that_has_gone_does_not_fail_who_answers() -> None:
    engine = FakeEngine()
    with calling(endpoint_with(engine)) as connection:
        with pytest.raises(TimeoutError):
            connection.call(VOTE, 0.05)
        call, done = engine.next()
        assert isinstance(call, RequestVote)
        done(granted(call))


def test_a_large_append_arrives_whole() -> None:
    engine = FakeEngine()
    value = b'"%b"' % (b"x" * 1_000)
    entries = tuple(command_entry(1 + n, 1, 0, ProposalId(2, 1, 1 + n, 0), value) for n in range(2_000))
    body = encode(PEER, AppendEntries(2, 1, 1, 0, 0, entries, 0, 0))
    assert len(body) > 1 << 20
    with calling(endpoint_with(engine)) as connection:
        caller = threading.Thread(target=lambda: connection.call(body, DEADLINE_S), name="caller")
        caller.start()
        call, done = engine.next()
        assert isinstance(call, AppendEntries)
        assert call.entries == entries
        done(ReadIndexReply(0))
        caller.join(DEADLINE_S)
