"""A real cluster with the team's day in it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.cluster.people import FLAGS, PASSWORD, QUICK_PASSWORDS, operator, wait_login
from tests.page.pictures.day import DIRECTS, FULL_NAMES, LIVE, MAREN, ONLINE, PRIVATE, ROLES, ROOMS, Room
from tests.support.cluster import Cluster
from tests.support.http_client import Answer, HttpClient
from tests.support.waiting import wait_until
from tests.support.websocket_client import WebSocketClient


class Team:
    """The six of a cluster that was started with FLAGS, each with a token."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.token: dict[str, str] = {}
        wait_login(cluster)
        with operator(cluster.nodes[1]) as client:
            for name, role in ROLES.items():
                send(client, "POST", "/users", {"Name": name, "Password": PASSWORD, "Role": role})
        for name, full_name in FULL_NAMES.items():
            answer = cluster.request(1, "POST", "/login", json.dumps({"Name": name, "Password": PASSWORD}))
            self.token[name] = answer.json()["Token"]
            self.ask(name, "PATCH", f"/users/{quote(name)}", {"DisplayName": full_name})

    def ask(self, user: str, method: str, path: str, body: Mapping[str, object] | str | None = None) -> Answer:
        """One request, which is accepted."""
        with HttpClient(self.cluster.nodes[1].port, token=self.token[user]) as client:
            return send(client, method, path, body)

    def live_through(self, rooms: tuple[Room, ...] = ROOMS) -> None:
        """Write the whole day."""
        for room in rooms:
            self.ask(MAREN, "PUT", f"/rooms/{room.name}", {"Topic": room.topic} if room.topic else {})
            for name, role in ROLES.items():
                if role == "guest":
                    self.ask(MAREN, "PUT", f"/rooms/{room.name}/members/{quote(name)}")
            lines = [json.dumps(said.line(id)) for id, said in enumerate(room.said, 1)]
            self.ask(MAREN, "POST", f"/rooms/{room.name}/import?source=day", "\n".join(lines))
            self.ask(MAREN, "PUT", f"/rooms/{room.name}/read", {"Id": room.read})
        wait_until(lambda: self.unread() == {room.name: len(room.said) - room.read for room in rooms}, 30, "it is read")
        self.ask(MAREN, "POST", "/rooms", {"Name": PRIVATE.name, "Visibility": "private", "Members": PRIVATE.members})
        for other in DIRECTS:
            self.ask(MAREN, "POST", "/directs", {"Users": [other]})

    def unread(self) -> dict[str, int]:
        """How many messages Maren has not read, by room."""
        rooms = self.ask(MAREN, "GET", "/rooms?details=true").json()
        return {room["Name"]: room["Unread"] for room in rooms}

    def mention(self) -> None:
        """Post what comes while the page is open."""
        for user, room, text in LIVE:
            self.ask(user, "POST", f"/rooms/{room}", {"Message": text})

    @contextmanager
    def online(self) -> Iterator[dict[str, WebSocketClient]]:
        """Websockets of those who are online, at the last node."""
        with ExitStack() as closing:
            sockets = {}
            for name in ONLINE:
                port = self.cluster.nodes[len(self.cluster.nodes)].port
                sockets[name] = closing.enter_context(WebSocketClient(port, token=self.token[name]))
                sockets[name].subscribe()
            yield sockets


def send(client: HttpClient, method: str, path: str, body: Mapping[str, object] | str | None = None) -> Answer:
    answer = client.request(method, path, body if isinstance(body, str | None) else json.dumps(body))
    assert answer.status in (200, 201, 202, 204), (method, path, answer)
    return answer


@contextmanager
def team_of(directory: Path, nodes: int = 3) -> Iterator[Team]:
    """A cluster where everybody signs in, and the team in it."""
    with Cluster(directory, nodes, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        cluster.start_ready()
        yield Team(cluster)
