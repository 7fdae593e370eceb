"""Apply the commands on what users prefer about rooms: favourites, and levels of notifications.

Only users have preferences, so they need sign-in.  A user may prefer something about each room that they see; the
preferences stay if they lose the room, and hold again if they come back.
"""

from collections.abc import Callable

from chat.commands.rooms import SetPreferences
from chat.state import permissions
from chat.state.events import Emit, PreferencesChanged
from chat.state.results import Refusal, Result, RoomChanged
from chat.state.room_details import ALL, MENTIONS, NONE, PREFERENCES_MAX, Preferences
from chat.state.room_views import summary_for
from chat.state.settings import OPEN
from chat.state.tables import Tables
from raft.core.raft_messages import Entry

LEVELS = (ALL, MENTIONS, NONE)

_NAMELESS = Refusal("forbidden", "Authorization: this token belongs to no user, so it has no preferences")
_NOTIFY = Refusal("invalid_field", "Notify: must be all, mentions, none or null")
_TOO_MANY = Refusal("too_many_members", f"RoomName: {PREFERENCES_MAX:,} users have preferences about this room")


def set_preferences(tables: Tables, command: SetPreferences, entry: Entry, emit: Emit) -> RoomChanged | Refusal:
    """Change what a user prefers about a room, and tell their other devices."""
    who = permissions.acting(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    if tables.settings.auth == OPEN:
        return permissions.OPEN_MODE
    if not who.name:
        return _NAMELESS
    if command.notify not in (None, "", *LEVELS):
        return _NOTIFY
    room = permissions.visible_room(tables, who, command.room)
    if room is None:
        return permissions.unseen(tables, who, command.room)
    before = tables.preferences_of(room, who.name)
    wanted = Preferences(
        before.favourite if command.favourite is None else command.favourite,
        before.notify if command.notify is None else command.notify,
    )
    if wanted != before:
        if not tables.put_preferences(room, who.name, wanted):
            return _TOO_MANY
        emit(PreferencesChanged(entry.index, who.name, room.name, wanted.favourite, wanted.notify))
    return RoomChanged(entry.index, summary_for(tables, room, who))


APPLIERS: dict[type, Callable[..., Result]] = {SetPreferences: set_preferences}
