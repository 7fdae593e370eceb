"""Posts that go by their age: by a command, never early, and the room stays."""

from chat.commands import Actor, Post, encode
from chat.commands.cluster import Expire, SetSettings
from chat.commands.posts import DeletePost, EditedPost, EditPost, React, Tombstone
from chat.commands.rooms import ChangeRoom, CreateRoom, DeleteRoom
from chat.state.apply.expiry import due_expiry
from chat.state.events import Event, RoomDeleted
from chat.state.machine import ChatState
from chat.state.name_pages import NamePageRequest
from chat.state.results import Posted, Refusal, RoomChanged, RoomSummary, SettingsChanged
from chat.state.room import PageRequest
from chat.state.room_details import RoomDetails
from chat.state.settings import Settings
from raft.core.entries import command_entry
from raft.core.raft_messages import ProposalId

START = 1_795_428_000_000_000
SECOND = 1_000_000


class Log:
    """A log with one state, whose entries come a second apart where not said otherwise."""

    def __init__(self) -> None:
        self.state = ChatState()
        self.index = 3
        self.time = START + SECOND

    def apply(self, command: object, after_s: float = 1.0) -> object:
        self.index += 1
        self.time += int(after_s * SECOND)
        body = encode(command)  # type: ignore[arg-type]
        return self.state.apply(command_entry(self.index, 1, self.time, ProposalId(1, 1, self.index, 0), body))

    def post(self, room: str = "general") -> object:
        return self.apply(Post(room, "ann", "hi", f"c{self.index}"))

    def keep(self, age_s: int, room: str = "general") -> object:
        return self.apply(ChangeRoom(Actor(), room, max_age_seconds=age_s))

    def expire(self, *rooms: str, in_s: float = 0) -> None:
        """Remove what is too old so long from now, at that time."""
        self.apply(Expire(self.time + SECOND + int(in_s * SECOND), rooms or ("general",)), after_s=1 + in_s)

    def expire_room(self, room: str, *rooms: str, in_s: float) -> None:
        """Remove the room if it is needless so long from now, at that time; before it what is too old in `rooms`."""
        self.apply(Expire(self.time + int(in_s * SECOND), rooms, room), after_s=in_s)

    def set_clock(self, by: int) -> None:
        """A clock entry: the log's time leaps by so much."""
        self.index += 1
        self.state.set_clock(self.index, self.time, self.time + by)
        self.time += by

    def expire_rooms(self) -> None:
        """What the leader finds to be due, by the log's time."""
        command, _ = self.state.ask(lambda tables: due_expiry(tables, self.time, 0))
        if command is not None:
            self.apply(command, after_s=0)

    def ids(self, room: str = "general") -> list[int]:
        page = self.state.page(room, PageRequest())
        return list(range(page.first_id, page.last_id + 1))

    def restored(self) -> ChatState:
        other = ChatState()
        other.restore(self.index, self.state.document())
        return other


def test_posts_go_once_they_are_as_old_as_the_room_keeps_them_and_others_stay() -> None:
    log = Log()
    for _ in range(10):
        log.post()
        log.post("other")
    assert isinstance(log.keep(10), RoomChanged)
    log.expire("general", "other", "unknown")
    assert log.ids("other") == list(range(1, 11))
    # Posts are two seconds apart, the newest is two old, and each may stay for a second more.
    assert log.ids() in ([6, 7, 8, 9, 10], [7, 8, 9, 10])
    assert log.state.live().tolist() == sorted(
        index for room in ("general", "other") for index in log.state.page(room, PageRequest()).positions
    )
    assert log.restored().digest() == log.state.digest()


def test_a_room_that_nothing_is_left_of_stays_and_goes_on_counting() -> None:
    log = Log()
    log.post()
    log.keep(60)
    log.expire(in_s=100)
    assert log.ids() == []
    details = RoomDetails(max_age_s=60, touched_at=log.time, changed_index=5)
    kept = RoomSummary("general", 0, START + 2 * SECOND, None, details, newest_id=1)
    assert log.state.rooms(NamePageRequest(9))[1] == [kept]
    assert log.state.live_bytes == 0
    assert log.restored().digest() == log.state.digest()
    posted = log.post()
    assert isinstance(posted, Posted)
    assert posted.id == 2
    assert log.ids() == [2]


def test_what_was_due_is_not_any_more_once_the_room_keeps_it_longer() -> None:
    log = Log()
    log.post()
    log.keep(10)
    late = Expire(log.time + 100 * SECOND, ("general",))
    log.keep(1_000)
    log.apply(late)
    assert log.ids() == [1]
    log.keep(-1)
    log.expire(in_s=10**9)
    assert log.ids() == [1]


