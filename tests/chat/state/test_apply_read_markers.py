"""How far each has read, and where he is mentioned: what the state makes of it."""

import pytest

from chat.commands import NOBODY, OPERATOR, Actor, Post
from chat.commands.accounts import RevokeTokens
from chat.commands.cluster import SetAuth
from chat.commands.posts import WHOLE_ROOM, DeletePost, MarkRead, MarkUnread, Tombstone
from chat.commands.rooms import ChangeRoom, DeleteRoom
from chat.state import tables as state_tables
from chat.state.apply import posts
from chat.state.events import ReadMarkerMoved
from chat.state.results import Done, Posted
from chat.state.room_details import MENTIONS_MAX, PRIVATE, Counts, Reader, RoomDetails
from chat.state.room_views import counts
from chat.state.settings import INVITE, OPEN
from chat.state.tables import Tables
from tests.chat.people import People
from tests.chat.random_log import START, STEP


class Readers(People):
    """Who posts to the room "general", which has no members, and reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0
        self.state.ask(lambda tables: tables.rooms.make("general", RoomDetails()))

    def post(self, author: str = "ann", *mentions: str, room: str = "general") -> Posted:
        self.numbers += 1
        by = self.by[author].by
        return self.made(Post(room, author, "hi", f"c{self.numbers}", 0, by, mentions), Posted)

    def mark(self, name: str, id: int, room: str = "general") -> None:
        assert isinstance(self.do(MarkRead(((self.by[name].by, room, id),))), Done)

    def counts(self, name: str, room: str = "general") -> Counts | None:
        def asked(tables: Tables) -> Counts | None:
            return counts(tables, name, tables.rooms.by_name[room])

        return self.state.ask(asked)

    def describe(self, details: RoomDetails) -> None:
        """As no command on the way does: what a room is made by is none of this."""

        def put(tables: Tables) -> None:
            tables.rooms.by_name["general"].details = details

        self.state.ask(put)

    def reader(self, name: str) -> Reader | None:
        return self.state.ask(lambda tables: tables.readers.get("general", {}).get(name))


@pytest.fixture
def chat() -> Readers:
    return Readers()


def test_who_marks_has_what_came_since_unread(chat: Readers) -> None:
    for _ in range(5):
        chat.post()
    assert chat.counts("bob") is None
    chat.mark("bob", 3)
    assert chat.counts("bob") == (3, 2, 0)
    chat.mark("bob", 2)
    assert chat.counts("bob") == (3, 2, 0), "a mark only goes on"
    chat.post()
    assert chat.counts("bob") == (3, 3, 0)
    assert chat.counts("eve") is None


def test_a_mark_is_told_once_to_who_made_it(chat: Readers) -> None:
    chat.post()
    chat.post()
    chat.told.clear()
    chat.mark("bob", 2)
    chat.mark("bob", 2)
    chat.mark("bob", 1)
    assert chat.told == [ReadMarkerMoved(chat.index - 2, "bob", "general", 2)]


def test_a_marker_goes_back_only_where_messages_are_marked_unread(chat: Readers) -> None:
    for _ in range(4):
        chat.post()
    chat.post("ann", "bob")
    chat.mark("bob", 4)
    chat.told.clear()
    marks = [("bob", 3), ("bob", 3), ("bob", 5), ("bob", 0), ("bob", 9), ("eve", 2)]
    assert chat.do(MarkUnread(tuple((chat.by[name].by, "general", id) for name, id in marks))) == Done(chat.index)
    assert chat.told == [ReadMarkerMoved(chat.index, "bob", "general", 2)]
    assert chat.counts("bob") == (2, 3, 1)
    chat.do(MarkUnread(((chat.by["bob"].by, "general", 1),)))
    assert chat.counts("bob") == (0, 5, 1)
    assert chat.counts("eve") is None, "only readers have something to mark unread"


@pytest.mark.parametrize("id", [-1, 0, 2])
def test_what_was_never_posted_is_not_read(chat: Readers, id: int) -> None:
    chat.post()
    chat.mark("bob", id)
    assert chat.counts("bob") is None


def test_of_a_batch_that_counts_which_can_be(chat: Readers) -> None:
    chat.post()
    chat.post()
    by = {name: actor.by for name, actor in chat.by.items()}
    chat.do(RevokeTokens(Actor(OPERATOR), (by["eve"],)))
    marks = [(by["eve"], "general", 1), (99, "general", 1), (OPERATOR, "general", 1), (NOBODY, "general", 1)]
    marks += [(by["bob"], "nowhere", 1), (by["gus"], "general", 1), (by["bob"], "general", 1)]
    assert chat.do(MarkRead(tuple(marks))) == Done(chat.index)
    assert chat.state.ask(lambda tables: tables.readers) == {"general": {"bob": Reader(1)}}


def test_in_the_open_mode_nobody_marks(chat: Readers) -> None:
    chat.post()
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    chat.mark("bob", 1)
    assert chat.counts("bob") is None


def test_a_mention_counts_until_it_is_read_and_not_for_who_made_it(chat: Readers) -> None:
    chat.post()
    chat.post("ann", "bob", "ann", "nobody", "bob")
    assert chat.counts("bob") == (1, 1, 1)
    assert chat.counts("ann") is None
    chat.post("ann", "bob")
    assert chat.counts("bob") == (1, 2, 2)
    chat.mark("bob", 2)
    assert chat.counts("bob") == (2, 1, 1)
    chat.mark("bob", 3)
    assert chat.counts("bob") == (3, 0, 0)


def test_who_does_not_see_the_room_is_not_mentioned_there(chat: Readers) -> None:
    chat.post()
    chat.describe(RoomDetails(PRIVATE, members=frozenset({"ann", "bob"}), owner="ann"))
    chat.post("ann", "bob", "eve", "gus")
    assert chat.counts("bob") == (1, 1, 1)
    assert chat.counts("eve") is chat.counts("gus") is None


def test_the_whole_room_is_its_members(chat: Readers) -> None:
    chat.post()
    chat.post("ann", WHOLE_ROOM)
    assert chat.state.ask(lambda tables: tables.readers) == {}, "nobody is a member"
    chat.describe(RoomDetails(members=frozenset({"ann", "bob", "gus"})))
    chat.post("ann", WHOLE_ROOM, "eve")
    readers = chat.state.ask(lambda tables: tables.readers["general"])
    assert list(readers.items()) == [("bob", Reader(2, (3,))), ("gus", Reader(2, (3,))), ("eve", Reader(2, (3,)))]


def test_in_a_large_room_only_owner_and_admins_mention_all(chat: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts, "WHOLE_ROOM_MAX", 2)
    chat.post()
    members = frozenset({"ann", "bob", "eve"})
    chat.describe(RoomDetails(members=members, owner="eve"))
    chat.post("bob", WHOLE_ROOM)
    assert chat.reader("ann") is None
    chat.post("eve", WHOLE_ROOM)
    assert chat.reader("ann") == Reader(2, (3,))
    chat.post("ann", WHOLE_ROOM)
    assert chat.reader("bob") == Reader(2, (3, 4))


def test_of_many_mentions_the_newest_stay(chat: Readers) -> None:
    for _ in range(MENTIONS_MAX + 2):
        chat.post("ann", "bob")
    reader = chat.reader("bob")
    assert reader is not None
    assert (reader.mentions[0], len(reader.mentions)) == (3, MENTIONS_MAX)


def test_a_room_has_so_many_readers_and_no_more(chat: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_tables, "READERS_MAX", 1)
    chat.post()
    chat.told.clear()
    chat.mark("bob", 1)
    chat.mark("eve", 1)
    chat.post("ann", "eve", "bob")
    assert chat.counts("eve") is None
    assert chat.counts("bob") == (1, 1, 1)
    assert [event.user for event in chat.told if isinstance(event, ReadMarkerMoved)] == ["bob"]


def test_posts_that_are_gone_are_not_unread_and_those_taken_back_mention_nobody(chat: Readers) -> None:
    chat.post()
    chat.mark("bob", 1)
    posted = chat.post("ann", "bob")
    chat.post("ann", "bob")
    tombstone = Tombstone("ann", f"c{chat.numbers - 1}")
    chat.do(DeletePost(chat.by["ann"], "general", 2, posted.index, START + posted.index * STEP, tombstone))
    assert chat.counts("bob") == (1, 2, 1)
    chat.describe(RoomDetails())
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    chat.do(ChangeRoom(Actor(), "general", max_messages=1))
    assert chat.counts("bob") == (1, 1, 1)


def test_who_comes_into_a_room_has_read_what_was_said_before(chat: Readers) -> None:
    chat.post()
    chat.mark("eve", 1)
    chat.post()

    def join(tables: Tables) -> None:
        tables.add_readers(tables.rooms.by_name["general"], ["bob", "eve"])

    chat.state.ask(join)
    chat.post()
    assert chat.counts("bob") == (2, 1, 0)
    assert chat.counts("eve") == (1, 2, 0)


def test_a_users_name_is_held_once_however_many_rooms_he_reads(chat: Readers) -> None:
    for room in ("a", "b"):
        chat.post("ann", "bob", room=room)
    held = [
        name for readers in chat.state.ask(lambda tables: tables.readers).values() for name in readers if name == "bob"
    ]
    assert len(held) == 2
    assert held[0] is held[1] is chat.user("bob").name


def test_nothing_stays_of_a_rooms_readers_when_it_is_deleted(chat: Readers) -> None:
    chat.post("ann", "bob")
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    chat.do(DeleteRoom(Actor(), "general"))
    assert chat.state.ask(lambda tables: tables.readers) == {}
