"""Commands have one form of bytes."""

import json
import re
from typing import get_args
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import commands
from chat.commands import KINDS, LEVEL, Actor, Command, Post, decode, encode, level_of
from chat.commands.posts import Pin
from chat.commands.rooms import ChangeRoom, DeleteRoom
from tests.chat.drawn import values

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
POSTS = st.builds(
    Post, TEXTS, TEXTS, TEXTS, TEXTS, st.integers(0, 2**53), st.integers(-(2**63), 2**63 - 1),
    st.lists(TEXTS, max_size=3).map(tuple),
)  # fmt: skip
PLAIN = st.builds(Post, *[st.text(max_size=8)] * 4, st.just(0), st.integers(0, 2**53))


def test_a_post_is_one_line_of_json_in_the_order_of_its_members() -> None:
    body = encode(Post("general", "ann", 'a\n"b" é', "c1", 3))
    assert body.decode() == (
        '{"RoomName":"general","Post":{"User":"ann","Message":"a\\n\\"b\\" é","ClientId":"c1","ReplyTo":3}}'
    )


@given(POSTS)
def test_a_command_is_decoded_as_it_was_encoded(post: Post) -> None:
    body = encode(post)
    assert b"\n" not in body
    assert decode(body) == post
    assert json.loads(body)["Post"]["Message"] == post.message


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_other_bytes_are_no_command_and_no_error(body: bytes) -> None:
    assert decode(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"Type":"vote","RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"}}',
        b'{"Type":"post","RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"}}',
        b'{"Type":null,"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"}}',
        b'{"RoomName":"r"}',
        b'{"RoomName":"r","Post":7}',
        b'{"RoomName":["r"],"Post":{"User":"u","Message":"m","ClientId":"c"}}',
        b'{"RoomName":"r","Post":{"User":null,"Message":"m","ClientId":"c"}}',
        b'{"RoomName":"r","Post":{"User":"u","Message":"\\ud800","ClientId":"c"}}',
        b'{"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"}} ',
        b'{"RoomName": "r","Post":{"User":"u","Message":"m","ClientId":"c"}}',
        b'{"RoomName":"r","Post":{"Message":"m","User":"u","ClientId":"c"}}',
        b'{"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c","ReplyTo":0}}',
        b'{"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c","ReplyTo":-1}}',
        b'{"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c","ReplyTo":true}}',
        b'{"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c","ReplyTo":1.5}}',
        b'{"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"},"More":1}',
        b'{"By":0,"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"}}',
        b'{"By":01,"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"}}',
        b'{"By":true,"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"}}',
        b'{"Mentions":[],"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"}}',
        b'{"Mentions":[1],"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"}}',
        b'{"Mentions":"u","RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"}}',
        b'{"Mentions":["u"],"By":1,"RoomName":"r","Post":{"User":"u","Message":"m","ClientId":"c"}}',
    ],
)
def test_what_encode_would_not_write_is_no_command(body: bytes) -> None:
    assert decode(body) is None


TYPED = st.one_of(POSTS, *map(values, KINDS.values()))


@given(TYPED)
def test_every_command_is_decoded_as_it_was_encoded(command: Command) -> None:
    body = encode(command)
    assert b"\n" not in body
    assert decode(body) == command


def test_a_change_of_a_room_is_one_line_of_json() -> None:
    assert encode(DeleteRoom(Actor(), "a\nb")) == b'{"Type":"delete-room","RoomName":"a\\nb"}'
    assert encode(ChangeRoom(Actor(), "r", max_messages=5)) == b'{"Type":"change-room","RoomName":"r","MaxMessages":5}'
    by_ann = b'{"Type":"change-room","User":"ann","RoomName":"r","MaxMessages":-1}'
    assert encode(ChangeRoom(Actor(user="ann"), "r", max_messages=-1)) == by_ann


@pytest.mark.parametrize(
    "body",
    [
        b'{"Type":"delete-room"}',
        b'{"Type":"delete-room","RoomName":7}',
        b'{"Type":"delete-room","RoomName":"r","More":1}',
        b'{"RoomName":"r","Type":"delete-room"}',
        b'{"Type":["delete-room"],"RoomName":"r"}',
        b'{"Type":"remove-room","RoomName":"r"}',
        b'{"Type":"change-room"}',
        b'{"Type":"change-room","RoomName":["r"],"MaxMessages":1}',
        b'{"Type":"change-room","RoomName":"r","MaxMessages":null}',
        b'{"Type":"change-room","RoomName":"r","MaxMessages":true}',
        b'{"Type":"change-room","RoomName":"r","MaxMessages":1.0}',
        b'{"Type":"change-room","RoomName":"r","MaxMessages":"1"}',
    ],
)
def test_a_change_of_a_room_in_another_form_is_no_command(body: bytes) -> None:
    assert decode(body) is None


def test_the_programs_level_is_the_highest_of_a_command() -> None:
    assert max([1, *commands._LEVELS.values()]) == LEVEL
    assert {Post, *KINDS.values()} == set(get_args(Command))


def test_a_command_that_came_later_has_a_level_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(commands._LEVELS, Pin, 2)
    assert level_of(Pin(Actor(), "r", 1, on=True)) == 2
    assert level_of(DeleteRoom(Actor(), "r")) == 1


def test_a_post_may_say_who_acts_and_who_is_mentioned() -> None:
    body = encode(Post("r", "ann", "@bob", "c", 0, 7, ("bob",)))
    assert body == b'{"By":7,"Mentions":["bob"],"RoomName":"r","Post":{"User":"ann","Message":"@bob","ClientId":"c"}}'


NOTHING = re.compile(rb"(?!)").fullmatch


@given(PLAIN, st.binary(max_size=3), st.integers(0, 200))
def test_the_quick_way_to_decode_a_post_takes_what_the_slow_one_takes(post: Post, noise: bytes, place: int) -> None:
    try:
        body = encode(post)
    except UnicodeEncodeError:
        return
    for candidate in (body, body[:place] + noise + body[place:]):
        found = decode(candidate)
        with patch("chat.commands._plain_post", NOTHING), patch("chat.commands._plain_post_by", NOTHING):
            assert decode(candidate) == found
