"""Logs of commands about accounts, drawn at random, with what else there is in between."""

from hypothesis import strategies as st

from chat.commands import NOBODY, OPERATOR, SETUP, Actor, Command, Post
from chat.commands.accounts import (
    ChangeUser,
    CreateInvite,
    CreateTicket,
    CreateToken,
    CreateUser,
    LogIn,
    RecordTokenUse,
    RedeemTicket,
    RevokeInvite,
    RevokeTokens,
)
from chat.commands.cluster import ExpireCredentials, SetAuth, SetSettings
from chat.commands.posts import WHOLE_ROOM, MarkRead, MarkUnread
from chat.commands.rooms import ChangeMembers, ChangeRoom, CreateRoom, DeleteRoom, SetPreferences
from tests.chat.random_log import COMMANDS, ROOM_COMMANDS, ROOMS

_rooms = st.sampled_from(ROOMS)
_some_users = st.lists(st.sampled_from(["ann", "bob", "bob", "eve"]), max_size=3).map(tuple)
# Who acts and what it is about are drawn from few, so that they often are who and what there is.
_names = st.sampled_from(["ann", "bob", "eve", "gus"])
_some_names = st.none() | _names
_actors = st.builds(
    Actor,
    st.sampled_from([SETUP, OPERATOR, OPERATOR, NOBODY, 1, 1, 2, 3, 4, 9]),
    st.sampled_from(["", "", "ann", "bob"]),
)
_digests = st.integers(0, 5).map(lambda number: bytes([number]) * 32)
_roles = st.sampled_from(["admin", "member", "guest", "king"])
_kinds = st.sampled_from(["session", "session", "api", "proxy", "magic"])
_ends = st.sampled_from([0, 0, 1_000, 2_000, -1])
_some_rooms = st.lists(_rooms, max_size=2).map(tuple)
_indexes = st.integers(3, 12)
_accounts: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        CreateUser,
        _actors,
        _names,
        _names,
        _names,
        st.sampled_from(["", "h"]),
        _roles,
        st.just(b"") | _digests,
        _some_rooms,
    ),
    st.builds(
        ChangeUser,
        _actors,
        _names,
        _some_names,
        _some_names,
        st.none() | _indexes,
        st.none() | _roles,
        st.sampled_from([None, None, True, False]),
    ),
    st.builds(
        LogIn, st.builds(Actor, st.sampled_from([NOBODY, OPERATOR]), _names), _indexes, _digests, _kinds, _names, _ends
    ),
    st.builds(
        LogIn, st.builds(Actor, st.just(OPERATOR), _names), st.just(0), _digests, st.just("proxy"), _names, _ends
    ),
    st.builds(CreateToken, _actors, _digests, _kinds, _names, _ends),
    st.builds(RevokeTokens, _actors, st.lists(st.integers(0, 5), max_size=3).map(tuple), st.just("") | _names),
    st.builds(CreateInvite, _actors, _digests, _roles, _some_rooms, st.integers(0, 3), _ends, _names),
    st.builds(RevokeInvite, _actors, _digests),
    st.builds(CreateTicket, _actors, _digests, _ends),
    st.builds(RedeemTicket, _digests),
    st.builds(RecordTokenUse, st.lists(st.integers(0, 5), max_size=3).map(tuple)),
    st.builds(
        ExpireCredentials,
        st.sampled_from([1_000, 2_000]),
        st.lists(st.integers(0, 5), max_size=3).map(tuple),
        st.lists(_digests, max_size=2).map(tuple),
        st.lists(_digests, max_size=2).map(tuple),
    ),
    st.builds(
        SetSettings, _actors, st.sampled_from([None, "open", "invite", "closed"]), st.none() | st.integers(-1, 3)
    ),
)
_drawn = st.sampled_from(["aaaaaaaaaa", "bbbbbbbbbb"])
_any_rooms = st.one_of(_rooms, st.builds("{}~{}".format, st.sampled_from(["plans", "direct", "a"]), _drawn))
_by_token = st.builds(Actor, st.sampled_from([1, 1, 2, 3]))
_room_commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        CreateRoom,
        _by_token,
        _any_rooms,
        st.sampled_from(["public", "private", "direct"]),
        st.just(""),
        _some_users,
        st.sampled_from(["", "", "/same", "/other"]),
    ),
    st.builds(
        ChangeRoom,
        _by_token,
        _any_rooms,
        st.none(),
        st.sampled_from([None, None, "a", "b"]),
        st.sampled_from([None, "public", "private", "direct"]),
        st.sampled_from([None, None, None, True, False]),
        st.none() | _names | st.just(""),
        st.none() | _some_users,
        drawn=_drawn,
        looks=st.sampled_from(["", "", "/same", "/other"]),
    ),
    st.builds(ChangeMembers, _by_token, _any_rooms, _some_users, st.booleans()),
    st.builds(DeleteRoom, _by_token, _any_rooms),
)
_modes = st.builds(SetAuth, _actors, st.sampled_from(["login", "login", "open"]), st.sampled_from(["open", "invite"]))
_posts_by_token = st.builds(
    Post, _any_rooms, _names, st.just("hi"), st.integers(0, 60).map(str), st.just(0), st.integers(0, 5),
    st.lists(st.sampled_from(["ann", "bob", "zoe", WHOLE_ROOM]), max_size=2).map(tuple),
)  # fmt: skip
_marks = st.builds(
    lambda kind, marks: kind(marks), st.sampled_from([MarkRead, MarkRead, MarkUnread]),
    st.lists(st.tuples(st.integers(0, 3), _any_rooms, st.integers(-1, 6)), max_size=3).map(tuple),
)  # fmt: skip
_preferences = st.builds(
    SetPreferences, _by_token, _any_rooms, st.none() | st.booleans(), st.sampled_from([None, "", "all", "none", "loud"])
)
# A login with two users and their tokens, 1 and 2: most of what is drawn would be refused without.
_OPENING: list[Command] = [
    SetAuth(Actor(OPERATOR), "login", "invite"),
    CreateUser(Actor(SETUP), "ann", "Ann", "ann", "h", "admin"),
    CreateUser(Actor(OPERATOR), "bob", "Bob", "bob", "h", "member"),
    LogIn(Actor(NOBODY, "ann"), 4, bytes(32), "session", "", 0),
    LogIn(Actor(NOBODY, "bob"), 5, bytes([1]) * 32, "session", "", 1_000),
]
# Of rooms alone, so that much becomes of each of them.
ROOM_LOGS: st.SearchStrategy[list[Command]] = st.lists(
    st.one_of(_room_commands, _room_commands, _posts_by_token, ROOM_COMMANDS), max_size=40
).map(_OPENING.__add__)
_ACCOUNT_COMMANDS = st.one_of(
    _accounts,
    _accounts,
    _accounts,
    _posts_by_token,
    _marks,
    _preferences,
    COMMANDS,
    _modes,
    _room_commands,
    _room_commands,
)
ACCOUNT_LOGS: st.SearchStrategy[list[Command]] = st.builds(
    list.__add__, st.sampled_from([[], _OPENING, _OPENING]), st.lists(_ACCOUNT_COMMANDS, max_size=50)
)  # fmt: skip
