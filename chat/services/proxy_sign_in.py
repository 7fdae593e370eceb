"""Sign in the users that a trusted proxy names: make them at first sight, follow their role, and make their token.

Each step is a command in the log, proposed by one thread for all who wait.  A step follows from the state, so two nodes
that sign in the same user at once do no harm: the second one is refused, looks again, and finds what the first did.

A proxy that invents users, or whose users choose their header, must not fill the log.  So a step that would be refused
is not proposed, a new user is charged to the bucket of this node, and each other step to that of its user.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from threading import Condition, Thread
from time import monotonic
from typing import Final

from chat.auth import secrets
from chat.auth.proxy_users import DEACTIVATED, ProxyUser, refused, shared_session
from chat.auth.rate_limits import Rate, TokenBuckets, too_many
from chat.commands import OPERATOR, Actor, Command
from chat.commands.accounts import ChangeUser, CreateUser, LogIn, RevokeTokens
from chat.confusable_names import skeleton
from chat.errors import Problem, problem, problem_of, unavailable
from chat.replica import Replica
from chat.services import validation
from chat.services.proposals import dry_run, propose
from chat.state.accounts import MEMBER, PROXY
from chat.state.machine import ChatState
from chat.state.results import Success
from chat.state.tables import Tables
from raft.errors import RaftError

logger = logging.getLogger(__name__)

# A company that comes for the first time, at once; then 8,640 users a day.
NEW_USERS: Final = Rate(refill_s=10.0, burst=2_000)
# Of a user: a change of the role and a new token now and then, by browsers that others use too.
STEPS: Final = Rate(refill_s=2.0, burst=60)
LABEL = "proxy"
WAITING_MAX = 256  # users at once: a company that comes back after a restart
STEPS_MAX = 6  # revoke, make, change the role, make a token; others may change the same meanwhile
SERVER_ERRORS = 500  # statuses from here on: a step was not refused, but nobody answered for it
WAIT_S = 30.0  # the engine answers by its own, shorter deadlines; this one is for an engine that is stuck

Done = Callable[[RaftError | Problem | None], None]


class ProxySignIn:
    """The sign-in of one node's proxy users.  Any thread; never blocks."""

    def __init__(self, replica: Replica, state: ChatState) -> None:
        self._new_users = TokenBuckets(NEW_USERS)  # one bucket
        self._steps = TokenBuckets(STEPS)  # one a user
        self._replica = replica
        self._state = state
        self._changed = Condition()
        self._waiting: dict[ProxyUser, list[Done]] = {}  # under the condition
        self._thread: Thread | None = None  # started by the first user

    def __call__(self, user: ProxyUser, done: Done) -> None:
        """Sign this user in.  `done` gets the reason if that failed, and may be called at once."""
        refusal = _refused_name(user.name)
        if refusal is not None:
            done(refusal)
            return
        with self._changed:
            is_full = len(self._waiting) >= WAITING_MAX and user not in self._waiting
            if not is_full:
                self._waiting.setdefault(user, []).append(done)
                self._changed.notify()
                if self._thread is None:
                    self._thread = Thread(target=self._run, name="proxy-sign-in", daemon=True)
                    self._thread.start()
        if is_full:
            done(unavailable("too many users sign in at once"))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                batch, self._waiting = self._waiting, {}
            try:
                outcomes = self._sign_in(batch)
            except Exception:
                logger.exception("users of the proxy could not be signed in")
                outcomes = dict.fromkeys(batch, problem("internal_error", "the node's log says why this failed"))
            for user, waiting in batch.items():
                for done in waiting:
                    done(outcomes[user])

    def _sign_in(self, batch: Mapping[ProxyUser, object]) -> dict[ProxyUser, RaftError | Problem | None]:
        """Carry out the steps of all these users, a step of each at a time; the reasons of those that failed."""
        late = unavailable("the cluster did not answer in time")
        outcomes: dict[ProxyUser, RaftError | Problem | None] = dict.fromkeys(batch, late)
        errors: SimpleQueue[RaftError | None] = SimpleQueue()
        self._replica.read(errors.put)
        try:
            error = errors.get(timeout=WAIT_S)
        except Empty:
            return outcomes
        if error is not None:
            return dict.fromkeys(batch, problem_of(error))
        left = [*batch]
        refused: dict[ProxyUser, tuple[type, Problem]] = {}  # by the kind of the refused step
        for _ in range(STEPS_MAX):
            steps: dict[ProxyUser, Command] = {}
            for user in left:
                step = self._permitted_step(user)
                if step is None or isinstance(step, Problem):
                    outcomes[user] = step
                elif user in refused and refused[user][0] is type(step):  # it would be refused again
                    outcomes[user] = refused[user][1]
                else:
                    steps[user] = step
            failed = self._carry_out(steps)
            refused |= {user: (type(steps[user]), why) for user, why in failed.items() if why.status < SERVER_ERRORS}
            outcomes |= failed
            left = [user for user in steps if user not in failed or user in refused]
            if not left:
                break
        return outcomes

    def _permitted_step(self, user: ProxyUser) -> Command | Problem | None:
        """The next step of this user; the Problem where it would be refused."""
        step = self._state.ask(partial(next_step, user=user))
        if step is None or isinstance(step, Problem):
            return step
        try:
            outcome = dry_run(self._replica, self._state, step)
        except Problem as unknown_to_a_node:
            return unknown_to_a_node
        return outcome if isinstance(outcome, Problem) else self._charged(user, step)

    def _charged(self, user: ProxyUser, step: Command) -> Command | Problem:
        """The step; the Problem (429) if there are too many."""
        if isinstance(step, CreateUser):
            wait_s, detail = self._new_users.take(""), "too many new users at once"
        else:
            wait_s, detail = self._steps.take(user.name), "this user has signed in too often"
        return too_many("too_many_attempts", f"User: {detail}", wait_s) if wait_s else step

    def _carry_out(self, steps: Mapping[ProxyUser, Command]) -> dict[ProxyUser, Problem]:
        """Propose a command of each user, and wait for all; those that failed or were refused."""
        results: SimpleQueue[tuple[ProxyUser, Success | Problem]] = SimpleQueue()
        for user, command in steps.items():
            propose(self._replica, command, lambda result, user=user: results.put((user, result)))
        missing, until_s = dict.fromkeys(steps, unavailable("the cluster did not answer in time")), monotonic() + WAIT_S
        failed: dict[ProxyUser, Problem] = {}
        while missing:
            try:
                user, result = results.get(timeout=max(0.0, until_s - monotonic()))
            except Empty:
                break
            del missing[user]
            if isinstance(result, Problem):
                failed[user] = result
        return missing | failed


def next_step(tables: Tables, user: ProxyUser) -> Command | Problem | None:
    """The command that this user needs next; None if there is nothing more to do.  A Problem if it cannot be done."""
    if user.other in tables.tokens and tables.tokens[user.other].user != user.name:
        return RevokeTokens(Actor(OPERATOR), (user.other,))
    known = tables.users.get(user.name)
    if known is None:
        looks = skeleton(user.name)
        return CreateUser(Actor(OPERATOR), user.name, user.name, looks, "", user.role or MEMBER)
    if not known.active:
        return problem("forbidden", DEACTIVATED)
    if user.role and user.role != known.role:
        return ChangeUser(Actor(OPERATOR), user.name, role=user.role)
    if shared_session(tables, known) is None:
        digest = secrets.digest(secrets.new_secret(secrets.TOKEN))  # nobody knows the secret
        return LogIn(Actor(OPERATOR, user.name), 0, digest, PROXY, LABEL, 0)
    return None


def _refused_name(name: str) -> Problem | None:
    """The Problem for a name that no user may have; None if a user may have it."""
    try:
        validation.user_name("User", name)
    except Problem as wrong:
        return refused(wrong.detail.partition(": ")[2])
    return None if skeleton(name) else refused("has no visible character")
