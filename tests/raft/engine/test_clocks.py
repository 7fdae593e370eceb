"""The log's time: by the median of the clocks, never by a leap that nobody vouches for, and never backwards."""

import logging
from itertools import permutations
from random import Random

import pytest

from raft.core.entries import clock_entry, noop_entry
from raft.core.log import Log
from raft.core.node import Node
from raft.core.raft_messages import AppendEntries, HardState
from raft.engine.clocks import (
    AGREES_S,
    ANSWER_TIMEOUT_S,
    HOLD_S,
    KNOWN_S,
    OFF_S,
    SLOWER_BY,
    Clocks,
    LogState,
    proposal_stamp,
    settle,
    stamp,
)
from raft.errors import ChangeRefused, Unavailable
from tests.raft.machines import founders

OWN = 1
NOW = 1_795_428_000_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND


class Member:
    """Member 1, whose clocks are set by hand; `right` is the time that it is."""

    def __init__(self) -> None:
        self.right = NOW
        self.off = 0  # the own clock, in microseconds
        self.log = LogState((OWN,), 0, 0)
        self.clocks = Clocks(OWN, lambda: self.right + self.off, lambda: self.steady_s)

    @property
    def steady_s(self) -> float:
        return (self.right - NOW) / SECOND + 500

    def passes(self, seconds: float) -> None:
        self.right += int(seconds * SECOND)

    def hears(self, member: int, off: int, took_s: float = 0.0) -> None:
        """Another one's clock is off so far."""
        self.clocks.heard(member, self.right + off - int(took_s / 2 * SECOND), self.steady_s - took_s)

    def settles(self, *voters: int) -> None:
        """A tick."""
        self.log = self.log._replace(voters=voters or self.log.voters)
        self.clocks.settle(self.log)

    def writes(self, off: int = 0, *, clock_entry: bool = False) -> None:
        """An entry is appended whose stamp is off so far."""
        index = self.log.clock_index + clock_entry
        self.log = self.log._replace(last_time=self.right + off, clock_index=index)
        self.settles()

    def stamps(self) -> int:
        """How far off the right time."""
        return self.clocks.stamp() - self.right

    def leaps(self) -> int | None:
        """How far off the right time the log's is to be set."""
        due = self.clocks.due_leap
        return None if due is None else due - self.right

    def agrees(self) -> int | None:
        """How far off the right time what is to go by its age goes by; None: it is not known."""
        try:
            return self.clocks.agreed_time() - self.right
        except Unavailable:
            return None


def member_of(own: int, *others: int | None, newest: int | None = None) -> Member:
    """With clocks that are off so far; None: one that is not known.  `newest`: the newest entry's stamp, likewise."""
    member = Member()
    member.off = own
    for id, off in enumerate(others, 2):
        if off is not None:
            member.hears(id, off)
    if newest is not None:
        member.log = member.log._replace(last_time=NOW + newest)
    member.settles(*range(1, 2 + len(others)))
    return member


H, D = HOUR, 24 * HOUR

STAMPED = [
    # the own clock, the others', the log's time (None: not known)
    ("alone", 5 * H, (), 5 * H),
    ("of two the earlier", H, (0,), 0),
    ("of two the earlier, though it is the own", -H, (0,), -H),
    ("of two one is not known", H, (None,), None),
    ("ahead of the two others", 9 * H, (0, 0), 0),
    ("behind the two others", -9 * H, (0, 0), 0),
    ("one other is ahead", 0, (9 * H, 0), 0),
    ("one other is behind", 0, (0, -9 * H), 0),
    ("one ahead, one behind", 0, (9 * H, -9 * H), 0),
    ("behind both, by which the nearer counts", 0, (9 * H, 8 * H), 8 * H),
    ("one of three is not known", H, (0, None), 0),
    ("one of three is not known, and the own is behind", -H, (0, None), -H),
    ("both others are not known", 0, (None, None), None),
    ("of four the lower middle", 9 * H, (0, H, 2 * H), H),
    ("of four behind", -9 * H, (0, H, 2 * H), 0),
    ("of five the median", 9 * H, (-H, 0, H, 2 * H), H),
    ("of five one is not known", 9 * H, (0, 0, 0, None), 0),
    ("of five two are not known", 9 * H, (0, 0, None, None), 0),
    ("of five three are not known", 9 * H, (0, None, None, None), None),
]


