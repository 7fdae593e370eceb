"""What time it really is, and whether what members stamp and let go is in keeping with it.

Where the clocks of fewer than half of the voters are wrong, a leader that has heard all clocks stamps what is right to
within a bound, and nothing goes by its age before its time; of a clock that is a little off, as all are, it takes no
notice.  Left out is what nobody can know: of a leader that has not heard of all, its stamps; and where a machine's
steady clock ran too fast or too slow since, what it makes of others' clocks.

Where all clocks leap together (`leaps.py`), the log's time goes on as if they had not, until a clock entry says
otherwise: not before the leap has stayed for a while, unless it is accepted.  From there on it is right to be as far
off as the log's clock entries say.  A leap that a process was down for cannot be told from a long time, so once one
has started while the clocks are ahead of the log's time, this holds no more; that time goes on, and that the clocks
and the log agree again, does.
"""

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from chat.commands import Command
from chat.commands.cluster import Expire, ExpireCredentials, Forget
from chat.state.apply import expiry
from chat.state.tables import Tables
from raft.core.raft_messages import Entry, Kind
from raft.engine.clocks import OFF_S, SLOWER_BY
from tests.simulation.invariants import Violation
from tests.simulation.machine import EPOCH

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

OFF_SIMULATED_S = 0.5  # in the place of raft.engine.clocks.OFF_S: posts go after a second or two here
ANSWER_SIMULATED_S = 0.1
HOLD_SIMULATED_S = 1.0
_SECOND = 1_000_000
AGREED_BOUND_US = 300_000  # of clocks that are a little off, and of an answer's way
STAMP_BOUND_US = AGREED_BOUND_US + int(OFF_SIMULATED_S * _SECOND)
assert OFF_SIMULATED_S < OFF_S


