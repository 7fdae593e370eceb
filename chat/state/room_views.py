"""Views of a room: in the list of rooms, in the answer to a change, and in the event of a change."""

import json
from dataclasses import replace

from chat.state.accounts import Acting
from chat.state.events import EVERYBODY, Reach, RoomDeleted, RoomEvent
from chat.state.post_json import timestamp
from chat.state.results import RoomSummary
from chat.state.room import Room
from chat.state.room_details import DIRECT, Counts, RoomDetails
from chat.state.room_directory import is_public
from chat.state.settings import OPEN
from chat.state.tables import Tables


def summary(room: Room) -> RoomSummary:
    """The room as everybody who sees it is shown it."""
    details = room.details or RoomDetails()
    if details.pins:
        details = details._replace(pins=pinned(room))
    return RoomSummary(
        room.name, room.posts, room.last_posted_at, room.max_messages or None, details, newest_id=room.newest_id
    )


def pinned(room: Room) -> tuple[int, ...]:
    """The Ids of pinned posts that are neither gone nor deleted, in the order of pinning."""
    pins = room.details.pins if room.details is not None else ()
    return tuple(id for id in pins if room.index_of(id) and not room.revision_of(id).deleted)


def summary_for(tables: Tables, room: Room, acting: Acting) -> RoomSummary:
    """`summary`, and with sign-in the user's membership, counts and preferences."""
    told = summary(room)
    if tables.settings.auth == OPEN or not acting.name:
        return told
    return replace(
        told,
        joined=acting.name in told.details.members,
        counts=counts(tables, acting.name, room),
        preferences=tables.preferences_of(room, acting.name),
    )


def counts(tables: Tables, user: str, room: Room) -> Counts | None:
    """The unread messages and mentions of this user in the room; None if they are no reader of it."""
    reader = tables.readers_of(room).get(user)
    if reader is None:
        return None
    oldest = room.oldest_id
    mentions = sum(id >= oldest and not room.revision_of(id).deleted for id in reader.mentions)
    return Counts(reader.read_id, room.newest_id - max(reader.read_id, oldest - 1), mentions)


def reach_of(room: Room) -> Reach:
    """The users whom events of the room concern."""
    details = room.details
    if details is None:
        return EVERYBODY
    return Reach(is_public(room), details.members, details.visibility != DIRECT)


def room_json(room: RoomSummary) -> dict[str, object]:
    """The members of the room's JSON object."""
    details = room.details
    bounds = {"MaxMessages": room.max_messages, "MaxAgeSeconds": details.max_age_s or None}
    told: dict[str, object] = {
        "Name": room.name,
        "Topic": details.topic,
        "Visibility": details.visibility,
        "Owner": None if details.visibility == DIRECT else details.owner or None,
        "Archived": details.archived,
        "Messages": room.posts,
        "NewestId": room.newest_id,
        "LastPostedAt": timestamp(room.last_posted_at) if room.last_posted_at else None,
        "Retention": {name: bound for name, bound in bounds.items() if bound is not None} or None,
    }
    if details.pins:
        told["Pins"] = list(details.pins)
    if details.aliases:
        told["Aliases"] = list(details.aliases)
    if details.visibility == DIRECT:
        told["Members"] = sorted(details.members)
    if room.joined is not None:
        told["Joined"] = room.joined
    if room.counts is not None:
        told |= {"ReadId": room.counts.read_id, "Unread": room.counts.unread, "Mentions": room.counts.mentions}
    if room.preferences.favourite:
        told["Favourite"] = True
    if room.preferences.notify:
        told["Notify"] = room.preferences.notify
    return told


def room_event(room: Room, index: int, before: Reach | None = None, was_called: str = "") -> RoomEvent:
    """The event of a room that was made or changed, for those who see it now."""
    details = room.details or RoomDetails()
    names = dict.fromkeys((room.name, *details.aliases, was_called or room.name))
    reach = reach_of(room)
    told = json.dumps(room_json(summary(room)), ensure_ascii=False, separators=(",", ":")).encode()
    lost = _lost(index, was_called, before, reach) if before is not None else None
    return RoomEvent(index, room.name, tuple(names), told, reach, lost)


def _lost(index: int, was_called: str, before: Reach, reach: Reach) -> RoomDeleted | None:
    """The event for those who saw the room before and do not see it now; None if there can be none."""
    if (before.public and not reach.public) or before.members - reach.members:
        return RoomDeleted(index, was_called, before._replace(without=reach))
    return None
