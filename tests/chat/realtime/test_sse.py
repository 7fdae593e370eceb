"""`/events`: what a subscriber of the websocket is told, as server-sent events."""

import http.client
import json
import random
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Any

import pytest

from chat.app import create_app
from chat.commands import OPERATOR, Actor, encode
from chat.commands.accounts import RevokeTokens
from chat.commands.cluster import SetAuth
from chat.commands.rooms import ChangeRoom
from chat.realtime import hub, sse
from chat.realtime.connection import Connection, HubLimits
from chat.realtime.sse import EventStreamConnection
from chat.server.server import Server
from chat.state.events import EVERYBODY, PostEvent
from chat.state.results import RoomChanged
from chat.state.room_details import PRIVATE
from chat.state.settings import INVITE, LOGIN
from tests.chat.people import ROLES, new_user
from tests.support.node import DEADLINE_S, NODES, Node, secret
from tests.support.waiting import wait_until

ALL_TAKEN = "all streams of this node are in use; try again, or at another node"


class Follower:
    """One `GET /events`, an event at a time.

    HttpClient reads an answer to its end, and a stream has none; curl cannot be made to read slowly.
    """

    def __init__(
        self,
        port: int,
        query: str = "",
        last_event_id: str | None = None,
        method: str = "GET",
        name: str | None = None,
        source: str = "127.0.0.1",
        receive_bytes: int = 0,
    ) -> None:
        """`name`: of the token that it brings; `source`: the address that it comes from.

        `receive_bytes`: of its kernel's buffer, where that is not to take megabytes.
        """
        self._connection = http.client.HTTPConnection("127.0.0.1", port, DEADLINE_S, (source, 0))
        if receive_bytes:
            self._connection.sock = socket.socket()
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            self._connection.sock.settimeout(DEADLINE_S)
            self._connection.sock.connect(("127.0.0.1", port))
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        if name is not None:
            headers["Authorization"] = f"Bearer {secret(name)}"
        self._connection.request(method, f"/events{query}", headers=headers)
        self.answer = self._connection.getresponse()
        self.last_id = last_event_id
        self.comments = 0

    def hear(self) -> dict[str, Any]:
        """The next event's data; EOFError where the stream has ended."""
        data, last_id = None, self.last_id
        while line := self.answer.readline():
            match line.rstrip(b"\n").partition(b": "):
                case (b"id", b"", _):
                    last_id = ""
                case (b"id", _, id):
                    last_id = id.decode()
                case (b"data", _, text):
                    assert data is None, "an event is one line"
                    data = json.loads(text)
                case (b":", _, _):
                    self.comments += 1
                case (b"", _, _) if data is not None:
                    assert isinstance(data, dict)
                    self.last_id = last_id  # not before: what is not whole is no event
                    return data
        raise EOFError

    def hear_to_the_end(self) -> list[dict[str, Any]]:
        """What is left to hear of a stream that ends."""
        heard = []
        with suppress(EOFError):
            while True:
                heard.append(self.hear())
        return heard

    def close(self) -> None:
        self.answer.close()
        self._connection.close()

    def __enter__(self) -> "Follower":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def follow(node: Node, query: str = "", last_event_id: str | None = None, receive_bytes: int = 0) -> Follower:
    """A stream that is under way: greeted, and the hub knows where it stands."""
    follower = Follower(node.port, query, last_event_id, receive_bytes=receive_bytes)
    assert follower.answer.status == 200
    assert follower.hear()["Hello"]["Nodes"] == NODES
    node.settle()
    return follower


def refused(node: Node, query: str = "", last_event_id: str | None = None) -> tuple[int, str]:
    """The status and the detail of a stream's refusal."""
    with Follower(node.port, query, last_event_id) as follower:
        return follower.answer.status, json.loads(follower.answer.read())["detail"]


def test_a_stream_is_told_what_a_subscriber_is_told_with_the_cursor_as_id(node: Node) -> None:
    subscriber = node.connect()
    subscriber.subscribe()
    with follow(node) as follower:
        assert follower.answer.headers["Content-Type"] == "text/event-stream"
        assert follower.answer.headers["Cache-Control"] == "no-store"
        assert follower.last_id == "c0ffee-2"
        happenings: list[Callable[[], None]] = [
            lambda: node.post("general", "héllo\nworld\r"),
            lambda: node.post("other", "x" * 8000),
            lambda: node.revise(1, "other words"),
            lambda: node.react(1),
            lambda: node.delete("other"),
        ]
        for happen in happenings:
            happen()
            told = subscriber.hear()
            assert follower.hear() == told
            assert follower.last_id == told["Cursor"]


