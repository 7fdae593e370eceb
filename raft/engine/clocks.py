"""The time of the log, which entries are stamped with, and by which ages and expiry are counted.

Rules.
1. *The cluster's clock* is the median of the voters' clocks, which members exchange all the time.  A clock that a
   member does not know may show anything, so the median lies between a lowest and a highest time.  If those are further
   apart than OFF_S, the lowest counts: a stamp never leaps further than a majority of clocks vouch for.
2. *A leap is held.*  This machine's steady clock shows where the cluster's clock should be.  If the cluster's
   clock is off by more than OFF_S, the log's time goes on by the steady clock, and both times are logged at once.  A
   leap that stays is followed after HOLD_S.  So a clock that is wrong for some seconds changes nothing, even in a
   cluster of one.  A leap while the process was down looks like a long downtime: it is logged and followed.
3. *The log's time never goes backwards.*  If the clock is behind the log, the log's time goes on from the newest entry,
   slower than the steady clock by a SLOWER_BY-th, until the clock has caught up.  So stamps stay apart, ages go on, and
   an hour that was too much is gone in eight.
4. *A leap that is followed is a clock entry in the log*: it holds the log's time before, and the time from there on.
   The leader appends it: by itself for a leap forwards, and in either direction when the operator says that the clock
   is right (`raft-chat clock accept`).  The state moves its times by it, so a message that was an hour old before a
   leap is an hour old after it.
5. Nothing expires by age while a majority's clocks are not known.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from typing import NamedTuple

from raft.core.node import Node, Role
from raft.engine.proposals import now
from raft.errors import ChangeRefused, NotLeader, Unavailable

logger = logging.getLogger(__name__)

OFF_S = 10.0  # clocks that differ by no more than this agree
AGREES_S = 5.0  # a clock that was off agrees again below this, so that the log does not alternate
HOLD_S = 600.0  # then a leap that stayed is followed; correcting a clock takes minutes
SLOWER_BY = 8  # an eighth: ages come out an eighth too small at most
ANSWER_TIMEOUT_S = 1.0  # an answer that took longer says little about the time
KNOWN_S = 86_400.0  # a clock that was silent for longer may be off by OFF_S by now
_SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the former is Linux's


def steady_s() -> float:
    """Return seconds that never go back, and go on while the process is stopped or the machine sleeps, if possible."""
    return time.clock_gettime(_STEADY)


def settle(clocks: "Clocks", node: Node) -> None:
    """Update `clocks` with the answers that came, and with what the log of `node` says."""
    leads = node.role is Role.LEADER
    clocks.settle(LogState(node.configuration.voters, node.last_time, node.clock_index, leads))


def stamp(clocks: "Clocks", node: Node) -> int:
    """Return the time for an entry of the engine; 0 if neither the log nor the clocks have one."""
    _take_in_clock_entry(clocks, node)
    return clocks.stamp()


def proposal_stamp(clocks: "Clocks", node: Node) -> int:
    """Return the time to stamp on clients' proposals.  Raises Unavailable as `Clocks.proposal_stamp` does."""
    _take_in_clock_entry(clocks, node)
    return clocks.proposal_stamp()


def _take_in_clock_entry(clocks: "Clocks", node: Node) -> None:
    """Settle if the log's newest clock entry came, or was truncated, since the last tick.

    A member can lead before its next tick.  Stamped by the time before, its entries would undo the clock entry.
    """
    if clocks.clock_index != node.clock_index:
        settle(clocks, node)


def accept_clock(clocks: "Clocks", node: Node) -> int:
    """Append a clock entry if the log's time is not the clock's; return its index, 0 for none.

    Raises NotLeader, Unavailable or ChangeRefused.
    """
    if node.role is not Role.LEADER:
        raise NotLeader(node.leader_id)
    settle(clocks, node)
    time = clocks.accepted()
    return 0 if time is None else _set_clock(clocks, node, time)


def follow_leap(clocks: "Clocks", node: Node) -> None:
    """Append a clock entry if this member leads and a leap forwards is due to be followed."""
    if node.role is Role.LEADER and (time := clocks.due_leap) is not None:
        with suppress(NotLeader):  # leadership is being transferred
            _set_clock(clocks, node, time)


def _set_clock(clocks: "Clocks", node: Node, time: int) -> int:
    index = node.set_clock(clocks.stamp(), time)
    settle(clocks, node)
    return index


class LogState(NamedTuple):
    """The log's facts about time, as of a tick."""

    voters: Sequence[int]
    last_time: int  # the newest entry's; 0 without entries
    clock_index: int  # changes whenever the newest clock entry is another one
    leads: bool = False  # this member leads, so it stamps entries


@dataclass(frozen=True, slots=True)
class _Leap:
    """A difference between the cluster's clock and the time it should show."""

    to: float  # microseconds ahead of the steady clock
    since_s: float


