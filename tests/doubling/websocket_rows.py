"""What a websocket takes in: a read of the smallest frames, the longest message in all its shapes, every action.

A row sends the bytes to a hub that runs, and ends when a last frame is answered: measured is the whole process.
"""

import json
import time
from collections.abc import Callable, Iterator
from functools import cache, partial

from chat.realtime.connection import READ_BYTES, Connection, HubLimits
from chat.realtime.frames import FRAGMENTS_MAX
from chat.realtime.protocol import STRANGER_BYTES_MAX
from chat.realtime.websocket_connection import FRAMES_A_TURN, WebSocketConnection
from chat.services.validation import FOLLOWED_ROOMS_MAX
from tests.doubling.rows import Case, Row
from tests.doubling.texts import TEXTS, ats, marked
from tests.support.node import Node, NodeClient
from tests.support.websocket_frames import client_frame

MESSAGE = HubLimits().message_bytes
_PONG = b'"Pong"'


def frame(payload: bytes, first: int = 0x81, mask: bytes = b"\1\2\3\4") -> bytes:
    """A client's frame, whose payload the node has to unmask."""
    return client_frame(payload, first, mask)


_LAST = frame(b'{"action":"ping"}')


@cache
def node() -> Node:
    """One for all rows, in the open mode, with a room and a message."""
    there = Node()
    there.post()
    return there


def close() -> None:
    """End it, where it was begun."""
    if node.cache_info().currsize:
        node().__exit__(None, None, None)
        node.cache_clear()


def _through_hub(data: bytes, pieces: int = 1) -> Case:
    """Of several frames, what the hub reads in a turn is a piece."""
    clients: list[NodeClient] = []

    def prepared() -> NodeClient:
        for client in clients:
            client.close()
        clients[:] = [node().connect()]
        return clients[0]

    def run(client: NodeClient) -> None:
        client.send_bytes(data)
        while _is_answered(client) and any(_is_busy(each) for each in list(node().hub._connections)):
            pass

    return Case(len(data), run, prepared, max(1, pieces), time.process_time)


def _is_busy(connection: Connection) -> bool:
    return isinstance(connection, WebSocketConnection) and connection.is_busy


def _is_answered(client: NodeClient) -> bool:
    """Whether a last frame is, and all before it was read; False where the node has closed instead."""
    client.send_bytes(_LAST)
    heard = b""
    while _PONG not in heard:
        more = client.socket.recv(1 << 16)
        if not more:
            return False
        heard = heard[-len(_PONG) :] + more
    return True


