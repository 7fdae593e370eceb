"""Carrying out that the state begins with what came with level 3."""

from collections.abc import Callable

from chat.commands.cluster import Begin
from chat.state.events import Tell
from chat.state.results import Done, Result
from chat.state.tables import Tables
from raft.messages import Entry


def begin(tables: Tables, command: Begin, entry: Entry, tell: Tell) -> Done:
    """What is of level 3 begins here; a second time is nothing."""
    if not tables.begun:
        tables.begun = True
        tables.ages.begin(entry.time)
    return Done(entry.index)


APPLIERS: dict[type, Callable[..., Result]] = {Begin: begin}
