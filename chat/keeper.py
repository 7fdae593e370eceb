"""What a node does by itself for the replicated state: while it leads, it has go what is old enough.

Each node tells it now and then how far those have read who read here.
`apply` has no clock, so what expires does so by a command, and it is the leader that proposes it: one bounded step at a
time, of which it awaits the outcome, LOOK_S apart and BUSY_S as long as there is more.  So a backlog of any size, after
a long silence say, never stands in anybody's way.  All of this is a function of the state: what a leader that fails has
not done, the next one finds.
"""

import logging
import time
from collections.abc import Callable
from threading import Event

from chat.commands import LEVEL, Command, encode
from chat.commands.cluster import Begin
from chat.commands.posts import Mark
from chat.marks import Marks
from chat.replica import Replica
from chat.state.credential_changes import due_credentials
from chat.state.expiry import due_expiry, due_forgetting
from chat.state.machine import ChatState
from raft.errors import RaftError

logger = logging.getLogger(__name__)

LOOK_S = 1.0
BUSY_S = 0.05
OUTCOME_S = 30.0  # the engine answers by its own, shorter deadlines; this one is for an engine that is stuck
MARKS_EVERY_S = 5.0  # the state is told how far people have read: so often does each node write to the log for that
MARKS = 500  # in a step
FORGET_EVERY_S = 3_600.0  # ClientIds are gone over


class Keeper:
    """Of one node."""

    def __init__(
        self,
        replica: Replica,
        state: ChatState,
        clock: Callable[[], float] = time.monotonic,
        *,
        marks: Marks | None = None,
    ) -> None:
        self._replica = replica
        self._state = state
        self._clock = clock
        self._marks = marks or Marks()
        self._next_marks_s = 0.0
        self._credential = 0  # by its number, from which to go on
        self._room = 0  # likewise
        self._bucket = 0  # of ClientIds, likewise
        self._next_forgetting_s = 0.0

    def run(self, stopping: Event) -> None:
        """The thread."""
        pause_s = LOOK_S
        while not stopping.wait(pause_s):
            pause_s = BUSY_S if self.step() else LOOK_S

    def step(self) -> bool:
        """Look once; whether something was done, so that more may be due at once."""
        command = self.due()
        return command is not None and self._carry_out(command)

    def due(self) -> Command | None:
        """What is to be proposed next."""
        if not self._replica.leads:
            self._credential, self._room, self._bucket, self._next_forgetting_s = 0, 0, 0, 0.0
        try:
            return self._due()
        except RaftError:  # it is not known yet who the members are, or what time it is
            return None

    def _due(self) -> Command | None:
        if self._replica.level < LEVEL:
            return None
        return self._due_marks() or (self._due_as_leader() if self._replica.leads else None)

    def _due_marks(self) -> Command | None:
        if self._clock() < self._next_marks_s:
            return None
        self._next_marks_s = self._clock() + MARKS_EVERY_S
        marks = self._marks.take(MARKS)
        return Mark(marks) if marks else None

    def _due_as_leader(self) -> Command | None:
        if not self._state.ask(lambda tables: tables.begun):
            return Begin()
        now = self._replica.agreed_time()
        return self._due_credentials(now) or self._due_expiry(now) or self._due_forgetting(now)

    def _due_credentials(self, now: int) -> Command | None:
        first = self._credential
        command, self._credential = self._state.ask(lambda tables: due_credentials(tables, now, first))
        return command

    def _due_expiry(self, now: int) -> Command | None:
        first = self._room
        command, self._room = self._state.ask(lambda tables: due_expiry(tables, now, first))
        return command

    def _due_forgetting(self, now: int) -> Command | None:
        if not self._bucket and self._clock() < self._next_forgetting_s:
            return None
        first = self._bucket
        command, self._bucket = self._state.ask(lambda tables: due_forgetting(tables, now, first))
        if not self._bucket:
            self._next_forgetting_s = self._clock() + FORGET_EVERY_S
        return command

    def _carry_out(self, command: Command) -> bool:
        """Propose it and wait for what comes of it; what was not done is due at another look."""
        answered = Event()
        results: list[object] = []

        def done(result: object) -> None:
            results.append(result)
            answered.set()

        self._replica.propose(encode(command), done)
        if not answered.wait(OUTCOME_S) or isinstance(results[0], RaftError):
            logger.info("%s was not carried out, which is tried again", type(command).__name__)
            if isinstance(command, Mark):
                self._marks.put_back(command.marks)
            return False
        return True