def _read_of(tiny: bytes, share: float) -> Case:
    count = int(share * READ_BYTES) // len(tiny)
    at_once = HubLimits().held if b"roomname" in tiny else FRAMES_A_TURN  # then no more are read until some are done
    return _through_hub(tiny * count, count // at_once)


def _json(**fields: object) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def _tiny() -> Iterator[tuple[str, bytes]]:
    """What comes as often as a read has room for it."""
    yield from (
        ("empty texts", frame(b"")),
        ("empty objects", frame(b"{}")),
        ("pings", frame(b"", 0x89)),
        ("pongs", frame(b"", 0x8A)),
        ("long pings", frame(b"x" * 125, 0x89)),
        ("messages in two fragments", frame(b"", 0x01) + frame(b"", 0x80)),
        ("pings between fragments", frame(b"", 0x01) + frame(b"", 0x89) + frame(b"", 0x80)),
        ("unknown actions", frame(b'{"action":"x"}')),
        ("empty actions", frame(b'{"action":"ping"}')),
        ("typing", frame(_json(action="typing", roomname="general", user="bob"))),
        ("posts", frame(_json(action="post", roomname="general", post={"User": "bob", "Message": "x"}))),
        ("reactions", frame(_json(action="react", roomname="general", id=1, emoji="x", user="bob"))),
        ("read marks", frame(_json(action="read", roomname="general", id=1))),
        ("subscriptions", frame(_json(action="subscribe", rooms=[]))),
        ("pages", frame(_json(action="history", roomname="general", limit=1))),
    )


def _actions() -> Iterator[tuple[str, Callable[[float], bytes]]]:
    post = partial(_json, action="post", roomname="general")
    for name, text in TEXTS.items():
        yield f"post of {name}", lambda share, t=text: post(post={"User": "bob", "Message": t(int(share * 8000))})  # type: ignore[misc]
        yield (
            f"edit of {name}",
            lambda share, t=text: _json(  # type: ignore[misc]
                action="edit", roomname="general", id=1, message=t(int(share * 8000)), user="bob"
            ),
        )
        yield (
            f"reaction of {name}",
            lambda share, t=text: _json(  # type: ignore[misc]
                action="react", roomname="general", id=1, emoji=t(int(share * 32)), user="bob"
            ),
        )
    rooms = [f"n{n}" + marked(12) for n in range(FOLLOWED_ROOMS_MAX)]
    yield (
        "subscription to rooms",
        lambda share: _json(action="subscribe", rooms=rooms[: int(share * FOLLOWED_ROOMS_MAX)]),
    )
    yield "too many rooms", lambda share: _json(action="subscribe", rooms=["é"] * int(share * 15_000))
    yield "cursor", lambda share: _json(action="subscribe", rooms="*", cursor="a" * int(share * 65_000))
    yield "ticket", lambda share: _json(action="subscribe", rooms="*", ticket="a" * int(share * 65_000))
    yield "client id", lambda share: _json(action="edit", clientid="é" * int(share * 32_000))
    yield "unknown action", lambda share: _json(action="a" * int(share * 65_000))
    yield "room's name", lambda share: _json(action="typing", roomname=marked(int(share * 32_000)))
    yield (
        "post for a room of a long name",
        lambda share: _json(action="post", roomname=marked(int(share * 32_000)), post={"User": "bob", "Message": "x"}),
    )
    yield "reply", lambda share: post(post={"User": "bob", "Message": ats(8000), "ReplyTo": int(share * 2**53)})
    yield "members", lambda share: _json(**{f"m{n}": 0 for n in range(int(share * 4000))})
    yield "lists", lambda share: b'{"a":[[]' + b",[]" * int(share * 21_000) + b"]}"
    yield "objects", lambda share: b'{"a":[{}' + b",{}" * int(share * 21_000) + b"]}"
    yield "objects of one member", lambda share: b'{"a":[{"":0}' + b',{"":0}' * int(share * 9_000) + b"]}"
    yield "nothing but lists", lambda share: b"[" * int(share * 65_000)
    yield "escapes", lambda share: b'{"a":"' + b"\\u0101" * int(share * 10_900) + b'"}'
    yield "no JSON", lambda share: b"x" * int(share * MESSAGE)


def _fragmented(share: float) -> bytes:
    """The most fragments of a message, one byte each, with a ping between."""
    count = int(share * FRAGMENTS_MAX)
    return frame(b"x", 0x01) + (frame(b"x", 0x00) + frame(b"", 0x89)) * (count - 1) + frame(b"", 0x80)


def rows() -> Iterator[Row]:
    """All of them; what is longer than one read counts by the message."""
    for name, tiny in _tiny():
        takes_long = name in (
            "empty objects",
            "unknown actions",
            "posts",
            "reactions",
            "pages",
            "pings between fragments",
        )
        yield Row(f"websocket read: {name}", lambda share, one=tiny: _read_of(one, share), takes_long=takes_long)  # type: ignore[misc]
    for name, action in _actions():
        takes_long = " of " in name and not name.endswith("marks")  # the same checks have rows of their own
        yield Row(
            f"websocket: {name}",
            lambda share, a=action: _through_hub(frame(a(share), mask=bytes(4))),  # type: ignore[misc]
            takes_long=takes_long,
        )
    yield Row(
        "websocket: fragments",
        lambda share: _through_hub(_fragmented(share), int(share * 2 * FRAGMENTS_MAX / FRAMES_A_TURN)),
    )
    yield Row(
        "websocket: long fragments",
        lambda share: _through_hub(frame(b"x" * int(share * MESSAGE // 2), 0x01) + frame(b"x" * 100, 0x80)),
    )
    yield Row("websocket: bytes", lambda share: _through_hub(frame(bytes(int(share * MESSAGE)), 0x82, bytes(4))))
    yield Row(
        "websocket: a stranger's subscription",
        lambda share: _through_hub(
            frame(_json(action="subscribe", ticket="a" * int(share * (STRANGER_BYTES_MAX - 50))))
        ),
    )
