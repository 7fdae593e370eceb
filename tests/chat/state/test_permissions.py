"""Who acts, what he sees, and where he may post: role x kind of room, as a table that is read by a human."""

from collections.abc import Callable

import pytest

from chat.commands import NOBODY, OPERATOR, SETUP, Actor, Post
from chat.state import permissions
from chat.state.accounts import ADMIN, GUEST, MEMBER, SESSION, Acting, Token, User
from chat.state.events import Reach, is_told
from chat.state.machine import ChatState
from chat.state.name_pages import NamePageRequest
from chat.state.results import Posted, Refusal
from chat.state.room import PageRequest, Room
from chat.state.room_details import DIRECT, PRIVATE, RoomDetails
from chat.state.room_views import reach_of
from chat.state.settings import LOGIN, OPEN, Settings
from chat.state.tables import Tables
from tests.chat.random_log import apply
from tests.chat.state.test_any_log import told

TOKENS = {"ann": 1, "bob": 2, "gus": 3, "eve": 4}
ROLES = {"ann": ADMIN, "bob": MEMBER, "gus": GUEST, "eve": MEMBER}
PRIVATE_ROOM = "secret~abcdefgh23"


def people(auth: str = LOGIN) -> ChatState:
    """Ann is the admin, bob and eve are members, gus is a guest; bob and gus are in every room that has members."""
    state = ChatState()

    def fill(tables: Tables) -> None:
        tables.settings = Settings(auth)
        for name, number in TOKENS.items():
            tables.users[name] = User(name, name, ROLES[name], "", 0, True, 0, name)
            tables.tokens[number] = Token(number, bytes([number]), name, SESSION, "", 0, 0, 0)
        members = frozenset({"bob", "gus"})
        details = {
            "plain": None,
            "public": RoomDetails(members=members, owner="bob"),
            "guest's": RoomDetails(members=members, owner="gus"),  # who was a member once
            "archived": RoomDetails(members=members, archived=True),
            PRIVATE_ROOM: RoomDetails(PRIVATE, members=members, owner="bob"),
            "direct~abcdefgh23": RoomDetails(DIRECT, members=members),
        }
        for name, detail in details.items():
            room = tables.rooms.make(name)
            room.append(1, 1, 1)
            room.details = detail
        tables.derive()

    state.ask(fill)
    return state


def actor(name: str) -> Actor:
    return Actor(TOKENS[name], name)


@pytest.mark.parametrize(
    ("room", "seen_by", "managed_by", "posted_to_by"),
    [
        ("plain", "ann bob eve", "ann", "ann bob eve"),
        ("public", "ann bob gus eve", "ann bob", "ann bob gus eve"),
        ("archived", "ann bob gus eve", "ann", ""),
        (PRIVATE_ROOM, "ann bob gus", "ann bob", "bob gus"),
        ("direct~abcdefgh23", "bob gus", "", "bob gus"),
        ("guest's", "ann bob gus eve", "ann", "ann bob gus eve"),
        ("new", "", "", "ann bob eve"),
        ("new~abcdefgh23", "", "", ""),
    ],
)
def test_what_each_may(room: str, seen_by: str, managed_by: str, posted_to_by: str) -> None:
    seen, managed = [], []
    tables = people().ask(lambda tables: tables)
    for name in TOKENS:
        who = permissions.acting(tables, actor(name))
        assert isinstance(who, Acting)
        found = permissions.visible_room(tables, who, room)
        seen += [name] if found else []
        managed += [name] if (known := tables.rooms.get(room)) and permissions.manages(tables, who, known) else []
    assert (seen, managed) == (seen_by.split(), managed_by.split())
    posting = [
        name
        for name, by in TOKENS.items()
        if isinstance(apply(people(), [Post(room, name, "hi", "c", by=by)], 9)[0], Posted)
    ]
    assert posting == posted_to_by.split()


@pytest.mark.parametrize(
    ("room", "adds_himself", "adds_others", "leaves", "removes_others"),
    [
        ("plain", "ann bob eve", "ann", "ann bob gus eve", "ann"),
        ("public", "ann bob eve", "ann bob", "ann bob gus eve", "ann bob"),
        (PRIVATE_ROOM, "ann bob", "ann bob", "ann bob gus eve", "ann bob"),
        ("direct~abcdefgh23", "", "", "", ""),
    ],
)
def test_who_decides_who_is_a_member(
    room: str, adds_himself: str, adds_others: str, leaves: str, removes_others: str
) -> None:
    tables = people().ask(lambda tables: tables)
    known = tables.rooms.by_name[room]

    def allowed(rule: Callable[[Tables, Acting, Room, str], bool], other: str = "") -> list[str]:
        who = {name: Acting(name, ROLES[name]) for name in TOKENS}
        return [name for name in TOKENS if rule(tables, who[name], known, other or name)]

    assert allowed(permissions.may_add) == adds_himself.split()
    assert allowed(permissions.may_add, "zoe") == adds_others.split()
    assert allowed(permissions.may_remove) == leaves.split()
    assert allowed(permissions.may_remove, "zoe") == removes_others.split()


