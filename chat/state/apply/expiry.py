"""Expiry: find what is old enough to be removed, and remove it in small steps.

Rules.
- The leader finds here what is due at its time, and proposes it.  `apply` decides again, by the log alone.  So two
  leaders that propose the same do no harm, nor does a step that is no longer due.
- No step is applied at a later time than its entry's.  If the log's time was set back after the leader had looked, the
  time in the command is of before that, and by it whole rooms would be too old.
- A step is short, since posts wait behind it.
"""

from collections.abc import Callable
from itertools import islice

from chat.commands.cluster import Expire, Forget, ForgetRooms
from chat.state.events import Emit, RoomDeleted
from chat.state.results import Done, Result
from chat.state.room import Room
from chat.state.room_details import DIRECT
from chat.state.room_views import reach_of
from chat.state.tables import Tables
from raft.core.raft_messages import Entry

CLIENT_IDS_KEPT_S = 24 * 3600  # at least: so long a client may try again
# Names of deleted rooms, 800 bytes each, and as many of rooms that became private.  A client that was away while more
# rooms were deleted starts over.  So long, a private room's former name is answered as gone.
GONE_MAX = 10_000
FORGET_ROOMS = 256  # in a step: 64 KB of the longest names, and some milliseconds
EXPIRE_ROOMS = 64  # in a step
LOOK_ROOMS = 2_000  # that one question looks at: a millisecond
FORGET_BUCKETS = 1_024  # in a step, of some hundred ClientIds each: two milliseconds
LOOK_BUCKETS = 8_192  # that one question looks at: a millisecond

_SECOND = 1_000_000
_ALL = 1 << 62  # a log index behind every other


def forget(tables: Tables, command: Forget, entry: Entry, emit: Emit) -> Done:
    """Forget the old ClientIds of some buckets."""
    before = min(command.before, entry.time - CLIENT_IDS_KEPT_S * _SECOND)
    up_to = tables.log_times.before(before, entry.index)
    end = min(command.first + min(command.buckets, FORGET_BUCKETS), tables.client_ids.bucket_count)
    tables.client_ids.forget(up_to, range(max(command.first, 0), end))
    return Done(entry.index)


def due_forgetting(tables: Tables, now: int, first: int) -> tuple[Forget | None, int]:
    """The next step over all ClientIds, from bucket `first` on; and the bucket to go on from, 0 after the last."""
    before = now - CLIENT_IDS_KEPT_S * _SECOND
    up_to = tables.log_times.before(before, _ALL)
    count = tables.client_ids.bucket_count
    end = min(first + LOOK_BUCKETS, count)
    found = tables.client_ids.oldest_bucket(up_to, range(first, end))
    if found is not None:
        end = min(found + FORGET_BUCKETS, count)
    command = None if found is None else Forget(before, found, FORGET_BUCKETS)
    return command, end if end < count else 0


def forget_rooms(tables: Tables, command: ForgetRooms, entry: Entry, emit: Emit) -> Done:
    """Forget some names of deleted rooms."""
    for name in command.rooms[:FORGET_ROOMS]:
        tables.rooms.forget(name)
    return Done(entry.index)


def due_forgetting_rooms(tables: Tables) -> ForgetRooms | None:
    """The next step of forgetting the oldest names above GONE_MAX, of deleted rooms or of rooms turned private."""
    rooms = tables.rooms
    turned = len(rooms.turned_private)
    deleted_over, turned_over = len(rooms.gone) - turned - GONE_MAX, turned - GONE_MAX
    if deleted_over > 0:
        names = (name for name in rooms.gone if name not in rooms.turned_private)
    elif turned_over > 0:
        names = (name for name in rooms.gone if name in rooms.turned_private)
    else:
        return None
    return ForgetRooms(tuple(islice(names, min(max(deleted_over, turned_over), FORGET_ROOMS))))


def expire(tables: Tables, command: Expire, entry: Entry, emit: Emit) -> Done:
    """Remove the posts that some rooms do not keep any more; and one room that is unused or empty.

    One only: an entry makes at most one event.
    """
    now = min(command.now, entry.time)
    for name in command.rooms[:EXPIRE_ROOMS]:
        room = tables.rooms.existing(name)
        if room is None or not _room_is_due(tables, room, now, entry.index):
            continue
        before = room.record_bytes
        room.expire(_too_old(tables, room, now, entry.index))
        room.trim(tables.settings.max_messages)
        tables.live_bytes += room.record_bytes - before
        if not room.posts:
            tables.rooms.touch(room, now)
    gone = None if command.gone is None else tables.rooms.existing(command.gone)
    if gone is not None and _is_needless(tables, gone, now, entry.index):
        emit(RoomDeleted(entry.index, gone.name, reach_of(gone)))
        tables.remove_room(gone, entry.index)
    return Done(entry.index)


def due_expiry(tables: Tables, now: int, first: int) -> tuple[Expire | None, int]:
    """The next step over all rooms, from number `first` on; and the number to go on from, 0 after the last."""
    rooms = tables.rooms.by_name
    due: list[str] = []
    gone: str | None = None
    end = first + LOOK_ROOMS
    for number, room in enumerate(islice(rooms.values(), first, end), first):
        if _room_is_due(tables, room, now, _ALL):
            due.append(room.name)
        elif _is_needless(tables, room, now, _ALL):
            gone = room.name
        if gone is not None or len(due) == EXPIRE_ROOMS:
            end = number + 1
            break
    return Expire(now, tuple(due), gone) if due or gone is not None else None, end if end < len(rooms) else 0


def _room_is_due(tables: Tables, room: Room, now: int, next_index: int) -> bool:
    """Return whether the room has posts that it should not keep any more."""
    settings, details = tables.settings, room.details
    if details is None and not settings.max_age_s and not settings.max_messages:
        return False  # as in most of them
    return room.oldest_index <= _too_old(tables, room, now, next_index) or room.excess(settings.max_messages) > 0


def _is_needless(tables: Tables, room: Room, now: int, next_index: int) -> bool:
    """Return whether the room was unused, or empty, for longer than the settings allow."""
    settings, details = tables.settings, room.details
    if not (settings.unused_room_s or settings.empty_room_s) or not room.exists:
        return False
    if details is not None and (details.archived or details.visibility == DIRECT):
        return False
    touched_at = 0 if details is None else details.touched_at
    unused_from = now - settings.unused_room_s * _SECOND
    # By the log index and not by the stamp: a stamp stays as it is when the log's time is set anew.
    is_unused = touched_at <= unused_from and room.newest_index <= tables.log_times.before(unused_from, next_index)
    if settings.unused_room_s and is_unused:
        return True
    return bool(settings.empty_room_s) and not room.posts and touched_at <= now - settings.empty_room_s * _SECOND


def _too_old(tables: Tables, room: Room, now: int, next_index: int) -> int:
    """The log index up to which the room's posts are too old to keep; 0 if none is known to be."""
    details = room.details
    age_s = details.max_age_s if details is not None else 0
    if not age_s and (details is None or not details.retention_own):
        age_s = tables.settings.max_age_s
    return tables.log_times.before(now - age_s * _SECOND, next_index) if age_s else 0


APPLIERS: dict[type, Callable[..., Result]] = {
    Expire: expire, Forget: forget, ForgetRooms: forget_rooms,
}  # fmt: skip
