"""Apply a leap of the log's time: move all that has an age with it, so that no age changes.

`chat/state/log_times.py` has the rule.  Only a clock entry of the log sets its time; it is no command.
"""

from chat.state.accounts import HOUR
from chat.state.tables import Tables

TICKET_LIFE = HOUR  # in microseconds: the longest one


def set_clock(tables: Tables, before: int, time: int) -> None:
    """Move all that has an age with the log's time, from `before` to `time`."""
    if not tables.log_times.open_until:
        return  # no command was applied yet, so nothing has an age
    moved = tables.log_times.set_clock(before, time)
    _move_credentials(tables, before, time, moved)
    for room in tables.rooms.by_name.values():
        if room.details is not None and room.details.touched_at:
            room.details = room.details._replace(touched_at=min(room.details.touched_at + moved, time))


def _move_credentials(tables: Tables, before: int, time: int, moved: int) -> None:
    """Move all expiry times with the log's time, from `before` to `time`: the remaining life of each stays.

    `moved` is the part of the leap that concerns all credentials.  The rest takes back a leap that the log has no entry
    of: it concerns credentials made at a time that is still to come.
    """
    rest = min(time - before - moved, 0)
    for number, token in tables.tokens.items():
        expires_at = _moved(token.expires_at, moved + (rest if token.created_at > time else 0))
        used_hour = min(token.used_hour, time // HOUR)
        tables.tokens[number] = token._replace(expires_at=expires_at, used_hour=used_hour)
    for digest, invite in tables.invites.items():
        expires_at = _moved(invite.expires_at, moved + (rest if invite.made_at > time else 0))
        tables.invites[digest] = invite._replace(expires_at=expires_at)
    for digest, ticket in tables.tickets.items():
        expires_at = _moved(ticket.expires_at, moved)
        tables.tickets[digest] = ticket._replace(expires_at=min(expires_at, time + TICKET_LIFE) if rest else expires_at)


def _moved(expires_at: int, by: int) -> int:
    """The expiry time moved by so much.  0 (never) stays 0; an expired time stays expired."""
    return max(expires_at + by, 1) if expires_at else 0
