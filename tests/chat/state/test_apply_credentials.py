"""Tokens, invites and tickets: what proves who one is, for how long, and that one moment ends it everywhere."""

import pytest

from chat.commands import NOBODY, OPERATOR, Actor, Command, Post
from chat.commands.accounts import (
    ChangeUser,
    CreateInvite,
    CreateTicket,
    CreateToken,
    LogIn,
    RecordTokenUse,
    RedeemTicket,
    RevokeInvite,
    RevokeTokens,
)
from chat.commands.cluster import ExpireCredentials, SetAuth
from chat.state.accounts import (
    ADMIN,
    API,
    API_TOKENS_MAX,
    GUEST,
    HOUR,
    INVITES_OF_ONE_MAX,
    MEMBER,
    PROXY,
    SESSION,
    TICKETS_MAX,
    TOKENS_MAX,
    Token,
)
from chat.state.apply import credentials
from chat.state.events import Revoked
from chat.state.machine import ChatState
from chat.state.results import Done, Posted, Redeemed, TokenMade, TokensRevoked
from chat.state.room_details import DIRECT, PRIVATE, RoomDetails
from chat.state.settings import INVITE, OPEN
from chat.state.tables import Tables
from tests.chat.people import People, digest, new_user
from tests.chat.random_log import START, STEP

OPERATORS = Actor(OPERATOR)


def api(actor: Actor, number: int, expires_at: int = 0) -> CreateToken:
    return CreateToken(actor, digest(number), API, "bot", expires_at)


def post(actor: Actor, client_id: str) -> Post:
    return Post("general", actor.user, "hi", client_id, by=actor.by)


def revoked(people: People, command: Command) -> tuple[int, ...]:
    return people.made(command, TokensRevoked).numbers


# --- tokens


