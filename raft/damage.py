"""Damage that was found in this node's own files: logged once, and shown by `GET /raft`.

Whoever reads a damaged record again and again makes one line of the log of it.
"""

import logging
import threading
from pathlib import Path

from raft.errors import CorruptLog

logger = logging.getLogger(__name__)

DAMAGE_MAX = 64  # places that are remembered: a file that is damaged all over is a matter for its first lines


class Damage:
    """The places that are known to be damaged, since this process started.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[tuple[str, int], None] = {}  # (file, offset), in the order of finding

    def note(self, error: CorruptLog) -> bool:
        """Log what was found; whether it is new."""
        place = error.file, error.offset
        with self._lock:
            if place in self._places or len(self._places) >= DAMAGE_MAX:
                return False
            self._places[place] = None
        logger.error("%s", error)
        return True

    def found(self) -> list[dict[str, object]]:
        """Return the places by file name and offset, as `GET /raft` shows them."""
        with self._lock:
            return [{"File": Path(file).name, "Offset": offset} for file, offset in self._places]
