"""What a member does about the digests that it hears, step by step."""

from collections.abc import Iterator
from typing import cast

from raft.core.configuration import Configuration
from raft.digest.set_aside import Phase, SetAside
from raft.digest.state_digest import TOLD_MAX, StateCopies, StateDigest, encode_digests
from raft.digest.watch import ASK_S, QUIET_AGAIN_S, QUIET_S, UNDECIDED_S, DigestWatch
from tests.raft.machines import founders


def digest(index: int, value: str) -> StateDigest:
    return StateDigest("1.1", index, value * 32)


class Aside:
    """The phase of the member, and what it was told."""

    def __init__(self) -> None:
        self.phase = Phase.SERVES
        self.begun: list[int] = []
        self.agreed_at: list[int] = []

    @property
    def is_doubted(self) -> bool:
        return self.phase is Phase.DIFFERS

    def begin(self, index: int, why: str) -> bool:
        self.begun.append(index)
        self.phase = Phase.DIFFERS
        return True

    def step(self) -> bool:
        return False

    def agreed(self, index: int) -> bool:
        self.agreed_at.append(index)
        return False


class Case:
    """Member 1 of some, with a clock that stands."""

    def __init__(self, members: Configuration | None = None) -> None:
        self.now_s = 100.0
        self.last_applied = 0
        self.reports: dict[int, dict[str, object]] = {}
        self.asked = 0
        self.aside = Aside()
        self.copies = StateCopies()
        configuration = members or founders([1, 2, 3])
        self.watch = DigestWatch(
            1, self, self.copies, cast(SetAside, self.aside), lambda: configuration,
            lambda id: self.reports.get(id, {}), self.ask_all, lambda: self.now_s,
        )  # fmt: skip

    def ask_all(self) -> None:
        self.asked += 1

    def digest_copy(self) -> tuple[str, int, Iterator[bytes]] | None:
        return "1.1", self.last_applied, iter([b"the state"])

    def tells(self, member: int, *digests: StateDigest, doubt: int = 0) -> None:
        self.reports[member] = {"StateDigests": encode_digests(digests), "StateDoubt": doubt}

    def status(self) -> dict[str, object]:
        return cast("dict[str, object]", self.watch.status().get("StateDigest", {}))


def test_a_member_that_differs_from_a_majority_sets_itself_aside_once() -> None:
    case = Case()
    case.watch.tell(digest(7, "b"))
    case.tells(2, digest(7, "a"))
    case.watch.look()
    assert case.aside.begun == []
    case.tells(3, digest(7, "a"))
    case.watch.look()
    case.watch.look()
    assert case.aside.begun == [7]
    assert case.watch.report()["StateDoubt"] == Phase.DIFFERS.value
    assert case.status()["Differing"] == [1]
    assert case.watch.mismatches()[1]


def test_two_members_that_differ_are_reported_once_no_third_one_has_told_for_long() -> None:
    case = Case()
    case.watch.tell(digest(7, "b"))
    case.tells(2, digest(7, "a"))
    case.watch.look()
    assert "Undecided" not in case.status() and case.copies.in_doubt
    case.now_s += UNDECIDED_S
    case.watch.look()
    assert case.status()["Undecided"] == [1, 2]
    case.tells(3, digest(7, "b"))
    case.watch.look()
    assert "Undecided" not in case.status() and case.status()["Differing"] == [2]


def test_a_member_that_says_that_its_state_differs_is_named_until_it_has_a_new_one() -> None:
    case = Case()
    case.tells(2, doubt=Phase.DIFFERS.value)
    case.watch.look()
    assert case.watch.mismatches() == {2: True} and case.copies.in_doubt
    case.tells(2, doubt=Phase.COMPARES.value)
    case.watch.look()
    assert case.watch.mismatches() == {}
    assert case.copies.in_doubt, "it serves nobody until it has compared: digests are taken often for that"
    case.tells(2)
    case.watch.look()
    assert not case.copies.in_doubt


def test_what_a_member_told_of_its_state_before_it_got_another_one_counts_no_more() -> None:
    case = Case()
    case.watch.tell(digest(7, "a"))
    case.tells(2, digest(7, "a"))
    case.tells(3, digest(7, "b"))
    case.watch.look()
    assert case.status()["Differing"] == [3]
    case.tells(3, doubt=Phase.COMPARES.value)
    case.watch.look()
    assert "Differing" not in case.status()


def test_an_agreement_is_passed_on() -> None:
    case = Case()
    case.watch.tell(digest(7, "a"))
    case.tells(2, digest(7, "a"))
    case.watch.look()
    assert case.aside.agreed_at == [7]
    assert case.status()["AgreedIndex"] == 7


def test_a_quiet_state_is_compared_once_and_not_while_entries_come() -> None:
    case = Case()
    case.last_applied = 5
    assert case.watch._quiet_copy() is None
    case.now_s += QUIET_S
    case.last_applied = 6
    assert case.watch._quiet_copy() is None
    case.now_s += QUIET_S
    copy = case.watch._quiet_copy()
    assert copy is not None and copy.index == 6
    case.watch.tell(digest(6, "a"))
    case.now_s += QUIET_AGAIN_S
    assert case.watch._quiet_copy() is None


def test_a_member_alone_takes_no_digests() -> None:
    case = Case(founders([1]))
    case.last_applied = 7
    case.watch.look()
    assert case.watch._quiet_copy() is None
    case.now_s += QUIET_S
    assert case.watch._quiet_copy() is None and not case.copies.wants(is_coarse=True)


def test_states_that_become_quiet_again_and_again_are_compared_now_and_then() -> None:
    case = Case()
    found = []
    for index in range(1, 40):
        case.last_applied = index
        assert case.watch._quiet_copy() is None
        case.now_s += QUIET_S
        found.append(case.watch._quiet_copy() is not None)
    assert 1 < found.count(True) <= 40 * QUIET_S / QUIET_AGAIN_S + 1
    case.copies.in_doubt = True
    case.last_applied += 1
    assert case.watch._quiet_copy() is None
    case.now_s += QUIET_S
    assert case.watch._quiet_copy() is not None


def test_the_newest_digests_are_told_and_no_more_than_a_report_holds() -> None:
    case = Case()
    for index in range(1, 10):
        case.watch.tell(digest(index, "a"))
    assert case.watch.report() == {
        "StateDigests": encode_digests([digest(index, "a") for index in range(10 - TOLD_MAX, 10)])
    }


def test_members_are_asked_for_their_digests_while_a_state_is_in_doubt() -> None:
    case = Case()
    case.tells(2, doubt=Phase.DIFFERS.value)
    case.watch.look()
    assert case.asked == 0
    for _ in range(3):
        case.watch.look()
    assert case.asked == 1
    case.now_s += ASK_S
    case.watch.look()
    assert case.asked == 2