def test_a_login_makes_a_token_and_tokens_count_up_for_ever() -> None:
    people = People()
    made = people.log_in("bob", digest(50)).token
    created_at = START + people.index * STEP
    assert made == Token(5, digest(50), "bob", SESSION, "laptop", created_at, 0, created_at // HOUR)
    assert people.state.ask(lambda tables: (tables.tokens[5], tables.numbers[digest(50)])) == (made, 5)
    revoked(people, RevokeTokens(people.by["bob"], (5,)))
    assert people.log_in("bob", digest(51)).token.number == 6


def test_a_login_that_races_a_new_password_loses() -> None:
    people = People()
    known = people.user("bob").password_index
    people.do(ChangeUser(people.by["ann"], "bob", password_hash="new"))
    assert people.refusal(LogIn(Actor(NOBODY, "bob"), known, digest(50), SESSION, "", 0)) == "bad_login"


def test_who_is_not_there_not_active_or_has_no_password_does_not_log_in() -> None:
    people = People()
    people.do(ChangeUser(people.by["ann"], "bob", active=False))
    people.do(ChangeUser(people.by["ann"], "eve", password_hash=""))
    for name in ("bob", "eve", "zoe"):
        at = people.user(name).password_index if name != "zoe" else 0
        assert people.refusal(LogIn(Actor(NOBODY, name), at, digest(50), SESSION, "", 0)) == "bad_login"


def test_a_node_vouches_for_a_proxys_user_and_for_nothing_else() -> None:
    people = People()
    by_node = LogIn(Actor(OPERATOR, "bob"), 0, digest(50), PROXY, "proxy", 0)
    made = people.made(by_node, TokenMade).token
    assert (made.user, made.kind, made.label, made.expires_at) == ("bob", PROXY, "proxy", 0)
    at = people.user("bob").password_index
    for command in (
        LogIn(Actor(OPERATOR, "bob"), at, digest(51), SESSION, "", 0),
        LogIn(Actor(OPERATOR, "bob"), at, digest(51), API, "", 0),
        LogIn(Actor(NOBODY, "bob"), at, digest(51), PROXY, "", 0),
        CreateToken(people.by["bob"], digest(51), PROXY, "", 0),
    ):
        assert people.refusal(command) == "invalid_field"
    people.do(ChangeUser(people.by["ann"], "bob", active=False))
    for name in ("bob", "zoe"):
        assert people.refusal(LogIn(Actor(OPERATOR, name), 0, digest(51), PROXY, "", 0)) == "bad_login"
    people.do(SetAuth(OPERATORS, OPEN, INVITE))
    assert people.refusal(by_node) == "open_mode"


def test_sessions_of_a_proxys_user_give_way_and_the_token_of_their_programs_stays() -> None:
    people = People()
    people.do(RevokeTokens(OPERATORS, (), "bob"))
    people.do(LogIn(Actor(OPERATOR, "bob"), 0, digest(50), PROXY, "proxy", 0))
    for number in range(TOKENS_MAX):
        people.do(LogIn(Actor(OPERATOR, "bob"), 0, digest(100 + number), PROXY, "browser", 1 << 60))
    assert len(people.tokens("bob")) == TOKENS_MAX
    assert people.state.ask(lambda tables: digest(50) in tables.numbers)
    assert not people.state.ask(lambda tables: digest(100) in tables.numbers)


def test_a_snapshot_has_the_tokens_of_a_proxys_users() -> None:
    people = People()
    people.do(LogIn(Actor(OPERATOR, "bob"), 0, digest(50), PROXY, "proxy", 0))
    restored = ChatState()
    restored.restore(people.index, people.state.document())
    assert restored.ask(lambda tables: tables.tokens[5]) == people.state.ask(lambda tables: tables.tokens[5])


def test_nobody_logs_in_in_the_open_mode() -> None:
    people = People()
    people.do(SetAuth(OPERATORS, OPEN, INVITE))
    at = people.user("bob").password_index
    assert people.refusal(LogIn(Actor(NOBODY, "bob"), at, digest(50), SESSION, "", 0)) == "open_mode"


def test_a_user_has_so_many_tokens_and_one_session_more_ends_the_oldest_session() -> None:
    people = People()
    bot = people.bot("bob", digest(50))
    for number in range(TOKENS_MAX - 2):
        people.log_in("bob", digest(100 + number))
    assert len(people.tokens("bob")) == TOKENS_MAX
    assert people.refusal(api(people.by["bob"], 51)) == "too_many_tokens"
    people.log_in("bob", digest(200))
    assert people.told == [Revoked(people.index, (people.by["bob"].by,))]
    assert len(people.tokens("bob")) == TOKENS_MAX
    assert bot in people.tokens("bob")


def test_tokens_of_programs_never_lock_out_their_users_sign_in() -> None:
    people = People()
    for number in range(API_TOKENS_MAX):
        people.made(api(people.by["bob"], 100 + number), TokenMade)
    assert people.refusal(api(people.by["bob"], 51)) == "too_many_tokens"
    at = people.user("bob").password_index
    assert people.refusal(LogIn(Actor(NOBODY, "bob"), at, digest(51), API, "", 0)) == "too_many_tokens"
    for number in range(TOKENS_MAX):
        people.log_in("bob", digest(200 + number))
    assert len(people.tokens("bob")) == TOKENS_MAX


def test_the_same_request_once_more_is_the_same_token() -> None:
    people = People()
    first = people.made(api(people.by["bob"], 50), TokenMade).token
    assert people.made(api(people.by["bob"], 50), TokenMade).token == first


def test_what_a_token_may_not_be_is_refused() -> None:
    people = People()
    assert people.refusal(CreateToken(people.by["bob"], digest(50), "magic", "", 0)) == "invalid_field"
    assert people.refusal(api(people.by["bob"], 50, -1)) == "invalid_field"
    assert people.refusal(api(OPERATORS, 50)) == "forbidden"
    assert people.refusal(api(Actor(NOBODY, "bob"), 50)) == "login_needed"


def test_a_revoked_token_posts_no_more_and_does_not_repeat_what_it_posted() -> None:
    people = People()
    bob = people.by["bob"]
    people.made(post(bob, "c1"), Posted)
    assert revoked(people, RevokeTokens(bob, (bob.by,))) == (bob.by,)
    assert people.told == [Revoked(people.index, (bob.by,))]
    assert people.refusal(post(bob, "c2")) == "bad_token"
    assert people.refusal(post(bob, "c1")) == "bad_token"
    assert people.refusal(RevokeTokens(bob, (bob.by,))) == "bad_token"


def test_one_revokes_ones_own_and_an_admin_anybodys() -> None:
    people = People()
    bob, eve, gus = people.by["bob"], people.by["eve"], people.by["gus"]
    assert revoked(people, RevokeTokens(bob, (eve.by, 99))) == ()
    assert people.refusal(RevokeTokens(bob, name="eve")) == "forbidden"
    assert revoked(people, RevokeTokens(people.by["ann"], (eve.by, 99, bob.by, eve.by))) == (eve.by, bob.by)
    other = people.bot("gus", digest(50))
    assert revoked(people, RevokeTokens(gus, name="gus")) == (gus.by, other)
    assert revoked(people, RevokeTokens(OPERATORS, name="gus")) == ()
    assert revoked(people, RevokeTokens(OPERATORS, name="nobody")) == ()
    assert people.told == [Revoked(people.index - 4, (3, 2)), Revoked(people.index - 2, (4, 5))]


def test_a_token_says_in_which_hour_it_was_used_last() -> None:
    people = People()
    before = people.state.ask(lambda tables: tables.tokens[2].used_hour)
    people.index += 3 * HOUR // STEP
    people.made(RecordTokenUse((2, 99)), Done)
    assert people.state.ask(lambda tables: [tables.tokens[k].used_hour for k in (2, 3)]) == [before + 3, before]


# --- invites


def test_an_admin_invites_anybody_and_a_member_guests_into_his_own_rooms() -> None:
    people = People()

    def fill(tables: Tables) -> None:
        own = frozenset({"bob", "gus"})
        tables.rooms.make("own").details = RoomDetails(PRIVATE, members=own)
        tables.rooms.make("hers").details = RoomDetails(PRIVATE, members=frozenset({"eve"}))
        tables.rooms.make("public").details = RoomDetails(members=frozenset({"eve"}))
        tables.rooms.make("both").details = RoomDetails(DIRECT, members=own)
        tables.derive()

    people.state.ask(fill)

    def said(name: str, role: str, *rooms: str) -> str:
        invite = CreateInvite(people.by[name], digest(50), role, rooms, 1, 0, "")
        result = people.do(invite)
        if isinstance(result, Done):
            people.made(RevokeInvite(people.by[name], digest(50)), Done)
            return "done"
        return people.refusal(invite)

    assert [said("ann", role, "own", "hers", "public") for role in (ADMIN, MEMBER, GUEST)] == ["done"] * 3
    assert said("ann", GUEST, "both") == "no_such_room"
    assert [said("bob", GUEST, "own"), said("bob", GUEST)] == ["done", "done"]
    assert [said("bob", GUEST, room) for room in ("hers", "nowhere", "public", "both")] == [
        "no_such_room", "no_such_room", "forbidden", "forbidden",
    ]  # fmt: skip
    assert [said("bob", role) for role in (MEMBER, ADMIN)] == ["forbidden", "forbidden"]
    assert said("gus", GUEST, "own") == "forbidden"


def test_an_invite_ends_by_its_maker_or_an_admin() -> None:
    people = People()
    for number, maker in enumerate(("bob", "bob", "ann"), 50):
        people.made(CreateInvite(people.by[maker], digest(number), GUEST, (), 1, 0, ""), Done)
    assert people.refusal(RevokeInvite(people.by["eve"], digest(50))) == "no_such_invite"
    assert people.refusal(RevokeInvite(people.by["bob"], digest(52))) == "no_such_invite"
    people.made(RevokeInvite(people.by["bob"], digest(50)), Done)
    people.made(RevokeInvite(people.by["ann"], digest(51)), Done)
    assert people.refusal(RevokeInvite(people.by["ann"], digest(51))) == "no_such_invite"
    assert people.refusal(new_user(Actor(NOBODY), "zoe", GUEST, digest(50))) == "bad_invite"


def test_there_is_a_bound_on_invites_and_they_are_of_some_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "INVITES_MAX", 1)
    people = People()
    invite = CreateInvite(people.by["ann"], digest(50), GUEST, (), 5, 0, "")
    people.made(invite, Done)
    people.made(invite, Done)
    assert people.state.ask(lambda tables: len(tables.invites)) == 1
    assert people.refusal(CreateInvite(people.by["ann"], digest(51), GUEST, (), 1, 0, "")) == "too_many_invites"
    assert people.refusal(CreateInvite(people.by["ann"], digest(51), GUEST, (), 0, 0, "")) == "invalid_field"
    assert people.refusal(CreateInvite(people.by["ann"], digest(51), GUEST, (), 1, -1, "")) == "invalid_field"
    assert people.refusal(CreateInvite(people.by["ann"], digest(51), "king", (), 1, 0, "")) == "invalid_field"


