"""A line on a terminal that says how far a transfer is; nothing where stderr is no terminal."""

import sys
from time import monotonic

EVERY_S = 0.2
BAR_CELLS = 30
CLEAR_LINE = "\r\x1b[K"


class ProgressBar:
    """The line of one transfer, on stderr."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr is not None and sys.stderr.isatty()
        self._began_s = self._next_s = monotonic()
        self._first_bytes = -1  # that were there when the transfer began

    def making(self) -> None:
        """Show that the node makes the backup."""
        self._show(f"the node makes the backup: {monotonic() - self._began_s:.0f} s")

    def moved(self, done: int, total: int) -> None:
        """Show how many bytes have come."""
        if self._first_bytes < 0:
            self._first_bytes, self._began_s = done, monotonic()
        if monotonic() < self._next_s and done < total:
            return
        rate = (done - self._first_bytes) / max(monotonic() - self._began_s, 1e-3)
        cells = BAR_CELLS * done // max(total, 1)
        bar = "#" * cells + "-" * (BAR_CELLS - cells)
        self._show(
            f"[{bar}] {100 * done // max(total, 1)} %  {done / 1e6:.1f} of {total / 1e6:.1f} MB  {rate / 1e6:.1f} MB/s"
        )

    def say(self, text: str) -> None:
        """Print a line of its own, on a terminal or not."""
        if sys.stderr is not None:
            sys.stderr.write(f"{CLEAR_LINE if self._is_shown else ''}{text}\n")
            sys.stderr.flush()

    def end(self) -> None:
        """Remove the line."""
        if self._is_shown:
            sys.stderr.write(CLEAR_LINE)
            sys.stderr.flush()

    def _show(self, text: str) -> None:
        if self._is_shown:
            self._next_s = monotonic() + EVERY_S
            sys.stderr.write(CLEAR_LINE + text)
            sys.stderr.flush()