class Truth:
    """Of one world."""

    def __init__(self) -> None:
        self.liars: set[int] = set()  # machines whose clocks are wrong
        self.everybody_lies = False  # any clock may be wrong, so that none of this need hold
        self._appended: dict[tuple[int, int], int] = {}  # (index, term) -> when, where its stamp has to be right
        self._unsure: set[Command] = set()  # proposed by who need not know what time it is
        self.leapt_ms = -inf  # when all clocks have leaped, the last time, by the observer's clock
        self.is_accepted = False  # the operator has called them right
        self._first_leap_ms = inf
        self._is_told = True  # no process has started while the clocks were ahead of the log's time
        self._slept = False  # one has while they were behind it: it goes on from its newest entry

    # All clocks leap

    def leaps(self, world: "World", by_us: int) -> None:
        """All clocks are about to leap."""
        self.leapt_ms = world.schedule.now_ms
        self._first_leap_ms = min(self._first_leap_ms, self.leapt_ms)
        all_know = all(process.clocks._was_sure for process in world.network.running.values())
        self._is_told = self._is_told and all_know and bool(world.invariants.committed)

    def started(self, world: "World") -> None:
        """A process starts."""
        has_leapt = self._first_leap_ms < inf
        ahead_us = world.leaps.ahead_us - _set_by(world.invariants.committed) if has_leapt else 0
        if ahead_us > OFF_SIMULATED_S * _SECOND:
            self._is_told = False
        elif ahead_us < -OFF_SIMULATED_S * _SECOND:
            self._slept = True

    def _right_us(self, process: "Process", log: list[Entry]) -> tuple[int, int]:
        """The lowest and the highest time that it may be behind this log."""
        now = self._now(process)
        if self._first_leap_ms == inf:
            return now, now
        slower_us = int((process.world.schedule.now_ms - self._first_leap_ms) * 1_000 / SLOWER_BY)
        right = now + _set_by(log)
        return right - slower_us, right

    def goes_on(self, process: "Process", before_us: int, in_ms: float) -> None:
        """At the end, in peace: its time was that, so long ago."""
        stamp, ahead_us = process.clocks.stamp(), process.world.leaps.ahead_us
        went_us = stamp - before_us
        if not in_ms * 1_000 * (SLOWER_BY - 1) / SLOWER_BY - 1_000 <= went_us <= in_ms * 1_000 + STAMP_BOUND_US:
            went_s = went_us / _SECOND
            raise Violation("time goes on", f"that of member {process.id} went by {went_s:.1f} s in {in_ms / 1000:.1f}")
        off_s = (stamp - process.wall_us) / _SECOND
        agrees = ahead_us > 0 or (ahead_us == 0 and self._is_told)  # where else it may be ahead of the clocks
        if off_s < -STAMP_BOUND_US / _SECOND or (agrees and off_s > STAMP_BOUND_US / _SECOND):
            raise Violation("time goes on", f"that of member {process.id} is {off_s:.1f} s off the clocks in the end")

    def stamped(self, process: "Process", entries: tuple[Entry, ...]) -> None:
        """A leader has appended these, in its own term."""
        if not self._is_sure(process, of_all=True):
            return
        now, before = self._now(process), process.machine.log[: entries[0].index - 1]
        floor = before[-1].time if before else 0
        low, high = self._right_us(process, before)
        for entry in entries:
            if entry.kind is Kind.CLOCK:
                self._require_held(process, entry)
                low, high = self._right_us(process, process.machine.log[: entry.index])
            if entry.kind is not Kind.COMMAND or not self._is_told:
                continue
            self._appended[entry.index, entry.term] = now
            process.world.counts["stamps that are right"] += 1
            if abs(process.wall_us - now) > 2 * STAMP_BOUND_US:
                process.world.counts["stamps of wrong clocks that are right"] += 1
            if not (floor if self._slept else low - STAMP_BOUND_US) <= entry.time <= max(high + STAMP_BOUND_US, floor):
                off_s = (entry.time - high) / _SECOND
                raise Violation("stamped right", f"entry {entry.index} of leader {process.id} is off by {off_s:.1f} s")

    def _require_held(self, process: "Process", entry: Entry) -> None:
        """A clock entry is appended."""
        stayed_ms = process.world.schedule.now_ms - self.leapt_ms
        if self._is_told and not self.is_accepted and stayed_ms < HOLD_SIMULATED_S * 1_000 - ANSWER_SIMULATED_S * 1_000:
            detail = f"leader {process.id} follows a leap after {stayed_ms / 1_000:.1f} s, by entry {entry.index}"
            raise Violation("a leap is held", detail)

    def proposed(self, process: "Process", command: Command) -> None:
        """A keeper is about to propose this."""
        if not isinstance(command, Expire | Forget | ExpireCredentials):
            return
        if not (self._is_sure(process, of_all=False) and self._is_told):
            self._unsure.add(command)
            return
        now = command.now if not isinstance(command, Forget) else command.before + expiry.CLIENT_IDS_KEPT_S * _SECOND
        _, right = self._right_us(process, process.machine.log)
        if now > right + AGREED_BOUND_US:
            early_s = (now - right) / _SECOND
            raise Violation("expired never early", f"member {process.id} takes it for {early_s:.1f} s later than it is")

    def expires(self, process: "Process", command: Expire) -> dict[str, tuple[list[int], int]]:
        """Before it is applied: of the rooms that are bounded by age alone, their posts and the age in microseconds."""

        def look(tables: Tables) -> dict[str, tuple[list[int], int]]:
            rooms = [room for name in command.rooms if (room := tables.rooms.existing(name)) is not None]
            bounded = [room for room in rooms if room.excess(tables.settings.max_messages) <= 0]
            return {room.name: (list(room.indexes), expiry_age_us(tables, room.name)) for room in bounded}

        return process.state.ask(look)

    def expired(self, process: "Process", command: Expire, before: dict[str, tuple[list[int], int]]) -> None:
        """It is applied, here for the first time anywhere."""
        if command in self._unsure or not self._is_told:
            return
        committed, now = process.world.invariants.committed, self._now(process)
        for name, (posts, age_us) in before.items():
            room = process.state.ask(lambda tables, name=name: tables.rooms.get(name))  # type: ignore[misc]
            left = set(room.indexes) if room is not None else set()
            for index in posts:
                appended = self._appended.get((index, committed[index - 1].term))
                if index in left or appended is None:
                    continue
                process.world.counts["posts gone by their age"] += 1
                if now - appended < age_us - STAMP_BOUND_US - AGREED_BOUND_US:
                    lived_s = (now - appended) / _SECOND
                    detail = f"post {index} of {name} went after {lived_s:.1f} s of {age_us / _SECOND:.0f}"
                    raise Violation("expired never early", detail)

    @staticmethod
    def _now(process: "Process") -> int:
        return EPOCH + int(process.world.schedule.now_ms * 1000)

    def _is_sure(self, process: "Process", *, of_all: bool) -> bool:
        """Whether it can know what time it is; `of_all`: for sure, which takes the clocks of all voters."""
        voters, heard_ms = process.node.configuration.voters, process.settled_heard_ms
        wrong = len(self.liars.intersection(voters))
        others = [id for id in voters if id != process.id]
        machine = process.machine
        recovers = machine.rated_ms > 0 and process.clocks._leap is not None  # from a steady clock that was wrong
        steady = (
            machine.rate == 1.0
            and not recovers
            and all(heard_ms[id] >= machine.rated_ms for id in others if id in heard_ms)
        )
        settled = process.settled_voters == voters  # since the last tick
        first_ms = process.notices.first_heard_ms
        known = not of_all or (settled and all(first_ms.get(id, inf) <= process.settled_ms for id in others))
        return not self.everybody_lies and 2 * wrong < len(voters) and steady and known


def _set_by(log: Iterable[Entry]) -> int:
    """How much later it is by all of its clock entries together, in microseconds."""
    return sum(entry.time - int(entry.body) for entry in log if entry.kind is Kind.CLOCK)


def expiry_age_us(tables: Tables, name: str) -> int:
    """How long the room keeps posts, in microseconds."""
    room = tables.rooms.existing(name)
    assert room is not None
    own = room.details.max_age_s if room.details is not None else 0
    inherits = room.details is None or not room.details.retention_own
    return (own or (tables.settings.max_age_s if inherits else 0)) * _SECOND
