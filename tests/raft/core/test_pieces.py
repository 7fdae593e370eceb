"""Pieces grow where the line takes them at once, and shrink where it does not."""

from raft.core.pieces import PIECE_BYTES_MIN, PIECE_BYTES_START, QUICK_PIECES, Pieces

MOST = 1 << 20


def test_pieces_that_go_at_once_grow_up_to_the_most() -> None:
    pieces = Pieces(MOST)
    assert pieces.bytes_max == PIECE_BYTES_START
    for _ in range(10):
        pieces.quick(pieces.bytes_max)
    assert pieces.bytes_max == MOST


def test_small_pieces_say_nothing_about_larger_ones() -> None:
    pieces = Pieces(MOST)
    for _ in range(10):
        pieces.quick(100)
    assert pieces.bytes_max == PIECE_BYTES_START


def test_a_slow_line_halves_them_down_to_a_minimum() -> None:
    pieces = Pieces(MOST)
    for _ in range(10):
        pieces.slow(pieces.bytes_max)
    assert pieces.bytes_max == PIECE_BYTES_MIN


def test_after_a_slow_one_it_takes_some_quick_ones_until_they_grow_again() -> None:
    pieces = Pieces(MOST)
    pieces.slow(pieces.bytes_max)
    for _ in range(QUICK_PIECES):
        pieces.quick(pieces.bytes_max)
    assert pieces.bytes_max == PIECE_BYTES_START // 2
    pieces.quick(pieces.bytes_max)
    assert pieces.bytes_max == PIECE_BYTES_START


def test_no_piece_is_larger_than_the_most_however_little_that_is() -> None:
    pieces = Pieces(1000)
    assert pieces.bytes_max == 1000
    pieces.slow(1000)
    assert pieces.bytes_max == 1000
