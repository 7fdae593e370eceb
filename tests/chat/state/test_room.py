"""Pages of a room, and a reader's JSON cut from the log."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.commands import Post, encode
from chat.state.post_json import render_post, timestamp
from chat.state.room import SHORT_MAX, PageRequest, Room, copies
from raft.core.raft_messages import Command
from tests.chat.test_commands import POSTS


def command(post: Post, time: int = 1_795_428_000_123_456) -> Command:
    return Command(7, time, encode(post))


@given(POSTS, st.integers(1, 2**53), st.integers(0, 2**52))
def test_a_rendered_post_is_the_command_with_id_and_time(post: Post, id: int, time: int) -> None:
    rendered = json.loads(render_post(command(post, time), id))
    assert rendered == {
        "Id": id,
        "User": post.user,
        "Message": post.message,
        "PostedAt": timestamp(time),
        "ClientId": post.client_id,
    } | ({"ReplyTo": post.reply_to} if post.reply_to else {})


@pytest.mark.parametrize(
    "text", [',"Post":{', ',"ClientId":"', '"', "\\", ",", '","Post":{"User":"x', "}}", '\\","Post":{']
)
def test_a_text_that_looks_like_the_layout_is_not_cut(text: str) -> None:
    post = json.loads(render_post(command(Post(text, text, text, text)), 1))
    assert [post["User"], post["Message"], post["ClientId"]] == [text] * 3


def test_a_time_is_told_to_the_microsecond_in_utc() -> None:
    assert timestamp(1_795_428_000_123_456) == "2026-11-23T10:00:00.123456Z"
    assert timestamp(1_795_428_000_000_000) == "2026-11-23T10:00:00.000000Z"


@pytest.mark.parametrize(
    ("ask", "span"),
    [
        (PageRequest(3), (8, 10)),
        (PageRequest(100), (1, 10)),
        (PageRequest(3, before=8), (5, 7)),
        (PageRequest(3, before=2), (1, 1)),
        (PageRequest(3, before=99), (8, 10)),
        (PageRequest(3, after=0), (1, 3)),
        (PageRequest(3, after=8), (9, 10)),
        (PageRequest(3, around=5), (4, 6)),
        (PageRequest(4, around=5), (3, 6)),
        (PageRequest(1, around=5), (5, 5)),
        (PageRequest(4, around=1), (1, 4)),
        (PageRequest(4, around=10), (7, 10)),
        (PageRequest(4, around=99), (7, 10)),
    ],
)
def test_a_page_of_a_room_of_ten(ask: PageRequest, span: tuple[int, int]) -> None:
    assert ask.span(1, 10) == span


@pytest.mark.parametrize(
    "ask", [PageRequest(3, before=1), PageRequest(3, before=0), PageRequest(3, after=10), PageRequest(3, after=99)]
)
def test_a_page_past_an_end_is_empty(ask: PageRequest) -> None:
    first, last = ask.span(1, 10)
    assert first == last + 1


@given(
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(1, 60),
    st.sampled_from(["before", "after", "around"]),
    st.integers(0, 110),
)
def test_a_page_is_what_filtering_all_ids_gives(gone: int, count: int, limit: int, side: str, id: int) -> None:
    oldest, newest = gone + 1, gone + count
    first, last = PageRequest(limit, **{side: id}).span(oldest, newest)
    assert oldest <= first <= last + 1
    page, everything = list(range(first, last + 1)), range(oldest, newest + 1)
    if side == "before":
        assert page == [other for other in everything if other < id][-limit:]
    elif side == "after":
        assert page == [other for other in everything if other > id][:limit]
    else:
        assert len(page) == min(limit, count)
        assert not oldest <= id <= newest or id in page


def test_posts_are_located_between_two_log_indexes() -> None:
    room = Room("general")
    for index in (3, 5, 8, 13):
        room.append(index, 0, 100)
    assert [(each.log_index, each.id) for each in room.located(3, 8, 10)] == [(5, 2), (8, 3)]
    assert [(each.log_index, each.id) for each in room.located(0, 99, 1)] == [(3, 1)]
    assert room.located(13, 99, 10) == []


def grown(name: str, posts: int) -> Room:
    room = Room(name)
    for number in range(1, posts + 1):
        room.append(number, 10 * number, 100)
    return room


@pytest.mark.parametrize(
    "change",
    [
        lambda room: room.append(900, 9000, 100),
        lambda room: room.append(SHORT_MAX + 5, 9000, 100),  # in a wider array from now on
        lambda room: room.retain(3),
        lambda room: (room.retain(3), room.append(900, 9000, 100), room.append(901, 9000, 100)),
        lambda room: room.expire(39),
        lambda room: room.delete(901),
    ],
)
def test_a_copy_is_of_its_moment_whatever_happens_to_the_room_before_it_is_asked_for(
    change: Callable[[Room], object],
) -> None:
    rooms = [grown("a", 40), grown("b", 5), grown("c", 40)]
    rooms[2].retain(30)  # some are gone, and their places are still there
    taken = copies(rooms)
    facts = [one[0] for one in copies(rooms)]
    for room in rooms:
        change(room)
    found = list(taken)
    assert [one[0] for one in found] == facts
    assert [indexes[start:end].tolist() for _, indexes, start, end in found] == [
        [*range(1, 41)],
        [1, 2, 3, 4, 5],
        [*range(11, 41)],
    ]
