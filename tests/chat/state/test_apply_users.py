"""Users: who makes and changes them, and what ends with them."""

from typing import Any

import pytest

from chat.commands import NOBODY, OPERATOR, SETUP, Actor, Post
from chat.commands.accounts import ChangeUser, CreateInvite, CreateTicket, RedeemTicket
from chat.commands.cluster import SetAuth, SetSettings
from chat.commands.rooms import ChangeMembers, CreateRoom
from chat.state.accounts import ADMIN, GUEST, MEMBER, User
from chat.state.apply import users
from chat.state.events import Revoked, UsersChanged
from chat.state.results import Done, Posted, Redeemed, RoomChanged, RoomMade, SettingsChanged, UserChanged, UserMade
from chat.state.room_details import DIRECT, PRIVATE, RoomDetails
from chat.state.settings import INVITE, LOGIN, OPEN
from chat.state.tables import Tables
from tests.chat.people import Chat, People, digest, new_user

ANONYMOUS, THE_OPERATOR, SET_UP = Actor(NOBODY), Actor(OPERATOR), Actor(SETUP)
CODE = digest(90)


def with_login(signup: str = INVITE) -> Chat:
    chat = Chat()
    chat.do(SetAuth(THE_OPERATOR, LOGIN, signup))
    return chat


def test_the_first_user_is_set_up_as_an_admin_and_only_the_first() -> None:
    chat = with_login()
    made = chat.made(new_user(SET_UP, "ann", GUEST), UserMade).user
    assert made == User("ann", "Ann", ADMIN, "hash-of-ann", chat.index, True, made.created_at, "ann")
    assert chat.user("ann") == made
    assert chat.told[1:] == [UsersChanged(chat.index, "ann")]
    assert chat.refusal(new_user(SET_UP, "bob")) == "set_up_done"


@pytest.mark.parametrize("role", [ADMIN, MEMBER, GUEST])
@pytest.mark.parametrize("maker", ["operator", "ann"])
def test_the_operator_and_an_admin_make_users_of_any_role(maker: str, role: str) -> None:
    people = People()
    actor = THE_OPERATOR if maker == "operator" else people.by[maker]
    assert people.made(new_user(actor, "zoe", role), UserMade).user.role == role


def test_others_make_none() -> None:
    people = People()
    assert people.refusal(new_user(people.by["bob"], "zoe")) == "forbidden"
    assert people.refusal(new_user(people.by["gus"], "zoe")) == "forbidden"
    assert people.refusal(new_user(Actor(99, "ann"), "zoe")) == "bad_token"
    assert people.refusal(new_user(ANONYMOUS, "zoe")) == "signup_closed"
    assert people.refusal(new_user(ANONYMOUS, "zoe", ADMIN, digest(91))) == "bad_invite"
    assert people.refusal(new_user(people.by["ann"], "zoe", "king")) == "invalid_field"


def test_where_anybody_may_sign_up_he_is_a_member_whatever_he_says() -> None:
    people = People()
    people.made(SetSettings(people.by["ann"], signup=OPEN), SettingsChanged)
    assert people.made(new_user(ANONYMOUS, "zoe", ADMIN, rooms=("general",)), UserMade).user.role == MEMBER
    assert people.state.ask(lambda tables: tables.rooms.by_name) == {}


def test_in_the_open_mode_users_are_made_by_the_operator_alone() -> None:
    chat = Chat()
    for actor in (ANONYMOUS, Actor(NOBODY, "ann"), Actor(1, "ann")):
        assert chat.refusal(new_user(actor, "ann")) == "open_mode"
    chat.made(new_user(THE_OPERATOR, "ann", ADMIN), UserMade)
    assert chat.refusal(ChangeUser(Actor(NOBODY, "ann"), "ann", role=GUEST)) == "open_mode"


def test_a_name_and_what_looks_like_it_is_given_once() -> None:
    people = People()
    assert people.refusal(new_user(THE_OPERATOR, "ann", skeleton="other")) == "name_taken"
    assert people.refusal(new_user(THE_OPERATOR, "Ann", skeleton="ann")) == "looks_like"
    people.do(ChangeUser(THE_OPERATOR, "bob", active=False))
    assert people.refusal(new_user(THE_OPERATOR, "bob")) == "name_taken"


def test_there_is_a_bound_on_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "USERS_MAX", 5)
    people = People()
    people.made(new_user(THE_OPERATOR, "fred"), UserMade)
    assert people.refusal(new_user(THE_OPERATOR, "zoe")) == "too_many_users"


