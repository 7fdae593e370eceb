"""The lines of a segment: its header, which describes the segment before it, and void lines."""

from dataclasses import replace
from itertools import pairwise
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft.core.entries import RECORD_BYTES_MAX, configuration_entry, seal
from raft.core.raft_messages import HardState, Kind
from raft.errors import InvalidMessage
from raft.storage.file_names import segment_name, sequence_of
from raft.storage.log_store import Storage
from raft.storage.segment import (
    RUNS_MAX,
    Content,
    Header,
    Opening,
    Sealed,
    SegmentScan,
    checksum,
    decode_header,
    decode_opening,
    encode_header,
    encode_void,
    intact_lines_in,
)
from tests.raft.disks import entries
from tests.raft.life import DIRECTORY
from tests.raft.power import PowerDisk

NUMBERS = st.integers(0, 10**15)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=RUNS_MAX).map(tuple)
SEALED = st.builds(
    Sealed,
    NUMBERS,
    st.integers(0, (1 << 32) - 1),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.none() | PAIRS,
    st.none() | st.lists(NUMBERS, max_size=RUNS_MAX).map(tuple),
)
CONFIGURATION = b'{"Members":[1]}'


@given(SEALED)
def test_a_header_is_read_as_it_was_written_and_stays_short(sealed: Sealed) -> None:
    header = Header(segment_name(7, 19), "ab" * 16, HardState(3, 1, 17), segment_name(6, 3), sealed, 0)
    line = encode_header(header)
    assert decode_header(line[9:-1]) == header
    assert len(line) < 4096


@pytest.mark.parametrize("member", ["entries", "time", "crc", "end"])
def test_a_header_without_a_description_of_its_predecessor_is_refused(member: str) -> None:
    line = encode_header(Header(segment_name(7, 19), "", HardState(), segment_name(6, 3), Sealed(), 0))
    with pytest.raises(InvalidMessage):
        decode_header(line[9:-1].replace(b'"predecessor_%b"' % member.encode(), b'"other"'))


def test_more_terms_and_configurations_than_a_header_has_room_for_are_left_out() -> None:
    content = Content()
    for index in range(1, RUNS_MAX + 2):
        content.note(configuration_entry(index, index, index, CONFIGURATION), index)
        few = index <= RUNS_MAX
        sealed = content.sealed(8, 9)
        assert (sealed.term_runs is not None, sealed.configurations is not None) == (few, few)
    assert (sealed.first_index, sealed.last_index, sealed.last_time) == (1, RUNS_MAX + 1, RUNS_MAX + 1)


def described(disk: PowerDisk) -> None:
    """Compare each header with what its predecessor really holds."""
    names = sorted(name for name in disk.content() if sequence_of(name))
    headers = {name: decode_header(disk.content()[name].split(b"\n", 1)[0][9:]) for name in names}
    for name, after in pairwise(names):
        said = headers[after].sealed
        file = disk.open(DIRECTORY / name)
        scan = SegmentScan.of(headers[name], 1 << 60)
        scan.run(file, said.end, lambda _: None)
        assert said == scan.content.sealed(said.end, crc32(disk.content()[name][: said.end]))
        assert checksum(file, said.end) == said.crc


def newest_opening(disk: PowerDisk) -> Opening:
    data = disk.content()[max(name for name in disk.content() if sequence_of(name))]
    return decode_opening([line for line in data.splitlines() if line[9:].startswith(b'{"durable"')][-1][9:])


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.sampled_from("kcm ")), max_size=25),
    st.sampled_from([1, 900, 4000]),
)
def test_headers_describe_the_segment_and_openings_the_configuration_before_them_whatever_is_written(
    batches: list[tuple[int, int, str]], segment_bytes: int
) -> None:
    disk, last, configured = PowerDisk(), 0, [0]
    terms: list[int] = []
    storage = Storage.open(disk, DIRECTORY, segment_bytes=segment_bytes)
    for term, (count, back, how) in enumerate(batches, 1):
        first = max(1, last + 1 - back)
        batch = entries(first, first + count - 1, term=term)
        if batch and how == "m":
            batch[-1] = configuration_entry(batch[-1].index, term, term, CONFIGURATION)
        storage.append(HardState(term, 1, 0), batch)
        opening = newest_opening(disk)
        assert opening.configuration == configured[-1]
        assert (opening.last_index, opening.last_term) == (len(terms), terms[-1] if terms else 0)
        terms[len(terms) if not batch else first - 1 :] = [term] * len(batch)
        assert [storage.term_of(index) for index in range(len(terms) + 2)] == [0, *terms, 0]
        configured = [index for index in configured if not batch or index < first]
        configured += [one.index for one in batch if one.kind is Kind.CONFIGURATION]
        last = batch[-1].index if batch else last
        if how in "kc":
            if how == "c":
                storage.close()
            storage = Storage.open(disk, DIRECTORY, segment_bytes=segment_bytes)
    described(disk)


@pytest.mark.parametrize("length", [21, 22, 4096, RECORD_BYTES_MAX, RECORD_BYTES_MAX + 1, 3 * RECORD_BYTES_MAX - 7])
def test_void_lines_fill_any_gap_that_a_line_can_leave(length: int) -> None:
    lines = encode_void(length)
    assert len(lines) == length
    assert sum(line.end() - line.start() for line in intact_lines_in(lines)) == length
    assert max(map(len, lines.splitlines())) < RECORD_BYTES_MAX


def test_no_void_line_is_shorter_than_any_other_line_may_be() -> None:
    assert encode_void(0) == b""
    with pytest.raises(ValueError, match="no line has 20 bytes"):
        encode_void(20)


def test_a_void_line_changes_nothing_in_a_segment() -> None:
    disk = PowerDisk()
    storage = Storage.open(disk, DIRECTORY)
    storage.append(HardState(2, 1, 0), entries(1, 3))
    storage.append(HardState(3, 2, 1), entries(4, 5))
    name = segment_name(1, 1)
    data = disk.content()[name]
    place = data.index(b'"durable"') - 10
    header = decode_header(data.split(b"\n", 1)[0][9:])
    plain, voided = SegmentScan.of(header, 0), SegmentScan.of(header, 0)
    plain.run(disk.open(DIRECTORY / name), len(data), lambda _: None)
    length = data.index(b"\n", place) + 1 - place
    disk.write(DIRECTORY / name, data[:place] + encode_void(length) + data[place + length :])
    voided.run(disk.open(DIRECTORY / name), len(data), lambda _: None)
    assert (voided.content, voided.stop, voided.durable) == (plain.content, plain.stop, plain.durable)
    assert (voided.has_void, plain.has_void) == (True, False)
    assert voided.hard_state == HardState(3, 2, 1)


def test_an_unknown_line_is_not_void() -> None:
    header = Header(segment_name(1, 1), "", HardState(), "", Sealed(), 0)
    disk = PowerDisk()
    disk.write(DIRECTORY / header.name, encode_header(header) + seal(b'{"avoid":""}'))
    scan = SegmentScan.of(replace(header), 0)
    with pytest.raises(InvalidMessage, match="unknown kind"):
        scan.run(disk.open(DIRECTORY / header.name), 1 << 20, lambda _: None)
