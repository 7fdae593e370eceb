"""Logs of commands drawn at random, of few names and small bounds, so that they meet; and all that a state answers."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from hypothesis import strategies as st

from chat.commands import NOBODY, OPERATOR, Actor, Command, Post, encode
from chat.commands.cluster import Expire, Forget, SetSettings
from chat.commands.imports import ImportedPost, ImportPost
from chat.commands.posts import DeletePost, EditedPost, EditPost, Pin, React, Tombstone
from chat.commands.rooms import ChangeRoom, CreateRoom, DeleteRoom
from chat.state.accounts import ADMIN, GUEST, MEMBER, Acting
from chat.state.apply.posts import find, pins
from chat.state.client_ids import BUCKETS_MIN
from chat.state.machine import ChatState
from chat.state.name_pages import NamePageRequest
from chat.state.permissions import ANONYMOUS
from chat.state.results import Refusal, Result
from chat.state.room import PageRequest
from raft.core.entries import command_entry
from raft.core.raft_messages import Entry, ProposalId

ROOMS = ("general", "a", 'caf\u00e9 "\\')
PRIVATE_ROOMS = ("plans~aaaaaaaaaa", "direct~aaaaaaaaaa")
ASKING = (ANONYMOUS, Acting("ann", ADMIN), Acting("bob", MEMBER), Acting("eve", GUEST))
START = 1_795_428_000_000_000
STEP = 400_000  # microseconds between two entries

_rooms = st.sampled_from(ROOMS)
_names = st.sampled_from([*ROOMS, "new"])
_users = st.sampled_from(["ann", "bob"])
_looks = st.sampled_from(["", "", "/same", "/other"])
_posts = st.builds(
    Post, _rooms, _users, st.sampled_from(["hi", "ho"]), st.integers(0, 60).map(str), st.sampled_from([0, 0, 0, 1, 3]),
    by=st.just(0), mentions=st.just(()), looks=st.just(""),  # or hypothesis draws them too, for a NamedTuple
)  # fmt: skip
_posts_that_may_look_alike = st.builds(lambda post, looks: post._replace(looks=looks), _posts, _looks)
_retentions = st.builds(
    lambda room, kept: ChangeRoom(Actor(), room, max_messages=kept), _rooms, st.just(-1) | st.integers(1, 6)
)
_forgets = st.builds(
    Forget, st.integers(0, 70).map(lambda steps: START + steps * STEP), st.integers(0, 200), st.just(BUCKETS_MIN)
)
_actors = st.builds(Actor, st.just(NOBODY), _users)
_ids = st.integers(1, 4)
_places = st.just(0)  # `placed` tells them
_changes = st.one_of(
    st.builds(
        EditPost, _actors, _rooms, _ids, _places, _places,
        st.builds(EditedPost, st.just("ann"), st.sampled_from(["a", "longer"]), st.just("c")),
    ),
    st.builds(DeletePost, _actors, _rooms, _ids, _places, _places, st.builds(Tombstone, st.just("ann"), st.just("c"))),
    st.builds(React, _actors, _rooms, _ids, st.sampled_from(["+", "\u00e9"]), st.booleans()),
    st.builds(Pin, _actors, _rooms, _ids, st.sampled_from([True, True, False])),
)  # fmt: skip
# The numbers are few, so that many follow the last one, and many come twice.
_imports = st.builds(
    ImportPost, st.just(Actor(OPERATOR)), _rooms, st.sampled_from(["s", "s", "t"]), st.integers(1, 5),
    st.sampled_from([(), (), (("+", ("ann", "bob")),)]), st.sampled_from([False, False, True]),
    st.integers(1, 9).map(lambda steps: START - steps * STEP),
    st.builds(
        ImportedPost, st.just("ann"), st.just("old"), st.just("c"), st.sampled_from([0, 0, 1]),
        st.sampled_from([0, START]),
    ) | st.just(ImportedPost("ann", "", "c", deleted=True)),
)  # fmt: skip
_bounds = st.builds(
    lambda room, kept, age_s: ChangeRoom(Actor(), room, max_messages=kept, max_age_seconds=age_s),
    _rooms, st.sampled_from([None, -1, 1, 5]), st.sampled_from([None, -1, 2, 5]),
)  # fmt: skip
_topics = st.sampled_from(["", "plans"])
_rooms_made = st.builds(
    CreateRoom, _actors, _rooms, st.sampled_from(["public", "public", "private"]), _topics, looks=_looks
)
_rooms_changed = st.builds(
    lambda actor, room, topic, name, archived, looks: ChangeRoom(
        actor, room, topic, name, archived=archived, looks=looks
    ),
    _actors, _names, st.none() | _topics, st.none() | _names, st.sampled_from([None, None, True, False]), _looks,
)  # fmt: skip
_times = st.integers(0, 90).map(lambda steps: START + steps * STEP)
_expiries = st.builds(Expire, _times, st.just(ROOMS), st.none() | _rooms)
_settings = st.builds(
    lambda kept, age_s, unused_s, empty_s: SetSettings(Actor(), None, None, kept, age_s, unused_s, empty_s),
    st.sampled_from([None, 0, 0, 4]), st.sampled_from([None, 0, 0, 8]), st.sampled_from([None, 0, 9]),
    st.sampled_from([None, 0, 3]),
)  # fmt: skip
_deletions = st.builds(DeleteRoom, st.just(Actor()), _rooms)
_rest = st.one_of(_retentions, _bounds, _deletions, _forgets, _expiries, _settings)
ROOM_COMMANDS = st.one_of(
    _rooms_made, _rooms_changed, _rooms_changed, st.builds(DeleteRoom, _actors, _names)
)  # fmt: skip
Changed = EditPost | DeletePost | React | Pin | ImportPost | ChangeRoom | DeleteRoom
Drawn = Post | Changed | Forget | Expire | SetSettings | CreateRoom
# Without rooms that are made without a post, renamed or archived, and without names that look alike.
PLAIN_COMMANDS: st.SearchStrategy[Drawn] = st.one_of(
    _posts, _posts, _posts, _changes, _changes, _rest, _rest, _imports
)  # fmt: skip
COMMANDS: st.SearchStrategy[Drawn] = st.one_of(
    PLAIN_COMMANDS, PLAIN_COMMANDS, _posts_that_may_look_alike, ROOM_COMMANDS
)


def entry(index: int, command: Command) -> Entry:
    """A command committed at this index."""
    return command_entry(index, 1, START + index * STEP, ProposalId(1, 1, index, 0), encode(command))


def placed(log: Sequence[Drawn]) -> list[Drawn]:
    """The same where every edit and every deletion tells where its post lies, and whose it is, if there is one."""
    state, told = ChatState(), list[Drawn]()
    for index, command in enumerate(log, 3):
        if isinstance(command, EditPost | DeletePost):
            command = _placed(state, command, told)
        told.append(command)
        state.apply(entry(index, command))
    return told


def _placed(state: ChatState, command: EditPost | DeletePost, told: Sequence[Drawn]) -> EditPost | DeletePost:
    found = state.ask(lambda tables: find(tables, Actor(), command.room, command.id))
    if isinstance(found, Refusal):
        return command
    posted, at, time = told[found.at - 3], found.at, START + found.at * STEP
    post: Post | ImportedPost
    if isinstance(posted, ImportPost):
        post, posted_at, imported_at = posted.post, posted.posted_at, time
    else:
        assert isinstance(posted, Post)
        post, posted_at, imported_at = posted, time, 0
    if isinstance(command, DeletePost):
        tombstone = Tombstone(post.user, post.client_id, imported_at)
        return replace(command, at=at, posted_at=posted_at, post=tombstone)
    said = EditedPost(post.user, command.post.message, post.client_id, post.reply_to, imported_at)
    return replace(command, at=at, posted_at=posted_at, post=said)


PLAIN_LOGS = st.lists(PLAIN_COMMANDS, max_size=60).map(placed)
LOGS = st.lists(COMMANDS, max_size=60).map(placed)


def apply(state: ChatState, commands: Iterable[Command], first_index: int = 3) -> list[Result]:
    """Apply them as the log's entries from `first_index` on."""
    return [state.apply(entry(index, command)) for index, command in enumerate(commands, first_index)]


def answers(state: ChatState, last_index: int) -> list[object]:
    """What the state says to every question there is."""
    asks = [
        PageRequest(limit=2),
        *(PageRequest(limit=2, **{side: id}) for side in ("before", "after") for id in range(5)),
    ]
    told: list[object] = [state.digest(), list(state.document()), state.live().tolist(), state.live_bytes]
    told += [state.page(room, ask) for room in ROOMS for ask in asks]
    told += [(state.reactions(room, id), state.erased_index) for room in ROOMS for id in range(1, 5)]
    told += [state.page(room, PageRequest(), who) for room in PRIVATE_ROOMS for who in ASKING]
    told += [state.ask(partial(pins, actor=Actor(), room_name=room)) for room in ROOMS]
    told += [state.rooms(NamePageRequest(2, after=name), who) for name in ("", "a") for who in ASKING]
    told += [state.located(0, last_index, 99, None, who) for who in ASKING]
    for after in range(0, last_index + 1, 3):
        told += [state.located(after, last_index, 5), state.missed(after, last_index, ROOMS[:2])]
    return told


def split(log: Sequence[Command], at: int) -> tuple[Sequence[Command], Sequence[Command]]:
    """What comes before and after a place in the log."""
    return log[:at], log[at:]
