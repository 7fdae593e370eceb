"""Real nodes with a login, and people in it: ann the admin, bob, and gus, a guest.

Each has the password PASSWORD and one token.  A password takes a third of a second of a core to hash and as long to
compare.  QUICK_PASSWORDS has it take next to nothing, for tests whose subject is something else.
"""

import json
from collections.abc import Mapping

from chat.cli import operator_file
from tests.support.cluster import READY_S, Cluster, Forked, NodeProcess
from tests.support.http_client import Answer, HttpClient
from tests.support.waiting import wait_until

FLAGS = ("--auth", "login")
QUICK_PASSWORDS = Forked(
    "from chat.auth.secrets import Passwords; Passwords.__init__.__defaults__ = ('scrypt:1024:8:1',)"
)
PASSWORD = "correct horse"
ROLES = {"ann": "admin", "bob": "member", "gus": "guest"}


def operator(node: NodeProcess) -> HttpClient:
    """A connection that proves itself by the node's own file."""
    return HttpClient(node.port, token=operator_file.read(node.data_dir).token)


def wait_login(cluster: Cluster) -> None:
    """Every running node is ready and asks who one is."""
    cluster.wait_ready()
    for node in cluster.running():
        wait_until(lambda node=node: node.request("GET", "/me").status == 401, READY_S, "it asks for a login")  # type: ignore[misc]


def wait_open(cluster: Cluster) -> None:
    """Every running node is ready and asks nobody who they are."""
    cluster.wait_ready()
    for node in cluster.running():
        wait_until(lambda node=node: node.request("GET", "/me").status != 401, READY_S, "it asks for no login")  # type: ignore[misc]


class People:
    """Of a cluster that was started with FLAGS and has no user yet; `token[name]` is one of that one's."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.token: dict[str, str] = {}
        wait_login(cluster)
        with operator(cluster.nodes[1]) as client:
            for name, role in ROLES.items():
                body = {"Name": name, "Password": PASSWORD, "Role": role}
                answer = client.request("POST", "/users", json.dumps(body))
                assert answer.status == 201, answer
        for name in ROLES:
            self.token[name] = self.log_in(name)

    def log_in(self, name: str, id: int = 1, password: str = PASSWORD) -> str:
        """One more token."""
        body = json.dumps({"Name": name, "Password": password})
        answer = self.cluster.request(id, "POST", "/login", body)
        assert answer.status == 200, answer
        token = answer.json()["Token"]
        assert isinstance(token, str)
        return token

    def client(self, name: str, id: int = 1) -> HttpClient:
        """A connection of somebody's to a node, kept alive."""
        return HttpClient(self.cluster.nodes[id].port, token=self.token[name])

    def request(self, name: str, id: int, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """One request of somebody's."""
        with self.client(name, id) as client:
            return client.request(method, path, None if body is None else json.dumps(body))

    def post(self, name: str, id: int, message: str, room: str = "general", **fields: str) -> Answer:
        """One post of somebody's."""
        return self.request(name, id, "POST", f"/rooms/{room}", {"Message": message, **fields})
