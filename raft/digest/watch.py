"""The watch: hashes the copies of the state, tells the digests, compares them with the others', and acts.

Copies come from the applier at the log's digest points.  If nothing is applied for QUIET_S, the state is compared as it
is, once.  Hashing is done in steps of a millisecond with pauses between them: with a million messages and 10,000 rooms
it takes some 0.12 s of the processor.

The digests are told in the reports that answer notices (raft/engine/gossip.py): every ten seconds at the latest.  They
take no part in the Raft protocol.

One thread.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from raft.core.configuration import Configuration
from raft.digest.comparison import Comparison, Findings
from raft.digest.set_aside import Phase, SetAside
from raft.digest.state_digest import (
    TOLD_MAX,
    StateCopies,
    StateCopy,
    StateDigest,
    decode_digests,
    encode_digests,
)

logger = logging.getLogger(__name__)

LOOK_S = 1.0
STEP_S = 0.001
PAUSE_S = 0.01  # between two steps
QUIET_S = 3.0  # without a new entry
QUIET_AGAIN_S = 60.0  # between two digests of a quiet state, unless a state is in doubt
# Members tell their digests one after the other, and one may be away: so long two that differ wait for a third one.
UNDECIDED_S = 30.0
ASK_S = 2.0  # between two times that all members are asked for their reports while a state is in doubt
COST_SHARE = 500  # and so many times what the last digest took of the processor

Report = dict[str, str | int]


class CopySource(Protocol):
    """The applier, as far as it is needed here."""

    @property
    def last_applied(self) -> int:
        """The log index up to which the state is applied."""

    def digest_copy(self) -> tuple[str, int, Iterator[bytes]] | None:
        """Return the state as it is now; None if it cannot be had in time."""


class DigestWatch:
    """Compares the state of one member with the others'."""

    def __init__(
        self,
        id: int,
        applier: CopySource,
        copies: StateCopies,
        set_aside: SetAside,
        configuration: Callable[[], Configuration],
        report_of: Callable[[int], dict[str, object]],
        ask_all: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`report_of(member)`: the newest report of another member; `ask_all` has all of them report now."""
        self._id = id
        self._applier = applier
        self._copies = copies
        self._set_aside = set_aside
        self._configuration = configuration
        self._report_of = report_of
        self._ask_all = ask_all
        self._clock = clock
        self._asked_s = float("-inf")
        self._comparison = Comparison()
        self._told: deque[StateDigest] = deque(maxlen=TOLD_MAX)
        self._cost_s = 0.0  # of the last digest
        self._seen_index, self._seen_s = 0, clock()  # what was applied at the last look, and since when
        self._quiet_s = float("-inf")  # when the last digest of a quiet state was taken
        self._findings = Findings({}, {}, {})
        self._is_awaited = False  # a member has a new state, and serves once a digest of ours agrees with its own
        self._undecided_s: dict[int, float] = {}  # by member: since when no majority decides about its state
        self._logged: set[tuple[int, str]] = set()  # (member, finding) as it was logged, while it holds

    # For the reports; any thread

    def report(self) -> Report:
        """Return what this member tells of its state."""
        told: Report = {}
        if digests := encode_digests([*self._told]):
            told["StateDigests"] = digests
        if self._set_aside.phase is not Phase.SERVES:
            told["StateDoubt"] = self._set_aside.phase.value
        return told

    def status(self) -> dict[str, object]:
        """Return the members of `GET /raft` about the state."""
        told, findings = [*self._told], self._findings
        shown: dict[str, object] = {}
        if told:
            shown = {"Index": told[-1].index, "Digest": told[-1].value, "Format": told[-1].format}
            if self._id in findings.agreeing:
                shown["AgreedIndex"] = findings.agreeing[self._id]
        if self._set_aside.phase is not Phase.SERVES:
            shown["SetAside"] = self._set_aside.phase.name.lower()
        for name, members in (("Differing", findings.differing), ("Undecided", findings.undecided)):
            if members:
                shown[name] = sorted(members)
        return {"StateDigest": shown} if shown else {}

    def mismatches(self) -> dict[int, bool]:
        """Return for each member that was compared whether its state differs, or nobody knows which is right."""
        findings = self._findings
        compared = {*findings.agreeing, *findings.differing, *findings.undecided}
        differs = {id: id in findings.differing or id in findings.undecided for id in compared}
        return {**differs, self._id: True} if self._set_aside.phase is not Phase.SERVES else differs

    # The thread

    def run(self, stopping: threading.Event) -> None:
        """Run the thread."""
        while not stopping.is_set():
            copy = self._copies.take(LOOK_S) or self._quiet_copy()
            if stopping.is_set():
                break
            if copy is not None and not self._set_aside.is_doubted:
                self._hash(copy, stopping)
            self.look()
        self._set_aside.close()

    def look(self) -> None:
        """Compare what is known now, and act on it."""
        if self._copies.in_doubt and self._clock() - self._asked_s >= ASK_S:
            self._asked_s = self._clock()
            self._ask_all()
        configuration = self._configuration()
        self._copies.is_alone = len(configuration.members) == 1
        doubted = self._hear(configuration)
        findings = self._comparison.find(configuration.is_majority, doubted)
        for id in doubted:  # its digest may be forgotten by now, and it tells none until it has a new state
            findings.agreeing.pop(id, None)
            findings.differing.setdefault(id, self._findings.differing.get(id, 0))
        is_in_doubt = bool(doubted or findings.differing or findings.undecided)
        self._findings = findings = findings._replace(undecided=self._lasting(findings.undecided))
        self._log(findings)
        if self._id in findings.differing and self._id not in doubted:
            self._differ(findings)
        elif self._id in findings.agreeing:
            self._set_aside.agreed(findings.agreeing[self._id])
        if self._set_aside.step():
            self._told.clear()
            self._comparison.forget(self._id)
        self._copies.in_doubt = is_in_doubt or self._is_awaited or self._set_aside.phase is not Phase.SERVES

    def _lasting(self, undecided: dict[int, int]) -> dict[int, int]:
        """Return those of the undecided members that have been so for UNDECIDED_S."""
        now_s = self._clock()
        self._undecided_s = {id: self._undecided_s.get(id, now_s) for id in undecided}
        return {id: index for id, index in undecided.items() if now_s - self._undecided_s[id] >= UNDECIDED_S}

    def _hear(self, configuration: Configuration) -> set[int]:
        """Take in what the others tell; return the members that know that their state differs."""
        self._comparison.forget_all_but(configuration.members)
        self._is_awaited = False
        doubted = {self._id} if self._set_aside.is_doubted else set[int]()
        for id in configuration.members:
            if id == self._id:
                continue
            report = self._report_of(id)
            if report.get("StateDoubt") == Phase.COMPARES.value:
                self._comparison.forget(id)  # it has another state now, and tells of that alone
                self._is_awaited = True
            self._comparison.note(id, decode_digests(str(report.get("StateDigests", ""))))
            if report.get("StateDoubt") == Phase.DIFFERS.value:
                doubted.add(id)
        return doubted

    def _differ(self, findings: Findings) -> None:
        index = findings.differing[self._id]
        others = sorted(id for id, agreed in findings.agreeing.items() if agreed >= index)
        self._set_aside.begin(
            index, f"has another state at index {index} than a majority of the voters, with members {_listed(others)}"
        )

    def _log(self, findings: Findings) -> None:
        """Log each finding once, for as long as it holds."""
        found = {(id, "differs") for id in findings.differing} | {(id, "undecided") for id in findings.undecided}
        for id, what in sorted(found - self._logged):
            if what == "differs":
                logger.error(
                    "the state of member %d at index %d differs from that of a majority of the voters; member %d is "
                    "set aside, and gets a new state from the leader",
                    id, findings.differing[id], id,
                )  # fmt: skip
            else:
                logger.error(
                    "the state of member %d at index %d differs from another member's, and no majority of the voters "
                    "agrees: nobody knows which is right, and nothing is done",
                    id, findings.undecided[id],
                )  # fmt: skip
        for id, _ in sorted(self._logged - found):
            logger.info("the state of member %d does not differ any more", id)
        self._logged = found

    def _quiet_copy(self) -> StateCopy | None:
        """Return a copy of a state that has not changed for a while, and was not compared yet."""
        index, now_s = self._applier.last_applied, self._clock()
        if index != self._seen_index:
            self._seen_index, self._seen_s = index, now_s
            return None
        is_known = bool(self._told) and self._told[-1].index == index
        if self._copies.is_alone or is_known or not index or now_s - self._seen_s < QUIET_S:
            return None
        pause_s = max(QUIET_AGAIN_S, COST_SHARE * self._cost_s)
        if now_s - self._quiet_s < pause_s and not self._copies.in_doubt:
            return None
        self._quiet_s = now_s
        copied = self._applier.digest_copy()
        return None if copied is None else StateCopy(*copied)

    def _hash(self, copy: StateCopy, stopping: threading.Event) -> None:
        """Hash a copy in small steps, and tell its digest."""
        began_s, step_s = time.thread_time(), self._clock()
        for digest in copy.hash():
            if digest is not None:
                self.tell(digest)
            elif self._clock() - step_s >= STEP_S:
                if stopping.wait(PAUSE_S):
                    return
                step_s = self._clock()
        self._cost_s = time.thread_time() - began_s

    def tell(self, digest: StateDigest) -> None:
        """Tell the others this member's digest."""
        self._told.append(digest)
        self._comparison.note(self._id, [digest])


def _listed(members: Collection[int]) -> str:
    return ", ".join(map(str, members))
