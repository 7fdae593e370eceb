"""A busy run leaves no secret in any log: not in text and not in JSON, not at debug and not in the access log."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chat.auth import cookies
from chat.cli import operator_file
from chat.logs.request_log import LINE_EVERY_S, LINES_AT_ONCE
from tests.cluster.people import FLAGS, PASSWORD, QUICK_PASSWORDS, People
from tests.support.cluster import Cluster, NodeProcess
from tests.support.http_client import HttpClient
from tests.support.secrets import SECRET, secret_file
from tests.support.waiting import wait_until
from tests.support.websocket_client import HandshakeRefused, WebSocketClient

LOUD = {
    1: ("--access-log", "--log-level", "debug", "--log-format", "json"),
    2: ("--access-log", "--log-level", "debug"),
    3: (),
}
MESSAGE = "the message text of a busy run"
WRONG = "wrong-password-of-a-busy-run"
FLOOD = 1_000
LINES_S = 10.0


class LoudNode(NodeProcess):
    """A node that logs as much as it can."""

    def flags(self, cluster: str, *more: str) -> list[str]:
        return super().flags(cluster, *more, *LOUD[self.id])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("loud")
    nodes = [LoudNode(id, directory, command=QUICK_PASSWORDS) for id in LOUD]
    flags = (*FLAGS, "--cluster-secret-file", str(secret_file(directory)))
    with Cluster(directory, flags=flags, nodes=nodes) as running:
        yield running.start_ready()


@pytest.fixture(scope="module")
def people(cluster: Cluster) -> People:
    return People(cluster)


def _use_everything(people: People) -> Iterator[str]:
    """Have each node see all kinds of secrets, rightly and wrongly used; the secrets."""
    yield from (PASSWORD, WRONG, MESSAGE, SECRET, *people.token.values())
    for node in people.cluster.nodes.values():
        token = people.log_in("bob", node.id)
        yield token
        yield operator_file.read(node.data_dir).token
        assert people.cluster.request(node.id, "POST", "/login", _json(Name="bob", Password=WRONG)).status == 401
        assert people.post("bob", node.id, MESSAGE).status == 201
        invite = people.request("ann", node.id, "POST", "/invites", {}).json()["Invite"]
        yield str(invite)
        assert people.request("ann", node.id, "POST", "/tokens", {"Label": "tool"}).status == 201
        ticket = str(people.request("bob", node.id, "POST", "/ws-ticket").json()["Ticket"])
        yield ticket
        with WebSocketClient(node.port) as client:
            client.say(Action="subscribe", Rooms="*", Ticket=ticket)
            client.hear()
            client.say(Action="post", RoomName="general", Post={"Message": MESSAGE})
            client.hear()
            client.say(Action="no such action", Password=WRONG)
            client.hear()
        with pytest.raises(HandshakeRefused):
            WebSocketClient(node.port, token=f"{token}x")
        _ask_wrongly(node, token, ticket)


def _ask_wrongly(node: NodeProcess, token: str, ticket: str) -> None:
    """Requests with secrets at places where no request should have them."""
    cluster_id = str(node.status()["ClusterId"])
    for path in (f"/rooms?Ticket={ticket}&token={token}", f"/{token}/{ticket}", f"/rooms/general/messages/{token}"):
        assert node.request("GET", path).status in (400, 401, 404)
    with HttpClient(node.port, token=token) as client:
        assert client.request("DELETE", f"/tokens/{token}").status in (400, 404)
        assert client.request("POST", "/rooms/general", _json(Message=token, ReplyTo=token)).status == 400
        assert client.request("GET", f"/rooms/general?before={token}").status == 400
    with HttpClient(node.port) as client:
        client._headers = {
            "Cookie": f"{cookies.name(cluster_id)}={token}; other={ticket}",
            "X-Request-Id": f"{token} {ticket}",
        }
        assert client.request("GET", "/me").status in (200, 401)
        client._headers = {"Authorization": f"Bearer {token}\u00e9"}
        client.request("GET", "/me")


def _json(**members: object) -> str:
    return json.dumps(members)


def entries(node: NodeProcess) -> list[dict[str, Any]]:
    """The lines of node 1, each an object."""
    return [json.loads(line) for line in node.log().splitlines()]


def test_no_log_has_a_secret(cluster: Cluster, people: People) -> None:
    secrets = set(_use_everything(people))
    assert len(secrets) > 15
    one, two, _ = cluster.nodes.values()

    def is_written() -> bool:
        return all(
            node.log().count("/ws-ticket") and node.log().count("route=/ws " if node is two else '"/ws"')
            for node in (one, two)
        )

    wait_until(is_written, LINES_S, "the access logs have the last requests")
    for node in cluster.nodes.values():
        log = node.log()
        assert {secret for secret in secrets if secret in log} == set()
        assert "with 404" in log, "the wrong requests have lines"
    access = [entry for entry in entries(one) if entry["logger"] == "access"]
    assert {"POST", "GET", "DELETE"} <= {entry["method"] for entry in access}
    assert {entry.get("user") for entry in access} >= {"ann", "bob", None}
    assert all({"time", "method", "route", "status", "duration_ms", "request_id"} <= entry.keys() for entry in access)


def test_a_stranger_cannot_fill_the_disk_with_refused_requests(cluster: Cluster, people: People) -> None:
    node = cluster.nodes[3]
    before = node.log_file.stat().st_size
    with HttpClient(node.port) as client:
        for number in range(FLOOD):
            assert client.request("GET", f"/no/such/{number}").status == 404
    written = node.log()[before:]
    assert 0 < written.count("\n") <= LINES_AT_ONCE + 60 / LINE_EVERY_S
    assert len(written) < 200 * (LINES_AT_ONCE + 60 / LINE_EVERY_S)
    assert people.post("ann", 3, "the node goes on").status == 201