def test_an_invite_gives_its_role_and_rooms_as_often_as_it_says() -> None:
    people = People()
    for room in ("general", "gone"):
        people.made(Post(room, "ann", "hi", room, by=1), Posted)
    people.made(CreateInvite(people.by["ann"], CODE, GUEST, ("general", "gone"), 2, 0, ""), Done)

    def lose(tables: Tables) -> None:
        tables.rooms.remove(tables.rooms.by_name["gone"], people.index)

    people.state.ask(lose)
    for name in ("zoe", "zac"):
        assert people.made(new_user(ANONYMOUS, name, ADMIN, CODE, ("elsewhere",)), UserMade).user.role == GUEST
    assert people.refusal(new_user(ANONYMOUS, "zed", ADMIN, CODE)) == "bad_invite"
    details = people.state.ask(lambda tables: tables.rooms.by_name["general"].details)
    assert details is not None
    assert details.members == {"ann", "zoe", "zac"}
    assert people.state.ask(lambda tables: tables.rooms.existing("gone")) is None


@pytest.mark.parametrize("change", [{"active": False}, {"role": MEMBER}, {"role": GUEST}])
def test_an_invite_gives_no_more_rights_than_its_maker_has_by_now(change: dict[str, Any]) -> None:
    people = People()
    people.made(CreateInvite(people.by["ann"], CODE, ADMIN, (), 9, 0, ""), Done)
    people.made(ChangeUser(THE_OPERATOR, "bob", role=ADMIN), UserChanged)
    people.made(ChangeUser(people.by["bob"], "ann", **change), UserChanged)
    assert people.refusal(new_user(ANONYMOUS, "zoe", MEMBER, CODE)) == "bad_invite"
    people.made(ChangeUser(people.by["bob"], "ann", role=ADMIN, active=True), UserChanged)
    assert people.made(new_user(ANONYMOUS, "zoe", MEMBER, CODE), UserMade).user.role == ADMIN


def test_who_was_put_out_of_a_room_lets_nobody_in_by_an_invite() -> None:
    people = People()
    room = f"club~{'a' * 10}"
    people.made(CreateRoom(people.by["eve"], room, PRIVATE, members=("bob",)), RoomMade)
    people.made(CreateInvite(people.by["bob"], CODE, GUEST, (room,), 9, 0, ""), Done)
    people.made(new_user(ANONYMOUS, "zoe", MEMBER, CODE), UserMade)
    people.made(ChangeMembers(people.by["eve"], room, ("bob",), False), RoomChanged)
    people.made(new_user(ANONYMOUS, "zac", MEMBER, CODE), UserMade)
    details = people.state.ask(lambda tables: tables.rooms.by_name[room].details)
    assert details is not None
    assert details.members == {"eve", "zoe"}


def test_an_invite_is_not_used_up_by_who_needs_none_nor_by_who_is_refused() -> None:
    people = People()
    people.made(CreateInvite(people.by["ann"], CODE, GUEST, (), 1, 0, ""), Done)
    people.made(new_user(people.by["ann"], "zed", MEMBER, CODE), UserMade)
    assert people.refusal(new_user(ANONYMOUS, "ann", GUEST, CODE)) == "name_taken"
    people.made(new_user(ANONYMOUS, "zoe", GUEST, CODE), UserMade)


def test_nobody_is_made_a_member_of_a_direct_room() -> None:
    people = People()

    def fill(tables: Tables) -> None:
        tables.rooms.make("both").details = RoomDetails(DIRECT, members=frozenset({"ann", "bob"}))
        tables.rooms.make("few").details = RoomDetails(PRIVATE, members=frozenset({"ann"}))
        tables.derive()

    people.state.ask(fill)
    people.made(new_user(people.by["ann"], "zoe", GUEST, rooms=("both", "few")), UserMade)
    members = people.state.ask(lambda tables: {name: room.details for name, room in tables.rooms.by_name.items()})
    assert members["both"] == RoomDetails(DIRECT, members=frozenset({"ann", "bob"}))
    assert members["few"] == RoomDetails(PRIVATE, members=frozenset({"ann", "zoe"}))


