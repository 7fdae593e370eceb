"""Private and direct rooms, members and owners: what commands make of them where there is a login."""

import json

import pytest

from chat.commands import OPERATOR, Actor, Command, Post
from chat.commands.accounts import ChangeUser
from chat.commands.cluster import SetSettings
from chat.commands.posts import React
from chat.commands.rooms import ChangeMembers, ChangeRoom, CreateRoom, DeleteRoom
from chat.confusable_names import room_looks
from chat.state import permissions
from chat.state.accounts import Acting
from chat.state.apply import rooms
from chat.state.events import Event, Reach, RoomDeleted, RoomEvent, is_told
from chat.state.machine import ChatState
from chat.state.results import Posted, Refusal, Repeated, Result, RoomChanged, RoomMade, RoomSummary
from chat.state.room import EventKind
from chat.state.room_details import DIRECT, MAKERS_SHARE, MEMBERS_MAX, PRIVATE, PUBLIC, RoomDetails
from chat.state.snapshot.rows import ROW_BYTES_MAX
from chat.state.snapshot.sections import MEMBERS_A_ROW
from tests.chat.people import People

PLANS, DRAWN, DRAWN_2 = "plans~abcdefgh22", "aaaaaaaaaa", "bbbbbbbbbb"
OURS = "direct~abcdefgh22"


