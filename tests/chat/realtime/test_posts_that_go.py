"""Rooms that are deleted and posts that retention does not keep: what is left, what is counted, what is told."""

from hypothesis import given
from hypothesis import strategies as st

from chat.commands import Actor, Post
from chat.commands.cluster import Expire, Forget, SetSettings
from chat.commands.posts import DeletePost, EditPost, Pin, React
from chat.commands.rooms import ChangeRoom, CreateRoom, DeleteRoom
from chat.state.client_ids import hash_of
from chat.state.events import PostEvent, RoomDeleted
from chat.state.machine import ChatState
from chat.state.name_pages import NamePageRequest
from chat.state.results import Missed, Posted, Refusal, Repeated, RoomChanged, RoomSummary
from chat.state.room import EventKind, PageRequest, Room
from chat.state.room_details import RoomDetails
from chat.state.settings import Settings
from tests.chat.random_log import PLAIN_LOGS, ROOMS, START, STEP, Drawn, apply, entry


def post(number: int, room: str = "general", reply_to: int = 0) -> Post:
    return Post(room, "ann", f"m{number}", f"c{number}", reply_to)


def ids(state: ChatState, room: str = "general") -> list[int]:
    page = state.page(room, PageRequest(limit=1000))
    assert len(page.positions) == page.last_id - page.first_id + 1
    return list(range(page.first_id, page.last_id + 1))


class Model:
    """The same by the simplest means: every post that is left, with its entry."""

    def __init__(self) -> None:
        self.posts: dict[str, dict[int, int]] = {room: {} for room in ROOMS}  # Id -> log index
        self.newest = dict.fromkeys(ROOMS, 0)
        self.kept: dict[str, int | None] = dict.fromkeys(ROOMS)
        self.age_s: dict[str, int] = dict.fromkeys(ROOMS, 0)
        self.exists: set[str] = set()
        self.settings = Settings()
        self.client_ids: set[tuple[str, str]] = set()
        # By where the post lies.
        self.edits: dict[int, list[int]] = {}
        self.deleted: dict[int, int] = {}
        self.reactions: dict[int, dict[str, dict[str, None]]] = {}

    def apply(self, index: int, command: Drawn) -> None:
        if isinstance(command, SetSettings):
            self.settings = Settings(
                max_messages=_or(command.max_messages, self.settings.max_messages),
                max_age_s=_or(command.max_age_seconds, self.settings.max_age_s),
                unused_room_s=_or(command.unused_room_seconds, self.settings.unused_room_s),
                empty_room_s=_or(command.empty_room_seconds, self.settings.empty_room_s),
            )
        if isinstance(command, Forget | Expire | SetSettings | CreateRoom):
            return
        posts = self.posts[command.room]
        match command:
            case Pin():
                pass
            case EditPost() | DeletePost() | React():
                self.change(index, command)
            case Post():
                key = (command.user, command.client_id)
                if key in self.client_ids or command.reply_to > self.newest[command.room]:
                    return
                self.client_ids.add(key)
                self.newest[command.room] += 1
                posts[self.newest[command.room]] = index
                self.exists.add(command.room)
            case DeleteRoom():
                self.delete(command.room)
            case ChangeRoom() if command.room in self.exists:
                if command.max_messages is not None:
                    self.kept[command.room] = command.max_messages if command.max_messages > 0 else None
                if command.max_age_seconds is not None:
                    self.age_s[command.room] = max(command.max_age_seconds, 0)
        kept = self.kept[command.room] or (self.settings.max_messages if isinstance(command, Post) else 0)
        while kept and len(posts) > kept:
            del posts[min(posts)]

    def delete(self, room: str) -> None:
        self.posts[room].clear()
        self.exists.discard(room)
        self.kept[room], self.age_s[room] = None, 0

    def change(self, index: int, command: EditPost | DeletePost | React) -> None:
        at = self.posts[command.room].get(command.id)
        if at is None or at in self.deleted:
            return
        if isinstance(command, React):
            users = self.reactions.setdefault(at, {}).setdefault(command.emoji, {})
            if command.on:
                users.setdefault(command.actor.user)
            else:
                users.pop(command.actor.user, None)
        elif command.actor.user == command.post.user:
            if isinstance(command, EditPost):
                self.edits.setdefault(at, []).append(index)
            else:
                self.deleted[at] = index

    def live(self, at: int) -> list[int]:
        """What the log has to keep of a post that is left."""
        return [self.deleted[at]] if at in self.deleted else [at, *self.edits.get(at, [])]

    def expired(self, command: Expire, state: ChatState) -> None:
        """The oldest are gone, of rooms that keep posts for some time only, and none that is not so old."""
        left = {room.name for room in state.rooms(NamePageRequest(99))[1]}
        for room, posts in self.posts.items():
            age_s, most = self.age_s[room] or self.settings.max_age_s, self.settings.max_messages
            if room in self.exists - left:
                self.went(room, command)
            for id in sorted(posts.keys() - set(ids(state, room))):
                assert id == min(posts)
                too_many = not self.kept[room] and 0 < most < len(posts)
                too_old = START + posts.pop(id) * STEP < command.now - age_s * 1_000_000
                assert too_many or (age_s and too_old)
            assert self.kept[room] or not most or len(posts) <= most

    def went(self, room: str, command: Expire) -> None:
        """The room that was named, since nobody used it, or it was empty."""
        assert room == command.gone
        if self.posts[room]:
            used = START + max(self.posts[room].values()) * STEP
            assert self.settings.unused_room_s
            assert used <= command.now - self.settings.unused_room_s * 1_000_000
        else:
            assert self.settings.unused_room_s or self.settings.empty_room_s
        self.delete(room)


