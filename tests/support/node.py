"""One node of the chat in this process: the application with `/ws` and `/events` on a real server, and its clients.

The engine is a FakeReplica, so a test decides when a command is committed.  `tests/chat/chat_client.py` asks the same
application without a server, and `tests/raft/members.py` has whole members of the engine in one process.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, TypedDict, Unpack

from chat.app import create_app, never_waits, request_durations
from chat.auth.authenticator import Authenticator
from chat.auth.secrets import TOKEN, digest
from chat.commands import NOBODY, Actor, Post, encode
from chat.commands.accounts import LogIn
from chat.commands.posts import DeletePost, EditPost, React
from chat.commands.rooms import ChangeRoom, DeleteRoom
from chat.metrics.node import NodeMetrics
from chat.realtime.authentication import Realtime
from chat.realtime.connection import HubLimits
from chat.realtime.handshake import open_websocket
from chat.realtime.hub import Hub
from chat.realtime.sse import EventStreams
from chat.server.server import Server
from chat.services.cursors import history
from chat.services.posts import PostChange, command_for
from chat.state.accounts import SESSION
from chat.state.machine import ChatState
from chat.state.results import RoomChanged, TokenMade
from chat.state.room_details import PRIVATE, RoomDetails
from chat.state.tables import Tables
from tests.support.certificates import client_context, own_context
from tests.support.fake_replica import FakeReplica
from tests.support.websocket_client import WebSocketClient

DEADLINE_S = 10
_numbers = count(1)  # of posts, over all nodes: one may take over another's
NODES = ["http://127.0.0.1:12380", "https://chat.example:443"]


def secret(name: str) -> str:
    """A token's, told apart from others by a name."""
    return TOKEN + name.ljust(43, "0")


@contextmanager
def hung(hub: Hub) -> Iterator[None]:
    """Keep a hub from doing anything meanwhile."""
    go, hangs = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        go.wait(DEADLINE_S)

    assert hub.call(hang)
    assert hangs.wait(DEADLINE_S)
    yield
    go.set()


class Options(TypedDict, total=False):
    """What a client of a Node may choose; see WebSocketClient."""

    token: str
    headers: tuple[str, ...]
    address: str
    receive_buffer: int


class NodeClient(WebSocketClient):
    """A websocket of a Node, which holds each Hello to what that Node has to say."""

    user: str | None = None  # the user of its token

    def subscribe(self, rooms: object = "*", cursor: str | None = None, ticket: str | None = None) -> str:
        greeted_at = super().subscribe(rooms, cursor, ticket)
        assert self.hello["User"] == self.user
        assert self.hello["Nodes"] == NODES
        assert cursor is None or greeted_at == cursor
        return greeted_at