def test_a_change_that_cannot_be_as_a_whole_changes_nothing() -> None:
    log = Log()
    log.post()
    before = list(log.state.document())
    for command in (
        ChangeRoom(Actor(), "general", visibility="private", max_age_seconds=5),
        ChangeRoom(Actor(), "general", name="general~abcdefgh22"),
        ChangeRoom(Actor(), "unknown", max_messages=5),
    ):
        assert isinstance(log.apply(command, after_s=0), Refusal)
    assert list(log.state.document()) == before


def test_both_bounds_hold() -> None:
    log = Log()
    for _ in range(20):
        log.post()
    log.apply(ChangeRoom(Actor(), "general", max_messages=4, max_age_seconds=3))
    assert log.ids() == [17, 18, 19, 20]
    log.expire()
    assert log.ids() == [20] or log.ids() == [19, 20]


def told(log: Log) -> list[Event]:
    """What listeners are told from now on, filled as commands are applied."""
    events: list[Event] = []
    log.state.listen(lambda _, batch: events.extend(batch))
    return events


def set_all(log: Log, **settings: int) -> None:
    assert isinstance(log.apply(SetSettings(Actor(), **settings)), SettingsChanged)  # type: ignore[arg-type]


def test_what_is_set_for_the_cluster_holds_where_a_room_says_nothing() -> None:
    log = Log()
    for _ in range(6):
        log.post()
        log.post("other")
    log.apply(ChangeRoom(Actor(), "other", max_messages=5))
    log.keep(1_000, "other")
    set_all(log, max_messages=3, max_age_seconds=500)
    assert (len(log.ids()), len(log.ids("other"))) == (6, 5)
    log.expire("general", "other")
    assert (len(log.ids()), len(log.ids("other"))) == (3, 5)
    log.expire("general", "other", in_s=600)
    assert (len(log.ids()), len(log.ids("other"))) == (0, 5)
    assert log.restored().digest() == log.state.digest()


def test_a_room_that_is_to_keep_everything_does_whatever_is_set_for_the_cluster() -> None:
    """No command of this version says so of a room; a state's document may."""
    log = Log()
    for _ in range(6):
        log.post()
    room = log.state.ask(lambda tables: tables.rooms.existing("general"))
    assert room is not None
    room.details = RoomDetails(retention_own=True)
    set_all(log, max_messages=3, max_age_seconds=500)
    log.expire(in_s=600)
    log.post()
    assert log.ids() == [1, 2, 3, 4, 5, 6, 7]


def test_an_archived_room_stays_however_long_nobody_has_used_it_and_however_empty_it_is() -> None:
    log = Log()
    log.post()
    log.keep(5)
    log.apply(ChangeRoom(Actor(), "general", archived=True))
    set_all(log, unused_room_seconds=60, empty_room_seconds=60)
    log.expire(in_s=100)
    assert log.ids() == []
    log.expire_room("general", in_s=1_000)
    assert _names(log) == {"general"}
    log.apply(ChangeRoom(Actor(), "general", archived=False))
    log.expire_room("general", in_s=1_000)
    assert _names(log) == set()


def test_a_room_that_nobody_has_used_goes_with_all_its_posts_and_its_listeners_are_told() -> None:
    log = Log()
    log.post()
    log.post("other")
    set_all(log, unused_room_seconds=60)
    events = told(log)
    log.expire_room("general", in_s=30)
    log.state.applied(log.index)
    assert events == []
    log.expire_room("general", in_s=60)
    log.state.applied(log.index)
    assert events == [RoomDeleted(log.index, "general")]
    assert [room.name for room in log.state.rooms(NamePageRequest(9))[1]] == ["other"]
    posted = log.post()
    assert isinstance(posted, Posted)
    assert posted.id == 2


def test_a_room_goes_once_it_has_been_empty_for_so_long() -> None:
    log = Log()
    log.post()
    log.keep(5)
    set_all(log, empty_room_seconds=60)
    log.expire_room("general", "general", in_s=1_000)
    assert log.ids() == []
    assert [room.name for room in log.state.rooms(NamePageRequest(9))[1]] == ["general"], (
        "it has only just become empty"
    )
    log.expire_room("general", in_s=50)
    assert len(log.state.rooms(NamePageRequest(9))[1]) == 1
    log.expire_room("general", in_s=50)
    assert log.state.rooms(NamePageRequest(9))[1] == []
    assert log.restored().digest() == log.state.digest()


