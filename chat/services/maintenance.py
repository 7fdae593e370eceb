"""Maintenance: the commands that a node proposes by itself.

Every node reports read markers and token activity now and then, and one started with `--auth login` sets that mode.
The leader proposes what expires, since `apply` has no clock: one bounded step at a time, LOOK_S apart, or BUSY_S while
there is more.  So a large backlog, after a long silence for example, holds nobody up.  Each step follows from the
state: what a failed leader has not done, the next one finds.
"""

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from threading import Event

from chat.auth.token_activity import TokenActivity
from chat.commands import Command, encode, level_of
from chat.commands.accounts import RecordTokenUse
from chat.commands.cluster import SetAuth
from chat.commands.posts import MarkRead, MarkUnread
from chat.replica import Replica
from chat.services.read_markers import PendingMarkers, ReadMarker
from chat.state.apply.credentials import due_credentials
from chat.state.apply.expiry import due_expiry, due_forgetting, due_forgetting_rooms
from chat.state.apply.read_markers import goes_back, is_news
from chat.state.settings import OPEN
from chat.state.tables import StateReader, Tables
from raft.errors import RaftError

logger = logging.getLogger(__name__)

LOOK_S = 1.0
BUSY_S = 0.05
OUTCOME_S = 30.0  # the engine answers by its own, shorter deadlines; this one is for an engine that is stuck
MARKS_EVERY_S = 5.0  # at most so often each node proposes read markers
MARKS = 500  # in a step
USES_EVERY_S = 5.0  # likewise token activity
USES = 500  # in a step
FORGET_EVERY_S = 3_600.0  # ClientIds are gone over


class Maintenance:
    """The job that proposes, once a second, what time makes necessary."""

    def __init__(
        self,
        replica: Replica,
        state: StateReader,
        clock: Callable[[], float] = time.monotonic,
        *,
        pending_markers: PendingMarkers | None = None,
        token_activity: TokenActivity | None = None,
        auth: SetAuth | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """`auth`: proposed while the cluster is in the open mode.  `look`: called at every look, once this node has
        caught up with the cluster since its start."""
        self._replica = replica
        self._state = state
        self._clock = clock
        self._pending_markers = pending_markers or PendingMarkers()
        self._next_marks_s = 0.0
        self._token_activity = token_activity or TokenActivity()
        self._next_uses_s = 0.0
        self._auth = auth
        self._look = look
        self._has_caught_up = False
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
        """Propose what is due, and return whether something was done, so that more may be due at once."""
        self._has_caught_up = self._has_caught_up or self._catch_up()
        if self._has_caught_up:
            self._look()
        command = self.due()
        return command is not None and self._carry_out(command)

    def due(self) -> Command | None:
        """The command to propose next; None if there is none."""
        if not self._replica.leads:
            self._credential, self._room, self._bucket, self._next_forgetting_s = 0, 0, 0, 0.0
        try:
            return self._due()
        except RaftError:  # the members or the log's time are not known yet
            return None

    def _due(self) -> Command | None:
        level = self._replica.level  # raises if the members are not known yet
        of_any_node = self._due_auth() or self._due_marks() or self._due_uses()
        command = of_any_node or (self._due_as_leader() if self._replica.leads else None)
        return command if command is not None and level_of(command) <= level else None

    def _due_auth(self) -> Command | None:
        """The mode that this node was started for.  A node that is behind waits, or it would undo a later change."""
        if self._auth is None or not (self._is_open() and self._catch_up() and self._is_open()):
            return None
        return self._auth

    def _is_open(self) -> bool:
        return self._state.ask(lambda tables: tables.settings.auth == OPEN)

    def _due_marks(self) -> Command | None:
        if self._clock() < self._next_marks_s:
            return None
        noted_back = self._pending_markers.take_unread(MARKS)
        if back := self._state.ask(lambda tables: tuple(mark for mark in noted_back if goes_back(tables, *mark))):
            return MarkUnread(back)  # what was read since is proposed in the next step
        self._next_marks_s = self._clock() + MARKS_EVERY_S
        news: list[ReadMarker] = []
        while len(news) < MARKS and (noted := self._pending_markers.take(MARKS - len(news))):
            news += self._state.ask(partial(_news, noted=noted))
        return MarkRead(tuple(news)) if news else None

    def _due_uses(self) -> Command | None:
        if self._clock() < self._next_uses_s:
            return None
        self._next_uses_s = self._clock() + USES_EVERY_S
        numbers = self._token_activity.take(USES)
        return RecordTokenUse(numbers) if numbers else None

    def _due_as_leader(self) -> Command | None:
        now = self._replica.agreed_time()
        return (
            self._due_credentials(now)
            or self._due_expiry(now)
            or self._due_forgetting(now)
            or self._state.ask(due_forgetting_rooms)
        )

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
        """Propose the command and wait for its outcome; return whether it was carried out."""
        answered = Event()
        results: list[object] = []

        def done(result: object) -> None:
            results.append(result)
            answered.set()

        self._replica.propose(encode(command), done)
        if not answered.wait(OUTCOME_S) or isinstance(results[0], RaftError):
            logger.info("%s was not carried out and will be tried again", type(command).__name__)
            if isinstance(command, MarkRead):
                self._pending_markers.put_back(command.marks)
            if isinstance(command, MarkUnread):
                self._pending_markers.put_back_unread(command.marks)
            if isinstance(command, RecordTokenUse):
                self._token_activity.put_back(command.tokens)
            return False
        return True

    def _catch_up(self) -> bool:
        """Wait until this node's state holds all that was acknowledged before; return whether it does."""
        settled = Event()
        errors: list[RaftError | None] = []

        def done(error: RaftError | None) -> None:
            errors.append(error)
            settled.set()

        self._replica.read(done)
        return settled.wait(OUTCOME_S) and errors[0] is None


def _news(tables: Tables, noted: Iterable[ReadMarker]) -> list[ReadMarker]:
    """The markers that change something: a client may send one for a message that does not exist."""
    return [mark for mark in noted if is_news(tables, *mark)]
