"""Answers and entries whose cost follows from what others have stored: pages, pieces, broadcasts, what is applied.

A strangers' share of it is as large as their bounds let it be: the longest texts, 100 reactions to a post, 100 edits.
"""

import json
from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

from chat.commands import NOBODY, OPERATOR, Actor, Command, Post, encode
from chat.commands.accounts import ChangeUser, CreateUser, RevokeTokens
from chat.commands.cluster import Expire, ForgetRooms, SetSettings
from chat.commands.posts import React
from chat.commands.rooms import ChangeMembers, ChangeRoom, CreateRoom, DeleteRoom
from chat.realtime.channels import event_payload, plain_payload
from chat.services.export import export
from chat.services.post_cache import PostCache
from chat.state.accounts import GUEST, MEMBER
from chat.state.apply.expiry import FORGET_ROOMS
from chat.state.apply.posts import EDITS_MAX, EMOJI_MAX, REACTIONS_MAX
from chat.state.events import PostEvent, Reacted
from chat.state.forgotten_rooms import NAMES_MAX, ForgottenRooms, hash_of
from chat.state.machine import ChatState
from chat.state.post_revisions import Reactions, Revision
from chat.state.room import PAGE_POSTS_MAX, PageRequest
from chat.state.room_details import MEMBERS_MAX, PRIVATE, PUBLIC
from chat.state.tables import Tables
from tests.chat.chat_client import ChatClient
from tests.chat.login_client import LoginClient
from tests.doubling.rows import Case, Row
from tests.doubling.texts import serial
from tests.support.fake_replica import FakeReplica

POSTS = 4_000  # of a room that is deleted, or kept shorter, at once
LONG = '"' * 8_000  # 16,000 bytes in JSON
SHORT = "hi"


def reactions(share: float) -> Reactions:
    """As many as a post can have, by users with the longest names."""
    users = [f"{n:03}" + "\u20ac" * 61 for n in range(int(share * REACTIONS_MAX / EMOJI_MAX))]
    return tuple((f"{n:02}" + "\U0001f600" * 30, tuple(users)) for n in range(EMOJI_MAX))


class Filled:
    """A room "r" of so many posts, each changed as told."""

    def __init__(self, posts: int, message: str = SHORT, revision: Revision | None = None) -> None:
        self.client = ChatClient()
        self.state: ChatState = self.client.state
        self.replica: FakeReplica = self.client.replica
        for number in range(posts):
            self.replica.commit(encode(Post("r", "ann", message, f"c{number}")))
        if revision is not None:
            self.state.ask(lambda tables: _change_all(tables, revision))


def _change_all(tables: Tables, revision: Revision) -> None:
    room = tables.rooms.by_name["r"]
    for id in range(1, room.newest_id + 1):
        room.revise(id, revision._replace(reacted_index=room.index_of(id)))


def _page(message: str, share_of: str) -> Callable[[float], Case]:
    def make(share: float) -> Case:
        posts = int(PAGE_POSTS_MAX * (share if share_of == "posts" else 1))
        revision = (
            Revision(reactions=reactions(share if share_of == "reactions" else 1)) if share_of != "texts" else None
        )
        text = message[: int(len(message) * share)] if share_of == "texts" else message
        filled = Filled(posts, text, revision)

        def run(cache: PostCache) -> None:
            _, posts = cache.read(filled.state.page("r", PageRequest(PAGE_POSTS_MAX)), filled.replica)
            b"[" + b",".join(posts) + b"]"

        return Case(posts, run, PostCache)

    return make


def _export(message: str) -> Callable[[float], Case]:
    def make(share: float) -> Case:
        filled = Filled(int(600 * share), message, Revision(reactions=reactions(1.0)))
        pieces = sum(1 for _ in export(filled.state, filled.replica, "r")[1])
        return Case(int(600 * share), lambda _: [*export(filled.state, filled.replica, "r")[1]], pieces=pieces)

    return make