def test_there_are_no_more_rooms_than_may_be_and_a_deleted_one_makes_room() -> None:
    log = Log()
    set_all(log, max_rooms=2)
    for room in ("a", "b", "b"):
        assert isinstance(log.post(room), Posted)
    before = list(log.state.document())
    log.time -= SECOND
    assert log.apply(Post("c", "ann", "hi", "new"), after_s=0) == Refusal(
        "too_many_rooms",
        "RoomName: there is no such room, and MaxRooms allows no more. An admin can delete some, or raise it.",
    )
    assert list(log.state.document()) == before, "its ClientId too is as good as new"
    log.apply(DeleteRoom(Actor(), "a"))
    assert isinstance(log.apply(Post("c", "ann", "hi", "new")), Posted)


def test_settings_that_make_no_sense_change_nothing() -> None:
    log = Log()
    for command in (SetSettings(Actor(), max_rooms=-1), SetSettings(Actor(), signup="never")):
        assert isinstance(log.apply(command), Refusal)
    assert log.state.ask(lambda tables: tables.settings) == Settings()


def test_a_room_is_in_use_where_a_post_is_edited_or_reacted_to_or_the_room_is_changed() -> None:
    log = Log()
    log.post()
    log.apply(SetSettings(Actor(), unused_room_seconds=10))
    said = EditedPost("ann", "other", "c3")
    for command in (
        EditPost(Actor(user="ann"), "general", 1, 4, START, said),
        React(Actor(user="bob"), "general", 1, "+", True),
        DeletePost(Actor(user="ann"), "general", 1, 4, START, Tombstone("ann", "c3")),
        ChangeRoom(Actor(), "general", topic="t"),
    ):
        assert not isinstance(log.apply(command, after_s=9), Refusal)
        log.expire_room("general", in_s=9)
        assert log.restored().digest() == log.state.digest()
        assert len(log.state.rooms(NamePageRequest(9))[1]) == 1
    log.expire_room("general", in_s=11)
    assert log.state.rooms(NamePageRequest(9))[1] == []


def test_a_room_that_is_made_again_knows_nothing_of_what_became_of_posts_before_it_was_deleted() -> None:
    log = Log()
    log.post()
    for command in (
        EditPost(Actor(user="ann"), "general", 1, 4, START, EditedPost("ann", "other", "c3")),
        React(Actor(user="bob"), "general", 1, "+", True),
    ):
        assert not isinstance(log.apply(command), Refusal)
    log.apply(DeleteRoom(Actor(), "general"))
    assert log.restored().digest() == log.state.digest()
    log.post()
    assert log.ids() == [2]
    assert log.restored().digest() == log.state.digest()


# --- the log's time is set anew


DAY = 86_400 * SECOND


def test_a_step_that_was_proposed_before_the_logs_time_was_set_back_removes_nothing_that_is_not_too_old() -> None:
    log = Log()
    log.set_clock(400 * DAY)
    log.apply(SetSettings(Actor(), max_age_seconds=30 * 86_400, unused_room_seconds=30 * 86_400))
    for _ in range(5):
        log.post()
    before = log.time
    log.set_clock(-400 * DAY)
    log.apply(Expire(before, ("general",), "general"))
    assert log.ids() == [1, 2, 3, 4, 5]


def _names(log: Log) -> set[str]:
    return {room.name for room in log.state.rooms(NamePageRequest(9))[1]}


def test_rooms_that_are_used_outlive_a_leap_of_the_logs_time() -> None:
    log = Log()
    log.apply(SetSettings(Actor(), unused_room_seconds=3_600, empty_room_seconds=3_600))
    log.post()
    log.apply(CreateRoom(Actor(), "empty", "public", ""))
    log.set_clock(400 * DAY)
    log.expire_rooms()
    assert _names(log) == {"general", "empty"}
    log.time += 2 * 3_600 * SECOND
    log.post("other")
    for _ in range(2):
        log.expire_rooms()
    assert _names(log) == {"other"}


def test_retention_goes_on_after_a_clock_that_was_a_year_ahead_is_accepted() -> None:
    log = Log()
    log.post()
    log.keep(60)
    log.time += 400 * DAY  # at a start: the log follows that
    log.post()
    log.set_clock(-400 * DAY)
    log.expire()
    assert log.ids() == [1, 2], "neither is a minute old"
    log.apply(Post("other", "ann", "hi", "later"), after_s=70)
    log.expire()
    assert log.ids() == []
    assert log.restored().digest() == log.state.digest()


def test_a_state_that_has_followed_a_leap_is_the_same_after_a_snapshot() -> None:
    log = Log()
    log.post()
    log.set_clock(400 * DAY)
    other = log.restored()
    assert other.digest() == log.state.digest()
    for state in (log.state, other):
        state.set_clock(log.index + 1, log.time, log.time - 400 * DAY)
    assert other.digest() == log.state.digest()
