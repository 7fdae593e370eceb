"""Packed numbers come out as they went in, in few bytes where they are alike, and nothing else is taken for them."""

import zlib
from array import array
from random import Random
from struct import pack as packed_as

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft.core.packed_numbers import ITEMS_MAX, pack, unpack

WIDTHS = st.sampled_from([1, 4, 8, 12])


@given(WIDTHS, st.binary(min_size=1, max_size=200), st.integers(1, 300))
def test_what_is_unpacked_is_what_was_packed(width: int, some: bytes, times: int) -> None:
    data = (some * times)[: len(some) * times // width * width]
    if data:
        assert unpack(pack(data, width), width, len(data) // width) == data


def test_as_many_as_there_may_be_are_packed() -> None:
    data = Random(1).randbytes(4 * ITEMS_MAX)
    assert unpack(pack(data, 4), 4, ITEMS_MAX) == data


def test_a_plane_that_is_one_byte_over_and_over_is_that_byte() -> None:
    data = b"\x07\x00\x01" * 100
    packed = pack(data, 3)
    assert packed == planes(b"\x07", b"\x00", b"\x01")
    assert unpack(packed, 3, 100) == data


def test_what_counts_up_takes_next_to_nothing() -> None:
    data = array("Q", range(1_000_000, 1_100_000)).tobytes()
    assert len(pack(data, 8)) < len(data) // 100


def test_noise_takes_no_more_than_it_has_but_for_the_lengths() -> None:
    data = Random(1).randbytes(12 * 10_000)
    assert len(pack(data, 12)) == 12 * 4 + len(data)


def test_what_begins_alike_and_goes_on_as_noise_is_packed_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it takes as many bytes deflated as it has, it could not be told from what stands as it is."""
    monkeypatch.setattr("raft.core.packed_numbers._SAMPLE_BYTES", 16)
    for size in range(1, 300):
        data = bytes(16) + Random(size).randbytes(size)
        packed = pack(data, 1)
        assert unpack(packed, 1, len(data)) == data
        assert len(packed) <= 4 + len(data)


@given(WIDTHS, st.binary(max_size=200), st.integers(-1, 40))
def test_other_bytes_are_refused_and_no_other_error(width: int, packed: bytes, count: int) -> None:
    with pytest.raises(ValueError, match="plane"):
        unpack(packed + b"\0", width, count)


def planes(*found: bytes) -> bytes:
    return packed_as(f"<{len(found)}I", *map(len, found)) + b"".join(found)


def deflated(plane: bytes) -> bytes:
    return zlib.compress(plane, 1, -zlib.MAX_WBITS)


def deflated_zeros(mib: int) -> bytes:
    """So many MiB of zeros, of which one is deflated: every worker makes this before its first test."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    one_mib = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)  # refers to nothing before it
    return one_mib * mib + deflate.flush()


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (b"", "no planes of so many"),
        (planes(bytes(9)), "cannot be inflated|another length"),
        (planes(bytes(100))[:-1], "ends early"),
        (planes(bytes(100)) + b"\0", "more than its planes"),
        (planes(bytes(100), bytes(100)), "more than its planes|cannot be inflated|another length"),
        (planes(deflated(bytes(99))), "another length"),
        (planes(deflated(bytes(101))), "another length"),
        (planes(deflated(bytes(100)) + b"\0"), "another length"),
        (planes(deflated(bytes(100))[:-1]), "another length"),
        (planes(deflated_zeros(1024)), "another length"),
    ],
)
def test_planes_of_another_length_are_refused(packed: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        unpack(packed, 1, 100)


def test_no_more_is_unpacked_than_can_have_been_packed() -> None:
    for count in (-1, 0, ITEMS_MAX + 1):
        with pytest.raises(ValueError, match="no planes of so many"):
            unpack(planes(deflated(bytes(max(0, count)))), 1, count)
