"""What a subscriber gets: its rooms, what it missed, what comes; without a hole or a repeat."""

import random
import threading
from collections.abc import Sequence

import pytest

from chat.commands import Actor, encode
from chat.commands.rooms import ChangeRoom, CreateRoom
from chat.realtime import subscription
from raft.core.raft_messages import Command
from raft.errors import CorruptLog
from tests.support.node import DEADLINE_S, Node, NodeClient


def test_who_only_listens_gets_room_and_post_of_every_room(node: Node) -> None:
    client = node.connect()
    node.post("general", "héllo")
    node.post("other")
    frame = client.hear()
    assert set(frame) == {"RoomName", "Post"}
    assert frame["RoomName"] == "general"
    assert frame["Post"]["Id"] == 1
    assert frame["Post"]["Message"] == "héllo"
    assert client.hear()["RoomName"] == "other"


def test_a_subscriber_gets_its_rooms_only_each_frame_with_its_cursor(node: Node) -> None:
    client = node.connect()
    assert client.subscribe(["general", "cafe\u0301"]) == "c0ffee-2"
    for room in ("other", "general", "caf\u00e9", "other", "general"):
        node.post(room)
    frames = [client.hear() for _ in range(3)]
    assert [(frame["RoomName"], frame["Cursor"]) for frame in frames] == [
        ("general", "c0ffee-4"),
        ("caf\u00e9", "c0ffee-5"),
        ("general", "c0ffee-7"),
    ]


def test_what_was_missed_comes_before_what_is_live(node: Node) -> None:
    for number in range(5):
        node.post(message=f"{number}")
    client = node.connect()
    client.subscribe(cursor="c0ffee-5")
    node.post(message="live")
    frames = [client.hear() for _ in range(3)]
    assert [frame["Post"]["Message"] for frame in frames] == ["3", "4", "live"]
    assert frames[0]["Post"]["Id"] == 4
    assert [frame["Cursor"] for frame in frames] == ["c0ffee-6", "c0ffee-7", "c0ffee-8"]


def test_subscribing_again_replaces_the_subscription(node: Node) -> None:
    client = node.connect()
    client.subscribe(["a"])
    client.subscribe(["b"])
    node.post("a")
    node.post("b")
    assert client.hear()["RoomName"] == "b"
    for _ in range(50):  # none of them is waited for
        client.say(Action="subscribe", Rooms="*", Cursor="c0ffee-2")
    client.say(Action="ping")
    node.post("c")
    frames = [client.hear()]
    while frames[-1].get("Cursor") != "c0ffee-5":
        frames.append(client.hear())
    last_hello = max(k for k, frame in enumerate(frames) if "Hello" in frame)
    assert [frame["RoomName"] for frame in frames[last_hello + 1 :] if "Pong" not in frame] == ["a", "b", "c"]