def test_members_use_up_no_more_invites_than_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "MEMBERS_INVITES_MAX", INVITES_OF_ONE_MAX + 1)
    people = People()

    def invite(name: str, number: int) -> CreateInvite:
        return CreateInvite(people.by[name], digest(number), GUEST, (), 1, 0, "")

    for number in range(INVITES_OF_ONE_MAX):
        people.made(invite("bob", 100 + number), Done)
    assert people.refusal(invite("bob", 50)) == "too_many_invites"
    people.made(invite("eve", 51), Done)
    assert people.refusal(invite("eve", 52)) == "too_many_invites"
    for number in range(INVITES_OF_ONE_MAX + 2):
        people.made(invite("ann", 300 + number), Done)
    people.do(ChangeUser(people.by["ann"], "bob", active=False))
    people.made(invite("eve", 52), Done)


# --- tickets


def test_a_ticket_is_good_once_for_the_token_that_made_it() -> None:
    people = People()
    people.made(CreateTicket(people.by["bob"], digest(50), 0), Done)
    assert people.made(RedeemTicket(digest(50)), Redeemed).token.number == people.by["bob"].by
    assert people.refusal(RedeemTicket(digest(50))) == "bad_ticket"
    assert people.state.ask(lambda tables: (tables.tickets, tables.tickets_of)) == ({}, {})


