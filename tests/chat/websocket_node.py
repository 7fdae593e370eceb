"""One member's `/ws` on a real server, over an engine of one; and clients of it."""

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from types import TracebackType
from typing import Any

import websocket

from chat.auth.authenticator import Authenticator
from chat.auth.secrets import TOKEN, digest
from chat.commands import NOBODY, Actor, Post, encode
from chat.commands.accounts import LogIn
from chat.commands.posts import DeletePost, EditPost, React
from chat.commands.rooms import ChangeRoom, DeleteRoom
from chat.realtime.authentication import Realtime
from chat.realtime.connection import HubLimits
from chat.realtime.handshake import make_websocket_app
from chat.realtime.hub import Hub
from chat.server.server import Server
from chat.services.cursors import history
from chat.services.posts import PostChange, command_for
from chat.state.accounts import SESSION
from chat.state.machine import ChatState
from chat.state.results import RoomChanged, TokenMade
from chat.state.room_details import PRIVATE, RoomDetails
from chat.state.tables import Tables
from tests.chat.fake_replica import FakeReplica
from tests.chat.running_hub import hung

DEADLINE_S = 10
_numbers = count(1)  # of posts, over all nodes: one may take over another's
NODES = ["http://127.0.0.1:12380", "https://chat.example:443"]


def secret(name: str) -> str:
    """A token's, told apart from others by a name."""
    return TOKEN + name.ljust(43, "0")


def bearer(name: str) -> str:
    """The header of who has it."""
    return f"Authorization: Bearer {secret(name)}"


class Client:
    """A client that speaks JSON."""

    def __init__(self, port: int, **options: Any) -> None:
        self.user: str | None = None  # who it is, where there is a login
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{port}/ws", timeout=DEADLINE_S, **options)

    def say(self, **frame: object) -> None:
        self._socket.send(json.dumps(frame))

    def say_raw(self, text: str) -> None:
        self._socket.send(text)

    def send_bytes(self, data: bytes) -> None:
        """Past the library: frames, or a part of one."""
        assert self._socket.sock is not None
        self._socket.sock.sendall(data)

    def receive_bytes(self) -> bytes:
        """Past the library: some of what the node has sent; b"" where it has closed."""
        assert self._socket.sock is not None
        data: bytes = self._socket.sock.recv(1 << 16)
        return data

    def hear(self) -> dict[str, Any]:
        """The next frame, but for who is there."""
        while "Presence" in (frame := self.hear_any()):
            pass
        return frame

    def hear_any(self) -> dict[str, Any]:
        frame = json.loads(self._socket.recv())
        assert isinstance(frame, dict)
        return frame

    def subscribe(self, rooms: object = "*", cursor: str | None = None) -> str:
        """The cursor that it is greeted with."""
        self.say(Action="subscribe", Rooms=rooms, Cursor=cursor)
        while "Hello" not in (frame := self.hear()):  # what came while it only listened
            assert set(frame) == {"RoomName", "Post"}
        hello = frame["Hello"]
        assert hello["User"] == self.user
        assert hello["Nodes"] == NODES
        assert cursor is None or hello["Cursor"] == cursor
        return str(hello["Cursor"])

    def hear_close(self) -> int:
        while (frame := self._socket.recv_data())[0] != websocket.ABNF.OPCODE_CLOSE:
            pass
        return int.from_bytes(frame[1][:2], "big")

    def receive(self) -> tuple[int, int]:
        """The opcode of the next frame; and of a close frame its code, else 0."""
        opcode, data = self._socket.recv_data()
        return opcode, int.from_bytes(data[:2], "big") if opcode == websocket.ABNF.OPCODE_CLOSE else 0

    def close(self) -> None:
        self._socket.shutdown()  # type: ignore[no-untyped-call]


class Node:
    """A hub with its websocket application on a real server, over an engine of one."""

    def __init__(self, limits: HubLimits | None = None) -> None:
        self.state = ChatState()
        self.replica = FakeReplica(self.state)
        self.hub = Hub(lambda: history(self.replica), limits=limits)
        self.state.on_applied = self.hub.publish
        self.state.on_restored = self.hub.skip_to
        self.authenticator = Authenticator(self.replica, self.state, monotonic=lambda: 0.0)
        self.realtime = Realtime(self.hub, self.replica, self.state, self.authenticator, lambda: NODES)
        self.state.on_accounts = self.realtime.on_account_events
        self.app = make_websocket_app(self.realtime)
        self.server = Server(self.app, "127.0.0.1", 0, name="test")
        self.port = self.server.port
        self.clients: list[Client] = []
        self.hub.begin_at(self.replica.last_applied)
        self.hub.start()
        self.server.start()

    def connect(self, **options: Any) -> Client:
        """A client that only listens so far, and that the hub knows."""
        client = self.arrive(**options)
        client.say(Action="ping")
        while client.hear() != {"Pong": {}}:  # posts of a moment ago
            pass
        return client

    def arrive(self, **options: Any) -> Client:
        """A client that nobody has taken notice of yet."""
        self.clients.append(Client(self.port, **options))
        return self.clients[-1]

    def arrive_later(self, **options: Any) -> Callable[[], Client]:
        """A client that is on its way to the hub, which hangs; call what is returned once it does not."""
        adopting = threading.Event()
        attach = self.hub.attach

        def attached(*arguments: Any) -> bool:
            done = attach(*arguments)
            adopting.set()
            return done

        self.hub.attach = attached  # type: ignore[assignment, method-assign]
        arrived: list[Client] = []
        thread = threading.Thread(target=lambda: arrived.append(self.arrive(**options)))
        thread.start()
        assert adopting.wait(DEADLINE_S)

        def client() -> Client:
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

    def connect_as(self, user: str, **options: Any) -> Client:
        """A client with a token of its own."""
        name = f"{user}-{next(_numbers)}"
        self.log_in(user, name)
        client = self.connect(header=[bearer(name)], **options)
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
        self.hub.drain(1.0)
        self.server.drain(1.0)
