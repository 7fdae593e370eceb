"""A program whose threads the kernel knows by their names: `python named_threads.py PROGRAM [ARGUMENT…]`.

/proc and `top -H` then show a name beside what a thread costs.  The kernel keeps the first 15 bytes of a name.
"""

import runpy
import sys
import threading
from pathlib import Path

KEPT_BYTES = 15

_start = threading.Thread.start


def _start_with_name(self: threading.Thread) -> None:
    _start(self)
    name = self.name.encode()[:KEPT_BYTES]
    try:
        Path(f"/proc/self/task/{self.native_id}/comm").write_bytes(name)
    except OSError:
        return  # it has ended already


def main() -> None:
    """Run the program that the arguments name, with its own arguments."""
    threading.Thread.start = _start_with_name  # type: ignore[method-assign]
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
