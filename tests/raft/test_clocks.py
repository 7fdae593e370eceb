"""What time most voters have: one wrong clock of three counts for nothing, and in doubt nothing goes too early."""

import logging
from itertools import permutations

import pytest

from raft.clocks import AGREES_S, ANSWER_TIMEOUT_S, KNOWN_S, OFF_S, Clocks
from raft.errors import Unavailable

OWN = 1
NOW = 1_795_428_000_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND


class Member:
    """Member 1, whose clocks are set by hand; `right` is the time that it is."""

    def __init__(self) -> None:
        self.right = NOW
        self.off = 0  # the own clock, in microseconds
        self.clocks = Clocks(OWN, lambda: self.right + self.off, lambda: self.steady_s)

    @property
    def steady_s(self) -> float:
        return (self.right - NOW) / SECOND + 500

    def passes(self, seconds: float) -> None:
        self.right += int(seconds * SECOND)

    def hears(self, member: int, off: int, took_s: float = 0.0) -> None:
        """Another one's clock is off so far."""
        self.clocks.heard(member, self.right + off - int(took_s / 2 * SECOND), self.steady_s - took_s)

    def settles(self, voters: int) -> None:
        self.clocks.settle(range(1, voters + 1))

    def stamps(self) -> int:
        """How far off the right time."""
        return self.clocks.stamp() - self.right

    def agrees(self) -> int | None:
        """How far off the right time what is to go by its age goes by; None: it is not known."""
        try:
            return self.clocks.agreed_time() - self.right
        except Unavailable:
            return None


def member_of(own: int, *others: int | None) -> Member:
    """With clocks that are off so far; None: one that is not known."""
    member = Member()
    member.off = own
    for id, off in enumerate(others, 2):
        if off is not None:
            member.hears(id, off)
    member.settles(1 + len(others))
    return member


H = HOUR

STAMPED = [
    # the own clock, the others', what entries are stamped with, what is agreed on (None: nothing)
    ("alone", 5 * H, (), 5 * H, 5 * H),
    ("of two the own", H, (0,), H, 0),
    ("of two the own, though it is behind", -H, (0,), -H, -H),
    ("of two one is not known", H, (None,), H, None),
    ("ahead of the two others", 9 * H, (0, 0), 0, 0),
    ("behind the two others", -9 * H, (0, 0), 0, 0),
    ("one other is ahead", 0, (9 * H, 0), 0, 0),
    ("one other is behind", 0, (0, -9 * H), 0, 0),
    ("one ahead, one behind", 0, (9 * H, -9 * H), 0, 0),
    ("behind both, by which the nearer counts", 0, (9 * H, 8 * H), 8 * H, 8 * H),
    ("one of three is not known", H, (0, None), H, 0),
    ("one of three is not known, and the own is behind", -H, (0, None), -H, -H),
    ("both others are not known", 0, (None, None), 0, None),
    ("of four the middle", 9 * H, (0, H, 2 * H), 2 * H, H),
    ("of four behind", -9 * H, (0, H, 2 * H), 0, 0),
    ("of five the median", 9 * H, (-H, 0, H, 2 * H), H, H),
    ("of five one is not known", 9 * H, (0, 0, 0, None), 0, 0),
    ("of five two are not known", 9 * H, (0, 0, None, None), 9 * H, 0),
    ("of five three are not known", 9 * H, (0, None, None, None), 9 * H, None),
]


@pytest.mark.parametrize(("own", "others", "stamped", "agreed"), [s[1:] for s in STAMPED], ids=[s[0] for s in STAMPED])
def test_a_clock_that_is_off_counts_for_nothing_where_that_can_be_told(
    own: int, others: tuple[int | None, ...], stamped: int, agreed: int | None
) -> None:
    for told in set(permutations(others)):
        member = member_of(own, *told)
        assert (member.stamps(), member.agrees()) == (stamped, agreed), told


@pytest.mark.parametrize("off_s", [-OFF_S, -OFF_S / 2, OFF_S])
def test_a_clock_that_is_a_little_off_stamps_by_itself(off_s: float) -> None:
    member = member_of(int(off_s * SECOND), 0, 0)
    assert member.stamps() == off_s * SECOND
    assert member.agrees() == 0


def test_a_clock_that_jumps_is_noticed_at_once() -> None:
    member = member_of(0, 0, 0)
    member.off = HOUR
    assert member.stamps() == 0
    member.off = 0
    assert member.stamps() == 0


def test_a_clock_that_is_heard_of_counts_at_once() -> None:
    member = member_of(HOUR, None, None)
    member.hears(2, 0)
    member.hears(3, 0)
    assert member.stamps() == 0


def test_what_was_heard_goes_on() -> None:
    member = member_of(HOUR, 0, 0)
    member.passes(3_600)
    assert (member.stamps(), member.agrees()) == (0, 0)


def test_what_was_heard_too_long_ago_counts_no_more() -> None:
    member = member_of(HOUR, 0, 0)
    member.passes(KNOWN_S)
    member.settles(3)
    assert member.stamps() == 0
    member.passes(1)
    member.settles(3)
    assert (member.stamps(), member.agrees()) == (HOUR, None)


def test_who_votes_no_more_counts_no_more() -> None:
    member = member_of(0, 9 * HOUR, 9 * HOUR)
    assert member.stamps() == 9 * HOUR
    member.clocks.settle([OWN, 4, 5])
    assert (member.stamps(), member.agrees()) == (0, None)


def test_the_clock_of_who_has_no_vote_does_not_count() -> None:
    member = member_of(9 * HOUR, 0, HOUR, 9 * HOUR)
    member.clocks.settle([2, 3, 4])
    assert (member.stamps(), member.agrees()) == (HOUR, HOUR)
    member.clocks.settle([2, 3])
    assert (member.stamps(), member.agrees()) == (HOUR, 0)


def test_an_answer_that_took_long_says_nothing() -> None:
    member = Member()
    for id in (2, 3):
        member.hears(id, HOUR, took_s=ANSWER_TIMEOUT_S + 0.1)
    member.settles(3)
    assert (member.stamps(), member.agrees()) == (0, None)


def test_half_of_the_time_that_an_answer_took_is_its_way_back() -> None:
    member = Member()
    for id in (2, 3):
        member.hears(id, HOUR, took_s=0.8)
    member.settles(3)
    assert member.stamps() == HOUR


def test_it_is_said_once_that_the_own_clock_is_off_and_once_that_it_is_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "raft.clocks")
    member = member_of(-HOUR, 0, 0)
    for off in (-HOUR, -HOUR, -(AGREES_S + 1) * SECOND, -(AGREES_S - 1) * SECOND, 0, (AGREES_S + 1) * SECOND):
        member.off = int(off)
        member.clocks.say_when_off()
    assert [record.getMessage() for record in caplog.records] == [
        "the clock here is 3600 s behind that of most members: mend it; while this member leads, it goes by theirs",
        "the clock here agrees with that of most members again",
    ]
    member.off = 2 * HOUR
    member.clocks.say_when_off()
    assert "7200 s ahead of that of most members" in caplog.text


def test_what_nobody_reads_the_time_of_goes_by_a_time_that_has_been() -> None:
    assert member_of(H, None, None).clocks.lowest() == 0
    assert member_of(H, 0, None).clocks.lowest() == NOW
    assert member_of(H, 0, 0).clocks.lowest() == NOW
    assert member_of(H).clocks.lowest() == NOW + H, "a member alone has no other clock"