def _versions(share: float) -> Case:
    client = ChatClient()
    client.post(Message=LONG)
    for _ in range(int(EDITS_MAX * share)):
        client.clock.now += 1
        client.monotonic.now += 1e6
        answer = client.open(
            "PATCH", "/rooms/general/messages/1", json.dumps({"User": "ann", "Message": serial() + LONG[30:]}).encode()
        )
        assert answer.status_code == 200
    return Case(int(EDITS_MAX * share), lambda _: client.get("/rooms/general/messages/1/history"))


def _rooms(target: str, names: int) -> Callable[[float], Case]:
    """A page of rooms, or all their details."""

    def make(share: float) -> Case:
        client = ChatClient()
        for number in range(int(names * share)):
            client.replica.commit(encode(CreateRoom(Actor(), f"r{number}" + "\u20ac" * 58, PUBLIC, "\u20ac" * 250)))
        # Of the process: a read is rendered in a thread of its own.
        return Case(int(names * share), lambda _: client.get(target), clock=process_time)

    return make


def _missed(share: float) -> Case:
    """What a client that comes back is looked up, where all of a room was changed."""
    filled = Filled(int(POSTS * share), SHORT, Revision(reactions=reactions(0.2)))
    last = filled.replica.last_applied
    return Case(int(POSTS * share), lambda _: (filled.state.located(0, last, 100), filled.state.missed(0, last)))


def _frames(share: float) -> Case:
    post = json.dumps({"Message": "\x01" * int(8_000 * share)}).encode()
    event = PostEvent(9, "\u20ac" * 64, 1, post)
    return Case(len(post), lambda _: (plain_payload(event), event_payload(b"c0ffee-1", event)))


def _reaction_frame(share: float) -> Case:
    event = Reacted(
        9, "\u20ac" * int(64 * share), 1, "\U0001f600" * int(32 * share), "\u20ac" * int(64 * share), True, 1
    )
    return Case(int(64 * share), lambda _: event_payload(b"c0ffee-1", event))


# Entries


def _applied(make: Callable[[float], tuple[Any, Callable[[], Command]]]) -> Callable[[float], Case]:
    """One entry, applied to what `make` gives the replica of, in the state before each time."""

    def case(share: float) -> Case:
        client, command = make(share)
        document = [*client.state.document()]
        index = client.replica.last_applied

        def prepared() -> bytes:
            client.state.restore(index, document)
            return encode(command())

        return Case(len(document), lambda body: client.replica.commit(body), prepared)

    return case


def _room_of_posts(
    revision: Revision | None,
) -> Callable[[float, Callable[[], Command]], tuple[Any, Callable[[], Command]]]:
    return lambda share, command: (Filled(int(POSTS * share), SHORT, revision).client, command)


def _house(share: float, *, rooms: int = 0, members: int = 0) -> LoginClient:
    """A login with many users who are all in a room, and one user who is in many rooms."""
    client = LoginClient()
    names = [f"u{n}" for n in range(int(members * share))]
    for name in names:
        client.do(CreateUser(Actor(OPERATOR), name, name, name, "hash", MEMBER))
    actor = Actor(client.number["ann"], "ann")
    if names:
        client.do(CreateRoom(actor, "r", PUBLIC, "", tuple(names)))
    for number in range(int(rooms * share)):
        client.do(CreateRoom(actor, f"r{number}", PUBLIC, "", ("bob", "ann")))
    return client


def _gone(share: float) -> ChatClient:
    """As many names of rooms with a message each as a step forgets, and as many hashes as there may be."""
    client = ChatClient()
    for number in range(FORGET_ROOMS):
        client.replica.commit(encode(Post(f"r{number}", "ann", "x", f"c{number}")))
        client.replica.commit(encode(DeleteRoom(Actor(), f"r{number}")))
    client.state.ask(lambda tables: _fill(tables.rooms.forgotten, int(share * (NAMES_MAX - FORGET_ROOMS))))
    return client


def _fill(forgotten: ForgottenRooms, count: int) -> None:
    forgotten.log_index = 1
    hashes = sorted(hash_of(str(number)) for number in range(count))
    forgotten.hashes.extend(hashes)
    forgotten.ids.extend(1 + number % 9 for number in range(count))