@pytest.mark.parametrize(("own", "others", "agreed"), [s[1:] for s in STAMPED], ids=[s[0] for s in STAMPED])
def test_a_clock_that_is_off_counts_for_nothing_where_that_can_be_told(
    own: int, others: tuple[int | None, ...], agreed: int | None
) -> None:
    for told in set(permutations(others)):
        member = member_of(own, *told)
        assert member.agrees() == agreed, told
        assert agreed is None or member.stamps() == agreed


def test_a_clock_that_is_a_little_off_is_not_waited_for() -> None:
    for off_s in (-OFF_S, OFF_S):
        member = member_of(int(off_s * SECOND), 0, 0)
        assert (member.stamps(), member.leaps()) == (0, None)


def test_what_was_heard_goes_on() -> None:
    member = member_of(HOUR, 0, 0)
    member.passes(3_600)
    assert (member.stamps(), member.agrees()) == (0, 0)


def test_what_was_heard_too_long_ago_counts_no_more() -> None:
    member = member_of(HOUR, 0, 0)
    member.passes(KNOWN_S)
    member.settles()
    assert member.stamps() == 0
    member.passes(1)
    member.settles()
    assert member.agrees() is None


def test_who_votes_no_more_counts_no_more() -> None:
    member = member_of(0, 9 * HOUR, 9 * HOUR)
    assert member.stamps() == 9 * HOUR
    member.settles(OWN, 4, 5)
    assert member.agrees() is None


def test_the_clock_of_who_has_no_vote_does_not_count() -> None:
    member = Member()
    member.off = 9 * HOUR
    for id, off in ((2, 0), (3, HOUR), (4, 9 * HOUR)):
        member.hears(id, off)
    member.settles(2, 3, 4)
    assert member.stamps() == HOUR


def test_an_answer_that_took_long_says_nothing() -> None:
    member = Member()
    for id in (2, 3):
        member.hears(id, HOUR, took_s=ANSWER_TIMEOUT_S + 0.1)
    member.settles(1, 2, 3)
    assert member.agrees() is None


def test_half_of_the_time_that_an_answer_took_is_its_way_back() -> None:
    member = Member()
    for id in (2, 3):
        member.hears(id, HOUR, took_s=0.8)
    member.settles(1, 2, 3)
    assert member.stamps() == HOUR


# --- leaps


@pytest.mark.parametrize("others", [(), (0, 0)])
@pytest.mark.parametrize("leap", [400 * D, -D])
def test_a_leap_that_is_gone_after_some_seconds_changes_nothing(others: tuple[int, ...], leap: int) -> None:
    """Of a single node's clock, or of all at once."""
    member = member_of(0, *others, newest=-D)
    for off in (leap, leap, 0, 0):
        member.off = off
        for id in range(2, 2 + len(others)):
            member.hears(id, off)
        member.settles()
        assert (member.stamps(), member.leaps()) == (0, None)
        member.writes()
        member.passes(5)
    member.passes(HOLD_S)
    member.settles()
    assert (member.stamps(), member.leaps()) == (0, None)


def test_a_leap_forwards_that_stays_is_followed_by_a_clock_entry() -> None:
    member = member_of(0, newest=-D)
    member.off = 3 * D
    member.settles()
    member.passes(HOLD_S - 1)
    member.settles()
    assert (member.stamps(), member.leaps()) == (0, None)
    member.passes(1)
    member.settles()
    assert (member.stamps(), member.leaps()) == (0, 3 * D), "the leader has not written it yet"
    member.writes(3 * D, clock_entry=True)
    assert (member.stamps(), member.leaps()) == (3 * D, None)


def test_a_leap_that_changes_is_waited_for_again() -> None:
    member = member_of(0)
    for off in (3 * D, 5 * D):
        member.off = off
        member.settles()
        member.passes(HOLD_S - 1)
    member.settles()
    assert member.leaps() is None


def test_a_leap_back_that_stays_is_never_followed_but_caught_up_with() -> None:
    member = member_of(0, newest=-D)
    member.off = -H
    member.settles()
    member.passes(HOLD_S - 1)
    member.writes()
    member.passes(1)
    member.settles()
    assert member.stamps() == -SECOND // SLOWER_BY
    member.writes()
    stamps = []
    for _ in range(SLOWER_BY + 1):
        member.passes(3600)
        member.settles()
        stamps.append(member.stamps())
    assert stamps[0] == -H // SLOWER_BY
    assert stamps[-2:] == [-H, -H], "it is gone after eight hours"