@pytest.mark.parametrize("seed", range(3))
def test_resuming_by_cursor_has_no_hole_and_no_repeat_while_posts_keep_coming(node: Node, seed: int) -> None:
    rng = random.Random(seed)
    rooms = ["a", "b", "c"]
    total = 600
    placed = [rng.choice(rooms) for _ in range(total)]
    wanted: Sequence[str] = rng.choice([["a"], ["a", "c"], rooms])
    expected = [index for index, room in enumerate(placed, 3) if room in wanted]
    for room in placed[: total // 3]:
        node.post(room)

    def go_on() -> None:
        for room in placed[total // 3 :]:
            node.post(room, "x" * 500)
            node.settle()

    posting = threading.Thread(target=go_on)
    posting.start()
    cursor, seen = "c0ffee-2", list[int]()
    while len(seen) < len(expected):
        client = NodeClient(node.port)
        client.say(Action="subscribe", Rooms="*" if len(wanted) == 3 else wanted, Cursor=cursor)
        while "Hello" not in client.hear():  # what came while it only listened
            pass
        for _ in range(min(rng.randint(1, 60), len(expected) - len(seen))):
            frame = client.hear()
            cursor = frame["Cursor"]
            seen.append(int(cursor.split("-")[1]))
        client.close()
    posting.join()
    assert seen == expected


def test_a_long_backfill_waits_for_a_slow_reader_and_does_not_end_it(node: Node) -> None:
    texts = [f"{number}".ljust(8000, "é") for number in range(200)]
    for text in texts:
        node.post(message=text)
    client = node.connect(receive_buffer=4096)
    client.subscribe(cursor="c0ffee-2")
    assert [client.hear()["Post"]["Message"] for _ in texts] == texts
    node.post(message="live")
    assert client.hear()["Post"]["Message"] == "live"


def test_too_much_missed_is_told_by_room_and_then_it_goes_on_live(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "MISSED_POSTS_MAX", 10)
    for _ in range(6):
        node.post("a")
        node.post("b")
    client = node.connect()
    client.subscribe(cursor="c0ffee-3")
    limited = [client.hear(), client.hear()]
    assert {frame["Limited"]["RoomName"]: frame["Limited"]["NewestId"] for frame in limited} == {"a": 6, "b": 6}
    assert [frame.get("Cursor") for frame in limited] == [None, "c0ffee-14"]
    node.post("a")
    assert client.hear()["Cursor"] == "c0ffee-15"

    one_room = node.connect()
    one_room.subscribe(["b"], cursor="c0ffee-3")
    assert [one_room.hear()["Post"]["Id"] for _ in range(6)] == [1, 2, 3, 4, 5, 6]


def deleted(room: str, index: int) -> dict[str, object]:
    return {"Event": {"Type": "RoomDeleted", "RoomName": room}, "Cursor": f"c0ffee-{index}"}


def test_a_subscriber_is_told_of_a_deleted_room_and_who_only_listens_is_not(node: Node) -> None:
    listener, everything, other = node.connect(), node.connect(), node.connect()
    everything.subscribe()
    other.subscribe(["other"])
    node.post("general")
    assert everything.hear()["Cursor"] == "c0ffee-3"  # before it is gone
    node.delete("general")
    node.post("other")
    assert everything.hear() == deleted("general", 4)
    assert other.hear()["RoomName"] == "other"
    assert [listener.hear()["RoomName"], listener.hear()["RoomName"]] == ["general", "other"]


def test_resuming_over_a_deletion_tells_it_in_its_place_and_nothing_from_before_it(node: Node) -> None:
    for room in ("a", "b", "a"):
        node.post(room)
    node.delete("a")
    node.post("a", "again")
    client = node.connect()
    client.subscribe(cursor="c0ffee-2")
    frames = [client.hear() for _ in range(3)]
    assert [frame["Cursor"] for frame in frames] == ["c0ffee-4", "c0ffee-6", "c0ffee-7"]
    assert frames[1] == deleted("a", 6)
    assert (frames[2]["Post"]["Id"], frames[2]["Post"]["Message"]) == (3, "again")

    one_room = node.connect()
    one_room.subscribe(["a"], cursor="c0ffee-6")
    assert one_room.hear()["Cursor"] == "c0ffee-7"


def test_a_subscriber_is_told_how_a_room_is_that_was_made_or_changed_and_who_resumes_how_it_is_by_then(
    node: Node,
) -> None:
    everything, listener = node.connect(), node.connect()
    everything.subscribe()
    node.post("other")
    assert everything.hear()["Cursor"] == "c0ffee-3"  # from here on it hears what comes, and no less
    node.replica.commit(encode(CreateRoom(Actor(), "general", "public", "plans")))
    node.replica.commit(encode(ChangeRoom(Actor(), "general", name="lobby")))
    node.replica.commit(encode(ChangeRoom(Actor(), "lobby", archived=True)))
    told = [everything.hear() for _ in range(3)]
    assert [frame["Cursor"] for frame in told] == ["c0ffee-4", "c0ffee-5", "c0ffee-6"]
    assert {frame["Event"]["Type"] for frame in told} == {"RoomChanged"}
    assert [frame["Event"]["RoomName"] for frame in told] == ["general", "lobby", "lobby"]
    rooms = [frame["Event"]["Room"] for frame in told]
    assert [room["Name"] for room in rooms] == ["general", "lobby", "lobby"]
    assert [room["Archived"] for room in rooms] == [False, False, True]
    assert rooms[2]["Topic"] == "plans"
    node.post("other")
    assert [listener.hear()["RoomName"] for _ in range(2)] == ["other", "other"]
    for asked in ("*", ["general"], ["lobby"]):
        late = node.connect()
        late.subscribe(asked, cursor="c0ffee-3")
        assert late.hear() == told[2]


def test_resuming_after_a_moment_without_a_post_in_its_rooms_reads_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("a", "b", "b"):
        node.post(room)
    monkeypatch.setattr(node.replica, "commands", None)  # reading would fail, and close the socket
    client = node.connect()
    client.subscribe(["a", "none yet"], cursor="c0ffee-3")
    node.post("b")
    node.post("a", "live")
    assert client.hear()["Post"]["Message"] == "live"


def test_resuming_after_a_moment_reads_nothing_that_the_hub_still_knows(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    bystander = node.connect()
    for number in range(300):  # more than a page
        node.post("ab"[number % 2], f"{number}")
    for _ in range(300):
        bystander.hear()
    monkeypatch.setattr(node.replica, "commands", None)  # reading would fail, and close the socket
    for rooms in (["a", "b"], "*"):
        client = node.connect()
        client.subscribe(rooms, cursor="c0ffee-2")
        assert [client.hear()["Post"]["Message"] for _ in range(300)] == [f"{number}" for number in range(300)]


def test_resuming_reads_from_the_log_what_the_hub_does_not_know_any_more(node: Node) -> None:
    node.post(message="unheard")  # nobody is there
    bystander = node.connect()
    node.post(message="heard")
    bystander.hear()
    client = node.connect()
    client.subscribe(["general"], cursor="c0ffee-2")
    assert [client.hear()["Post"]["Message"] for _ in range(2)] == ["unheard", "heard"]


def test_resuming_over_posts_that_retention_let_go_goes_on_with_the_first_that_is_left(node: Node) -> None:
    for _ in range(5):
        node.post()
    node.keep(2)
    client = node.connect()
    client.subscribe(cursor="c0ffee-3")
    assert [client.hear()["Post"]["Id"] for _ in range(2)] == [4, 5]
    assert client.hear()["Event"]["Type"] == "RoomChanged"
    node.post(message="live")
    assert client.hear()["Post"]["Id"] == 6


def test_too_much_missed_tells_what_was_deleted_and_the_rooms_that_are_left(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "MISSED_POSTS_MAX", 3)
    node.post("gone")
    for _ in range(5):
        node.post("again")
    node.delete("gone")
    node.delete("again")
    for _ in range(4):
        node.post("again")
    client = node.connect()
    client.subscribe(cursor="c0ffee-2")
    frames = [client.hear() for _ in range(3)]
    assert {"Event": {"Type": "RoomDeleted", "RoomName": "gone"}} in [
        {name: value for name, value in frame.items() if name != "Cursor"} for frame in frames
    ]
    order = [frame for frame in frames if "again" in str(frame)]
    assert [next(iter(frame)) for frame in order] == ["Event", "Limited"]
    assert order[1]["Limited"] == {"RoomName": "again", "NewestId": 9}
    assert [frame.get("Cursor") for frame in frames] == [None, None, "c0ffee-14"]


def test_posts_that_leave_the_log_while_they_are_read_are_left_out(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(6):
        node.post()
    read = node.replica.commands

    def commands_after_a_compaction(indexes: Sequence[int]) -> list[Command]:
        if not node.replica.gone:
            node.keep(2)
            node.replica.gone = {3, 4, 5, 6}
        return read(indexes)

    monkeypatch.setattr(node.replica, "commands", commands_after_a_compaction)
    client = node.connect()
    client.subscribe(cursor="c0ffee-2")
    assert [client.hear()["Post"]["Id"] for _ in range(2)] == [5, 6]
    assert client.hear()["Event"]["Type"] == "RoomChanged"
    node.post()
    assert client.hear()["Post"]["Id"] == 7


def test_a_log_that_lacks_what_the_state_has_ends_the_socket_with_1013(node: Node) -> None:
    node.post()
    node.replica.gone = {3}
    client = node.connect()
    client.say(Action="subscribe", Rooms="*", Cursor="c0ffee-2")
    assert client.hear_close() == 1013


def test_what_is_damaged_is_sent_once_it_is_mended(node: Node) -> None:
    for _ in range(3):
        node.post()
    node.replica.damaged = {4}
    client = node.connect()
    client.subscribe(cursor="c0ffee-2")
    assert [client.hear()["Post"]["Id"] for _ in range(3)] == [1, 2, 3]
    assert node.replica.waits_for_mends and all(name.startswith("hub-reader") for name in node.replica.waits_for_mends)


def test_a_client_pages_past_what_no_node_has(node: Node) -> None:
    for _ in range(3):
        node.post()
    node.replica.damaged, node.replica.mends = {4}, False
    client = node.connect()
    client.subscribe(cursor="c0ffee-2")
    assert client.hear()["Limited"] == {"RoomName": "general", "NewestId": 3}
    node.post()
    assert client.hear()["Post"]["Id"] == 4


def test_others_are_served_while_as_many_as_there_are_workers_wait(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        node.post()
    node.replica.damaged = {4}
    may_go_on, waiting, mended = threading.Event(), threading.Semaphore(0), node.replica.mended

    def slowly(damage: CorruptLog) -> bool:
        waiting.release()
        assert may_go_on.wait(DEADLINE_S)
        return mended(damage)

    monkeypatch.setattr(node.replica, "mended", slowly)
    held = [node.connect() for _ in range(3)]
    for client in held:
        client.subscribe(cursor="c0ffee-2")
        assert waiting.acquire(timeout=DEADLINE_S)
    other = node.connect()
    other.subscribe(cursor="c0ffee-4")
    assert other.hear()["Post"]["Id"] == 3
    may_go_on.set()
    for client in held:
        assert [client.hear()["Post"]["Id"] for _ in range(3)] == [1, 2, 3]


def test_a_state_that_is_restored_closes_sockets_and_a_cursor_goes_on_from_there(node: Node) -> None:
    client = node.connect()
    cursor = client.subscribe()
    with Node() as ahead:
        for number in range(5):
            ahead.post(message=f"{number}")
        node.replica.take_over(ahead.replica)
    assert client.hear_close() == 1013
    again = node.connect()
    again.subscribe(cursor=cursor)
    assert [again.hear()["Post"]["Message"] for _ in range(5)] == ["0", "1", "2", "3", "4"]
    node.post(message="live")
    assert again.hear()["Cursor"] == "c0ffee-8"


def test_a_cursor_ahead_of_this_node_waits_for_it(node: Node) -> None:
    node.replica.leader_index, node.replica.on_wait = 4, lambda: None
    client = node.connect()
    client.say(Action="subscribe", Rooms="*", Cursor="c0ffee-4")
    client.say(Action="ping")
    assert client.hear() == {"Pong": {}}
    for _ in range(3):
        node.post()
    assert client.hear()["Hello"]["Cursor"] == "c0ffee-4"
    assert client.hear()["Cursor"] == "c0ffee-5"


def test_a_cursor_that_this_node_does_not_reach_ends_the_socket_with_1013(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "CURSOR_WAIT_S", 0.1)
    node.replica.leader_index = 99
    for cursor in ("c0ffee-99", "c0ffee-ab12-2"):  # this node may not know the generation yet
        client = node.connect()
        client.say(Action="subscribe", Rooms="*", Cursor=cursor)
        assert client.hear_close() == 1013


def start_over(client: NodeClient, cursor: str, rooms: object = "*") -> None:
    """The client is told to start over at once, and does."""
    client.say(Action="subscribe", Rooms=rooms, Cursor=cursor)
    error = client.hear()["Error"]
    assert (error["code"], error["Temporary"], error["ClientId"]) == ("start_over", False, None)


@pytest.mark.parametrize("cursor", ["c0ffee-99", "c0ffee-ab12-2", "c0ffee-ab12-99", "beef-2"])
def test_a_cursor_of_a_history_that_is_lost_is_answered_at_once_and_the_socket_goes_on(node: Node, cursor: str) -> None:
    client = node.connect()
    start_over(client, cursor)
    node.post(message="not followed")
    assert client.subscribe() == "c0ffee-3"
    node.post(message="followed")
    assert client.hear()["Cursor"] == "c0ffee-4"


def test_cursors_carry_the_generation_and_those_of_an_earlier_one_start_over(node: Node) -> None:
    node.post()
    before = node.connect()
    assert before.subscribe() == "c0ffee-3"
    node.replica.generation = "ab12"
    node.post("general", "live")
    assert before.hear()["Cursor"] == "c0ffee-ab12-4"
    client = node.connect()
    assert client.subscribe(cursor="c0ffee-ab12-3") == "c0ffee-ab12-3"
    assert client.hear()["Cursor"] == "c0ffee-ab12-4"
    for lost in ("c0ffee-3", "c0ffee-99", "c0ffee-cd34-3"):
        start_over(node.connect(), lost)


def test_a_node_that_does_not_know_a_generation_yet_waits_for_it(node: Node) -> None:
    node.replica.leader_index, node.replica.on_wait = 4, lambda: None
    client = node.connect()
    client.say(Action="subscribe", Rooms="*", Cursor="c0ffee-ab12-3")
    client.say(Action="ping")
    assert client.hear() == {"Pong": {}}
    node.post()
    node.replica.generation = "ab12"
    node.post(message="two")
    assert client.hear()["Hello"]["Cursor"] == "c0ffee-ab12-3"
    assert client.hear()["Post"]["Message"] == "two"


def test_a_client_that_asks_again_and_again_has_the_leader_asked_once_at_a_time(node: Node) -> None:
    node.replica.holds_reads = True
    client = node.connect()
    asked = node.replica.reads
    for index in range(90, 140):
        client.say(Action="subscribe", Rooms="*", Cursor=f"c0ffee-{index}")
    client.say(Action="ping")
    assert client.hear() == {"Pong": {}}
    assert node.replica.reads == asked + 1
    for _ in range(2):  # the first one that was asked for, then the last
        node.replica.release_reads()
        node.settle()
    assert client.hear()["Error"]["code"] == "start_over"
    assert node.replica.reads == asked + 2
    assert client.subscribe() == "c0ffee-2"


def test_a_place_that_is_reached_is_not_waited_for_a_second_time(node: Node) -> None:
    """The log gets there before the leader has confirmed it."""
    node.replica.holds_reads = True
    client = node.connect()
    client.say(Action="subscribe", Rooms="*", Cursor="c0ffee-3")
    client.say(Action="ping")
    assert client.hear() == {"Pong": {}}
    held, node.replica._readers = node.replica._readers, []
    node.post()
    assert client.hear()["Hello"]["Cursor"] == "c0ffee-3"
    for _, done in held:
        done(None)
    node.settle()
    node.post()
    assert client.hear()["Cursor"] == "c0ffee-4"


def test_a_read_that_fails_ends_the_socket_with_1011(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_indexes: Sequence[int]) -> list[Command]:
        raise OSError("the disk is gone")

    node.post()
    monkeypatch.setattr(node.replica, "commands", fail)
    client = node.connect()
    client.say(Action="subscribe", Rooms="*", Cursor="c0ffee-2")
    assert client.hear_close() == 1011


@pytest.mark.parametrize(
    "cursor", ["", "c0ffee", "c0ffee-", "c0ffee--1", "c0ffee-3 ", "c0ffee-99999999999999999", "c0ffee-AB-3", 3]
)
def test_a_cursor_that_no_node_gave_out_is_a_bad_cursor(node: Node, cursor: object) -> None:
    client = node.connect()
    client.say(Action="subscribe", Rooms="*", Cursor=cursor)
    assert client.hear()["Error"]["code"] == "bad_cursor"


def test_who_subscribed_is_told_of_edits_deletions_and_reactions_and_who_only_listens_is_not(node: Node) -> None:
    listener, subscriber, other = node.connect(), node.connect(), node.connect()
    subscriber.subscribe(["general"])
    other.subscribe(["other"])
    node.post("general", "secret")
    assert subscriber.hear()["Post"]["Message"] == "secret"  # before it is gone
    node.react(1)
    node.revise(1, "new")
    node.revise(1, None)
    node.post("other", "last")
    reacted, edited, erased = [subscriber.hear() for _ in range(3)]
    assert reacted == {
        "Event": {
            "Type": "Reacted", "RoomName": "general", "Id": 1, "Emoji": "+", "User": "ann", "On": True, "Count": 1,
        },
        "Cursor": "c0ffee-4",
    }  # fmt: skip
    assert edited["Event"]["Type"] == erased["Event"]["Type"] == "PostChanged"
    assert (edited["Event"]["Post"]["Message"], edited["Event"]["Post"]["Reactions"]) == ("new", {"+": ["ann"]})
    assert (erased["Event"]["Post"]["Message"], erased["Event"]["Post"]["Deleted"]) == ("", True)
    assert [edited["Cursor"], erased["Cursor"]] == ["c0ffee-5", "c0ffee-6"]
    assert other.hear()["Post"]["Message"] == "last"
    assert [listener.hear()["Post"]["Message"] for _ in range(2)] == ["secret", "last"]


@pytest.mark.parametrize("rooms", [["general"], "*"])  # from the hub's memory where it can be, and from the log
def test_resuming_tells_each_post_as_it_is_now_and_never_a_text_that_was_taken_back(node: Node, rooms: object) -> None:
    bystander = node.connect()  # so the hub remembers what it told
    bystander.subscribe()
    for text in ("secret one", "two", "secret three", "four"):
        node.post("general", text)
        assert bystander.hear()["Post"]["Message"] == text
    node.react(2)
    node.revise(1, None)
    node.revise(2, "secret edit")
    node.revise(2, "two, again")
    node.revise(3, "secret edit")
    node.revise(3, None)
    told = [bystander.hear() for _ in range(6)]
    assert "secret" in str(told)
    client = node.connect()
    client.subscribe(rooms, cursor="c0ffee-2")
    frames = [client.hear() for _ in range(8)]
    assert "secret" not in str(frames)
    assert [frame["Cursor"] for frame in frames] == [f"c0ffee-{index}" for index in (3, 4, 5, 6, 7, 8, 10, 12)]
    posts = [frame["Post"] for frame in frames[:4]]
    assert [(post["Message"], post.get("Deleted")) for post in posts] == [
        ("", True), ("two, again", None), ("", True), ("four", None),
    ]  # fmt: skip
    assert frames[5:] == [told[1], told[3], told[5]]
    assert frames[4]["Event"] == {"Type": "Reacted", "RoomName": "general", "Id": 2, "Reactions": {"+": ["ann"]}}


def test_resuming_tells_the_reactions_with_an_edit_that_came_after_them(node: Node) -> None:
    node.post()
    node.react(1)
    node.revise(1, "new")
    client = node.connect()
    client.subscribe(cursor="c0ffee-4")
    assert client.hear()["Event"]["Post"]["Reactions"] == {"+": ["ann"]}


def test_who_missed_too_many_changes_is_told_which_rooms_to_read_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "MISSED_POSTS_MAX", 3)
    for _ in range(4):
        node.post("a")
    node.post("b")
    for id in range(1, 5):
        node.react(id, room="a")
    client = node.connect()
    client.subscribe(cursor="c0ffee-7")
    assert client.hear() == {"Limited": {"RoomName": "a", "NewestId": 4}, "Cursor": "c0ffee-11"}


def test_a_room_that_was_renamed_is_followed_by_the_name_that_was_asked_for(node: Node) -> None:
    client = node.connect()
    client.subscribe(["general"])
    node.post("general", "1")
    node.rename("general", "team")
    node.post("team", "2")
    node.post("general", "3")  # who has not heard of it yet
    told = [client.hear() for _ in range(4)]
    assert [frame.get("RoomName") for frame in told] == ["general", None, "team", "team"]
    assert told[1]["Event"]["Room"]["Aliases"] == ["general"]

    late = node.connect()
    late.subscribe(["general", "x"])  # renamed before
    node.post("team", "4")
    assert late.hear()["RoomName"] == "team"
    node.rename("team", "crew")
    node.post("crew", "5")
    assert [late.hear().get("RoomName") for _ in range(2)] == [None, "crew"]


def test_what_was_missed_of_a_room_that_was_renamed_is_told_by_its_present_name_and_that_it_is(node: Node) -> None:
    node.connect()  # so that the hub remembers what it has told
    node.post("general", "1")
    node.post("other", "2")
    node.rename("general", "team")
    node.post("team", "3")
    for rooms, names in ((["general"], ["team"] * 2), (["team"], ["team"] * 2), ("*", ["team", "other", "team"])):
        client = node.connect()
        client.subscribe(rooms, "c0ffee-2")
        frames = [client.hear() for _ in range(len(names) + 1)]
        assert [frame["RoomName"] for frame in frames if "Post" in frame] == names
        (event,) = (frame["Event"] for frame in frames if "Event" in frame)
        assert (event["Type"], event["RoomName"]) == ("RoomChanged", "team")
        assert [int(frame["Cursor"].split("-")[1]) for frame in frames] == sorted(
            int(frame["Cursor"].split("-")[1]) for frame in frames
        )


def test_a_client_that_has_read_subscribes_from_the_index_of_the_answer_on(node: Node) -> None:
    node.post()
    read_at = str(node.replica.last_applied)
    node.post()
    client = node.connect()
    client.say(Action="subscribe", Rooms="*", Cursor=read_at)
    assert client.hear()["Hello"]["Cursor"] == f"c0ffee-{read_at}"
    assert client.hear()["Post"]["Id"] == 2
