"""What a deliberate fault is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.mutation.patching import Edit


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault of the program."""

    name: str
    broken: str  # one sentence
    forbidden_by: str  # section of the paper, the dissertation, a rule of ours, or a public promise
    edits: tuple[Edit, ...]
    seed: int = 0
    script: str = ""  # the golden script that tells of it, where the simulator hardly ever comes upon it
    test: str = ""  # below tests/: the test that tells of it, where the simulator cannot
    is_slow: bool = False  # the test waits for long, or chance decides: for `python -m tests.mutants` only


def mutant(
    name: str, broken: str, forbidden_by: str, function: Callable[..., Any], old: str, new: str,
    seed: int = 0, script: str = "", test: str = "", is_slow: bool = False,
) -> Mutant:  # fmt: skip
    """A fault in one place."""
    return Mutant(name, broken, forbidden_by, (Edit(function, old, new),), seed, script, test, is_slow)
