"""One line of the log, as bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft.core.entries import (
    clock_entry,
    command_entry,
    command_of_verified,
    configuration_entry,
    decode_entry,
    decode_object,
    is_entry_at,
    noop_entry,
    seal,
    unseal,
)
from raft.core.raft_messages import Command, Entry, Kind, ProposalId
from raft.errors import InvalidMessage

numbers = st.integers(0, 10**16 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def encoded(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


@given(numbers, numbers, numbers, numbers, numbers, json_values)
def test_a_command_comes_back_as_it_was(
    index: int, term: int, time: int, member: int, boot: int, value: object
) -> None:
    entry = command_entry(index, term, time, ProposalId(member, boot, index, term), encoded(value))
    assert decode_entry(entry.record) == entry
    assert entry.kind is Kind.COMMAND
    assert is_entry_at(entry.record, index) and not is_entry_at(entry.record, index + 1)
    assert command_of_verified(entry.record, index) == Command(index, time, entry.body)


def test_the_engines_own_entries_come_back_as_they_were() -> None:
    for entry in (noop_entry(1, 2, 3), configuration_entry(7, 8, 9, b'{"members":[]}'), clock_entry(4, 5, 6, 7)):
        assert decode_entry(entry.record) == entry
        assert is_entry_at(entry.record, entry.index)
        with pytest.raises(InvalidMessage):
            command_of_verified(entry.record, entry.index)


def test_a_line_is_one_line_and_its_rest_is_json() -> None:
    for entry in (noop_entry(1, 2, 3), command_entry(1, 2, 3, ProposalId(1, 2, 3, 4), b'{"a":1}')):
        assert entry.record.count(b"\n") == 1 and entry.record.endswith(b"\n")
        assert json.loads(entry.record[9:])["index"] == 1
        assert unseal(entry.record).startswith(b'{"index":')


def test_any_flipped_bit_is_noticed() -> None:
    record = command_entry(12, 3, 4, ProposalId(1, 2, 3, 4), b'{"Message":"hi"}').record
    for position in range(len(record)):
        for bit in range(8):
            flipped = bytearray(record)
            flipped[position] ^= 1 << bit
            with pytest.raises(InvalidMessage):
                decode_entry(bytes(flipped))
            assert not is_entry_at(bytes(flipped), 12)


def test_any_torn_line_is_noticed() -> None:
    record = noop_entry(12, 3, 4).record
    for length in range(len(record)):
        with pytest.raises(InvalidMessage):
            decode_entry(record[:length])
        assert not is_entry_at(record[:length], 12)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"index":1,"term":2,"time":3}',
        b'{"term":2,"index":1,"time":3,"noop":null}',  # one layout, no other
        b'{"index":-1,"term":2,"time":3,"noop":null}',
        b'{"index":1,"term":2,"time":3,"noop":null} ',
        b'{"index":1,"term":2,"time":3,"id":[1,2,3],"command":null}',
        b'{"index":12345678901234567,"term":2,"time":3,"noop":null}',
    ],
)
def test_a_sound_line_that_is_no_entry_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_entry(seal(payload))


def test_other_records_are_json_objects() -> None:
    assert decode_object(unseal(seal(b'{"term":1}'))) == {"term": 1}
    with pytest.raises(InvalidMessage):
        decode_entry(seal(b'{"term":1}'))
    for payload in (b"", b"[]", b"1", b"{"):
        with pytest.raises(InvalidMessage):
            decode_object(payload)


def test_a_records_bytes_are_the_same_on_every_member() -> None:
    entry: Entry = command_entry(1, 2, 3, ProposalId(4, 5, 6, 7), b'{"a":"\xc3\xa4"}')
    payload = b'{"index":1,"term":2,"time":3,"id":[4,5,6,7],"command":{"a":"\xc3\xa4"}}'
    assert entry.record == seal(payload)
    assert unseal(entry.record) == payload
