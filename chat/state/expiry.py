"""What is old enough to go, and letting it go, in small steps.

Rules.  The leader asks here what is due at its time and proposes it; `apply` decides again, by the log alone.  So what
two leaders propose at once, or what is not due any more, does no harm.
A step is short: it stands between posts.
"""

from collections.abc import Callable

from chat.commands import Command
from chat.commands.cluster import Begin, Forget
from chat.state.events import Tell
from chat.state.results import Done, Result
from chat.state.tables import Tables
from raft.messages import Entry

CLIENT_IDS_KEPT_S = 24 * 3600  # at least: so long a client may try again
FORGET_BUCKETS = 1_024  # in a step, of some hundred ClientIds each: two milliseconds
LOOK_BUCKETS = 8_192  # that one question looks at: a millisecond

_SECOND = 1_000_000
_ALL = 1 << 62  # a log index behind every other


def begin(tables: Tables, command: Command, entry: Entry, tell: Tell) -> Done:
    """What is of level 3 begins here; a second time is nothing."""
    if not tables.begun:
        tables.begun = True
        tables.ages.begin(entry.time)
    return Done(entry.index)


def forget(tables: Tables, command: Forget, entry: Entry, tell: Tell) -> Done:
    """ClientIds of some buckets are known no more."""
    up_to = tables.ages.before(command.before, entry.index)
    end = min(command.first + min(command.buckets, FORGET_BUCKETS), tables.remembered.bucket_count)
    tables.remembered.forget(up_to, range(max(command.first, 0), end))
    return Done(entry.index)


def due_forgetting(tables: Tables, now: int, first: int) -> tuple[Forget | None, int]:
    """The next step of going over all ClientIds, from bucket `first` on; and where to go on, 0: that is through."""
    before = now - CLIENT_IDS_KEPT_S * _SECOND
    up_to = tables.ages.before(before, _ALL)
    count = tables.remembered.bucket_count
    end = min(first + LOOK_BUCKETS, count)
    found = tables.remembered.oldest_bucket(up_to, range(first, end))
    if found is not None:
        end = min(found + FORGET_BUCKETS, count)
    command = None if found is None else Forget(before, found, FORGET_BUCKETS)
    return command, end if end < count else 0


APPLIERS: dict[type, Callable[..., Result]] = {Begin: begin, Forget: forget}