def test_a_user_changes_his_name_for_others_and_an_admin_everybodys() -> None:
    people = People()
    for actor in (people.by["bob"], people.by["ann"], THE_OPERATOR):
        changed = people.made(ChangeUser(actor, "bob", display_name=f"Bob {actor.by}"), UserChanged)
        assert changed.user == people.user("bob")
        assert people.user("bob").display_name == f"Bob {actor.by}"
    assert people.told == [UsersChanged(index, "bob") for index in range(people.index - 2, people.index + 1)]
    for name in ("bob", "gus"):
        assert people.refusal(ChangeUser(people.by[name], "eve", display_name="E")) == "forbidden"
        assert people.refusal(ChangeUser(people.by[name], name, role=ADMIN)) == "forbidden"
        assert people.refusal(ChangeUser(people.by[name], name, active=True)) == "forbidden"
    assert people.refusal(ChangeUser(people.by["ann"], "zoe", role=ADMIN)) == "no_such_user"
    assert people.refusal(ChangeUser(people.by["bob"], "zoe", display_name="Z")) == "forbidden"


def test_a_change_to_what_is_so_already_tells_nobody() -> None:
    people = People()
    people.made(ChangeUser(people.by["ann"], "bob", role=MEMBER, active=True, display_name="Bob"), UserChanged)
    assert people.told == []


def test_the_last_active_admin_stays_one() -> None:
    people = People()
    for actor in (people.by["ann"], THE_OPERATOR):
        assert people.refusal(ChangeUser(actor, "ann", role=MEMBER)) == "last_admin"
        assert people.refusal(ChangeUser(actor, "ann", active=False)) == "last_admin"
    people.do(ChangeUser(people.by["ann"], "bob", role=ADMIN))
    people.do(ChangeUser(people.by["ann"], "bob", active=False))
    assert people.refusal(ChangeUser(people.by["ann"], "ann", role=GUEST)) == "last_admin"
    people.do(ChangeUser(people.by["ann"], "bob", active=True))
    assert people.made(ChangeUser(people.by["ann"], "ann", role=GUEST), UserChanged).user.role == GUEST


def test_an_own_password_is_changed_by_who_knows_the_old_one_and_ends_all_other_tokens() -> None:
    people = People()
    other, ticket = people.bot("bob", digest(50)), digest(51)
    people.do(CreateTicket(Actor(other, "bob"), ticket, 0))
    known = people.user("bob").password_index
    for wrong in (known - 1, None):
        change = ChangeUser(people.by["bob"], "bob", password_hash="new", password_at=wrong)
        assert people.refusal(change) == "bad_login"
    people.made(ChangeUser(people.by["bob"], "bob", password_hash="new", password_at=known), UserChanged)
    assert (people.user("bob").password_hash, people.user("bob").password_index) == ("new", people.index)
    assert people.tokens("bob") == (people.by["bob"].by,)
    assert people.told == [Revoked(people.index, (other,)), UsersChanged(people.index, "bob")]
    assert people.refusal(RedeemTicket(ticket)) == "bad_ticket"


def test_an_admin_sets_a_password_without_the_old_one_which_ends_all_tokens() -> None:
    people = People()
    assert people.refusal(ChangeUser(people.by["ann"], "bob", password_hash="new", password_at=1)) == "bad_login"
    people.made(ChangeUser(people.by["ann"], "bob", password_hash="new"), UserChanged)
    assert people.tokens("bob") == ()
    assert people.told[0] == Revoked(people.index, (people.by["bob"].by,))


def test_a_deactivated_user_has_no_tokens_posts_nothing_and_keeps_his_posts() -> None:
    people = People()
    people.made(Post("general", "bob", "hi", "c1", by=people.by["bob"].by), Posted)
    people.made(ChangeUser(people.by["ann"], "bob", active=False), UserChanged)
    assert people.told[0] == Revoked(people.index, (people.by["bob"].by,))
    assert people.refusal(Post("general", "bob", "hi", "c1", by=people.by["bob"].by)) == "bad_token"
    assert people.state.ask(lambda tables: tables.rooms.by_name["general"].posts) == 1
    assert people.refusal(new_user(THE_OPERATOR, "bob")) == "name_taken"


def test_a_role_that_is_taken_away_counts_from_the_next_command_on() -> None:
    people = People()
    people.do(ChangeUser(people.by["ann"], "eve", role=ADMIN))
    people.made(ChangeUser(people.by["eve"], "bob", role=GUEST), UserChanged)
    people.do(ChangeUser(people.by["ann"], "eve", role=MEMBER))
    assert people.refusal(ChangeUser(people.by["eve"], "bob", role=MEMBER)) == "forbidden"


def test_a_ticket_stands_for_the_token_it_was_made_by() -> None:
    people = People()
    people.made(CreateTicket(people.by["gus"], digest(60), 0), Done)
    assert people.made(RedeemTicket(digest(60)), Redeemed).token.user == "gus"
