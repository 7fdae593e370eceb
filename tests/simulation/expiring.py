"""What a process does by itself for the chat's state, as `chat/services/maintenance.py` decides it: by its clocks.

Those may all be wrong; what may be said where most are right is in `truth.py`.
"""

from typing import TYPE_CHECKING, Any

from chat.commands import encode
from chat.services.maintenance import Maintenance
from raft.core.node import Role

if TYPE_CHECKING:
    from tests.simulation.process import Process

LOOK_EVERY_MS = 150.0


class Expiring:
    """Of one process; to its keeper it is the engine."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._busy = False  # the outcome of the last step is awaited
        engine: Any = self
        self._keeper = Maintenance(engine, process.state, lambda: process.now_s)
        process.schedule(LOOK_EVERY_MS, self._look)

    def _look(self) -> None:
        process = self._process
        process.schedule(LOOK_EVERY_MS, self._look)
        if self._busy or (command := self._keeper.due()) is None:
            return
        self._busy = True
        process.world.counts[f"proposals of {type(command).__name__}"] += 1
        process.world.truth.proposed(process, command)
        process.forwarding.post(encode(command), self._answered)

    def _answered(self, result: object) -> None:
        self._busy = False

    # What the keeper asks of the engine

    @property
    def leads(self) -> bool:
        """As the engine has it."""
        return self._process.node.role is Role.LEADER

    @property
    def level(self) -> int:
        """As the engine has it."""
        return self._process.node.committed_configuration.level

    def agreed_time(self) -> int:
        """As the engine has it."""
        return self._process.clocks.agreed_time()
