"""Reads that are answered later: by one thread, from the state as it is once they are confirmed."""

import io
import json
import threading
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from chat.api.response import Headers
from chat.app import never_waits
from raft.errors import Unavailable
from tests.chat.chat_client import GENERAL, ChatClient
from tests.chat.wire import DEADLINE_S, Client, refused, serving


class DeferredResponse:
    """The server's side of deferred answers, all of one test."""

    def __init__(self) -> None:
        self._sent: SimpleQueue[tuple[int, Headers, bytes]] = SimpleQueue()

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        self._sent.put((status, headers, body))

    def next(self) -> tuple[int, dict[str, str], Any]:
        """The next answer: its status, headers and JSON."""
        status, headers, body = self._sent.get(timeout=DEADLINE_S)
        return status, dict(headers), json.loads(body)

    @property
    def is_waiting(self) -> bool:
        return self._sent.empty()


class Deferring(ChatClient):
    """A client of an application whose server can defer."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = DeferredResponse()

    def ask(self, target: str, **environ: Any) -> object:
        """What the application returned."""
        return self.app(
            {
                "REQUEST_METHOD": "GET",
                "RAW_URI": target,
                "wsgi.input": io.BytesIO(),
                "raft_chat.defer": lambda: self.answer,
                **environ,
            },
            lambda status, headers: None,
        )


def test_a_read_is_answered_later_from_the_state_as_it_is_then() -> None:
    chat = Deferring()
    chat.fill(1)
    chat.replica.holds_reads = True
    assert chat.ask(GENERAL) is chat.answer
    assert chat.ask("/rooms") is chat.answer
    assert chat.ask(f"{GENERAL}/messages/2") is chat.answer
    assert chat.answer.is_waiting
    chat.fill(1)
    chat.replica.release_reads()
    status, headers, page = chat.answer.next()
    assert (status, [post["Id"] for post in page]) == (200, [1, 2])
    assert headers == {
        "X-Raft-Index": "4",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Content-Type": "application/json",
    }
    assert chat.answer.next()[2] == ["general"]
    assert chat.answer.next()[2]["Id"] == 2


def test_what_goes_wrong_later_is_an_answer_too() -> None:
    chat = Deferring()
    chat.replica.holds_reads = True
    chat.ask(GENERAL)
    chat.replica.release_reads(Unavailable("no quorum"))
    status, headers, problem = chat.answer.next()
    assert (status, problem["code"], headers["Retry-After"]) == (503, "unavailable", "1")
    assert headers["Content-Type"] == "application/problem+json"
    chat.ask(f"{GENERAL}/messages/1")
    chat.replica.release_reads()
    assert chat.answer.next()[0] == 404
    chat.ask(f"{GENERAL}?min_index=99")
    chat.replica.release_reads(Unavailable("not so far"))
    assert chat.answer.next()[2]["detail"].startswith("min_index:")


def test_a_bug_is_logged_and_a_500_and_the_next_read_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    chat = Deferring()
    page = chat.state.page
    chat.state.page = None  # type: ignore[method-assign, assignment]
    chat.ask(GENERAL)
    status, _, problem = chat.answer.next()
    assert (status, problem["code"]) == (500, "internal_error")
    assert "Traceback" in caplog.text
    chat.state.page = page  # type: ignore[method-assign]
    chat.ask(GENERAL)
    assert chat.answer.next()[0] == 200


def test_an_answer_that_cannot_be_sent_is_logged_and_the_next_read_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chat = Deferring()
    chat.ask(GENERAL, **{"raft_chat.defer": lambda: SimpleNamespace(durations=None)})
    chat.ask(GENERAL)
    assert chat.answer.next()[0] == 200
    assert "could not be sent" in caplog.text


def test_a_deferred_read_may_be_shared_with_the_pages_of_the_other_members() -> None:
    chat = Deferring()
    chat.replica.members = [{"Id": 1, "Advertise": "http://a.example:12380"}]
    chat.ask(GENERAL, HTTP_ORIGIN="http://a.example:12380")
    assert chat.answer.next()[1]["Access-Control-Allow-Origin"] == "http://a.example:12380"


def test_what_is_refused_or_may_be_stale_is_answered_at_once() -> None:
    chat = Deferring()
    chat.replica.unavailable = True
    for target in (f"{GENERAL}?limit=0", f"{GENERAL}?consistency=stale", f"{GENERAL}?consistency=stale&min_index=2"):
        assert chat.ask(target) is not chat.answer
    assert (chat.replica.reads, chat.answer.is_waiting) == (0, True)


def test_a_read_that_waits_for_an_index_holds_no_thread() -> None:
    chat = Deferring()
    chat.replica.on_wait = lambda: None
    for consistency in ("stale", "linearizable"):
        reached = chat.replica.leader_index = chat.replica.last_applied + 1
        assert chat.ask(f"{GENERAL}?min_index={reached}&consistency={consistency}") is chat.answer
        assert chat.answer.is_waiting
        chat.fill(1)
        assert chat.answer.next()[1]["X-Raft-Index"] == str(reached)


class Waited(Exception):
    """The application would have waited."""


def would_wait() -> None:
    raise Waited


@pytest.mark.parametrize("query", ["", "?limit=2", "?min_index=99&before=3"])
@pytest.mark.parametrize("path", ["/rooms", GENERAL, "/rooms/caf%C3%A9", f"{GENERAL}/messages/1"])
def test_the_server_is_told_that_a_read_never_waits(path: str, query: str) -> None:
    chat = Deferring()
    chat.fill(3)
    chat.replica.holds_reads = True
    assert never_waits("GET", path + query)
    assert chat.ask(path + query, **{"raft_chat.off_cpu": would_wait}) is chat.answer


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", f"{GENERAL}?consistency=stale"),
        ("GET", f"{GENERAL}?limit=1&consistency=st%61le"),
        ("GET", "/rooms?consistency=stale"),
        ("GET", f"{GENERAL}/export"),
        ("GET", "/raft"),
        ("POST", f"{GENERAL}?min_index=9"),
        ("PATCH", GENERAL),
        ("DELETE", GENERAL),
    ],
)
def test_the_server_is_told_what_may_wait(method: str, target: str) -> None:
    assert not never_waits(method, target)


def test_a_websocket_is_begun_without_a_thread() -> None:
    assert never_waits("GET", "/ws")


def get(target: str, method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def test_reads_of_one_connection_are_answered_in_their_order() -> None:
    chat = ChatClient()
    chat.fill(3)
    with serving(chat.app) as server, Client(server.port) as client:
        targets = [f"{GENERAL}/messages/{id}" for id in (3, 1, 2)] + [f"{GENERAL}/messages/1?consistency=stale"]
        client.send(b"".join(map(get, targets)))
        assert [json.loads(client.response().body)["Id"] for _ in targets] == [3, 1, 2, 1]
        client.send(get(GENERAL, "HEAD") + get(GENERAL))
        head, whole = client.response(head_only=True), client.response()
        assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.body))


def test_draining_finishes_the_reads_that_wait() -> None:
    chat = ChatClient()
    chat.fill(1)
    chat.replica.holds_reads = True
    with serving(chat.app) as server, Client(server.port) as client:
        asked = threading.Event()
        chat.replica.on_read_held = asked.set
        client.send(get(GENERAL))
        assert asked.wait(DEADLINE_S)
        drained = threading.Thread(target=server.drain, args=(DEADLINE_S,), name="drain")
        drained.start()
        while not refused(server.port):
            pass
        chat.replica.release_reads()
        assert client.response().status == 200
        assert client.closed()
        drained.join(DEADLINE_S)
        assert not drained.is_alive()
