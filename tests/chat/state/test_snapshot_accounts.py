"""Accounts and rooms' details in the document: read as they were, and nothing else is."""

import json
from collections.abc import Callable

import pytest

from chat.commands import OPERATOR, Actor, Post
from chat.commands.accounts import ChangeUser, CreateInvite, CreateTicket, RevokeTokens
from chat.state.accounts import GUEST
from chat.state.machine import ChatState
from chat.state.room_details import PRIVATE, RoomDetails
from chat.state.tables import Tables
from raft.errors import InvalidMessage
from tests.chat.people import People, digest


def people() -> People:
    chat = People()
    chat.do(Post("general", "bob", "hi", "c", by=2))
    chat.bot("bob", digest(50))
    chat.do(ChangeUser(chat.by["ann"], "eve", active=False))
    for number in (61, 60):
        chat.do(CreateInvite(chat.by["ann"], digest(number), GUEST, ("general",), 2, 0, "café"))
        chat.do(CreateTicket(chat.by["bob"], digest(number), 0))

    def fill(tables: Tables) -> None:
        room = tables.rooms.make("secret")
        members = frozenset({"gus", "bob"})
        room.details = RoomDetails(PRIVATE, "plans", "bob", True, members, (1,), ("old",), 5, 6, 7, 8, True, "eve")
        room.last_index = 7
        tables.derive()

    chat.state.ask(fill)
    return chat


def sections(lines: list[bytes]) -> dict[str, list[list[object]]]:
    values = [item for line in lines for item in json.loads(line).items()]
    return {name: rows for name, rows in values if isinstance(rows, list) and isinstance(rows[0], list)}


def test_a_restored_state_is_the_same() -> None:
    chat, restored = people(), ChatState()
    restored.restore(chat.index, chat.state.document())
    assert restored.digest() == chat.state.digest()
    one, other = (
        state.ask(
            lambda tables: [
                getattr(tables, name) for name in tables.__slots__ if name not in {"rooms", "log_times", "client_ids"}
            ]
        )
        for state in (chat.state, restored)
    )
    assert one == other
    details = restored.ask(lambda tables: tables.rooms.by_name["secret"].details)
    assert details == chat.state.ask(lambda tables: tables.rooms.by_name["secret"].details)
    assert restored.ask(lambda tables: tables.rooms.get("old")) is not None


def test_a_document_says_who_there_is_by_name_and_what_they_hold_by_age() -> None:
    found = sections(list(people().state.document()))
    assert [row[0] for row in found["Users"]] == ["ann", "bob", "eve", "gus"]
    assert [row[0] for row in found["Tokens"]] == [6, 1, 2, 4, 5]
    assert [row[0] for row in found["Invites"]] == [row[0] for row in found["Tickets"]]
    assert [row[0] for row in found["Tickets"]] == [digest(61).hex(), digest(60).hex()]
    secret = ["secret", "private", "plans", "bob", True, [], [1], ["old"], 5, 6, 7, 8, True, "eve"]
    assert found["Details"][1:] == [secret]
    assert found["Members"] == [["general", ["bob"]], ["secret", ["bob", "gus"]]]


def test_a_number_is_never_given_twice_though_no_token_is_left() -> None:
    chat, restored = People(), ChatState()
    chat.do(RevokeTokens(Actor(OPERATOR), (1, 2, 3, 4)))
    restored.restore(chat.index, chat.state.document())
    chat.state = restored
    assert chat.log_in("bob", digest(50)).token.number == 5


def test_no_secret_is_in_it() -> None:
    text = b"\n".join(people().state.document()).decode()
    assert all(kind not in text for kind in ("rc_", "rt_", "ri_"))


def changed(name: str, row: int, column: int, value: object) -> Callable[[dict[str, list[list[object]]]], None]:
    def change(found: dict[str, list[list[object]]]) -> None:
        found[name][row][column] = value

    return change


def swapped(name: str, one: int, other: int) -> Callable[[dict[str, list[list[object]]]], None]:
    def change(found: dict[str, list[list[object]]]) -> None:
        rows = found[name]
        rows[one], rows[other] = rows[other], rows[one]

    return change


@pytest.mark.parametrize(
    "spoil",
    [
        changed("Users", 0, 2, "king"), changed("Users", 0, 4, 10**6), changed("Users", 0, 4, 0),
        changed("Users", 1, 0, "ann"), changed("Users", 1, 7, "ann"), changed("Users", 0, 5, 1),
        changed("Users", 1, 5, False), changed("Users", 0, 6, 0), swapped("Users", 0, 1),
        changed("Tokens", 0, 0, 5), changed("Tokens", 0, 0, 1), changed("Tokens", 0, 0, True),
        changed("Tokens", 1, 0, 2), changed("Tokens", 1, 1, digest(2).hex()), changed("Tokens", 1, 1, "xy"),
        changed("Tokens", 1, 1, "AB"), changed("Tokens", 1, 2, "zoe"), changed("Tokens", 1, 2, "eve"),
        changed("Tokens", 1, 3, "magic"), changed("Tokens", 1, 6, -1), changed("Tokens", 1, 7, -1),
        swapped("Tokens", 1, 2), swapped("Tokens", 0, 1),
        changed("Invites", 0, 1, "king"), changed("Invites", 0, 3, 0), changed("Invites", 0, 4, -1),
        changed("Invites", 0, 0, digest(60).hex()), changed("Invites", 0, 2, "general"),
        changed("Tickets", 0, 1, 9), changed("Tickets", 0, 0, digest(60).hex()), changed("Tickets", 0, 2, -1),
        changed("Details", 0, 0, "nowhere"), changed("Details", 0, 1, "hidden"),
        changed("Details", 0, 5, ["gus", "bob"]),
        changed("Details", 0, 10, 10**6), changed("Details", 0, 11, -1), changed("Details", 0, 6, ["1"]),
    ],
)  # fmt: skip
def test_what_no_state_gives_is_not_taken(spoil: Callable[[dict[str, list[list[object]]]], None]) -> None:
    chat = people()
    lines = list(chat.state.document())
    found = sections(lines)
    spoil(found)
    names = [next(iter(json.loads(line))) for line in lines]
    spoilt = [
        json.dumps({name: found[name]}, ensure_ascii=False, separators=(",", ":")).encode() if name in found else line
        for name, line in zip(names, lines, strict=True)
    ]
    assert spoilt != lines
    with pytest.raises(InvalidMessage):
        ChatState().restore(chat.index, spoilt)
