"""Each deliberate fault is caught by an invariant that has a name, or by the script or test that its table names.

The hunts begin at the table's seeds, where they end at once; `python -m tests.mutants` begins at 0.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from functools import cache

import pytest

from raft.core.node import Node
from tests.mutation.hunting import Outcome, difference, hunt
from tests.mutation.mutant import Mutant
from tests.mutation.patching import Edit, edited
from tests.mutation.table import MUTANTS
from tests.simulation.outcomes import computing, outcomes_of

QUICK = [mutant for mutant in MUTANTS if not mutant.is_slow]
SEEDS = 200  # the most that a hunt may take: a change of the simulator need not change the table


def _hunt(mutant: Mutant) -> Outcome:
    return hunt(mutant, range(mutant.seed, mutant.seed + SEEDS))


def _hunt_number(number: int) -> Outcome:
    """The hunt of one of QUICK; a mutant itself may hold what cannot be pickled."""
    return _hunt(QUICK[number])


@cache
def hunts() -> dict[str, Future[Outcome]]:
    """All hunts, begun in the order of the table: each test waits for its own only."""
    pool = computing()
    return {mutant.name: pool.submit(_hunt_number, number) for number, mutant in enumerate(QUICK)}


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    """Nobody waits for what is left of the hunts where a test has failed, or only some were asked for."""
    yield
    for hunted in hunts().values() if hunts.cache_info().currsize else ():
        hunted.cancel()


@pytest.mark.parametrize("mutant", QUICK, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant: Mutant) -> None:
    outcome = hunts()[mutant.name].result()
    assert outcome.caught_by, f"{outcome.stumbled} of {outcome.tried} seeds stumbled; {outcome.detail}"


def test_where_nothing_is_broken_nothing_is_found() -> None:
    outcomes = [hunt.result() for hunt in hunts().values()]
    seeds = sorted({outcome.seed for outcome in outcomes if outcome.seed is not None})
    scripts = sorted({mutant.script for mutant in MUTANTS if mutant.script})
    assert [outcome for outcome in outcomes_of(seeds) if isinstance(outcome, str)] == []
    assert [script for script in scripts if difference(script)] == []


def test_most_faults_are_caught_by_the_simulator() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 20
    assert sum(not mutant.script and not mutant.test for mutant in MUTANTS) >= 15


def test_the_same_seed_catches_a_fault_each_time() -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "lease-of-a-paused-leader")
    once, again = hunts()[mutant.name].result(), _hunt(mutant)
    assert (again.seed, again.detail) == (once.seed, once.detail)


def test_a_fault_is_gone_when_it_is_over() -> None:
    code = Node._stamp.__code__
    with edited([Edit(Node._stamp, "max(time, self._last_time)", "time")]):
        assert Node._stamp.__code__ is not code
    assert Node._stamp.__code__ is code


def test_a_fault_whose_place_has_changed_is_an_error() -> None:
    with pytest.raises(LookupError), edited([Edit(Node._stamp, "min(time, self._last_time)", "time")]):
        pass


def test_a_program_error_does_not_count_as_caught() -> None:
    broken = Mutant("broken", "", "", (Edit(Node._stamp, "max(time, self._last_time)", "self.nothing"),))
    outcome = hunt(broken, range(3))
    assert (outcome.caught_by, outcome.tried, outcome.stumbled) == ("", 3, 3)