def _entries() -> Iterator[tuple[str, Callable[[float], tuple[Any, Callable[[], Command]]]]]:
    changed = Revision(reactions=(("x", ("bob",)),))
    nobody = Actor(NOBODY)
    for name, filled in (("posts", _room_of_posts(None)), ("changed posts", _room_of_posts(changed))):
        yield f"a room of {name} is deleted", lambda share, f=filled: f(share, lambda: DeleteRoom(nobody, "r"))  # type: ignore[misc]
        yield (
            f"a room of {name} is to keep one",
            lambda share, f=filled: f(  # type: ignore[misc]
                share, lambda: ChangeRoom(nobody, "r", max_messages=1)
            ),
        )
        yield (
            f"rooms of {name} are to keep one",
            lambda share, f=filled: f(  # type: ignore[misc]
                share, lambda: SetSettings(Actor(OPERATOR), max_messages=1)
            ),
        )
        reaction = React(Actor(NOBODY, "bob"), "r", 7, "x", True)
        yield f"a reaction among {name}", lambda share, f=filled, r=reaction: f(share, lambda: r)  # type: ignore[misc]
        yield f"a post after {name}", lambda share, f=filled: f(share, lambda: Post("r", "ann", "x", serial()))  # type: ignore[misc]
    ann = Actor(OPERATOR)
    people = MEMBERS_MAX - 10
    yield "a room with members is renamed", lambda share: (
        _house(share, members=people), lambda: ChangeRoom(ann, "r", name="s")
    )  # fmt: skip
    yield "a room with members turns private", lambda share: (
        _house(share, members=people), lambda: ChangeRoom(ann, "r", visibility=PRIVATE, drawn="a" * 10)
    )  # fmt: skip
    yield "a room loses all members", lambda share: (
        _house(share, members=people), lambda: ChangeRoom(ann, "r", members=())
    )  # fmt: skip
    yield "one member more", lambda share: (
        _house(share, members=people), lambda: ChangeMembers(ann, "r", ("bob",), True)
    )  # fmt: skip
    yield "one member less", lambda share: (
        _house(share, members=people), lambda: ChangeMembers(ann, "r", ("u1",), False)
    )  # fmt: skip
    yield "a post that mentions the room", lambda share: (
        _house(share, members=people), lambda: Post("r", "ann", "@room", serial(), by=1, mentions=("@room",))
    )  # fmt: skip
    yield "a member of many rooms is deactivated", lambda share: (
        _house(share, rooms=3_000), lambda: ChangeUser(ann, "bob", active=False)
    )  # fmt: skip
    yield "a member of many rooms becomes a guest", lambda share: (
        _house(share, rooms=3_000), lambda: ChangeUser(ann, "bob", role=GUEST)
    )  # fmt: skip
    forgets = ForgetRooms(tuple(f"r{number}" for number in range(FORGET_ROOMS)))
    yield "names of rooms are forgotten", lambda share: (_gone(share), lambda: forgets)
    yield "tokens are revoked", lambda share: (_house(share, rooms=10), lambda: RevokeTokens(ann, name="bob"))
    yield "rooms are looked at by age", lambda share: (
        _house(share, rooms=1_000),
        lambda: Expire(1 << 52, tuple(f"r{number}" for number in range(int(1_000 * share)))),
    )  # fmt: skip


def rows() -> Iterator[Row]:
    """All of them."""
    yield Row("page: long posts", _page(LONG, "texts"))
    yield Row("page: reactions", _page(SHORT, "reactions"))
    yield Row("page: posts with reactions", _page(SHORT, "posts"))
    yield Row("page: long posts with reactions", _page(LONG, "posts"), takes_long=True)
    yield Row("export: posts with reactions, by piece", _export(SHORT))
    yield Row("export: long posts with reactions, by piece", _export(LONG), takes_long=True)
    yield Row("page: versions of a post", _versions)
    yield Row("page: rooms", _rooms("/rooms?limit=1000", 1_000))
    yield Row("page: rooms with details", _rooms("/rooms?limit=1000&details=true", 1_000))
    yield Row("page: what was missed", _missed, takes_long=True)
    yield Row("broadcast: a post", _frames)
    yield Row("broadcast: a reaction", _reaction_frame)
    for name, make in _entries():
        yield Row(f"applied: {name}", _applied(make), takes_long=True)