def test_a_stream_of_some_rooms_is_told_of_these_only(node: Node) -> None:
    with follow(node, "?rooms=general,a%2Cb,caf%C3%A9,two+words") as follower:
        for room in ("other", "general", "a,b", "a", "café", "b", "two words"):
            node.post(room)
        assert [follower.hear()["RoomName"] for _ in range(4)] == ["general", "a,b", "café", "two words"]


@pytest.mark.parametrize("size", [50, 125, 126, 65_535, 65_536, 200_000])
def test_an_event_is_whole_whatever_its_length(node: Node, size: int) -> None:
    with follow(node) as follower:
        node.post()
        follower.hear()  # it has caught up
        post = b'{"Message":"%b"}' % (b"x" * size)
        node.hub.publish(4, [PostEvent(4, "general", 2, post)])
        assert follower.hear()["Post"] == json.loads(post)
        node.hub.publish(5, [PostEvent(5, "general", 3, b"{}")])
        assert follower.hear()["Cursor"] == "c0ffee-5"


@pytest.mark.parametrize("seed", range(3))
def test_resuming_by_last_event_id_has_no_hole_and_no_repeat_while_posts_keep_coming(node: Node, seed: int) -> None:
    rng = random.Random(seed)
    total = 300
    for _ in range(total // 3):
        node.post()

    def go_on() -> None:
        for _ in range(total // 3, total):
            node.post(message="x" * 500)
            node.settle()

    posting = threading.Thread(target=go_on)
    posting.start()
    last_id, seen = "c0ffee-2", list[int]()
    while len(seen) < total:
        with follow(node, "?rooms=general", last_id) as follower:
            for _ in range(min(rng.randint(1, 60), total - len(seen))):
                seen.append(follower.hear()["Post"]["Id"])
            assert follower.last_id is not None
            last_id = follower.last_id
    posting.join()
    assert seen == list(range(1, total + 1))


def test_who_has_heard_nothing_yet_resumes_from_where_it_was_greeted(node: Node) -> None:
    with follow(node) as follower:
        greeted = follower.last_id
    node.post(message="meanwhile")
    with follow(node, last_event_id=greeted) as follower:
        assert follower.hear()["Post"]["Message"] == "meanwhile"


@pytest.mark.parametrize(
    ("query", "last_event_id", "detail"),
    [
        ("", "nonsense", "Cursor: not one that a node gave out"),
        ("?rooms=", None, "rooms: must have 1 to 64 code points, has 0"),
        ("?rooms=a,,b", None, "rooms: must have 1 to 64 code points, has 0"),
        ("?rooms=a&rooms=b", None, "rooms: this parameter is given twice"),
        (f"?rooms={','.join(['a'] * 1001)}", None, "rooms: at most 1,000 names"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_stream_begins(
    node: Node, query: str, last_event_id: str | None, detail: str
) -> None:
    assert refused(node, query, last_event_id) == (400, detail)


@pytest.mark.parametrize("lost", ["c0ffee-99", "c0ffee-ab12-2", "other-2"])
def test_an_id_of_a_history_that_is_lost_is_told_to_start_over_and_the_stream_goes_on_from_now(
    node: Node, lost: str
) -> None:
    with Follower(node.port, "?rooms=general", lost) as follower:
        assert follower.hear()["Error"]["code"] == "start_over"
        assert follower.last_id == ""  # a browser that comes back brings none
        assert follower.hear()["Hello"]["Cursor"] == follower.last_id == "c0ffee-2"
        node.post("other")
        node.post("general", "new")
        assert follower.hear()["Post"]["Message"] == "new"


def test_an_id_carries_the_generation(node: Node) -> None:
    node.replica.generation = "ab12"
    with follow(node) as follower:
        assert follower.last_id == "c0ffee-ab12-2"
        node.post()
        assert follower.hear()["Cursor"] == follower.last_id == "c0ffee-ab12-3"
    with follow(node, last_event_id="c0ffee-ab12-2") as follower:
        assert follower.hear()["Cursor"] == "c0ffee-ab12-3"


def test_one_stream_more_than_there_may_be_is_a_503_until_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "STREAMS_MAX", 2)
    with Node() as node, follow(node) as first, follow(node):
        assert refused(node) == (503, ALL_TAKEN)
        first.close()
        while (again := Follower(node.port)).answer.status == 503:
            again.close()
        again.close()


def test_when_all_streams_are_taken_the_address_that_has_most_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "STREAMS_MAX", 3)
    with ExitStack() as stack, Node() as node:
        crowd = [stack.enter_context(follow(node)) for _ in range(3)]
        other = stack.enter_context(Follower(node.port, source="127.0.0.2"))
        assert other.hear()["Hello"]["Nodes"] == NODES
        assert crowd[0].hear_to_the_end() == []  # the one that it has had longest
        assert refused(node) == (503, ALL_TAKEN)  # of the crowd's own address
        node.post()
        assert [follower.hear()["Post"]["Id"] for follower in (*crowd[1:], other)] == [1, 1, 1]


def test_a_stream_that_gives_way_while_its_client_does_not_read_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "STREAMS_MAX", 2)
    limits = HubLimits(send_buffer_bytes=16 * 1024, backlog_bytes=1 << 30, all_backlog_bytes=1 << 30, close_s=0.2)
    with ExitStack() as stack, Node(limits) as node:
        for _ in range(2):
            stack.enter_context(follow(node))
        for number in range(300):  # more than the socket's buffers take
            node.post(message=f"{number} {'x' * 8000}")
        stack.enter_context(Follower(node.port, source="127.0.0.2")).hear()
        wait_until(lambda: node.hub.count == 2, DEADLINE_S, "the stream that gave way has ended")


def test_when_all_streams_are_taken_the_operator_still_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "STREAMS_MAX", 1)
    limits = HubLimits(operator_spare=1)
    with ExitStack() as stack, Node(limits) as node:
        for source, status in (("127.0.0.2", 200), ("127.0.0.3", 503), ("127.0.0.1", 200), ("127.0.0.1", 503)):
            follower = stack.enter_context(Follower(node.port, source=source))
            assert follower.answer.status == status


def test_streams_leave_the_descriptors_that_are_kept_for_the_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "descriptor_limit", lambda: 64 + 3)  # below what this process has open
    with Node() as node:
        assert refused(node) == (503, ALL_TAKEN)


