"""`/metrics`: who may read it, and that it counts what happened."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chat.app import create_app
from chat.auth.authenticator import Authenticator
from chat.auth.this_machine import is_local
from chat.metrics.catalogue import METRICS
from chat.metrics.exposition import CONTENT_TYPE
from chat.realtime.frames import CloseCode
from raft.metrics import Histogram, MemberMetrics
from tests.chat.chat_client import OPERATORS_SECRET, ChatClient
from tests.chat.login_client import LoginClient, bearer, code
from tests.chat.metrics.pages import kinds_of, samples_of, value
from tests.chat.wire import Client
from tests.support.http_client import HttpClient
from tests.support.node import Node
from tests.support.waiting import wait_until
from tests.support.wsgi import deferring

LOCAL = {"raft_chat.from_this_machine": True, "HTTP_HOST": "127.0.0.1:12380"}
TOKEN = "t" * 32
NUMBERS = MemberMetrics(
    term=3, commit_index=17, applied_index=16, is_leader=True, leader_changes=2, log_fsync=Histogram(),
    append={2: Histogram(), 3: Histogram()}, last_contact_s={2: 0.01, 3: float("inf")},
    proposals={"committed": 5, "unknown": 1}, log_bytes=1000, log_live_bytes=900, compactions=4,
    disk_free_bytes=1 << 40,
)  # fmt: skip


def with_token(chat: ChatClient) -> ChatClient:
    """The same application with a metrics token."""
    authenticator = Authenticator(chat.replica, chat.state, operator=OPERATORS_SECRET, scraper=TOKEN)
    again = ChatClient()
    again._client.application = deferring(create_app(chat.replica, chat.state, authenticator=authenticator))
    return again


# Who may read it


def test_a_program_on_this_machine_may_read_it() -> None:
    answer = ChatClient().get("/metrics", **LOCAL)
    assert (answer.status_code, answer.content_type) == (200, CONTENT_TYPE)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"raft_chat.from_this_machine": False},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
        {"HTTP_HOST": "evil.example"},
        {"HTTP_HOST": "127.0.0.1.evil.example:12380"},
        {"HTTP_HOST": ""},
    ],
    ids=str,
)
def test_what_comes_from_elsewhere_through_a_proxy_or_from_a_web_page_is_not_local(elsewhere: dict[str, Any]) -> None:
    assert not is_local(LOCAL | elsewhere)
    for chat in (ChatClient(), LoginClient()):
        assert code(chat.get("/metrics", **(LOCAL | elsewhere))) == (401, "login_needed")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:12380", "LOCALHOST", "[::1]:12380", "[::1]"])
def test_the_names_of_this_machine_are_local(host: str) -> None:
    assert is_local(LOCAL | {"HTTP_HOST": host})


def test_from_elsewhere_an_admin_the_operator_and_the_metrics_token_may_read_it() -> None:
    chat = LoginClient()
    assert chat.ask("ann", target="/metrics").status_code == 200
    assert code(chat.ask("bob", target="/metrics")) == (403, "forbidden")
    assert code(chat.ask("gus", target="/metrics")) == (403, "forbidden")
    known = with_token(chat)
    assert known.get("/metrics", **bearer(OPERATORS_SECRET)).status_code == 200
    assert known.get("/metrics", **bearer(TOKEN)).status_code == 200
    for wrong in (TOKEN[:-1], TOKEN + "t", "", "ü" * 32):
        assert known.get("/metrics", **bearer(wrong)).status_code == 401
    assert code(known.get("/rooms", **bearer(TOKEN))) == (401, "bad_token")  # and nothing else


def test_without_a_metrics_token_none_is_accepted() -> None:
    for chat in (ChatClient(), LoginClient()):
        for wrong in ("", " ", TOKEN):
            assert chat.get("/metrics", **bearer(wrong)).status_code == 401


def test_it_needs_no_majority() -> None:
    chat = LoginClient()
    chat.replica.unavailable = True
    assert chat.ask("ann", target="/metrics").status_code == 200
    assert chat.get("/metrics", **LOCAL).status_code == 200


# What it says


def test_every_metric_is_there_with_its_type_and_labels() -> None:
    chat = ChatClient()
    chat.replica.numbers = NUMBERS
    NUMBERS.log_fsync.record(0.001)
    chat.get("/metrics", **LOCAL)
    text = chat.get("/metrics", **LOCAL).text
    assert kinds_of(text) == {metric.name: metric.kind for metric in METRICS}
    labels = {metric.name: set(metric.labels) for metric in METRICS}
    for name, found in samples_of(text):
        family = next(known for known in (name, name.rpartition("_")[0]) if known in labels)
        assert {label for label, _ in found} - {"le"} == labels[family]


def test_the_numbers_of_the_engine_are_shown() -> None:
    chat = ChatClient()
    chat.replica.numbers = NUMBERS
    text = chat.get("/metrics", **LOCAL).text
    assert value(text, "raft_term") == 3
    assert value(text, "raft_is_leader") == 1
    assert value(text, "raft_applied_index") == 16
    assert value(text, "raft_peer_last_contact_seconds", peer="3") == float("inf")
    assert value(text, "raft_proposals_total", outcome="committed") == 5
    assert value(text, "disk_free_bytes") == 1 << 40


def test_a_node_that_starts_shows_its_process() -> None:
    text = ChatClient().get("/metrics", **LOCAL).text
    assert value(text, "process_resident_memory_bytes") > 1 << 20
    assert value(text, "process_open_fds") > 2
    assert 0 < value(text, "process_start_time_seconds") < 1e11
    assert "raft_term" not in text


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node() as node:
        yield node


def page(node: Node) -> str:
    with HttpClient(node.port) as client:
        answer = client.request("GET", "/metrics")
    assert answer.status == 200
    return answer.body.decode()


def count(text: str, method: str, route: str, status: str) -> float:
    labels = {"method": method, "route": route, "status": status}
    key = "http_requests_total", tuple(sorted(labels.items()))
    return samples_of(text).get(key, 0.0)


def test_requests_are_counted_by_method_route_and_class_of_status(node: Node) -> None:
    before = page(node)
    with HttpClient(node.port) as client:
        body = json.dumps({"Message": "hi", "User": "ann"})
        for _ in range(3):
            assert client.request("POST", "/rooms/general", body).status == 201
        assert client.request("POST", "/rooms/general", "{}").status == 400
        assert client.request("GET", "/rooms/general").status == 200
        assert client.request("GET", "/rooms/other").status == 200
        assert client.request("HEAD", "/livez").status == 200
        assert client.request("GET", "/no/such/thing").status == 404
        assert client.request("DELETE", "/metrics").status == 405
    with Client(node.port) as broken:
        assert broken.ask(b"BREW /tea HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n").status == 400
    kinds = (
        ("POST", "/rooms/{room}", "2xx"), ("POST", "/rooms/{room}", "4xx"), ("GET", "/rooms/{room}", "2xx"),
        ("HEAD", "/livez", "2xx"), ("GET", "none", "4xx"), ("DELETE", "none", "4xx"), ("other", "none", "4xx"),
    )  # fmt: skip

    def grown() -> list[float]:
        text = page(node)
        return [count(text, *kind) - count(before, *kind) for kind in kinds]

    # A request is counted just after its answer was sent.
    wait_until(lambda: sum(grown()) >= 10, 10, "all requests are counted")
    assert grown() == [3, 1, 2, 1, 1, 1, 1]
    after = page(node)
    labels = {"method": "POST", "route": "/rooms/{room}", "status": "2xx"}
    assert value(after, "http_request_duration_seconds_count", **labels) == count(after, *labels.values())
    assert 0 < value(after, "http_request_duration_seconds_sum", **labels) < 10


def test_an_answer_that_was_deferred_is_counted_with_the_time_that_it_took(node: Node) -> None:
    labels = {"method": "POST", "route": "/rooms/{room}", "status": "2xx"}
    slow = {**labels, "le": "0.05"}
    with HttpClient(node.port) as client, Client(node.port) as waiting:
        body = json.dumps({"Message": "hi", "User": "ann"})
        assert client.request("POST", "/rooms/general", body).status == 201
        before = page(node)
        node.replica.delayed = True
        waiting.send(f"POST /rooms/general HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        wait_until(lambda: bool(node.replica._held), 5, "the post is proposed")
        held = page(node)
        started = value(held, "process_cpu_seconds_total")
        wait_until(lambda: value(page(node), "process_cpu_seconds_total") >= started + 0.05, 10, "time has passed")
        node.replica.delayed = False
        node.replica.release()
        assert waiting.response().status == 201
    after = page(node)
    name = "http_request_duration_seconds"
    assert value(held, f"{name}_count", **labels) == value(before, f"{name}_count", **labels)
    assert value(after, f"{name}_count", **labels) == value(before, f"{name}_count", **labels) + 1
    assert value(after, f"{name}_bucket", **slow) == value(before, f"{name}_bucket", **slow)


def test_posts_are_counted_once_however_they_come(node: Node) -> None:
    before = value(page(node), "posts_total")
    client = node.connect()
    client.say(Action="post", RoomName="general", Post={"User": "ann", "Message": "hi", "ClientId": "m-1"})
    client.say(Action="post", RoomName="general", Post={"User": "ann", "Message": "hi", "ClientId": "m-1"})
    node.post()
    wait_until(lambda: value(page(node), "posts_total") == before + 2, 5, "counted")


def test_websockets_and_their_frames_are_counted(node: Node) -> None:
    def frames(direction: str) -> float:
        return value(page(node), "websocket_frames_total", direction=direction)

    node.settle()
    opened, came, went = value(page(node), "websocket_connections"), frames("in"), frames("out")
    client = node.connect()  # a ping and a pong
    assert value(page(node), "websocket_connections") == opened + 1
    wait_until(lambda: (frames("in"), frames("out")) == (came + 1, went + 1), 5, "the ping is counted")
    client.subscribe()
    node.settle()
    came, went = frames("in"), frames("out")
    others = value(page(node), "websocket_connections")
    for _ in range(3):
        node.post()
    for _ in range(3):
        assert "Post" in client.hear()
    wait_until(lambda: frames("out") == went + 3 * others, 5, "each message of each websocket is counted")
    assert frames("in") == came


def test_ended_websockets_are_counted_by_reason(node: Node) -> None:
    def closed(reason: str) -> float:
        return value(page(node), "websocket_closed_total", reason=reason)

    normal, lost, refused = closed("normal"), closed("lost"), closed("policy_violation")
    node.connect().close()
    client = node.connect()
    client.socket.close()
    node.hub.call(lambda: next(iter(node.hub._connections)).close(CloseCode.POLICY_VIOLATION, "why"))
    wait_until(lambda: closed("policy_violation") == refused + 1, 5, "a close by this node")
    wait_until(lambda: closed("normal") + closed("lost") + closed("no_status") >= normal + lost + 2, 5, "two ends")
