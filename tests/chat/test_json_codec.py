"""A command's fields are its JSON."""

import json
from dataclasses import dataclass
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.commands.json_codec import reader, to_json


class Who(NamedTuple):
    by: int
    user: str


@dataclass(frozen=True, slots=True)
class Inner:
    message: str
    reply_to: int = 0


@dataclass(frozen=True, slots=True)
class Everything:
    who: Who
    room: str
    is_on: bool
    kept: int | None
    post: Inner
    rooms: tuple[str, ...] = ()
    marks: tuple[tuple[int, str, int], ...] = ()
    topic: str | None = None


read = reader(Everything)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
VALUES = st.builds(
    Everything, st.builds(Who, INTEGERS, TEXTS), TEXTS, st.booleans(), st.none() | INTEGERS,
    st.builds(Inner, TEXTS, INTEGERS), st.lists(TEXTS).map(tuple),
    st.lists(st.tuples(INTEGERS, TEXTS, INTEGERS)).map(tuple), st.none() | TEXTS,
)  # fmt: skip
PLAIN = '"By":1,"User":"u","RoomName":"r","IsOn":true,"Kept":null,"Post":{"Message":"m"}'


def parsed(text: str) -> dict[str, object]:
    value = json.loads(text)
    assert isinstance(value, dict)
    return value


def test_fields_are_members_in_their_order_and_a_default_is_left_out() -> None:
    value = Everything(Who(1, "u"), "r", True, None, Inner("m"))
    assert to_json("all", value).decode() == f'{{"Type":"all",{PLAIN}}}'
    more = Everything(Who(1, "u"), "r", True, None, Inner("m", 2), ("é",), ((1, "a", 2),), "")
    assert to_json("all", more).decode() == (
        '{"Type":"all","By":1,"User":"u","RoomName":"r","IsOn":true,"Kept":null,"Post":{"Message":"m","ReplyTo":2},'
        '"RoomNames":["é"],"Marks":[[1,"a",2]],"Topic":""}'
    )


@given(VALUES)
def test_what_was_written_is_read_as_it_was(value: Everything) -> None:
    assert read(parsed(to_json("all", value).decode())) == value


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        f"{{{PLAIN.replace('1', 'true')}}}",
        f"{{{PLAIN.replace('1', '1.0')}}}",
        f"{{{PLAIN.replace('1', str(1 << 63))}}}",
        f"{{{PLAIN.replace('true', '1')}}}",
        f"{{{PLAIN.replace('null', 'false')}}}",
        f"{{{PLAIN.replace(chr(34) + 'r' + chr(34), '7')}}}",
        '{"By":1,"User":"u","RoomName":"r","IsOn":true,"Kept":null,"Post":"m"}',
        f'{{{PLAIN},"RoomNames":"ab"}}',
        f'{{{PLAIN},"RoomNames":[1]}}',
        f'{{{PLAIN},"Marks":[[1,"a"]]}}',
        f'{{{PLAIN},"Marks":[[1,"a",2,3]]}}',
        f'{{{PLAIN},"Marks":[["a",1,2]]}}',
    ],
)
def test_what_is_of_another_type_is_not_taken(text: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read(parsed(text))
