"""What became of posts: the rooms by name, and in each its posts in the order of the last change.

    {"Changes":[["general",7,19,[17,19],19,22,[["👍",["ann","bob"]]],false,0]]}

A row is up to 100 names long (`post_changes.REACTIONS_MAX`).
"""

from chat.commands.json_codec import row_reader
from chat.state.post_revisions import Change
from chat.state.snapshot.section import Row, Section
from chat.state.tables import Tables

_read = row_reader(Change)


def _copy(tables: Tables) -> list[Row]:
    rooms = tables.rooms.by_name
    changed = sorted(name for name, room in rooms.items() if room.changes is not None)
    return [(name, id, *change) for name in changed for id, change in (rooms[name].changes or {}).items()]


def _take(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list):
        raise TypeError("Changes")
    name, id, *fields = row
    room, change = tables.rooms.by_name[name], _read(fields)
    # Its Id is looked at when the room's posts are known (`Room.restore`).
    ascends = room.last_index < change.last_index <= index
    has_record = (change.tombstone_bytes > 0) is change.deleted
    if type(id) is not int or not ascends or not has_record or not all(0 < at <= index for at in change.entries):
        raise ValueError("Changes")
    room.change(id, change)


SECTION = Section("Changes", _copy, _take)
