"""Names of rooms that are gone: the oldest are forgotten, no Id is given twice, and no client misses a deletion."""

import tracemalloc

import pytest

from chat.commands import OPERATOR, Actor, encode
from chat.commands.cluster import ForgetRooms
from chat.commands.rooms import ChangeRoom, CreateRoom, DeleteRoom
from chat.services.maintenance import Maintenance
from chat.state import forgotten_rooms
from chat.state.apply import expiry
from chat.state.forgotten_rooms import ForgottenRooms
from chat.state.machine import ChatState
from chat.state.results import Posted, Refusal, RoomMade
from chat.state.room import Room
from chat.state.room_details import PRIVATE, PUBLIC, RoomDetails
from chat.state.room_directory import RoomDirectory
from tests.chat.login_client import LoginClient
from tests.chat.state.test_apply_expiry import Log
from tests.support.fake_replica import FakeReplica
from tests.support.node import Node


def gone(log: Log, name: str, posts: int = 0) -> None:
    """A room of this name is made, has so many posts, and is deleted."""
    log.apply(CreateRoom(Actor(), name, PUBLIC))
    for _ in range(posts):
        log.post(name)
    log.apply(DeleteRoom(Actor(), name))


def names(log: Log) -> set[str]:
    return log.state.ask(lambda tables: set(tables.rooms.by_name))


def due(log: Log) -> ForgetRooms | None:
    return log.state.ask(expiry.due_forgetting_rooms)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "GONE_MAX", 10)


def test_the_newest_names_are_kept_and_the_others_forgotten() -> None:
    log = Log()
    log.post("stays")
    for number in range(10):
        gone(log, f"r{number}")
        assert due(log) is None
    gone(log, "r10")
    assert due(log) == ForgetRooms(("r0",))
    gone(log, "r11")
    gone(log, "r1")
    assert due(log) == ForgetRooms(("r0", "r2")), "r1 has gone once more"
    log.apply(ForgetRooms(("r0", "r2", "stays", "never there")))
    assert names(log) == {"stays", "r1", *(f"r{number}" for number in range(3, 12))}
    assert due(log) is None


def test_a_step_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "FORGET_ROOMS", 3)
    log = Log()
    for number in range(18):
        gone(log, f"r{number}")
    assert due(log) == ForgetRooms(("r0", "r1", "r2"))
    log.apply(ForgetRooms(tuple(f"r{number}" for number in range(18))))
    assert len(names(log)) == 15


def test_a_room_that_is_made_under_a_forgotten_name_counts_on_and_others_begin_at_1() -> None:
    log = Log()
    gone(log, "said", posts=3)
    gone(log, "quiet")
    log.apply(ForgetRooms(tuple(names(log))))
    assert names(log) == set()
    posted = [log.post(name) for name in ("said", "quiet", "new")]
    assert [post.id for post in posted if isinstance(post, Posted)] == [4, 1, 1]
    gone(log, "said")
    log.apply(ForgetRooms(tuple(names(log))))
    again = log.post("said")
    assert isinstance(again, Posted) and again.id == 5


def test_no_room_takes_a_forgotten_name_with_ids_of_its_own() -> None:
    log = Log()
    gone(log, "said", posts=3)
    gone(log, "quiet")
    log.apply(ForgetRooms(tuple(names(log))))
    log.post("other")
    taken = log.apply(ChangeRoom(Actor(), "other", name="said"))
    assert isinstance(taken, Refusal) and taken.code == "name_taken"
    assert not isinstance(log.apply(ChangeRoom(Actor(), "other", name="quiet")), Refusal)


def test_a_member_that_restores_goes_on_as_the_others_do() -> None:
    log, restored = Log(), Log()
    for number in range(20):
        gone(log, f"r{number}", posts=number % 4)
    log.apply(ForgetRooms(tuple(f"r{number}" for number in range(18))))
    for state in (log.state, ChatState()):
        restored.state.restore(log.index, state.document() if state is log.state else restored.state.document())
        assert restored.state.digest() == log.state.digest()
    restored.index, restored.time = log.index, log.time
    for each in (log, restored):
        gone(each, "more", posts=2)
        assert list(each.state.ask(lambda tables: tables.rooms.gone)) == ["r18", "r19", "more"]
        each.apply(ForgetRooms(("r18", "more")))
    assert restored.state.digest() == log.state.digest()
    assert restored.state.forgotten_index == log.state.forgotten_index == log.index - 1


