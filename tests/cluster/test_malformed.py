"""Rubbish on either port: a 4xx that says what is wrong, nothing proposed, and the node as good as new."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, NodeProcess
from tests.support.http_client import HOST, Answer, HttpClient

# Long enough for any deadline of the server's own to pass; what hangs longer has hung.
ANSWER_S = 30

Json = dict[str, object]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One node for all of it: after each piece of rubbish it must be as good as new."""
    with Cluster(tmp_path_factory.mktemp("malformed"), 1) as cluster:
        cluster.start_ready().wait_settled()
        yield cluster


@pytest.fixture
def node(cluster: Cluster) -> Iterator[NodeProcess]:
    """Checks, after the test, that nothing was proposed, nothing was logged as a bug, and posts still go through."""
    node = cluster.nodes[1]
    before = node.status()["LastApplied"]
    yield node
    assert node.status()["LastApplied"] == before, "something was proposed"
    assert "Traceback" not in node.log()
    assert cluster.post(1, "general", "as good as new").status == 201


def check_problem(answer: Answer, status: int | None, names: str) -> None:
    """A 4xx of the right kind, whose words name what is wrong."""
    assert 400 <= answer.status < 500, answer
    assert status is None or answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status
    assert {"type", "title", "status", "detail", "code"} <= set(problem)
    assert names.casefold() in problem["detail"].casefold(), problem


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"Message": "hi"}, "User"),
        ({"User": "ann"}, "Message"),
        ({"Message": "", "User": "ann"}, "Message"),
        ({"Message": 7, "User": "ann"}, "Message"),
        ({"Message": None, "User": "ann"}, "Message"),
        ({"Message": "x" * 8001, "User": "ann"}, "Message"),
        ({"Message": "hi", "User": ""}, "User"),
        ({"Message": "hi", "User": ["ann"]}, "User"),
        ({"Message": "hi", "User": "x" * 65}, "User"),
        ({"Message": "hi", "User": "a\nb"}, "User"),
        ({"Message": "hi", "User": "\u202eann"}, "User"),
        ({"Message": "hi", "User": ".."}, "User"),
        ({"Message": "hi", "User": "ann", "ClientId": 5}, "ClientId"),
        ({"Message": "\ud800", "User": "ann"}, "Message"),
    ],
    ids=repr,
)
def test_a_post_with_a_bad_field_is_told_which(node: NodeProcess, body: Json, names: str) -> None:
    with HttpClient(node.port) as client:
        check_problem(client.request("POST", "/rooms/general", json.dumps(body)), None, names)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"[]",
        b'"text"',
        b"null",
        b'{"Message": "hi", "User": "ann"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"NaN",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_body_that_is_no_json_object_is_a_400(node: NodeProcess, body: bytes) -> None:
    with HttpClient(node.port) as client:
        check_problem(client.request("POST", "/rooms/general", body), 400, "body")


def test_a_body_over_the_limit_is_a_413(node: NodeProcess) -> None:
    with HttpClient(node.port) as client:
        answer = client.request("POST", "/rooms/general", json.dumps({"Message": "x" * 200_000, "User": "ann"}))
        assert answer.status == 413


@pytest.mark.parametrize(
    "room",
    [
        "%00",
        "%0A",
        ".",
        "..",
        "%2E%2E",
        "x" * 65,
        "%FF",
        "%ED%A0%80",
        "%E2%80%AE",
        "%zz",
        "a%CC%81" + "b" * 64,
    ],
)
def test_a_room_name_that_may_not_be_is_refused(node: NodeProcess, room: str) -> None:
    with HttpClient(node.port) as client:
        answer = client.request("POST", f"/rooms/{room}", json.dumps({"Message": "hi", "User": "ann"}))
        assert 400 <= answer.status < 500, answer


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=1001", "limit=-1", "limit=ten", "limit=1e2", "limit=" + "9" * 30),
        *("before=x", "after=-1", "around=", "before=1&after=1", "consistency=perhaps", "min_index=soon"),
    ],
)
def test_a_query_without_sense_is_told_which_part(node: NodeProcess, query: str) -> None:
    with HttpClient(node.port) as client:
        check_problem(client.request("GET", f"/rooms/general?{query}"), 400, query.split("=")[0])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/raft/0", "http://127.0.0.1:9"),
        ("POST", "/raft/-1", "http://127.0.0.1:9"),
        ("POST", "/raft/one", "http://127.0.0.1:9"),
        ("POST", "/raft/99999999999999999999", "http://127.0.0.1:9"),
        ("POST", "/raft/2", ""),
        ("POST", "/raft/2", "127.0.0.1:9"),
        ("POST", "/raft/2", "ftp://127.0.0.1:9"),
        ("POST", "/raft/2", "http://127.0.0.1:99999"),
        ("POST", "/raft/2", "http://user:password@127.0.0.1:9"),
        ("POST", "/raft/2", b"\xff\xfe"),
        ("POST", "/raft/2?voting=perhaps", "http://127.0.0.1:9"),
        ("PUT", "/raft/2", "http://127.0.0.1:9"),
        ("DELETE", "/raft/2", None),
        ("DELETE", "/raft/1", None),
        ("PATCH", "/raft/1", None),
        ("POST", "/raft", None),
        ("DELETE", "/", None),
        ("GET", "/rooms/general/no/such/thing", None),
    ],
)
def test_a_change_that_cannot_be_is_refused(
    node: NodeProcess, method: str, path: str, body: str | bytes | None
) -> None:
    with HttpClient(node.port) as client:
        answer = client.request(method, path, body)
        assert 400 <= answer.status < 500, answer


HEAD = b"POST /rooms/general HTTP/1.1\r\nHost: localhost\r\n"
RUBBISH = {
    "noise": b"\x00\xff\x16\x03\x01\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": HEAD + b"Content-Length: +3\r\n\r\nabc",
    "a length and chunks": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size in C": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk without end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: localhost\r\nrubbish\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length : 3\r\n\r\nabc",
    "a folded header": b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n",
    "a header with a zero": b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\x00c\r\n\r\n",
    "a long line": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 500 + b"\r\n",
    "a huge body announced": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
}


@pytest.mark.parametrize("which", ["port", "peer_port"])
@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_gets_a_4xx_and_a_closed_connection(node: NodeProcess, which: str, name: str) -> None:
    with socket.create_connection((HOST, getattr(node, which)), timeout=ANSWER_S) as connection:
        connection.sendall(RUBBISH[name])
        answer = b""
        while chunk := _received(connection):
            answer += chunk
    head, _, _ = answer.partition(b"\r\n")
    assert head == b"" or head.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505")), head
    assert answer.count(b"HTTP/1.1 ") <= 1, "what followed was taken for a second request"


def _received(connection: socket.socket) -> bytes:
    """What comes next; nothing where the server closed, also where it did so with our bytes unread."""
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""
