"""What nodes compare of the state: equal wherever the state is, whatever way a node came to it."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.commands import Command, Post
from chat.state.machine import ChatState
from chat.state.room import SHORT_MAX
from tests.chat.random_accounts import ACCOUNT_LOGS, ROOM_LOGS
from tests.chat.random_log import LOGS, apply, split


def digest_of(state: ChatState) -> str:
    return sha256(b"".join(state.digest_input())).hexdigest()


@given(LOGS | ROOM_LOGS | ACCOUNT_LOGS, st.integers(0, 60))
def test_a_state_that_was_restored_midway_has_the_digest_of_one_that_applied_all(log: list[Command], at: int) -> None:
    before, after = split(log, at)
    index = 2 + len(before)
    whole, restored = ChatState(), ChatState()
    apply(whole, before)
    restored.restore(index, whole.document())
    if before:  # a blank state has not heard of an index
        assert digest_of(restored) == digest_of(whole)
    apply(whole, after, index + 1)
    apply(restored, after, index + 1)
    if log:
        assert digest_of(restored) == digest_of(whole)


def test_a_digest_is_of_the_moment_it_was_asked_for() -> None:
    state, other = ChatState(), ChatState()
    for each in (state, other):
        apply(each, [Post("general", "ann", f"m{k}", f"c{k}") for k in range(300)])
    pieces = state.digest_input()
    apply(state, [Post("general", "ann", "later", "later"), Post("new", "ann", "later", "later2")], 400)
    assert sha256(b"".join(pieces)).hexdigest() == digest_of(other) != digest_of(state)


def test_rooms_that_left_the_32_bits_and_came_back_have_one_digest() -> None:
    first = SHORT_MAX - 1
    state, other = ChatState(), ChatState()
    apply(state, [Post("general", "ann", f"m{k}", f"c{k}") for k in range(4)], first)
    other.restore(first + 3, state.document())
    assert digest_of(other) == digest_of(state)


@pytest.mark.parametrize("change", ["a text", "a ClientId", "a room", "a post more"])
def test_any_difference_changes_the_digest(change: str) -> None:
    def posts(differs: str) -> list[Command]:
        said: list[Command] = [Post("general", "ann", "one", "c1"), Post("general", "ann", "two", "c2")]
        if differs == "a text":
            said[1] = Post("general", "ann", "two and more", "c2")  # the text is in the log; its length is in the state
        elif differs == "a ClientId":
            said[1] = Post("general", "ann", "two", "c3")
        elif differs == "a room":
            said[1] = Post("other", "ann", "two", "c2")
        elif differs == "a post more":
            said.append(Post("general", "ann", "three", "c4"))
        return said

    state, other = ChatState(), ChatState()
    apply(state, posts(""))
    apply(other, posts(change))
    assert digest_of(state) != digest_of(other)