def test_former_names_of_private_rooms_are_kept_for_themselves_and_go_with_each_other() -> None:
    chat = LoginClient()
    actor = Actor(chat.number["ann"], "ann")
    for number in range(14):
        chat.do(CreateRoom(actor, f"r{number}", PUBLIC))
        chat.do(ChangeRoom(actor, f"r{number}", name=f"s{number}"))
        chat.do(ChangeRoom(actor, f"s{number}", visibility=PRIVATE, drawn=f"{'a' * 9}{chr(97 + number)}"))
    chat.do(CreateRoom(actor, "plain", PUBLIC))
    chat.do(DeleteRoom(actor, "plain"))
    chat.state.restore(chat.replica.last_applied, chat.state.document())  # which has them by name
    while (command := chat.state.ask(expiry.due_forgetting_rooms)) is not None:
        chat.do(command)
    kept = chat.state.ask(lambda tables: set(tables.rooms.turned_private))
    assert kept == {f"{letter}{number}" for letter in "rs" for number in range(9, 14)}
    assert chat.state.ask(lambda tables: "plain" in tables.rooms.by_name)
    # Whose name is forgotten is as free as one that never was; of the others a post makes no room.
    assert chat.say("bob", "/rooms/s1", Message="hi").status_code == 201
    assert chat.say("bob", "/rooms/s13", Message="hi").status_code == 410


def test_who_was_away_while_forgotten_rooms_were_deleted_starts_over() -> None:
    with Node() as node:
        for number in range(3):
            node.post(f"r{number}")
        first, since = node.replica.last_applied, None
        for number in range(3):
            node.delete(f"r{number}")
            since = since or node.replica.last_applied
        last = node.replica.last_applied
        node.replica.commit(encode(ForgetRooms(("r0", "r1"))))
        node.post("general")
        client = node.connect()
        for index in (first, since):
            client.say(Action="subscribe", Rooms="*", Cursor=f"c0ffee-{index}")
            assert client.hear()["Error"]["code"] == "start_over"
        assert client.subscribe(cursor=f"c0ffee-{last - 1}") == f"c0ffee-{last - 1}"
        assert client.hear()["Event"] == {"Type": "RoomDeleted", "RoomName": "r2"}
        assert "Post" in client.hear()


def test_the_leader_forgets_names_over_the_bound() -> None:
    state = ChatState()
    replica = FakeReplica(state)
    maintenance = Maintenance(replica, state, lambda: 0.0)
    for number in range(12):
        replica.commit(encode(CreateRoom(Actor(OPERATOR), f"r{number}", PUBLIC)))
        replica.commit(encode(DeleteRoom(Actor(), f"r{number}")))
    while maintenance.step():
        pass
    assert state.ask(lambda tables: len(tables.rooms.by_name)) == 10


def test_past_the_bound_the_names_with_the_lowest_ids_go_and_new_rooms_count_from_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forgotten_rooms, "NAMES_MAX", 5)
    left = ForgottenRooms()
    for number in range(10):
        left.add(f"n{number}", number, number + 10)
    assert (len(left.hashes), left.lowest_id, left.log_index) == (5, 4, 19)
    assert list(left.hashes) == sorted(left.hashes)
    assert [left.newest_id(f"n{number}") for number in (1, 4, 5, 9)] == [4, 4, 5, 9]
    assert left.newest_id("never there") == 4
    assert [left.knows(f"n{number}") for number in (4, 5)] == [False, True]
    left.add("n5", 50, 20)
    left.add("n9", 6, 21)
    assert [left.newest_id(f"n{number}") for number in (5, 9)] == [50, 9]


def test_what_is_left_of_a_room_that_was_made_and_deleted_is_16_bytes() -> None:
    table, rooms = RoomDirectory(), 4_000
    for number in range(1, rooms + 1):
        room: Room = table.make(f"a room of some name {number}", RoomDetails())
        room.append(number, 1, 100)
        table.remove(room, number)
    tracemalloc.start()
    try:
        for name in list(table.gone):
            table.forget(name)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(table.by_name), len(table.gone), len(table.forgotten.hashes)) == (0, 0, rooms)
    assert left < 24 * rooms


def test_a_document_says_nothing_of_it_before_a_name_is_forgotten() -> None:
    log = Log()
    assert b"Forgotten" not in b"".join(log.state.document())
    made = log.apply(CreateRoom(Actor(), "r", PUBLIC))
    assert isinstance(made, RoomMade)