def test_a_token_takes_its_tickets_along() -> None:
    people = People()
    people.made(CreateTicket(people.by["bob"], digest(50), 0), Done)
    people.made(CreateTicket(people.by["eve"], digest(51), 0), Done)
    revoked(people, RevokeTokens(people.by["ann"], name="bob"))
    assert people.refusal(RedeemTicket(digest(50))) == "bad_ticket"
    people.made(RedeemTicket(digest(51)), Redeemed)


def test_of_too_many_tickets_of_a_token_the_oldest_goes() -> None:
    people = People()
    people.made(CreateTicket(people.by["eve"], digest(49), 0), Done)
    for number in range(TICKETS_MAX + 2):
        people.made(CreateTicket(people.by["bob"], digest(50 + number), 0), Done)
    left = people.state.ask(lambda tables: list(tables.tickets))
    assert left == [digest(49), *(digest(52 + k) for k in range(TICKETS_MAX))]


def test_a_ticket_is_of_a_user_and_asked_for_twice_is_one() -> None:
    people = People()
    assert people.refusal(CreateTicket(OPERATORS, digest(50), 0)) == "forbidden"
    assert people.refusal(CreateTicket(people.by["bob"], digest(50), -1)) == "invalid_field"
    for _ in range(2):
        people.made(CreateTicket(people.by["bob"], digest(50), 0), Done)
    assert people.state.ask(lambda tables: tables.tickets_of) == {2: (digest(50),)}


