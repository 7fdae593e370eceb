"""Rooms by name: those with posts, those with details alone, those that are gone, and the names that they had."""

from chat.confusable_names import room_looks
from chat.state.room import Room
from chat.state.room_details import PRIVATE, RoomDetails
from chat.state.room_directory import RoomDirectory


def room(name: str, details: RoomDetails | None = None, posts: int = 0) -> Room:
    made = Room(name)
    made.details = details
    for k in range(posts):
        made.append(10 + k, 1000 + k, 100)
    return made


def test_a_room_exists_by_its_posts_or_by_its_details() -> None:
    table = RoomDirectory([room("posts", posts=1), room("details", RoomDetails()), room("neither")])
    assert table.names == ["details", "posts"]
    assert [table.existing(name) is not None for name in ("posts", "details", "neither", "unknown")] == [1, 1, 0, 0]
    assert table.get("neither") is not None


def test_a_deleted_room_exists_no_more_and_counts_on_when_it_is_made_again() -> None:
    table = RoomDirectory([room("a", RoomDetails(topic="t"), posts=2)])
    table.remove(table.by_name["a"], 20)
    assert (table.names, table.existing("a")) == ([], None)
    again = table.make("a")
    again.append(21, 1, 1)
    assert (again.newest_id, again.details, table.names) == (3, None, ["a"])


def test_a_room_is_found_by_the_names_it_had_until_it_goes_or_another_is_made_there() -> None:
    table = RoomDirectory([room("new", RoomDetails(aliases=("old", "older")), posts=1)])
    assert table.get("old") is table.get("older") is table.get("new")
    assert [found.name for found in table.touched_after(0, ["old", "new", "unknown"])] == ["new"]
    table.make("old")
    assert table.get("old") is not table.get("new") is table.get("older")
    table.remove(table.by_name["new"], 20)
    assert table.existing("older") is None


def test_a_name_is_left_with_its_count_and_without_a_count_not_at_all() -> None:
    table = RoomDirectory(
        [room("said", RoomDetails(aliases=("old",)), posts=2), room("quiet", RoomDetails(aliases=("was",)))]
    )
    for name in ("said", "quiet"):
        table.remove(table.by_name[name], 20)
    assert {name: left.newest_id for name, left in table.by_name.items()} == {"said": 2, "old": 2, "quiet": 0}


def test_rooms_that_are_not_public_are_not_among_the_names_that_all_see() -> None:
    table = RoomDirectory([room("a", RoomDetails(visibility=PRIVATE), posts=1), room("b", posts=1)])
    assert table.names == ["b"]
    table.remove(table.by_name["a"], 20)
    assert table.names == ["b"]


def test_rooms_that_look_alike_are_told_apart_by_what_their_commands_said_and_not_by_what_is_worked_out_here() -> None:
    table = RoomDirectory([room("plans", posts=1)])
    assert table.alike == {room_looks("plans"): ["plans"]}
    assert not table.looks_like(room_looks("plans")), "an older log said nothing of it"
    told = table.make("Plans", RoomDetails(), "as told")
    assert table.looks_like("as told")
    assert not table.looks_like("as told", told), "a room looks like itself"
    assert not table.looks_like("")
    table.describe(told, RoomDetails(topic="t"))
    assert table.looks_like("as told")
    table.describe(told, RoomDetails(), "other", "another")
    assert [table.looks_like(looks) for looks in ("as told", "another")] == [False, True]
    table.remove(told, 20)
    assert (table.looks_like("another"), table.alike) == (False, {room_looks("plans"): ["plans"]})


def test_what_somebody_has_made_is_counted_as_long_as_they_are_active() -> None:
    table = RoomDirectory()
    for name, maker in (("a", "bob"), ("b", "bob"), ("c", "eve"), ("d", "")):
        table.make(name, RoomDetails(maker=maker))
    table.make("e", RoomDetails(PRIVATE, maker="bob"))
    assert (table.count, table.made["bob"]) == (5, 3)
    table.retire("bob", is_active=False)
    table.retire("bob", is_active=False)
    assert table.count == 2
    table.remove(table.by_name["a"], 20)
    assert (table.count, table.made["bob"]) == (2, 2)
    table.derive()
    assert table.count == 2
    table.retire("bob", is_active=True)
    assert table.count == 4


def test_a_default_bounds_rooms_that_say_nothing_of_their_own() -> None:
    plain, unlimited, own = room("a"), room("b", RoomDetails(retention_own=True)), room("c")
    own.retain(3)
    for k in range(5):
        for each in (plain, unlimited, own):
            each.append(10 + k, 1, 100, max_messages_default=2)
    assert (plain.posts, unlimited.posts, own.posts) == (2, 5, 3)
