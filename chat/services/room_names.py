"""Names of rooms that look like another room's, which nobody may give.

Rules
- A new name is compared with the names of all public rooms and of the user's own rooms: with those they see.  So a
  refusal does not reveal a private room.
- It is compared when the name is given, and refused by a state that holds all that was acknowledged.
- Two such names may be given in the same moment.  So the command carries the skeleton of its name, and its applier
  compares it with public rooms again.  The applier does not compute it, since it may differ from Python to Python.  A
  post to a room that exists carries none.
- The name that a room has or had is not compared: it means that room.
"""

from functools import lru_cache

from chat.commands import Actor, Post
from chat.confusable_names import room_looks
from chat.errors import Problem, problem
from chat.state import permissions
from chat.state.results import Refusal
from chat.state.room_details import PRIVATE, RoomDetails
from chat.state.room_directory import is_private_name
from chat.state.tables import StateReader, Tables

_NONE = RoomDetails()
_DRAWN_POINTS = 11  # that a private room's name ends with


def refused_looks(state: StateReader, actor: Actor, name: str, field: str, room: str = "") -> Problem | None:
    """The Problem (409) for a name that looks like another room's that this user sees; None if it may be given.

    `room`: the room that gets the name, if it exists.  Two private rooms may have the same name, with different random
    ends: a creation without an answer may be tried again.
    """
    looks = _looks(shown(name))
    if not looks:
        return None
    own = {name, *state.present_names([room])}
    for other in state.ask(lambda tables: _alike(tables, actor, name, looks)):
        is_same = shown(other) == shown(name) and is_private_name(other) and is_private_name(name)
        if other not in own and not is_same:
            return problem("looks_like", f"{field}: looks like the name of another room")
    return None


def told_looks(post: Post, actor: Actor, state: StateReader) -> Post | Problem:
    """The post, with the skeleton of its room's name if it may make a room; or the Problem of that name."""
    if state.has_room(post.room):
        return post
    return refused_looks(state, actor, post.room, "RoomName") or post._replace(looks=_looks(post.room))


def _alike(tables: Tables, actor: Actor, name: str, looks: str) -> list[str]:
    """The names that look like this one, of the rooms that this user sees."""
    rooms = tables.rooms
    if rooms.existing(name) is not None:
        return []
    who = permissions.acting(tables, actor)
    own = () if isinstance(who, Refusal) else rooms.of_user.get(who.name, ())
    privates = [each for each in own if (rooms.by_name[each].details or _NONE).visibility == PRIVATE]
    return [*rooms.alike.get(looks, ()), *(each for each in privates if _looks(shown(each)) == looks)]


def shown(name: str) -> str:
    """The name as people see it: a private room's without its random end."""
    return name[:-_DRAWN_POINTS] if is_private_name(name) else name


@lru_cache(maxsize=4_096)
def _looks(name: str) -> str:
    return room_looks(name)
