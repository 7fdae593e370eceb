"""One member's `/ws` on a real server, over an engine of one; and clients of it."""

import json
import threading
from itertools import count
from types import TracebackType
from typing import Any

import websocket

from chat.commands import NOBODY, Actor, DeleteRoom, Post, SetRetention, encode
from chat.commands.posts import DeletePost, EditPost, React
from chat.hub import Hub
from chat.link import HubLimits
from chat.revising import Wish, command_for
from chat.serving import Server
from chat.state.machine import ChatState
from chat.websocket import make_websocket_app
from tests.chat.fake_replica import FakeReplica

DEADLINE_S = 10
_numbers = count(1)  # of posts, over all nodes: one may take over another's
NODES = ["http://127.0.0.1:12380", "https://chat.example:443"]


class Client:
    """A client that speaks JSON."""

    def __init__(self, port: int, **options: Any) -> None:
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{port}/ws", timeout=DEADLINE_S, **options)

    def say(self, **frame: object) -> None:
        self._socket.send(json.dumps(frame))

    def say_raw(self, text: str) -> None:
        self._socket.send(text)

    def hear(self) -> dict[str, Any]:
        frame = json.loads(self._socket.recv())
        assert isinstance(frame, dict)
        return frame

    def subscribe(self, rooms: object = "*", cursor: str | None = None) -> str:
        """The cursor that it is greeted with."""
        self.say(Action="subscribe", Rooms=rooms, Cursor=cursor)
        while "Hello" not in (frame := self.hear()):  # what came while it only listened
            assert set(frame) == {"RoomName", "Post"}
        hello = frame["Hello"]
        assert hello["User"] is None
        assert hello["Nodes"] == NODES
        assert cursor is None or hello["Cursor"] == cursor
        return str(hello["Cursor"])

    def hear_close(self) -> int:
        while (frame := self._socket.recv_data())[0] != websocket.ABNF.OPCODE_CLOSE:
            pass
        return int.from_bytes(frame[1][:2], "big")

    def close(self) -> None:
        self._socket.shutdown()  # type: ignore[no-untyped-call]


class Node:
    """A hub with its websocket application on a real server, over an engine of one."""

    def __init__(self, limits: HubLimits | None = None) -> None:
        self.state = ChatState()
        self.replica = FakeReplica(self.state)
        self.hub = Hub(lambda: self.replica.cluster_id, limits=limits)
        self.state.on_applied = self.hub.publish
        self.state.on_restored = self.hub.skip_to
        self.app = make_websocket_app(self.hub, self.replica, self.state, lambda: NODES)
        self.server = Server(self.app, "127.0.0.1", 0, name="test")
        self.port = self.server.port
        self.clients: list[Client] = []
        self.hub.start()
        self.server.start()

    def connect(self, **options: Any) -> Client:
        """A client that only listens so far, and that the hub knows."""
        self.clients.append(Client(self.port, **options))
        self.clients[-1].say(Action="ping")
        while self.clients[-1].hear() != {"Pong": {}}:  # posts of a moment ago
            pass
        return self.clients[-1]

    def post(self, room: str = "general", message: str = "hi") -> None:
        """A post by somebody else."""
        self.replica.commit(encode(Post(room, "bob", message, f"b-{next(_numbers)}")))

    def delete(self, room: str = "general") -> None:
        """Somebody deletes a room."""
        self.replica.commit(encode(DeleteRoom(room)))

    def revise(self, id: int, message: str | None, room: str = "general") -> None:
        """The author edits a post, or (None) deletes it."""
        change = command_for(self.replica, self.state, Wish(Actor(NOBODY, "bob"), room, id, message))
        assert isinstance(change, EditPost | DeletePost)
        self.replica.commit(encode(change))

    def react(self, id: int, emoji: str = "+", room: str = "general") -> None:
        """Somebody reacts to a post."""
        self.replica.commit(encode(React(Actor(NOBODY, "ann"), room, id, emoji, True)))

    def keep(self, posts: int, room: str = "general") -> None:
        """A room is told to keep so many posts."""
        self.replica.commit(encode(SetRetention(room, posts)))

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
