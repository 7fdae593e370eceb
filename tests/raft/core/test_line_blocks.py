"""Blocks of lines: what is taken of one, and that nothing damaged is."""

from itertools import accumulate
from operator import add

from raft.core.entries import noop_entry, seal
from raft.core.line_blocks import are_intact, chosen, entries_of
from raft.core.raft_messages import Entry
from tests.raft.disks import entry

LOG = [entry(index, 1 + index // 50, "x" * (index % 7)) for index in range(1, 121)]  # of one, two and three digits
OPENING = seal(b'{"durable":273,"term":3,"vote":1,"commit":17,"last":[17,3],"configuration":5}')


def block_of(records: list[bytes]) -> tuple[bytes, list[int]]:
    """The records one behind the other, and where each begins."""
    return b"".join(records), list(accumulate(map(len, records), add, initial=0))[:-1]


def lines_of(log: list[Entry]) -> list[bytes]:
    return [one.record[:-1] for one in log]


def test_the_entries_that_are_asked_for_are_taken_and_what_is_between_them_is_not() -> None:
    records = [OPENING, *(one.record for one in LOG), OPENING]
    block, offsets = block_of(records)
    for step in (1, 2, 7, 60):
        wanted = LOG[::step]
        assert chosen(block, offsets[1:-1][::step], [one.index for one in wanted]) == b"".join(o.record for o in wanted)
    some, places = block_of(records[1:-1])
    assert chosen(some, places, range(1, 121)) is some


def test_what_is_not_asked_for_may_be_damaged() -> None:
    records = [LOG[0].record, b"\n\r damage\n", OPENING[:20], LOG[1].record, LOG[2].record]
    block, offsets = block_of(records)
    assert chosen(block, [offsets[0], offsets[4]], [1, 3]) == LOG[0].record + LOG[2].record
    assert chosen(block, [offsets[0], offsets[3], offsets[4]], [1, 2, 3]) is None  # its line has another beginning


def test_no_damaged_entry_is_taken() -> None:
    """Each bit of three entries, flipped alone: whatever it makes of the lines, nothing is taken."""
    block, offsets = block_of([one.record for one in LOG[98:101]])
    for place in range(len(block)):
        for bit in range(8):
            damaged = bytearray(block)
            damaged[place] ^= 1 << bit
            assert chosen(bytes(damaged), offsets, [99, 100, 101]) is None
            if damaged[-1:] == b"\n":
                assert not are_intact(bytes(damaged).split(b"\n")[:-1])


def test_an_entry_of_another_index_is_not_taken() -> None:
    block, offsets = block_of([one.record for one in LOG[:3]])
    for indexes in ([1, 2, 4], [1, 12, 3], [2, 3, 4]):
        assert chosen(block, offsets, indexes) is None
    assert chosen(block, offsets[1:], [1, 2]) is None
    assert chosen(block[:-1], offsets, [1, 2, 3]) is None
    assert chosen(b"", [0], [1]) is None


def test_a_checksum_in_another_form_is_wrong() -> None:
    line = LOG[7].record[:-1]
    assert are_intact([line])
    assert not are_intact([line.replace(line[:8], line[:8].upper()), line])
    assert not are_intact([line[:8] + b"\t" + line[9:]])
    assert not are_intact([b""])
    assert are_intact([])


def test_entries_of_any_form_are_told_as_those_of_one_form_are() -> None:
    for log in (LOG[9:49], LOG[:12], LOG[95:105], LOG[40:60]):  # the first has one form
        found = entries_of(lines_of(log))
        assert found is not None
        assert found.indexes.tolist() == [one.index for one in log]
        assert found.lengths == [len(one.record) for one in log]
        assert found.term_max == max(one.term for one in log)


def test_what_is_no_entry_or_does_not_ascend_is_told() -> None:
    lines = lines_of(LOG[9:20])
    assert entries_of([*lines, OPENING[:-1]]) is None
    assert entries_of([OPENING[:-1], *lines]) is None
    assert entries_of([*lines, lines[0]]) is None
    assert entries_of([lines[0], lines[0]]) is None
    assert entries_of([]) is None
    for other in (b"1x", b"+1", b" 1", b"1 "):  # numbers to `int`, and not to the log
        strange = seal(noop_entry(12, 1, 17).record[9:-1].replace(b'"index":12', b'"index":' + other))[:-1]
        assert entries_of([strange]) is None
        assert entries_of([lines_of([noop_entry(11, 1, 17)])[0], strange]) is None