def test_a_head_request_has_the_head_and_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "STREAMS_MAX", 1)
    with Node() as node:
        for _ in range(3):
            with Follower(node.port, method="HEAD") as head:
                assert head.answer.status == 200
                assert head.answer.headers["Content-Type"] == "text/event-stream"
                assert head.answer.read() == b""
        with follow(node):
            pass


def test_a_silent_stream_has_comments(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "COMMENT_S", 0.02)
    with follow(node) as follower:
        while follower.answer.readline() != b":\n":
            pass
        node.post()
        assert follower.hear()["Post"]["Id"] == 1


def test_a_stream_that_only_listens_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_SWEEP_S", 0.02)
    with Node(HubLimits(ping_s=0.05, dead_s=0.3)) as node, follow(node) as follower:
        for _ in range(20):  # a ping each: a second
            while follower.answer.readline() != b":\n":
                pass
        node.post()
        assert follower.hear()["Post"]["Id"] == 1


def test_a_client_that_does_not_read_is_cut_off_and_resumes_by_its_last_id() -> None:
    limits = HubLimits(send_buffer_bytes=16 * 1024)
    # Several times what the kernel takes for it.  From when it is cut off it has some seconds to take the end: so no
    # more is posted and heard meanwhile than a busy machine does in a moment.
    posts, text = 400, "x" * 8000
    with Node(limits) as node:
        with follow(node, receive_bytes=256 * 1024) as follower:
            reader = node.connect()  # keeps up, which says that the hub goes on
            for number in range(posts):
                node.post(message=f"{number} {text}")
                assert reader.hear()["Post"]["Id"] == number + 1
            heard = 0
            with suppress(EOFError, http.client.IncompleteRead):  # it was given some seconds to take the end
                while follower.hear():
                    heard += 1
            last_id = follower.last_id
        assert 0 < heard < posts
        with follow(node, last_event_id=last_id) as follower:
            for id in range(heard + 1, posts + 1):
                assert follower.hear()["Post"]["Id"] == id


def test_a_node_that_shuts_down_ends_its_streams(node: Node) -> None:
    with follow(node) as follower:
        node.post()
        assert follower.hear()["Post"]["Id"] == 1
        ending = threading.Thread(target=node.hub.drain, args=(DEADLINE_S,))
        ending.start()
        with pytest.raises(EOFError):
            follower.hear()
        ending.join()
        assert refused(node)[0] == 503


def test_a_node_that_is_starting_has_no_streams() -> None:
    with Node() as node:
        server = Server(create_app(node.replica, node.state), "127.0.0.1", 0, name="starting")
        server.start()
        with Follower(server.port) as follower:
            assert follower.answer.status == 503
        server.drain(DEADLINE_S)


def test_what_a_text_says_is_no_cursor(node: Node) -> None:
    with follow(node) as follower:
        node.post(message='","Cursor":"c0ffee-99"}')
        follower.hear()
        assert follower.last_id == "c0ffee-3"


