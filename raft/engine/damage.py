"""Damage found in this node's own files: logged once, shown by `GET /raft`, and remembered in the file DAMAGE.

A damaged record that is read again and again makes one line of the log.

Rules.  A start checks the places that DAMAGE names.  Places that are still damaged are logged and shown from then on;
places that were repaired or removed are forgotten.  A file that was mended is forgotten at once.  The file is a help,
not a promise: if it cannot be written, damage is found again at the next read.
"""

import json
import logging
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from raft.core.entries import RECORD_BYTES_MAX
from raft.errors import CorruptLog
from raft.storage.disk import TEMPORARY_SUFFIX, Disk, create_durably, read_all
from raft.storage.segment import intact_lines_in

logger = logging.getLogger(__name__)

DAMAGE_MAX = 64  # places that are remembered; of a file that is damaged all over, the first ones say enough
NAME = "DAMAGE"


class Damage:
    """The places known to be damaged.  Thread-safe."""

    def __init__(self, disk: Disk | None = None, data_dir: Path | None = None) -> None:
        """Without a disk, damage is forgotten with the process."""
        self._disk = disk
        self._data_dir = data_dir or Path()
        self._lock = threading.Lock()
        self._saving = threading.Lock()  # held across I/O: only threads that found damage wait for it
        self._places: dict[tuple[str, int], None] = {}  # (file, offset), in the order of finding

    def note(self, error: CorruptLog) -> bool:
        """Log damage once; return whether it is new."""
        place = error.file, error.offset
        with self._lock:
            if place in self._places or len(self._places) >= DAMAGE_MAX:
                return False
            self._places[place] = None
        logger.warning("%s: %s at byte %d; the other members are asked for it", error.file, error.what, error.offset)
        self._save()
        return True

    def forget(self, file: str) -> bool:
        """Forget all damage in a file, which was mended or replaced; return whether there was any."""
        return self.forget_all_but(lambda name: name != Path(file).name)

    def forget_all_but(self, is_kept: Callable[[str], object]) -> bool:
        """Forget the damage in all files but those whose names are kept; return whether there was any."""
        with self._lock:
            places = [place for place in self._places if not is_kept(Path(place[0]).name)]
            for place in places:
                del self._places[place]
        if places:
            self._save()
        return bool(places)

    def found(self) -> list[dict[str, object]]:
        """Return the places by file name and offset, as `GET /raft` shows them."""
        with self._lock:
            return [{"File": Path(file).name, "Offset": offset} for file, offset in self._places]

    def has(self, file: str) -> bool:
        """Return whether a place in this file is known to be damaged."""
        with self._lock:
            return any(name == file for name, _ in self._places)

    def recheck(self) -> None:
        """Check the places that an earlier process of this directory found; at a start, before any `note`."""
        if self._disk is None:
            return
        known = self._load(self._disk)
        for name, offset in known:
            if _is_damaged(self._disk, self._data_dir / name, offset):
                path = str(self._data_dir / name)
                logger.warning("%s: damage that was found earlier is still there at byte %d", path, offset)
                self._places[path, offset] = None
        if len(self._places) < len(known):
            self._save()

    def _load(self, disk: Disk) -> list[tuple[str, int]]:
        """Return the places in the file; none if `_save` did not write it."""
        try:
            places = [json.loads(line) for line in read_all(disk, self._data_dir / NAME).splitlines()[:DAMAGE_MAX]]
            return [(Path(str(place["File"])).name, int(place["Offset"])) for place in places]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # the last: JSON nested too deep to read
            return []

    def _save(self) -> None:
        if self._disk is None:
            return
        path = self._data_dir / NAME
        with self._saving, suppress(OSError):
            lines = "".join(json.dumps(place) + "\n" for place in self.found())
            with suppress(FileNotFoundError):  # left by a crash
                self._disk.remove(path.with_name(path.name + TEMPORARY_SUFFIX))
            create_durably(self._disk, path, lines.encode()).close()


def _is_damaged(disk: Disk, path: Path, offset: int) -> bool:
    """Return whether there is no intact line at that place; False if the file is gone."""
    try:
        with closing(disk.open(path)) as file:
            return next(intact_lines_in(file.pread(RECORD_BYTES_MAX + 1, offset)), None) is None
    except OSError:
        return False
