"""The size of a call to one member: as much as the line to it takes in a moment.

A piece that takes long holds up the heartbeats that share its line, and is lost whole when the call is given up.
"""

PIECE_BYTES_START = 16 << 10
PIECE_BYTES_MIN = 4 << 10
QUICK_PIECES = 16  # quick pieces in a row before a line that was too slow gets larger ones again


class Pieces:
    """The size of the next piece for one member.  Any thread; a lost update does no harm."""

    def __init__(self, bytes_most: int) -> None:
        """Start small; `bytes_most` is the upper bound."""
        self._bytes_most = bytes_most
        self._quick_missing = 0
        self.bytes_max = min(PIECE_BYTES_START, bytes_most)

    def quick(self, size: int) -> None:
        """Note that a piece of `size` bytes went over the line at once."""
        if 2 * size < self.bytes_max:
            return  # a small piece says nothing about larger ones
        if self._quick_missing:
            self._quick_missing -= 1
        else:
            self.bytes_max = min(2 * self.bytes_max, self._bytes_most)

    def slow(self, size: int) -> None:
        """Note that a piece of `size` bytes took long or was given up."""
        self.bytes_max = max(min(self.bytes_max, size) // 2, min(PIECE_BYTES_MIN, self._bytes_most))
        self._quick_missing = QUICK_PIECES
