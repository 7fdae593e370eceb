"""What a post costs a member in memory for ever: where it lies in the log and in its room, and its ClientId."""

import gc
import tracemalloc
from collections.abc import Iterator
from secrets import token_urlsafe

import pytest

from chat.commands import Post, encode
from chat.state.machine import ChatState
from raft.core.entries import command_entry
from raft.core.raft_messages import Entry, ProposalId
from raft.engine.state_machine import Replicated
from raft.storage.positions import Positions, pack

POSTS = 26_000  # of fewer the table of ClientIds has not begun to split
BYTES_MAX = 31.6  # so that 50,000, of which a post takes 0.35 bytes more in rooms of a hundred, are within 32
IN_FLIGHT = 30


def log(rooms: int) -> Iterator[Entry]:
    """Posts with a ClientId each, of a hundred users, that go round the rooms."""
    for index in range(1, POSTS + 1):
        post = Post(f"room-{index % rooms}", f"user-{index % 100}", f"message {index}", token_urlsafe(12))
        id = ProposalId(1, 1, index, min(index - 1, IN_FLIGHT))
        yield command_entry(index, 1, 1_795_428_000_000_000 + index, id, encode(post))


@pytest.mark.repeated
@pytest.mark.parametrize("rooms", [1, POSTS // 100])
def test_a_post_costs_no_more_than_32_bytes_of_memory(rooms: int) -> None:
    state, positions = ChatState(), Positions()
    replicated = Replicated(state)
    state.listen(lambda index, events: None)
    gc.collect()
    tracemalloc.start()
    try:
        for entry in log(rooms):
            admitted, _ = replicated.apply(entry)
            assert admitted
            positions.set([(entry.index, pack(1, 300 * entry.index, len(entry.record)))])
            if entry.index % IN_FLIGHT == 0:
                state.applied(entry.index)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / POSTS <= BYTES_MAX
    assert len(state.live()) == positions.entry_count == POSTS