class Node:
    """A hub, and the application over it and an engine of one, on a real server."""

    def __init__(self, limits: HubLimits | None = None, *, is_tls: bool = False) -> None:
        """`is_tls`: it speaks TLS, and so do its clients."""
        self.tls = client_context() if is_tls else None
        self.state = ChatState()
        self.replica = FakeReplica(self.state)
        self.hub = Hub(lambda: history(self.replica), limits=limits)
        self.authenticator = Authenticator(self.replica, self.state, monotonic=lambda: 0.0)
        self.realtime = Realtime(self.hub, self.replica, self.state, self.authenticator, lambda: NODES)
        self.state.listen(self.hub.publish, self.realtime.on_account_events, self.hub.skip_to)
        self.app = create_app(
            self.replica, self.state, authenticator=self.authenticator,
            websocket=partial(open_websocket, self.realtime), streams=EventStreams(self.realtime),
            metrics=NodeMetrics("1.2.3", requests := request_durations(), self.hub.sockets, lambda: self.state.posts),
        )  # fmt: skip
        self.server = Server(
            self.app, "127.0.0.1", 0, name="test",
            never_waits=never_waits, durations=requests.refused, on_sweep=requests.settle,
            ssl_context=own_context() if is_tls else None,
        )  # fmt: skip
        self.port = self.server.port
        self.clients: list[NodeClient] = []
        self.hub.begin_at(self.replica.last_applied)
        self.hub.start()
        self.server.start()

    def connect(self, **options: Unpack[Options]) -> NodeClient:
        """A client that only listens so far, and that the hub knows."""
        client = self.arrive(**options)
        client.say(Action="ping")
        while client.hear() != {"Pong": {}}:  # posts of a moment ago
            pass
        return client

    def arrive(self, **options: Unpack[Options]) -> NodeClient:
        """A client that nobody has taken notice of yet."""
        self.clients.append(NodeClient(self.port, tls=self.tls, **options))
        return self.clients[-1]

    def arrive_later(self, **options: Unpack[Options]) -> Callable[[], NodeClient]:
        """A client that is on its way to the hub, which hangs; call what is returned once it does not."""
        adopting = threading.Event()
        attach = self.hub.attach

        def attached(*arguments: Any) -> bool:
            done = attach(*arguments)
            adopting.set()
            return done

        self.hub.attach = attached  # type: ignore[assignment, method-assign]
        arrived: list[NodeClient] = []
        thread = threading.Thread(target=lambda: arrived.append(self.arrive(**options)))
        thread.start()
        assert adopting.wait(DEADLINE_S)

        def client() -> NodeClient:
            thread.join()
            return arrived[0]

        return client

    def log_in(self, user: str, name: str, expires_at: int = 0) -> int:
        """A token for a user, whose secret is `secret(name)`; its number."""
        password_index = self.state.ask(lambda tables: tables.users[user].password_index)
        made = self.replica.commit(
            encode(LogIn(Actor(NOBODY, user), password_index, digest(secret(name)), SESSION, "laptop", expires_at))
        )
        assert isinstance(made, TokenMade)
        return made.token.number

    def connect_as(self, user: str, *, receive_buffer: int = 0) -> NodeClient:
        """A client with a token of its own."""
        name = f"{user}-{next(_numbers)}"
        self.log_in(user, name)
        client = self.connect(token=secret(name), receive_buffer=receive_buffer)
        client.user = user
        return client

    def post(self, room: str = "general", message: str = "hi") -> None:
        """A post by somebody else."""
        self.replica.commit(encode(Post(room, "bob", message, f"b-{next(_numbers)}")))

    def post_as(self, user: str, room: str = "general", message: str = "hi") -> object:
        """A post by a token of this user's, or what the state says against it."""
        number = self.state.ask(lambda tables: tables.tokens_of[user][-1])
        return self.replica.commit(encode(Post(room, user, message, f"b-{next(_numbers)}", by=number)))

    def members(self, room: str, *users: str, visibility: str = PRIVATE) -> None:
        """Have a room that exists be of these users, from now on."""

        def change(tables: Tables) -> None:
            found = tables.rooms.by_name[room]
            found.details = (found.details or RoomDetails())._replace(visibility=visibility, members=frozenset(users))
            tables.derive()

        self.state.ask(change)

    def delete(self, room: str = "general") -> None:
        """Somebody deletes a room."""
        self.replica.commit(encode(DeleteRoom(Actor(), room)))

    def revise(self, id: int, message: str | None, room: str = "general") -> None:
        """The author edits a post, or (None) deletes it."""
        change = command_for(self.replica, self.state, PostChange(Actor(NOBODY, "bob"), room, id, message))
        assert isinstance(change, EditPost | DeletePost)
        self.replica.commit(encode(change))

    def react(self, id: int, emoji: str = "+", room: str = "general") -> None:
        """Somebody reacts to a post."""
        self.replica.commit(encode(React(Actor(NOBODY, "ann"), room, id, emoji, True)))

    def rename(self, room: str, name: str) -> None:
        """Somebody gives a room another name."""
        changed = self.replica.commit(encode(ChangeRoom(Actor(), room, name=name)))
        assert isinstance(changed, RoomChanged), changed

    def keep(self, posts: int, room: str = "general") -> None:
        """A room is told to keep so many posts."""
        self.replica.commit(encode(ChangeRoom(Actor(), room, max_messages=posts)))

    def hung(self) -> AbstractContextManager[None]:
        """Keep the hub from doing anything meanwhile."""
        return hung(self.hub)

    def settle(self) -> None:
        """Return once the hub has done what it was asked so far."""
        turned = threading.Event()
        assert self.hub.call(turned.set)
        assert turned.wait(DEADLINE_S)

    def __enter__(self) -> "Node":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self.clients:
            client.close()
        self.hub.drain(1.0)  # before the server: the streams of `/events` end with it
        self.server.drain(DEADLINE_S)
