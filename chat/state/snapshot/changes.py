"""What became of posts: the rooms by name, and in each its posts in the order of the last change.

    {"Revisions":[["general",7,19,[17,19],19,22,[["👍",["ann","bob"]]],false,0]]}

A row is up to 100 names long (`post_changes.REACTIONS_MAX`).
"""

from chat.commands.json_codec import row_reader
from chat.state.post_revisions import Revision
from chat.state.snapshot.section import Row, Section
from chat.state.tables import Tables

_read = row_reader(Revision)


def _copy(tables: Tables) -> list[Row]:
    rooms = tables.rooms.by_name
    changed = sorted(name for name, room in rooms.items() if room.revisions is not None)
    return [(name, id, *revision) for name in changed for id, revision in (rooms[name].revisions or {}).items()]


def _take(tables: Tables, row: object, index: int) -> None:
    if not isinstance(row, list):
        raise TypeError("Revisions")
    name, id, *fields = row
    room, revision = tables.rooms.by_name[name], _read(fields)
    # Its Id is looked at when the room's posts are known (`Room.restore`).
    ascends = room.last_index < revision.last_index <= index
    has_record = (revision.tombstone_bytes > 0) is revision.deleted
    if type(id) is not int or not ascends or not has_record or not all(0 < at <= index for at in revision.entries):
        raise ValueError("Revisions")
    room.revise(id, revision)


SECTION = Section("Revisions", _copy, _take)