@pytest.mark.parametrize("auth", [OPEN, LOGIN])
def test_who_holds_a_nodes_token_file_is_the_operator_in_either_mode(auth: str) -> None:
    tables = people(auth).ask(lambda tables: tables)
    who = permissions.acting(tables, Actor(OPERATOR))
    assert who == permissions.acting_on_accounts(tables, Actor(OPERATOR)) == Acting("", ADMIN, operator=True)
    seen = [name for name, room in tables.rooms.by_name.items() if permissions.sees(tables, who, room)]
    private = [PRIVATE_ROOM] if auth == LOGIN else []
    assert seen == ["plain", "public", "guest's", "archived", *private]
    assert not any(
        permissions.may_remove(tables, who, room, "") for room in tables.rooms.by_name.values() if room.name[0] == "d"
    )


def test_in_the_open_mode_accounts_are_the_operators_alone() -> None:
    tables = people(OPEN).ask(lambda tables: tables)
    for who in (Actor(NOBODY, "ann"), Actor(NOBODY), actor("ann"), Actor(SETUP)):
        refused = permissions.acting_on_accounts(tables, who)
        assert isinstance(refused, Refusal)
        assert refused.code == "open_mode"


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (Actor(NOBODY, "ann"), "login_needed"),
        (Actor(SETUP, ""), "login_needed"),
        (Actor(9, "ann"), "bad_token"),
        (Actor(2, "ann"), "not_your_name"),
        (Actor(OPERATOR, ""), "forbidden"),
    ],
)
def test_who_proves_nothing_posts_nothing_and_changes_nothing(who: Actor, code: str) -> None:
    state = people()
    before = told(state)
    (refused,) = apply(state, [Post("plain", who.user, "hi", "c", by=who.by)], 9)
    assert isinstance(refused, Refusal)
    assert refused.code == code
    assert told(state) == before


def test_an_unseen_room_is_answered_as_one_that_is_not_there() -> None:
    asked = [Post(room, "eve", "hi", "c", by=4) for room in (PRIVATE_ROOM, "other~abcdefgh23")]
    unseen, unknown = apply(people(), asked, 9)
    assert unseen == unknown


def test_in_the_open_mode_names_are_taken_on_trust_and_what_was_private_stays_closed() -> None:
    state = people(OPEN)
    tables = state.ask(lambda tables: tables)
    assert permissions.acting(tables, Actor(NOBODY, "zoe")) == Acting("zoe", ADMIN)
    posts = [Post(room, "zoe", "hi", room) for room in ("plain", "new", PRIVATE_ROOM, "direct~abcdefgh23")]
    assert [isinstance(result, Posted) for result in apply(state, posts, 9)] == [True, True, False, False]


def test_an_archived_room_is_read_only_in_the_open_mode_too() -> None:
    state = people(OPEN)
    for guarded in (True, False):
        state.ask(lambda tables, guarded=guarded: setattr(tables, "guarded", guarded))  # type: ignore[misc]
        (refused,) = apply(state, [Post("archived", "zoe", "hi", "c")], 9)
        assert refused == permissions.ARCHIVED


def test_what_is_not_seen_is_not_read_not_listed_and_not_told() -> None:
    state = people()
    tables = state.ask(lambda tables: tables)
    found = {}
    for name in ("ann", "gus", "eve"):
        who = permissions.acting(tables, actor(name))
        assert isinstance(who, Acting)
        told = {each.room for each in state.located(0, 99, 99, None, who)}
        assert told == {missed.room for missed in state.missed(0, 99, None, who)}
        assert told == {room for room in tables.rooms.by_name if state.page(room, PageRequest(), who).positions}
        listed = [room.name for room in state.rooms(NamePageRequest(9), who)[1]]
        assert listed == sorted(told)
        assert [room.name for room in state.rooms(NamePageRequest(1, after="archived"), who)[1]] == listed[1:2]
        found[name] = told
    assert state.located(0, 99, 99) == []
    assert found == {
        "ann": {"plain", "public", "guest's", "archived", PRIVATE_ROOM},
        "gus": {"public", "guest's", "archived", PRIVATE_ROOM, "direct~abcdefgh23"},
        "eve": {"plain", "public", "guest's", "archived"},
    }


def test_an_event_says_whom_it_concerns() -> None:
    tables = people().ask(lambda tables: tables)
    plain, private = tables.rooms.by_name["plain"], tables.rooms.by_name[PRIVATE_ROOM]
    members = frozenset({"bob", "gus"})
    assert reach_of(plain) == Reach(True, frozenset(), admins=True)
    assert reach_of(private) == Reach(False, members, admins=True)
    assert reach_of(tables.rooms.by_name["direct~abcdefgh23"]) == Reach(False, members, admins=False)


def test_what_happens_in_a_room_is_told_to_those_who_see_it() -> None:
    tables = people().ask(lambda tables: tables)
    for who in (permissions.acting(tables, by) for by in (*map(actor, TOKENS), Actor(OPERATOR))):
        assert isinstance(who, Acting)
        for room in tables.rooms.by_name.values():
            assert is_told(who, reach_of(room)) == permissions.sees(tables, who, room), (
                who,
                room.name,
            )


def test_of_a_private_room_that_was_deleted_nothing_is_left_and_of_a_public_one_its_count() -> None:
    tables = people().ask(lambda tables: tables)
    for name in (PRIVATE_ROOM, "direct~abcdefgh23", "plain"):
        tables.rooms.remove(tables.rooms.by_name[name], 9)
    left = tables.rooms.by_name["plain"]
    assert (left.exists, left.newest_id) == (False, 1)
    assert {PRIVATE_ROOM, "direct~abcdefgh23"}.isdisjoint(tables.rooms.by_name)
    seen = [name for name, role in ROLES.items() if permissions.sees(tables, Acting(name, role), left)]
    assert seen == ["ann", "bob", "eve"]
