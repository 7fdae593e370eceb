"""The gate: how many requests may use the processor at once.

Python runs one thread at a time.  Of 256 busy connections each would get its turn before a heartbeat does; with two
inside the gate, a heartbeat waits for two at most.  A threading.BoundedSemaphore(2) is a gate.
"""

from typing import Protocol


class Gate(Protocol):
    """What a semaphore does."""

    def acquire(self) -> object:
        """Wait to be let in."""

    def release(self) -> object:
        """Let the next one in."""

    def __enter__(self) -> object: ...

    def __exit__(self, kind: object, error: object, traceback: object, /) -> object: ...


class NoGate:
    """A gate that always stands open."""

    def acquire(self) -> None:
        """Nobody waits."""

    def release(self) -> None:
        """Nobody waits."""

    def __enter__(self) -> None:
        """Nobody waits."""

    def __exit__(self, kind: object, error: object, traceback: object, /) -> None:
        """Nobody waits."""


class Outside:
    """`with Outside(gate):` around what an application waits for: it steps out of the gate, and in again after."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        self._gate.release()

    def __exit__(self, kind: object, error: object, traceback: object, /) -> None:
        self._gate.acquire()