def test_the_time_goes_on_under_load_while_the_clock_is_behind() -> None:
    member = member_of(-400 * D, newest=0)
    for _ in range(1_000):
        member.passes(0.01)
        member.writes(member.stamps())
        member.passes(0.005)
        member.settles()
    assert -15 * SECOND / SLOWER_BY - 1_000 <= member.stamps() <= 0


def test_a_leap_while_the_process_was_down_is_followed() -> None:
    member = member_of(400 * D, newest=-H)
    assert (member.stamps(), member.leaps()) == (400 * D, None)


def test_a_clock_that_is_behind_the_log_at_the_start_is_not_followed() -> None:
    member = member_of(0, newest=400 * D)
    assert member.stamps() == 400 * D
    member.passes(8)
    assert member.stamps() == 400 * D - SECOND


def test_a_start_with_one_of_three_away_leaps_by_no_more_than_both_clocks_say() -> None:
    """The cold start of a cluster where the first leader's clock is a year ahead."""
    member = member_of(365 * D, 0, None, newest=-D)
    assert member.stamps() == 0
    member = member_of(0, -365 * D, None, newest=-H)
    assert member.stamps() == -H, "the other one may be right, but the log has been later already"


def test_the_median_that_becomes_known_is_gone_by_at_once_with_a_clock_entry() -> None:
    """What was stamped by the lowest possible time must not look old."""
    member = member_of(0, -D, None)
    member.log = member.log._replace(leads=True)
    member.writes(-D)
    member.hears(3, 0)
    member.settles()
    assert (member.stamps(), member.leaps()) == (-D, 0)
    member.writes(clock_entry=True)
    assert (member.stamps(), member.leaps()) == (0, None)


def test_of_two_clocks_the_one_that_has_not_leaped_is_right() -> None:
    for own, other in ((H, 0), (-H, 0), (0, H), (0, -H)):
        member = member_of(0, 0)
        member.off = own
        member.hears(2, other)
        member.settles()
        assert member.stamps() == 0


def test_a_leap_that_another_leader_has_followed_is_taken_over_with_its_entry() -> None:
    member = member_of(0, 0, 0, newest=-H)
    member.off = 3 * D
    for id in (2, 3):
        member.hears(id, 3 * D)
    member.writes(3 * D, clock_entry=True)
    assert (member.stamps(), member.leaps()) == (3 * D, None)


@pytest.mark.parametrize("quiet_s", [0, 3_600])
@pytest.mark.parametrize("leap", [400 * D, -30 * D])
def test_a_leap_is_held_over_a_snapshot_that_says_nothing_of_it(leap: int, quiet_s: int) -> None:
    """The log may hold another clock entry then.  Its newest entry is as old as the cluster was quiet."""
    member = member_of(0, 0, 0, newest=0)
    member.passes(quiet_s)
    member.off = leap
    for id in (2, 3):
        member.hears(id, leap)
    member.settles()
    member.log = member.log._replace(clock_index=900)
    member.settles()
    assert (member.stamps(), member.leaps()) == (0, None)
    member.passes(1)
    member.writes()
    assert member.stamps() == 0
    member.passes(HOLD_S)
    member.settles()
    assert member.leaps() == (leap if leap > 0 else None)


def test_a_leap_is_followed_by_a_snapshot_of_a_log_that_has_followed_it() -> None:
    member = member_of(0, 0, 0, newest=0)
    for id in (1, 2, 3):
        member.hears(id, 3 * D)
    member.off = 3 * D
    member.settles()
    member.passes(60)
    member.log = member.log._replace(clock_index=900, last_time=member.right + 3 * D - 30 * SECOND)
    member.settles()
    assert (member.stamps(), member.leaps()) == (3 * D, None)


# --- the operator says that the clock is right


def test_the_log_has_the_clocks_time_once_that_is_accepted() -> None:
    member = member_of(0, newest=400 * D)
    accepted = member.clocks.accepted()
    assert accepted == member.right
    member.writes(clock_entry=True)
    assert member.stamps() == 0
    assert member.clocks.accepted() is None, "it is the log's time already"


def test_a_leap_is_accepted_before_it_is_held_for_long() -> None:
    member = member_of(0)
    member.off = 3 * D
    member.settles()
    assert member.clocks.accepted() == member.right + 3 * D


def test_clocks_that_differ_are_not_accepted() -> None:
    for others in ((H,), (H, None)):
        with pytest.raises(ChangeRefused, match="the nodes' clocks differ"):
            member_of(0, *others, newest=400 * D).clocks.accepted()
    with pytest.raises(Unavailable):
        member_of(0, None).clocks.accepted()


