"""What time it is, as most voters have it: what entries are stamped with, and by what they are old enough to go.

A leader whose clock is a year ahead would stamp posts of next year, and give up a year of what is kept; one whose clock
is behind would stamp what looks old at once where the others' time counts.  So each member asks all others for their
clocks, all the time (the answers to its notices tell them), and a leader whose clock is more than OFF_S off the voters'
median goes by the median.  It knows the clocks before it comes to lead: it has asked as a follower.

What is not known, of a member that was not in reach since this process began, may be anything.  So there is a lowest
and a highest time that the median can be.  Stamps follow the own clock unless that is OFF_S beyond both; what is given
up by its age goes by the lowest, for to keep a thing too long is the lesser harm, and while that is not known (a
majority's clocks are not) nothing goes.  Where one clock of three is wrong it counts for nothing, and where one of two
is, nobody can tell which.  Entries of the engine's own, whose time nobody reads, go by the lowest too: a leader appends
them before it can know anything, and no later entry may be stamped earlier than they are.
"""

import logging
from collections.abc import Callable, Sequence
from math import inf

from raft.errors import Unavailable
from raft.proposals import now
from raft.timing import steady_s

logger = logging.getLogger(__name__)

OFF_S = 10.0  # what a clock may be off and still be gone by
AGREES_S = 5.0  # what it is to be off no longer, once it was: not to say so by turns
ANSWER_TIMEOUT_S = 1.0  # an answer that took longer says little of what time it is
_SECOND = 1_000_000
KNOWN_S = 86_400.0  # a clock that was not heard of for so long may have gone off by OFF_S meanwhile


class Clocks:
    """Of one member.  Any thread; who hears of a clock, one at a time for a member."""

    def __init__(self, id: int, wall_us: Callable[[], int] = now, steady_s: Callable[[], float] = steady_s) -> None:
        self._id = id
        self._wall_us = wall_us
        self._steady_s = steady_s
        # By member: its clock less the steady one, in microseconds, and when it was read.
        self._told: dict[int, tuple[float, float]] = {}
        self._voters: Sequence[int] = ()
        # Two bounds of the own clock, less the steady one: within them it is the median itself.
        self._stamped = -inf, inf  # or may be, by what is not known
        self._agreed = -inf, -inf  # whatever is not known: the median's lowest
        self._been = -inf  # what the median has surely come to, where the own clock has
        self._said_off = False

    def heard(self, member: int, time: int, asked_s: float) -> None:
        """`member` has told its clock in answer to what it was asked then, by the steady clock."""
        answered_s = self._steady_s()
        if answered_s - asked_s <= ANSWER_TIMEOUT_S:
            self._told[member] = time - (asked_s + answered_s) / 2 * _SECOND, answered_s
            self.settle(self._voters)

    def settle(self, voters: Sequence[int]) -> None:
        """At each tick, for then it is known who votes: make use of what was heard."""
        self._voters = voters
        known_from_s = self._steady_s() - KNOWN_S
        asked = [self._told.get(id, (0.0, -inf)) for id in voters if id != self._id]
        others = sorted(ahead for ahead, answered_s in asked if answered_s >= known_from_s)
        unknown = len(asked) - len(others)
        lowest, highest = [-inf] * unknown + others, others + [inf] * unknown
        own = self._id in voters  # a leader that is being removed leads on for a moment, and has no say
        count = len(asked) + own
        middle, other_middle = (count - 1) // 2, count // 2  # of all, with the own one; not the same in an even number
        self._stamped = _at(lowest, middle - own), _at(highest, other_middle)
        self._agreed = _at(lowest, middle - own), _at(lowest, middle)
        self._been = _at(lowest, middle)

    def stamp(self) -> int:
        """Microseconds since 1970: what entries are stamped with."""
        own = self._wall_us()
        off = self._off(own, self._stamped)
        return own if abs(off) <= OFF_S * _SECOND else int(own - off)

    def agreed_time(self) -> int:
        """Microseconds since 1970: what is to go by its age goes by this.

        Raises Unavailable: too few clocks are known.
        """
        if self._agreed[1] == -inf:
            raise Unavailable("what time it is on most members is not known here yet; nothing was proposed")
        own = self._wall_us()
        return int(own - self._off(own, self._agreed))

    def lowest(self) -> int:
        """Microseconds since 1970, 0 where too little is known: a time that has been, for what nobody reads it of."""
        if self._been == -inf:
            return 0
        own = self._wall_us()
        return own - int(self._off(own, (-inf, self._been)))

    def say_when_off(self) -> None:
        """Log once that the own clock is off, and once that it is not any more."""
        off_s = self._off(self._wall_us(), self._stamped) / _SECOND
        if not self._said_off and abs(off_s) > OFF_S:
            self._said_off = True
            way = "ahead of" if off_s > 0 else "behind"
            logger.warning(
                "the clock here is %.0f s %s that of most members: mend it; while this member leads, it goes by theirs",
                abs(off_s), way,
            )  # fmt: skip
        elif self._said_off and abs(off_s) <= AGREES_S:
            self._said_off = False
            logger.info("the clock here agrees with that of most members again")

    def _off(self, own: int, between: tuple[float, float]) -> float:
        """How far the own clock is beyond these, in microseconds: ahead, or below 0 behind."""
        ahead = own - self._steady_s() * _SECOND
        return ahead - min(max(ahead, between[0]), between[1])


def _at(ascending: list[float], position: int) -> float:
    """Beyond either end there is no bound."""
    if position < 0:
        return -inf
    return ascending[position] if position < len(ascending) else inf