def test_a_room_of_which_too_much_was_missed_is_named_and_the_last_one_has_the_id(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.realtime.subscription.MISSED_POSTS_MAX", 3)
    for _ in range(4):
        node.post("a")
        node.post("b")
    with follow(node, last_event_id="c0ffee-3") as follower:
        assert {follower.hear()["Limited"]["RoomName"] for _ in range(2)} == {"a", "b"}
        assert follower.last_id == "c0ffee-10"


def test_where_there_is_a_login_a_stream_is_its_tokens_and_ends_with_it(node: Node) -> None:
    node.replica.commit(encode(SetAuth(Actor(OPERATOR), LOGIN, INVITE)))
    for name, role in ROLES.items():
        node.replica.commit(encode(new_user(Actor(OPERATOR), name, role)))
    for name in ("bob", "eve"):
        node.log_in(name, name)
    with Follower(node.port) as nobody:
        assert nobody.answer.status == 401
    with Follower(node.port, name="bob") as bob, Follower(node.port, name="eve") as eve:
        assert [follower.hear()["Hello"]["User"] for follower in (bob, eve)] == ["bob", "eve"]
        node.settle()
        node.post_as("bob", "club", "made")
        node.members("club", "bob")
        node.post_as("bob", "club", "private")
        node.post_as("bob", "general", "public")
        assert posts(bob, 3) == ["made", "private", "public"]
        assert posts(eve, 2) == ["made", "public"]
        node.replica.commit(encode(RevokeTokens(Actor(OPERATOR), name="bob")))
        node.post_as("eve", "general", "after")
        assert bob.hear_to_the_end() == []
        assert posts(eve, 1) == ["after"]


def test_a_stream_is_told_that_a_room_which_turns_private_is_gone_live_and_on_resuming(node: Node) -> None:
    node.replica.commit(encode(SetAuth(Actor(OPERATOR), LOGIN, INVITE)))
    for name, role in ROLES.items():
        node.replica.commit(encode(new_user(Actor(OPERATOR), name, role)))
    for name in ("ann", "bob", "eve"):
        node.log_in(name, name)
    node.post_as("bob", "plans", "public")
    with (
        Follower(node.port, name="bob") as bob,
        Follower(node.port, name="eve") as eve,
        Follower(node.port, "?rooms=plans", name="eve") as of_the_room,
    ):
        for follower in (bob, eve, of_the_room):
            assert "Hello" in follower.hear()
        node.settle()
        before = eve.last_id
        by = node.state.ask(lambda tables: tables.tokens_of["bob"][-1])
        changed = node.replica.commit(
            encode(ChangeRoom(Actor(by, "bob"), "plans", visibility=PRIVATE, members=("bob",), drawn="aaaaaaaaaa"))
        )
        assert isinstance(changed, RoomChanged), changed
        for follower in (eve, of_the_room):
            told = happening(follower)
            assert told["Event"] == {"Type": "RoomDeleted", "RoomName": "plans"}
            assert follower.last_id == told["Cursor"]
        assert happening(bob)["Event"]["Type"] == "RoomChanged"
    with Follower(node.port, "?rooms=plans", before, name="eve") as again:
        assert happening(again)["Event"] == {"Type": "RoomDeleted", "RoomName": "plans"}


def happening(follower: Follower) -> dict[str, Any]:
    """The next event, whatever else is told."""
    while "Event" not in (frame := follower.hear()):
        pass
    return frame


def posts(follower: Follower, count: int) -> list[str]:
    """The texts of the next posts, whatever else is told."""
    texts: list[str] = []
    while len(texts) < count:
        frame = follower.hear()
        if "Post" in frame:
            texts.append(frame["Post"]["Message"])
    return texts


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_stream_that_is_closed_is_sent_nothing_that_happens_in_the_same_turn(is_chunked: bool) -> None:
    """A revoked token's stream is closed before what comes next is sent, to HTTP/1.0 too, which has no end marker."""
    served, attached = hub.Hub(lambda: "c-"), threading.Event()
    connections: list[Connection] = []

    class Idle:
        def received(self, text: str) -> None: ...
        def closed(self) -> None: ...

    def handler(connection: Connection) -> Idle:
        connections.append(connection)
        served.subscribe(connection, None)
        attached.set()
        return Idle()

    def expel_then_publish() -> None:
        connections[0].expel(1008, "signed out")
        served.publish(5, [PostEvent(5, "secret", 1, b'{"Message":"later"}', EVERYBODY)])

    served.start()
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname(), DEADLINE_S) as ours,
        ):
            theirs, _ = listener.accept()
            connect = partial(EventStreamConnection, is_chunked=is_chunked)
            served.attach(theirs, b"HEAD\r\n\r\n", b"", handler, connect=connect)
            assert attached.wait(DEADLINE_S)
            served.call(expel_then_publish)
            received = b"".join(iter(lambda: ours.recv(4096), b""))
        assert received.startswith(b"HEAD")
        assert b"later" not in received
    finally:
        served.drain(DEADLINE_S)