def test_an_accepted_clock_that_is_taken_back_leaves_the_time_as_it_was() -> None:
    member = member_of(0, newest=400 * D)
    member.writes(clock_entry=True)
    member.log = member.log._replace(clock_index=0, last_time=NOW + 400 * D)
    member.settles()
    assert member.stamps() == 400 * D


def test_nothing_is_proposed_in_a_log_without_a_time_before_the_clocks_are_known() -> None:
    with pytest.raises(Unavailable):
        member_of(0, None, None).clocks.proposal_stamp()
    member = member_of(0, None, None, newest=-H)
    assert member.clocks.proposal_stamp() == member.right - H
    assert member_of(0, None, None).clocks.stamp() == 0, "the engine's own entries wait for nobody"


def test_a_clock_entry_that_came_since_the_last_tick_counts_for_the_next_stamp() -> None:
    member = member_of(0, newest=400 * D)
    first, second = noop_entry(1, 1, NOW + 400 * D), clock_entry(2, 1, NOW, NOW + 400 * D)
    node = Node(OWN, log=Log(), hard_state=HardState(), configurations=[(0, founders([1, 2]))], rng=Random(0))
    node.step(AppendEntries(2, OWN, 1, 0, 0, (first,), 0, round=0))
    settle(member.clocks, node)
    assert proposal_stamp(member.clocks, node) == NOW + 400 * D
    node.step(AppendEntries(2, OWN, 1, 1, 1, (second,), 0, round=0))
    assert stamp(member.clocks, node) == proposal_stamp(member.clocks, node) == NOW


# --- what is logged


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    texts = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return texts


def test_it_is_said_once_that_the_own_clock_is_off_and_once_that_it_is_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "raft.engine.clocks")
    member = member_of(-HOUR, 0, 0)
    for off in (-HOUR, -HOUR, -(AGREES_S + 1) * SECOND, -(AGREES_S - 1) * SECOND, 0, (AGREES_S + 1) * SECOND):
        member.off = int(off)
        member.settles()
        member.clocks.log_changes()
    assert _logged(caplog) == [
        "this node's clock is 3600 s behind that of most members. Correct it. "
        "While this node leads, their clocks count",
        "this node's clock agrees with that of most members again",
    ]
    member.off = 2 * HOUR
    member.settles()
    member.clocks.log_changes()
    assert "7200 s ahead of that of most members" in caplog.text


def test_both_times_are_said_at_once_when_the_clock_leaps(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "raft.engine.clocks")
    member = member_of(0)
    for off in (0, 400 * D, 400 * D, 0, 0):
        member.off = off
        member.settles()
        member.clocks.log_changes()
    leaped, *rest = _logged(caplog)
    assert "leaped to 2027-12-28T10:00:00Z; it should be 2026-11-23T10:00:00Z" in leaped
    assert "raft-chat clock accept" in leaped
    assert rest == ["the clock agrees with the log's time again: 2026-11-23T10:00:00Z"]


def test_both_times_are_said_at_each_start_with_a_clock_that_is_behind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "raft.engine.clocks")
    member = member_of(0, newest=400 * D)
    for _ in range(3):
        member.settles()
        member.clocks.log_changes()
    (said,) = _logged(caplog)
    assert "are of 2027-12-28T10:00:00Z, but the clock says 2026-11-23T10:00:00Z" in said
    member.writes(clock_entry=True)
    member.clocks.log_changes()
    assert _logged(caplog) == ["the log's time is set to the clock's: 2026-11-23T10:00:00Z"]


def test_a_time_that_passed_while_the_node_was_down_is_said_at_its_start(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "raft.engine.clocks")
    member = member_of(400 * D, newest=0)
    member.clocks.log_changes()
    (said,) = _logged(caplog)
    assert said == "the newest entry of the log is of 2026-11-23T10:00:00Z; the clock says 2027-12-28T10:00:00Z"


def test_an_operator_is_shown_by_how_much_each_known_clock_is_off() -> None:
    assert Member().clocks.offsets_ms() == {}
    member = member_of(0, 15 * SECOND, -2 * SECOND)
    assert member.clocks.offsets_ms() == {1: 0, 2: 15_000, 3: -2_000}
    member.off = 500_000
    assert member.clocks.offsets_ms()[1] == 500
    member.passes(KNOWN_S + 1)
    assert member.clocks.offsets_ms() == {1: 500}