class Rooms(People):
    """Bob's private room, which eve is a member of; `events` is what came of the last command."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.state.listen(self.hear)
        self.plans = self.made(CreateRoom(self.by["bob"], PLANS, PRIVATE, "t", ("eve",)), RoomMade).room

    def hear(self, index: int, events: list[Event]) -> None:
        self.events = events

    def change(self, name: str, room: str = PLANS, /, **said: object) -> RoomSummary:
        return self.made(ChangeRoom(self.by[name], room, **said), RoomChanged).room  # type: ignore[arg-type]

    def members(self, name: str, on: bool, *users: str, room: str = PLANS) -> ChangeMembers:
        return ChangeMembers(self.by[name], room, users, on)

    def details(self, room: str = PLANS) -> RoomDetails:
        found = self.state.ask(lambda tables: tables.rooms.by_name[room].details)
        assert found is not None
        return found

    def post(self, name: str, room: str, by: int | None = None) -> Result:
        return self.do(Post(room, name, "hi", f"c{self.index}", by=self.by[name].by))

    def exists(self, room: str) -> bool:
        return self.state.ask(lambda tables: tables.rooms.existing(room)) is not None


@pytest.fixture
def chat() -> Rooms:
    return Rooms()


def test_who_makes_a_room_owns_it_and_is_a_member(chat: Rooms) -> None:
    assert (chat.plans.details.owner, sorted(chat.plans.details.members)) == ("bob", ["bob", "eve"])
    assert chat.plans.joined is True
    assert isinstance(chat.post("eve", "new"), Posted)
    assert (chat.details("new").owner, *chat.details("new").members) == ("eve", "eve")
    public = chat.made(CreateRoom(chat.by["bob"], "general", PUBLIC), RoomMade)
    assert (public.created, public.room.details.owner) == (True, "bob")
    again = chat.made(CreateRoom(chat.by["eve"], "general", PUBLIC, "another"), RoomMade)
    assert (again.created, again.room.details.owner, again.room.details.topic) == (False, "bob", "")
    operators = chat.made(CreateRoom(Actor(OPERATOR), "office~abcdefgh22", PRIVATE, "", ("bob",)), RoomMade)
    assert (operators.room.details.owner, *operators.room.details.members) == ("", "bob")


ALIKE = room_looks("offers")


@pytest.mark.parametrize("is_restored", [False, True])
def test_of_two_rooms_that_look_alike_and_are_proposed_in_one_moment_the_first_is_made(is_restored: bool) -> None:
    chat = Rooms()
    chat.do(CreateRoom(chat.by["bob"], "office", PUBLIC, looks=room_looks("office")))
    made = chat.made(CreateRoom(chat.by["bob"], "offers", PUBLIC, looks=ALIKE), RoomMade)
    if is_restored:
        chat.state.restore(chat.index, [*chat.state.document()])
    eve = chat.by["eve"]
    for command in (
        CreateRoom(eve, "Offers", PUBLIC, looks=ALIKE),
        CreateRoom(eve, "Offers~abcdefgh22", PRIVATE, looks=ALIKE),
        Post("Offers", "eve", "hi", "c-alike", by=eve.by, looks=ALIKE),
        ChangeRoom(chat.by["bob"], "office", name="Offers", looks=ALIKE),
        ChangeRoom(chat.by["bob"], PLANS, visibility=PUBLIC, name="Offers", looks=ALIKE),
    ):
        assert chat.refusal(command) == "looks_like"
    assert isinstance(chat.do(Post("offers", "eve", "hi", "c-there", by=eve.by, looks=ALIKE)), Posted)
    assert chat.made(CreateRoom(eve, "offers", PUBLIC, looks=ALIKE), RoomMade).created is False
    assert chat.change("bob", made.room.name, name="OFFERS", looks=ALIKE).name == "OFFERS"
    assert chat.refusal(CreateRoom(eve, "offers", PUBLIC, looks=ALIKE)) == "looks_like", "it had this name"
    chat.do(DeleteRoom(chat.by["ann"], "OFFERS"))
    assert isinstance(chat.do(Post("Offers", "eve", "hi", "c-alike", by=eve.by, looks=ALIKE)), Posted)


def test_a_repeated_post_is_answered_as_it_was_though_a_room_that_looks_alike_has_come() -> None:
    chat = Rooms()
    post = Post("offers", "eve", "hi", "c-1", by=chat.by["eve"].by, looks=ALIKE)
    chat.do(post)
    chat.do(DeleteRoom(chat.by["ann"], "offers"))
    chat.do(CreateRoom(chat.by["bob"], "Offers", PUBLIC, looks=ALIKE))
    assert isinstance(chat.do(post), Repeated)
    assert chat.refusal(post._replace(client_id="c-2")) == "looks_like"


def test_one_member_makes_a_share_of_the_rooms_that_there_may_be_and_an_admin_all_that_are_left(chat: Rooms) -> None:
    bob, eve, ann = (chat.by[name] for name in ("bob", "eve", "ann"))
    chat.do(SetSettings(ann, max_rooms=3 * MAKERS_SHARE - 1))  # of which bob has made one
    assert isinstance(chat.post("bob", "two"), Posted)
    for command in (
        CreateRoom(bob, "three", PUBLIC),
        CreateRoom(bob, "three~abcdefgh22", PRIVATE),
        Post("three", "bob", "hi", "c-three", by=bob.by),
    ):
        assert chat.refusal(command) == "too_many_rooms"
    assert isinstance(chat.post("eve", "three"), Posted)
    chat.change("bob", "two", owner="eve")
    assert chat.refusal(CreateRoom(bob, "four", PUBLIC)) == "too_many_rooms", "it stays of bob's making"
    left = 3 * MAKERS_SHARE - 1 - 3
    for number in range(left):
        chat.made(CreateRoom(ann, f"ann's {number}", PUBLIC), RoomMade)
    assert chat.refusal(CreateRoom(ann, "one more", PUBLIC)) == "too_many_rooms"
    chat.do(ChangeUser(ann, "bob", active=False))
    for number in range(2):
        chat.made(CreateRoom(ann, f"in place of bob's {number}", PUBLIC), RoomMade)
    chat.state.restore(chat.index, [*chat.state.document()])
    assert chat.refusal(CreateRoom(ann, "one more", PUBLIC)) == "too_many_rooms"
    chat.do(DeleteRoom(eve, "three"))
    chat.made(CreateRoom(ann, "in place of eve's", PUBLIC), RoomMade)


@pytest.mark.parametrize(
    ("name", "command", "code"),
    [
        ("gus", CreateRoom(Actor(), "g", PUBLIC), "forbidden"),
        ("gus", CreateRoom(Actor(), "g~abcdefgh22", PRIVATE), "forbidden"),
        ("bob", CreateRoom(Actor(), "g", PRIVATE), "invalid_field"),
        ("bob", CreateRoom(Actor(), "g~abcdefgh22", PUBLIC), "invalid_field"),
        ("bob", CreateRoom(Actor(), "g", "secret"), "invalid_field"),
        ("bob", CreateRoom(Actor(), PLANS, PRIVATE), "name_taken"),
        ("bob", CreateRoom(Actor(), "g", PUBLIC, "", ("zoe",)), "no_such_user"),
        ("bob", CreateRoom(Actor(), OURS, DIRECT), "invalid_field"),
        ("bob", CreateRoom(Actor(), OURS, DIRECT, "", ("bob",)), "invalid_field"),
        ("bob", CreateRoom(Actor(), OURS, DIRECT, "", tuple(f"u{n}" for n in range(20))), "invalid_field"),
        ("bob", CreateRoom(Actor(), OURS, DIRECT, "", ("zoe",)), "no_such_user"),
    ],
)
def test_a_room_that_nobody_may_make_so_is_refused(chat: Rooms, name: str, command: CreateRoom, code: str) -> None:
    made = CreateRoom(chat.by[name], command.room, command.visibility, command.topic, command.members)
    assert chat.refusal(made) == code


def test_the_direct_room_of_the_same_users_is_one_whoever_asks(chat: Rooms) -> None:
    first = chat.made(CreateRoom(chat.by["bob"], OURS, DIRECT, "", ("gus", "eve")), RoomMade)
    second = chat.made(CreateRoom(chat.by["eve"], "other~abcdefgh22", DIRECT, "", ("bob", "gus")), RoomMade)
    assert (first.created, second.created, second.room.name) == (True, False, OURS)
    assert isinstance(chat.post("gus", OURS), Posted)
    fewer = chat.made(CreateRoom(chat.by["eve"], "other~abcdefgh22", DIRECT, "", ("bob",)), RoomMade)
    assert fewer.created
    for name in ("bob", "gus"):
        for command in (
            ChangeRoom(chat.by[name], OURS, topic="t"),
            DeleteRoom(chat.by[name], OURS),
            chat.members(name, False, name, room=OURS),
            chat.members(name, True, "ann", room=OURS),
        ):
            assert chat.refusal(command) == "forbidden"
    assert chat.refusal(DeleteRoom(chat.by["ann"], OURS)) == "no_such_room"


@pytest.mark.parametrize(
    "command",
    [
        ChangeRoom(Actor(), PLANS, topic="new"),
        ChangeRoom(Actor(), PLANS, name="x", drawn=DRAWN),
        ChangeRoom(Actor(), PLANS, archived=True),
        ChangeRoom(Actor(), PLANS, visibility=PUBLIC, drawn=DRAWN),
        ChangeRoom(Actor(), PLANS, owner="eve"),
        ChangeRoom(Actor(), PLANS, members=("eve",)),
        ChangeRoom(Actor(), PLANS, max_messages=1),
        DeleteRoom(Actor(), PLANS),
    ],
)
def test_a_room_is_for_its_owner_and_for_admins_to_change(command: ChangeRoom | DeleteRoom) -> None:
    for name, code in {"eve": "forbidden", "gus": "no_such_room", "bob": "", "ann": ""}.items():
        chat = Rooms()
        acted = type(command)(chat.by[name], *(getattr(command, field) for field in command.__slots__[1:]))
        if code:
            assert chat.refusal(acted) == code
        else:
            assert not isinstance(chat.do(acted), Refusal)


def test_what_members_of_an_older_version_knew_is_of_the_open_mode(chat: Rooms) -> None:
    chat.post("bob", "general")
    assert chat.refusal(DeleteRoom(Actor(), "general")) == "login_needed"
    assert chat.refusal(ChangeRoom(Actor(), "general", max_messages=1)) == "login_needed"


def test_members_have_others_come_in_and_leave_when_they_like(chat: Rooms) -> None:
    assert chat.refusal(chat.members("gus", True, "gus")) == "no_such_room"
    chat.made(chat.members("eve", True, "gus"), RoomChanged)
    assert chat.refusal(chat.members("gus", True, "ann")) == "forbidden"
    assert chat.refusal(chat.members("eve", False, "gus")) == "forbidden"
    chat.made(chat.members("gus", False, "gus"), RoomChanged)
    assert chat.events == [
        RoomEvent(
            chat.index, PLANS, (PLANS,), chat.events[0].details,  # type: ignore[union-attr]
            Reach(False, frozenset({"bob", "eve"})), lost_by(chat, {"bob", "eve", "gus"}, {"bob", "eve"}),
        )
    ], "who leaves is told that the room is gone"  # fmt: skip
    chat.made(chat.members("bob", False, "eve"), RoomChanged)
    assert chat.details().members == {"bob"}
    told = chat.made(chat.members("bob", False, "eve"), RoomChanged)
    assert (*told.room.details.members, chat.events) == ("bob", []), "nothing is told where nothing changed"


def test_a_room_that_its_owner_leaves_has_none(chat: Rooms) -> None:
    chat.made(chat.members("bob", False, "bob"), RoomChanged)
    assert (chat.details().owner, *chat.details().members) == ("", "eve")
    assert chat.refusal(ChangeRoom(chat.by["eve"], PLANS, topic="x")) == "forbidden"
    assert chat.change("ann", owner="eve").details.owner == "eve"
    assert chat.change("eve", topic="x").details.topic == "x"


def test_only_who_has_an_account_comes_in(chat: Rooms) -> None:
    chat.do(ChangeUser(chat.by["ann"], "gus", active=False))
    for user in ("gus", "zoe"):
        assert chat.refusal(chat.members("bob", True, user)) == "no_such_user"
        assert chat.refusal(ChangeRoom(chat.by["bob"], PLANS, members=("bob", user))) == "no_such_user"
    assert chat.refusal(chat.members("bob", False, "zoe")) == "no_such_user"
    chat.do(ChangeUser(chat.by["ann"], "eve", active=False))
    assert chat.change("bob", members=("bob", "eve")).details.members == {"bob", "eve"}, "who is one stays one"


def test_a_whole_list_of_members_takes_the_place_of_another(chat: Rooms) -> None:
    changed = chat.change("bob", members=("bob", "gus"))
    assert changed.details.members == {"bob", "gus"}
    assert chat.state.ask(lambda tables: tables.rooms.of_user) == {"bob": [PLANS], "gus": [PLANS]}
    event = chat.events[0]
    assert isinstance(event, RoomEvent) and event.reach == Reach(False, frozenset({"bob", "gus"}))
    assert event.lost == lost_by(chat, {"bob", "eve"}, {"bob", "gus"})


def lost_by(chat: Rooms, before: set[str], after: set[str]) -> RoomDeleted:
    """What those are told who were members of PLANS before the last command and are none after it."""
    return RoomDeleted(chat.index, PLANS, Reach(False, frozenset(before), without=Reach(False, frozenset(after))))


def test_a_removed_member_is_not_told_the_topic_that_the_same_change_set(chat: Rooms) -> None:
    chat.change("bob", members=("bob",), topic="secret")
    event = chat.events[0]
    assert isinstance(event, RoomEvent) and b"secret" in event.details and event.lost is not None
    bob, eve = Acting("bob", "member"), Acting("eve", "member")
    assert [is_told(who, event.reach) for who in (bob, eve)] == [True, False]
    assert [is_told(who, event.lost.reach) for who in (bob, eve)] == [False, True]


def test_a_new_owner_is_a_member_and_no_guest(chat: Rooms) -> None:
    assert chat.refusal(ChangeRoom(chat.by["bob"], PLANS, owner="gus")) == "invalid_field"
    assert chat.refusal(ChangeRoom(chat.by["bob"], PLANS, owner="zoe")) == "no_such_user"
    changed = chat.change("bob", owner="ann")
    assert (changed.details.owner, "ann" in changed.details.members) == ("ann", True)
    assert chat.change("ann", owner="").details.owner == ""


def test_a_renamed_private_room_has_other_letters_and_is_found_by_its_old_name(chat: Rooms) -> None:
    chat.post("bob", PLANS)
    assert chat.change("bob", name="plans", drawn=DRAWN).name == PLANS, "it is called so"
    renamed = chat.change("bob", name="ideas", drawn=DRAWN)
    assert (renamed.name, renamed.details.aliases) == (f"ideas~{DRAWN}", (PLANS,))
    assert chat.events[0].room == f"ideas~{DRAWN}"
    assert chat.state.ask(lambda tables: tables.rooms.of_user["eve"]) == [f"ideas~{DRAWN}"]
    assert isinstance(chat.post("eve", PLANS), Posted)
    assert chat.refusal(ChangeRoom(chat.by["bob"], PLANS, name="x" * 54, drawn=DRAWN)) == "invalid_field"
    assert chat.refusal(ChangeRoom(chat.by["bob"], PLANS, name="x", drawn="A")) == "invalid_field"


def test_a_public_room_that_becomes_private_is_to_others_as_one_that_was_deleted(chat: Rooms) -> None:
    chat.post("bob", "general")
    chat.change("bob", "general", name="lobby")
    changed = chat.change("bob", "lobby", visibility=PRIVATE, drawn=DRAWN)
    assert (changed.name, changed.details.aliases) == (f"lobby~{DRAWN}", ())
    assert (changed.posts, *changed.details.members) == (1, "bob")
    assert not chat.exists("lobby") and not chat.exists("general")
    for name in ("lobby", "general"):
        for user in ("eve", "bob"):
            assert chat.post(user, name) == permissions.ROOM_GONE, "a post makes no room of that name"
        assert chat.refusal(React(chat.by["eve"], name, 1, "x", True)) == "room_gone"
        assert chat.refusal(chat.members("eve", True, "eve", room=name)) == "room_gone"
    restored = ChatState()
    restored.restore(chat.index, chat.state.document())
    assert restored.digest() == chat.state.digest()
    assert restored.ask(lambda tables: tables.rooms.turned_private) == dict.fromkeys(["lobby", "general"], changed.name)
    for name in ("lobby", "general"):
        chat.made(CreateRoom(chat.by["eve"], name, PUBLIC), RoomMade)
        posted = chat.post("eve", name)
        assert isinstance(posted, Posted)
        assert (posted.room, posted.id) == (name, 2), "it goes on counting"
    assert not chat.state.ask(lambda tables: tables.rooms.turned_private)


@pytest.mark.parametrize("has_posts", [True, False])
def test_those_who_lose_a_room_that_becomes_private_are_told_live_and_on_resuming(chat: Rooms, has_posts: bool) -> None:
    chat.made(CreateRoom(chat.by["bob"], "lobby", PUBLIC), RoomMade)
    if has_posts:
        chat.post("bob", "lobby")
    cursor = chat.index
    name = chat.change("bob", "lobby", visibility=PRIVATE, drawn=DRAWN).name
    event = chat.events[0]
    assert isinstance(event, RoomEvent) and event.lost is not None and event.lost.room == "lobby"
    bob, eve, gus = Acting("bob", "member"), Acting("eve", "member"), Acting("gus", "guest")
    assert [is_told(who, event.reach) for who in (bob, eve, gus)] == [True, False, False]
    assert [is_told(who, event.lost.reach) for who in (bob, eve, gus)] == [False, True, False]
    restored = ChatState()
    restored.restore(chat.index, chat.state.document())
    for state in (chat.state, restored):
        assert _located(state, cursor, bob) == [(name, EventKind.ROOM)]
        assert _located(state, cursor, eve) == [("lobby", EventKind.DELETION)]
        assert _located(state, cursor, gus) == []


def _located(state: ChatState, after: int, acting: Acting) -> list[tuple[str, EventKind]]:
    return [(each.room, each.kind) for each in state.located(after, 1_000_000, 10, acting=acting)]


def test_a_room_that_was_deleted_is_made_again_by_a_post(chat: Rooms) -> None:
    chat.post("bob", "lobby")
    chat.made(DeleteRoom(chat.by["bob"], "lobby"), RoomDeleted)
    assert isinstance(chat.post("eve", "lobby"), Posted)


def test_a_private_room_that_becomes_public_has_a_plain_name_which_must_be_free(chat: Rooms) -> None:
    chat.post("bob", "plans")
    assert chat.refusal(ChangeRoom(chat.by["bob"], PLANS, visibility=PUBLIC)) == "name_taken"
    changed = chat.change("bob", name="ideas", visibility=PUBLIC, drawn=DRAWN)
    assert (changed.name, changed.details.aliases) == ("ideas", (PLANS,))
    assert isinstance(chat.post("ann", "ideas"), Posted)
    back = chat.change("bob", "ideas", visibility=PRIVATE, drawn=DRAWN_2)
    assert (back.name, back.details.aliases) == (f"ideas~{DRAWN_2}", (PLANS,))
    assert chat.refusal(ChangeRoom(chat.by["bob"], back.name, visibility=PUBLIC)) == "name_taken", "it was left behind"
    assert chat.refusal(ChangeRoom(chat.by["bob"], back.name, visibility=DIRECT)) == "invalid_field"


def test_an_admin_who_makes_a_room_private_that_nobody_owns_owns_it(chat: Rooms) -> None:
    chat.post("eve", "general")
    chat.made(chat.members("eve", False, "eve", room="general"), RoomChanged)
    changed = chat.change("ann", "general", visibility=PRIVATE, drawn=DRAWN)
    assert (changed.details.owner, *changed.details.members) == ("ann", "ann")


def test_a_deleted_private_room_leaves_nothing_and_a_public_one_its_count(chat: Rooms) -> None:
    chat.post("bob", PLANS)
    chat.made(DeleteRoom(chat.by["bob"], PLANS), RoomDeleted)
    assert chat.events == [RoomDeleted(chat.index, PLANS, Reach(False, frozenset({"bob", "eve"})))]
    assert chat.state.ask(lambda tables: (list(tables.rooms.by_name), tables.readers, tables.live_bytes)) == ([], {}, 0)
    assert chat.refusal(Post(PLANS, "bob", "hi", "c", by=chat.by["bob"].by)) == "no_such_room"


def test_private_rooms_count_among_those_there_may_be_and_direct_ones_do_not(chat: Rooms) -> None:
    chat.made(CreateRoom(chat.by["bob"], OURS, DIRECT, "", ("eve",)), RoomMade)
    chat.do(SetSettings(chat.by["ann"], max_rooms=2))
    chat.made(CreateRoom(chat.by["eve"], "general", PUBLIC), RoomMade)
    more: list[Command] = [
        CreateRoom(chat.by["bob"], "other", PUBLIC),
        CreateRoom(chat.by["bob"], "other~abcdefgh22", PRIVATE),
        Post("other", "bob", "hi", "c", by=chat.by["bob"].by),
    ]
    for command in more:
        assert chat.refusal(command) == "too_many_rooms"
    assert not chat.made(CreateRoom(chat.by["eve"], "other~abcdefgh22", DIRECT, "", ("bob",)), RoomMade).created
    assert chat.made(CreateRoom(chat.by["bob"], "other~abcdefgh22", DIRECT, "", ("ann",)), RoomMade).created


def test_a_user_makes_so_many_direct_rooms_and_members_delete_those_without_a_message(
    chat: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "DIRECTS_MAX", 1)
    more = CreateRoom(chat.by["bob"], "other~abcdefgh22", DIRECT, "", ("ann",))
    chat.made(CreateRoom(chat.by["bob"], OURS, DIRECT, "", ("eve",)), RoomMade)
    assert chat.refusal(more) == "too_many_rooms"
    third = CreateRoom(chat.by["eve"], "third~abcdefgh22", DIRECT, "", ("ann",))
    assert chat.made(third, RoomMade).created  # what others made counts for them
    assert chat.refusal(DeleteRoom(chat.by["ann"], OURS)) == "no_such_room"
    chat.made(DeleteRoom(chat.by["eve"], OURS), RoomDeleted)
    assert chat.made(more, RoomMade).created
    chat.post("bob", "other~abcdefgh22")
    assert chat.refusal(DeleteRoom(chat.by["bob"], "other~abcdefgh22")) == "forbidden"


def test_who_comes_in_has_nothing_unread_and_how_far_one_has_read_moves_with_the_name(chat: Rooms) -> None:
    chat.post("bob", PLANS)
    chat.made(chat.members("bob", True, "gus"), RoomChanged)
    renamed = chat.change("bob", name="ideas", drawn=DRAWN).name
    chat.post("bob", renamed)
    readers = chat.state.ask(lambda tables: tables.readers)
    assert readers.keys() == {renamed}
    assert {name: reader.read_id for name, reader in readers[renamed].items()} == {"bob": 0, "eve": 0, "gus": 1}


def test_as_many_members_as_there_may_be_are_in_the_document_some_a_row() -> None:
    chat, restored = Rooms(), ChatState()
    longest = frozenset(f"{number:04}" + "\U0001f600" * 60 for number in range(MEMBERS_MAX - 1))
    users = chat.user("bob")
    chat.state.ask(
        lambda tables: tables.users.update({name: users._replace(name=name, skeleton=name) for name in longest})
    )
    chat.change("bob", members=("bob", *sorted(longest)))
    assert chat.refusal(chat.members("bob", True, "eve")) == "too_many_members"
    rows = [line for line in chat.state.document() if line.startswith(b'{"Members"')]
    assert max(map(len, rows)) < ROW_BYTES_MAX
    names = [row[1] for line in rows for row in json.loads(line)["Members"]]
    assert {len(some) for some in names} == {MEMBERS_A_ROW}
    restored.restore(chat.index, chat.state.document())
    assert restored.digest() == chat.state.digest()
    assert restored.ask(lambda tables: tables.rooms.by_name[PLANS].details) == chat.details()


def test_a_members_name_is_one_text_in_all_rooms(chat: Rooms) -> None:
    chat.made(CreateRoom(chat.by["bob"], OURS, DIRECT, "", ("eve",)), RoomMade)
    chat.made(chat.members("bob", True, "gus"), RoomChanged)
    chat.change("bob", owner="ann")
    chat.change("ann", members=("ann", "bob", "eve", "gus"))
    restored = ChatState()
    restored.restore(chat.index, chat.state.document())
    for state in (chat.state, restored):
        tables = state.ask(lambda tables: tables)
        for room in tables.rooms.by_name.values():
            assert room.details is not None
            assert all(member is tables.users[member].name for member in room.details.members)


@pytest.mark.parametrize("posts", [0, 2])
def test_a_state_with_names_that_rooms_had_is_restored(chat: Rooms, posts: int) -> None:
    for _ in range(posts):
        chat.post("bob", PLANS)
    chat.change("bob", name="ideas", visibility=PUBLIC)
    for name in ("one", "two", "three"):
        chat.change("bob", "ideas", name=name)
    chat.made(CreateRoom(chat.by["bob"], "one", PUBLIC), RoomMade)
    chat.change("bob", "three", visibility=PRIVATE, drawn=DRAWN)
    for room in ("", f"three~{DRAWN}", "one"):
        if room:
            chat.made(DeleteRoom(chat.by["bob"], room), RoomDeleted)
        restored = ChatState()
        restored.restore(chat.index, chat.state.document())
        assert restored.digest() == chat.state.digest()