class Clocks:
    """The clocks that one member knows.  Any thread may ask; `settle` and `log_changes` need the engine's lock."""

    def __init__(self, id: int, wall_us: Callable[[], int] = now, steady_s: Callable[[], float] = steady_s) -> None:
        self._id = id
        self._wall_us = wall_us
        self._steady_s = steady_s
        # By member: its clock less the steady one, in microseconds, and when it was read.
        self._told: dict[int, tuple[float, float]] = {}
        self._low, self._high = -inf, inf  # of the median, less the steady clock
        self._raw = -inf  # the cluster's clock by the latest answers, less the steady clock
        self._taken: float | None = None  # the cluster's clock as the log follows it, less the steady clock
        self._was_sure = False  # `_taken` has been the median itself, not only the lowest possible one
        self._leap: _Leap | None = None
        self._floor = 0, 0.0  # the newest entry's time, and the steady clock when it was seen
        self.clock_index = -1  # the log's, when it was last taken in
        self._logged_leap: _Leap | None = None
        self._logged_index = -1  # the clock index at the last log line about the log's time
        self._logged_ahead = self._logged_off = False

    def heard(self, member: int, time: int, asked_s: float) -> None:
        """Note `member`'s clock, from an answer to a question sent at `asked_s` of the steady clock."""
        answered_s = self._steady_s()
        if answered_s - asked_s <= ANSWER_TIMEOUT_S:
            self._told[member] = time - (asked_s + answered_s) / 2 * _SECOND, answered_s

    def offsets_ms(self) -> dict[int, int]:
        """Return by how much each known clock is ahead of the cluster's clock; nothing while that is not known."""
        steady_s, cluster = self._steady_s(), self._raw
        if cluster == -inf:
            return {}
        known = {id: ahead for id, (ahead, told_s) in self._told.copy().items() if steady_s - told_s < KNOWN_S}
        known[self._id] = self._wall_us() - steady_s * _SECOND
        return {id: round((ahead - cluster) / 1000) for id, ahead in known.items()}

    # The log's time

    def settle(self, log: LogState) -> None:
        """Update the log's time from the answers and the log; at each tick, and after a clock entry."""
        steady = self._steady_s() * _SECOND
        if log.clock_index != self.clock_index:
            self.clock_index = log.clock_index
            self._floor = log.last_time, steady
            if not self._is_held_over(log.last_time - steady):
                self._taken = self._leap = None
        elif log.last_time > self._floor_at(steady):
            self._floor = log.last_time, steady
        self._bound(log.voters, steady)
        if self._raw == -inf:
            self._taken = self._leap = None
        elif self._taken is None or not (self._was_sure or log.leads):  # a follower stamps nothing by an unsure time
            self._taken, self._was_sure = self._raw, self._is_sure
        else:
            self._follow(self._taken, steady)

    def stamp(self) -> int:
        """Return the log's time in microseconds since 1970; 0 if neither the log nor the clocks have one."""
        steady, taken = self._steady_s() * _SECOND, self._taken
        return int(max(-inf if taken is None else taken + steady, self._floor_at(steady)))

    def proposal_stamp(self) -> int:
        """Return the time to stamp on clients' proposals.

        Raises Unavailable in a log without a time while the clocks of a majority are not known.
        """
        return self.stamp() or self.agreed_time()

    def agreed_time(self) -> int:
        """Return the log's time, for what goes by age.  Raises Unavailable while a majority's clocks are not known."""
        if self._taken is None:
            raise Unavailable("this node does not know the clocks of a majority yet; nothing was changed")
        return self.stamp()

    @property
    def due_leap(self) -> int | None:
        """The time that the log gets when a leap forwards is due to be followed; for the leader."""
        leap, steady = self._leap, self._steady_s() * _SECOND
        if leap is None or leap.to + steady <= self.stamp() + OFF_S * _SECOND or not self._is_due(leap, steady):
            return None
        return int(leap.to + steady)

    def accepted(self) -> int | None:
        """Return the time that the log gets when the operator accepts the clock; None: no change is needed.

        Raises Unavailable while a majority's clocks are not known, ChangeRefused if they differ.
        """
        if self._raw == -inf:
            self.agreed_time()
        if not self._is_sure:
            raise ChangeRefused(
                "clocks_differ",
                "the nodes' clocks differ, or one is not known; correct the clocks, start all nodes, and try again",
            )
        clock = int(self._raw + self._steady_s() * _SECOND)
        return clock if abs(clock - self.stamp()) > OFF_S * _SECOND else None

    def _bound(self, voters: Sequence[int], steady: float) -> None:
        """Find the bounds of the median of the voters' clocks."""
        own, known_from_s = self._wall_us() - steady, steady / _SECOND - KNOWN_S
        told = [self._told.get(id, (0.0, -inf)) for id in voters if id != self._id]
        known = [ahead for ahead, answered_s in told if answered_s >= known_from_s]
        unknown = len(told) - len(known)
        if self._id in voters:  # a leader that is being removed leads for a moment more, but its clock does not count
            known.append(own)
        known.sort()
        if not voters:
            self._low, self._high, self._raw = -inf, inf, -inf
            return
        self._low = ([-inf] * unknown + known)[(len(voters) - 1) // 2]
        self._high = (known + [inf] * unknown)[len(voters) // 2]
        self._raw = min(max(own, self._low), self._high) if self._is_sure else self._low

    @property
    def _is_sure(self) -> bool:
        return self._high - self._low <= OFF_S * _SECOND

    def _follow(self, taken: float, steady: float) -> None:
        """Move the cluster's clock from `taken` to what is known now, unless that is a leap."""
        to = self._raw if self._is_sure else min(max(taken, self._low), self._high)
        if abs(to - taken) <= OFF_S * _SECOND:
            self._taken, self._leap = to, None
            self._was_sure = self._was_sure or self._is_sure
            return
        if self._leap is None or abs(to - self._leap.to) > OFF_S * _SECOND:
            self._leap = _Leap(to, steady / _SECOND)
        ahead = to + steady - self.stamp() > OFF_S * _SECOND
        if self._is_due(self._leap, steady) and not ahead:  # the log's time is beyond it: no clock entry is needed
            self._taken, self._leap, self._was_sure = to, None, self._is_sure

    def _is_due(self, leap: _Leap, steady: float) -> bool:
        """Return whether to follow a leap.  At once, if the time before was only the lowest possible one."""
        return not self._was_sure or steady / _SECOND - leap.since_s >= HOLD_S

    def _is_held_over(self, newest: float) -> bool:
        """Return whether a leap is still held though the log has another clock entry, by its newest entry's time.

        A snapshot does not say whether it contains a clock entry.  A clock entry that follows the leap leads to the
        leap's time.
        """
        if self._leap is None or self._taken is None:
            return False
        return abs(newest - self._taken) <= abs(newest - self._leap.to)

    def _floor_at(self, steady: float) -> float:
        time, seen = self._floor
        return time + (steady - seen) * (SLOWER_BY - 1) / SLOWER_BY if time else 0

    # Log lines

    def log_changes(self) -> None:
        """Log, once each, what is wrong with the clocks; at each tick."""
        if self._taken is None:
            return
        steady = self._steady_s() * _SECOND
        stamp, clock = self.stamp(), int(self._raw + steady)
        if self._logged_index != self.clock_index:
            self._log_start(stamp, clock)
        self._log_leap(stamp, clock)
        self._log_ahead(stamp, clock)
        self._log_off(steady)

    def _log_start(self, stamp: int, clock: int) -> None:
        """Log the time at the start, and after a clock entry."""
        is_start, self._logged_index = self._logged_index == -1, self.clock_index
        if not is_start:
            logger.info("the log's time is set to the clock's: %s", _shown(stamp))
            self._logged_leap, self._logged_ahead = None, False
        elif self._floor[0] and clock - self._floor[0] > OFF_S * _SECOND:
            logger.info(
                "the newest entry of the log is of %s; the clock says %s", _shown(self._floor[0]), _shown(clock)
            )

    def _log_leap(self, stamp: int, clock: int) -> None:
        leap, said, self._logged_leap = self._leap, self._logged_leap, self._leap
        if leap is None:
            if said is not None and abs(stamp - clock) <= OFF_S * _SECOND:
                logger.info("the clock agrees with the log's time again: %s", _shown(clock))
        elif said is None or said.since_s != leap.since_s:
            logger.warning(
                "the clock has leaped to %s; it should be %s, and the log goes on from that. Correct the clock, or run "
                "`raft-chat clock accept` if it is right. A leap forwards is followed after %.0f s",
                _shown(int(leap.to + self._steady_s() * _SECOND)), _shown(stamp), HOLD_S,
            )  # fmt: skip

    def _log_ahead(self, stamp: int, clock: int) -> None:
        """Log that the log's time is ahead of the clock, by an earlier leap that was followed or by a leap back."""
        ahead_s = (stamp - clock) / _SECOND
        if not self._logged_ahead and self._leap is None and ahead_s > OFF_S:
            self._logged_ahead = True
            logger.warning(
                "the newest entries of the log are of %s, but the clock says %s: new messages are stamped from the "
                "log's time on. If the clock is right, run `raft-chat clock accept`",
                _shown(stamp), _shown(clock),
            )  # fmt: skip
        elif self._logged_ahead and ahead_s <= AGREES_S:
            self._logged_ahead = False
            logger.info("the clock agrees with the log's time again: %s", _shown(clock))

    def _log_off(self, steady: float) -> None:
        """Log that this node's clock is off the median."""
        own = self._wall_us() - steady
        off_s = (own - min(max(own, self._low), self._high)) / _SECOND
        if not self._logged_off and abs(off_s) > OFF_S:
            self._logged_off = True
            way = "ahead of" if off_s > 0 else "behind"
            logger.warning(
                "this node's clock is %.0f s %s that of most members. Correct it. While this node leads, their clocks "
                "count",
                abs(off_s), way,
            )  # fmt: skip
        elif self._logged_off and abs(off_s) <= AGREES_S:
            self._logged_off = False
            logger.info("this node's clock agrees with that of most members again")


def _shown(time: int) -> str:
    """Format a time for people; a time that no calendar has is shown as its number."""
    try:
        return (_EPOCH + timedelta(microseconds=time)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        return str(time)