def _or(said: int | None, before: int) -> int:
    return before if said is None else said


def is_known(state: ChatState, user: str, client_id: str) -> bool:
    return state.ask(lambda tables: tables.client_ids.find(hash_of(user, client_id))) > 0


@given(PLAIN_LOGS)
def test_what_is_left_is_what_the_simplest_model_says(log: list[Drawn]) -> None:
    state, model = ChatState(), Model()
    for index, command in enumerate(log, 3):
        state.apply(entry(index, command))
        model.apply(index, command)
        if isinstance(command, Forget):  # what of, is not this test's
            model.client_ids = {key for key in model.client_ids if is_known(state, *key)}
        if isinstance(command, Expire):
            model.expired(command, state)
    for room in ROOMS:
        assert ids(state, room) == sorted(model.posts[room])
        shown = [model.live(at)[-1] for at in model.posts[room].values()]
        assert state.page(room, PageRequest(limit=1000)).positions == shown
        for id, at in model.posts[room].items():
            who = {} if at in model.deleted else model.reactions.get(at, {})
            assert {emoji: [*users] for emoji, users in who.items() if users} == {
                emoji: [*users] for emoji, users in state.reactions(room, id)
            }
        assert state.page(room, PageRequest()).newest_id == model.newest[room]
    assert state.live().tolist() == sorted(
        index for posts in model.posts.values() for at in posts.values() for index in model.live(at)
    )
    posted = sorted(index for posts in model.posts.values() for index in posts.values())
    assert [(at, id) for at, _, id, what, _ in state.located(0, 99, 99) if what is EventKind.POST] == [
        (index, id) for index in posted for posts in model.posts.values() for id, at in posts.items() if at == index
    ]
    assert [room.name for room in state.rooms(NamePageRequest(99))[1]] == sorted(model.exists)
    assert (state.live_bytes > 0) == bool(posted)


@given(st.lists(st.integers(50, 500), min_size=1), st.integers(1, 5))
def test_the_live_bytes_are_about_what_the_records_have(lengths: list[int], kept: int) -> None:
    room = Room("general")
    for index, length in enumerate(lengths):
        room.append(index, 0, length)
    assert room.record_bytes == sum(lengths)
    room.retain(kept)
    assert 50 * room.posts <= room.record_bytes <= 500 * room.posts


def test_what_retention_let_go_is_not_located_though_its_place_is_not_used_again_yet() -> None:
    state = ChatState()
    apply(state, [*map(post, range(1, 11)), ChangeRoom(Actor(), "general", max_messages=8)])
    assert [each[:3] for each in state.located(0, 99, 2)] == [(5, "general", 3), (6, "general", 4)]
    assert state.missed(0, 99) == [Missed("general", False, 8, 10, 12)]
    assert state.page("general", PageRequest(limit=1, after=0)).positions == [5]
    assert state.live().tolist() == list(range(5, 13))


def test_a_long_room_with_retention_holds_no_more_than_twice_what_it_keeps() -> None:
    room = Room("general")
    room.append(1, 0, 100)
    room.retain(10)
    for index in range(2, 1000):
        room.append(index, 0, 100)
        assert len(room._positions) <= 20
    assert room.indexes.tolist() == list(range(990, 1000))