# --- age


def test_what_is_named_goes_only_where_it_is_too_old_at_the_time_named() -> None:
    people = People()
    ann = people.by["ann"]
    ends = (1000, 1001, 0)
    tokens = [people.made(api(ann, 50 + k, end), TokenMade).token.number for k, end in enumerate(ends)]
    for k, end in enumerate(ends):
        people.made(CreateInvite(ann, digest(60 + k), GUEST, (), 1, end, ""), Done)
        people.made(CreateTicket(ann, digest(70 + k), end), Done)
    named = [tuple(digest(first + k) for k in range(4)) for first in (60, 70)]
    for now, left in ((999, ends), (1000, ends[1:]), (10**15, ends[2:])):
        people.made(ExpireCredentials(now, (*tokens, tokens[0], 99), *named), Done)
        found = people.state.ask(
            lambda tables: [
                [each.expires_at for each in table.values()]
                for table in (tables.invites, tables.tickets, {n: t for n, t in tables.tokens.items() if n > 4})
            ]
        )
        assert found == [list(left)] * 3
    assert people.told == [Revoked(people.index - 1, (tokens[0],)), Revoked(people.index, (tokens[1],))]


# --- the log's time is set anew


DAY = 86_400_000_000


def _expiries(people: People) -> tuple[int, int, int]:
    """Of the newest token, the invite and the ticket."""
    return people.state.ask(
        lambda tables: (
            next(reversed(tables.tokens.values())).expires_at,
            next(reversed(tables.invites.values())).expires_at,
            next(reversed(tables.tickets.values())).expires_at,
        )
    )


def _with_credentials() -> tuple[People, int, tuple[int, int, int]]:
    """An hour is left of each; the time, and when they are over."""
    people = People()
    now = START + (people.index + 1) * STEP
    over_at = now + HOUR
    people.do(api(people.by["bob"], 50, over_at))
    people.do(CreateInvite(people.by["ann"], digest(51), GUEST, (), 1, over_at, ""))
    people.do(CreateTicket(people.by["bob"], digest(52), over_at))
    return people, now, (over_at, over_at, over_at)


def test_what_is_left_of_a_life_stays_when_a_leap_is_followed_and_when_it_is_taken_back() -> None:
    people, now, over_at = _with_credentials()
    people.state.set_clock(people.index + 1, now, now + 400 * DAY)
    assert _expiries(people) == tuple(moment + 400 * DAY for moment in over_at)
    people.state.set_clock(people.index + 2, now + 400 * DAY, now)
    assert _expiries(people) == over_at


def test_what_was_made_by_a_clock_that_was_a_year_ahead_has_its_life_after_that_is_accepted() -> None:
    people, now, _ = _with_credentials()  # made while the clock was 400 days ahead, at a start
    people.state.set_clock(people.index + 1, now, now - 400 * DAY)
    token, invite, ticket = (moment - (now - 400 * DAY) for moment in _expiries(people))
    assert HOUR == token == invite == ticket


def test_what_was_made_before_the_clock_was_wrong_is_over_when_it_was_to_be() -> None:
    people, now, over_at = _with_credentials()
    people.state.set_clock(people.index + 1, now + 400 * DAY, now + 60_000_000)
    assert _expiries(people) == over_at


def test_a_token_that_never_ends_never_does() -> None:
    people = People()
    people.do(api(people.by["bob"], 50))
    now = START + people.index * STEP
    people.state.set_clock(people.index + 1, now, now + 400 * DAY)
    assert people.state.ask(lambda tables: next(reversed(tables.tokens.values())).expires_at) == 0
