"""`python -m tests.doubling [WORDS…]`: print what every row comes to, or those whose names have the words."""

import sys
from collections.abc import Callable, Iterator
from itertools import chain

from tests.doubling import answer_rows, file_rows, http_rows, peer_rows, route_rows, websocket_rows
from tests.doubling.rows import BOUND_MS, RATIO_MAX, Row, measured

Rows = Callable[[], Iterator[Row]]
SETS: tuple[Rows, ...] = (
    http_rows.rows,
    route_rows.rows,
    peer_rows.rows,
    file_rows.rows,
    answer_rows.rows,
    websocket_rows.rows,
)


def all_rows() -> list[Row]:
    """Every row of the sweep."""
    return list(chain.from_iterable(rows() for rows in SETS))


def _status(outcome: object) -> str:
    """Of a request."""
    return f"  {outcome}" if type(outcome) is int else ""


def main(words: list[str]) -> int:
    """Print the table; 1 where a row fails."""
    rows = [row for row in all_rows() if all(word in row.name for word in words)]
    faults: list[str] = []
    print(f"{'row':56} {'size':>9} {'full ms':>9} {'half ms':>9} {'ratio':>6} {'piece ms':>9}")
    for row in rows:
        found = measured(row)
        faults += found.faults
        print(
            f"{row.name:56} {found.size:9,} {found.full_ms:9.3f} {found.half_ms:9.3f} {found.ratio:6.2f} "
            f"{found.piece_ms:9.3f}{_status(found.outcome)}{'  FAILS' if found.faults else ''}"
        )
    print(f"{len(rows)} rows; at most {RATIO_MAX} times for twice the size, {BOUND_MS:.0f} ms for one piece")
    print(*faults, sep="\n")
    websocket_rows.close()
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