def test_a_deleted_room_is_gone_and_goes_on_counting_when_it_is_made_again() -> None:
    state = ChatState()
    *_, deleted, again = apply(
        state,
        [post(1), post(2), ChangeRoom(Actor(), "general", max_messages=5), DeleteRoom(Actor(), "general"), post(3)],
    )
    assert deleted == RoomDeleted(6, "general")
    assert isinstance(again, Posted)
    assert again.id == 3
    assert state.rooms(NamePageRequest(9))[1] == [RoomSummary("general", 1, START + 7 * STEP, newest_id=3)]
    assert state.live().tolist() == [7]
    assert ids(state) == [3]


def test_what_does_not_exist_is_neither_deleted_nor_configured() -> None:
    results = apply(
        ChatState(),
        [DeleteRoom(Actor(), "general"), ChangeRoom(Actor(), "general", max_messages=1), post(1),
         *[DeleteRoom(Actor(), "general")] * 2,
         ChangeRoom(Actor(), "general", max_messages=1)],
    )  # fmt: skip
    for at in (0, 1, 4, 5):
        refusal = results[at]
        assert isinstance(refusal, Refusal)
        assert refusal.code == "no_such_room"
        assert refusal.detail.startswith("RoomName:")


def test_retention_holds_at_once_and_for_later_posts_until_it_is_taken_away() -> None:
    state = ChatState()
    *_, changed = apply(state, [*map(post, range(1, 6)), ChangeRoom(Actor(), "general", max_messages=2)])
    details = RoomDetails(touched_at=START + 8 * STEP, changed_index=8)
    assert changed == RoomChanged(8, RoomSummary("general", 2, START + 7 * STEP, 2, details, newest_id=5))
    assert ids(state) == [4, 5]
    apply(state, [post(6)], 9)
    assert ids(state) == [5, 6]
    apply(state, [ChangeRoom(Actor(), "general", max_messages=0), post(7)], 10)
    assert ids(state) == [5, 6, 7]


def test_a_retry_of_a_post_that_is_gone_makes_none() -> None:
    state = ChatState()
    apply(state, [post(1), post(2), ChangeRoom(Actor(), "general", max_messages=1)])
    assert apply(state, [post(1), post(2)], 6) == [Repeated(0, 3, 0), Repeated(2, 4, 4)]
    assert apply(state, [DeleteRoom(Actor(), "general"), post(1), post(2)], 8)[1:] == [
        Repeated(0, 3, 0),
        Repeated(0, 4, 0),
    ]
    assert ids(state) == []
    apply(state, [post(3)], 11)
    assert apply(state, [post(2), post(3)], 12) == [Repeated(0, 4, 0), Repeated(3, 11, 11)]


def test_a_reply_to_a_post_that_is_gone_stands() -> None:
    state = ChatState()
    *_, trimmed, _, deleted = apply(
        state,
        [
            post(1),
            post(2),
            ChangeRoom(Actor(), "general", max_messages=1),
            post(3, reply_to=1),
            DeleteRoom(Actor(), "general"),
            post(4, reply_to=3),
        ],
    )
    assert isinstance(trimmed, Posted)
    assert isinstance(deleted, Posted)
    assert deleted.id == 4


def test_a_deletion_is_told_between_the_posts_around_it() -> None:
    state = ChatState()
    told: list[object] = []
    state.listen(lambda index, events: told.extend(events))
    first, *_, last = apply(state, [post(1), DeleteRoom(Actor(), "general"), DeleteRoom(Actor(), "general"), post(2)])
    state.applied(6)
    assert isinstance(first, Posted)
    assert isinstance(last, Posted)
    assert told == [
        PostEvent(3, "general", 1, first.json), RoomDeleted(4, "general"), PostEvent(6, "general", 2, last.json),
    ]  # fmt: skip


def test_who_missed_a_deletion_finds_it_in_its_place_and_no_post_from_before_it() -> None:
    state = ChatState()
    apply(
        state,
        [post(1), post(2, "other"), DeleteRoom(Actor(), "general"), post(3), post(4), DeleteRoom(Actor(), "other")],
    )
    deleted = (5, "general", 0, EventKind.DELETION, 5)
    second, third = (6, "general", 2, EventKind.POST, 6), (7, "general", 3, EventKind.POST, 7)
    assert state.located(0, 99, 99) == [deleted, second, third, (8, "other", 0, EventKind.DELETION, 8)]
    assert state.located(4, 5, 99) == [deleted]
    assert state.located(5, 99, 1, ["general"]) == [second]
    assert state.located(0, 99, 1) == [deleted]
    assert state.missed(0, 99) == [Missed("general", True, 2, 3, 7), Missed("other", True, 0, 0, 8)]
    assert state.missed(5, 6) == [Missed("general", False, 1, 2, 6)]
