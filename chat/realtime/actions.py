"""The actions of a websocket beside posting: edit, delete, react, read, history and ticket.

Rules
- Actions are carried out one after the other, in the order in which they came.  So two edits of a post keep their
  order, and a websocket has one reader in the hub's workers beside its subscription's.
- Each is answered once, with a result or an Error; the answer repeats the action's ClientId, if it has one.
- A page of history is cut to the room in the websocket's queue, at the end that is furthest from what was asked for.
"""

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from chat.auth import secrets
from chat.commands import Actor
from chat.commands.accounts import CreateTicket
from chat.commands.posts import DeletePost, EditPost, React
from chat.errors import Problem, invalid, problem_of, problem_of_refusal
from chat.realtime import replies
from chat.realtime.authentication import Realtime
from chat.realtime.websocket_connection import WebSocketConnection
from chat.services import validation
from chat.services.post_cache import mending, read_retrying
from chat.services.posts import PostChange, check_deletion, check_edit, check_reaction, command_for
from chat.services.proposals import dry_run, propose
from chat.services.read_markers import check_read_marker, note_marker
from chat.services.sessions import TICKET_S
from chat.state.events import PostChanged
from chat.state.permissions import acting
from chat.state.results import Done, Refusal, Success
from chat.state.room import Page, PageRequest
from raft.errors import CorruptLog, RaftError

PAGE_POSTS_MAX = 100
PAGE_BYTES_MAX = 64 * 1024  # with a page of what was missed and a step of what comes, less than a websocket's backlog

_DRAIN_S = 0.1  # until it is looked again whether the client has taken what waits for it


class _Look(NamedTuple):
    """A request for a page of a room's history."""

    room: str
    ask: PageRequest


class _Ticket(NamedTuple):
    """A ticket to be made: its secret opens one more websocket."""

    secret: str
    expires_at: int


_What = PostChange | React | _Look | _Ticket
_Command = EditPost | DeletePost | React | CreateTicket
_Found = EditPost | DeletePost | Success | Problem | bytes


class _Asked(NamedTuple):
    sent: Mapping[str, object]  # with lower-case names
    what: _What

    @property
    def client_id(self) -> str | None:
        """The ClientId that the answer repeats."""
        client_id = self.sent.get("clientid")
        return client_id if isinstance(client_id, str) else None


class Actions:
    """The actions of one websocket; for the hub's selector thread."""

    def __init__(
        self, realtime: Realtime, connection: WebSocketConnection, actor: Actor, environ: Mapping[str, Any]
    ) -> None:
        """`environ` is of the opening request; changes are counted by its address."""
        self._environ = environ
        self._realtime = realtime
        self._connection = connection
        self._actor = actor
        self._queue: deque[_Asked] = deque()  # the first one is being carried out; as long as a websocket lets it grow

    def act(self, action: str, sent: Mapping[str, object]) -> None:
        """Queue an action.  `sent` are its members, with names in lower case."""
        try:
            if "clientid" in sent:
                validation.client_id("ClientId", sent["clientid"])
            if action != "history":
                self._realtime.authenticator.admit_change(self._actor, self._environ)
            if action == "read":
                mark = check_read_marker(self._realtime.state, self._actor, sent.get("roomname"), sent.get("id"))
                note_marker(self._realtime.pending_markers, mark, sent.get("unread", False))
                return
            asked = _Asked(sent, self._checked(action, sent))
        except Problem as problem:
            self._connection.send(replies.error(problem, sent))
            return
        self._connection.hold()
        self._queue.append(asked)
        if len(self._queue) == 1:
            self._begin()

    def _checked(self, action: str, sent: Mapping[str, object]) -> _What:
        if action == "ticket":
            return _Ticket(secrets.new_secret(secrets.TICKET), self._realtime.authenticator.expiry(TICKET_S))
        room = validation.name("RoomName", sent.get("roomname"))
        if action == "history":
            return _Look(room, _page_ask(sent))
        id = validation.post_id("Id", sent.get("id"))
        if action == "edit":
            return check_edit(self._actor, room, id, {name: sent[name] for name in ("message", "user") if name in sent})
        user = validation.name("User", sent["user"]) if "user" in sent else None
        if action == "delete":
            return check_deletion(self._actor, room, id, user)
        emoji, on = sent.get("emoji"), sent.get("on", True)
        if not isinstance(emoji, str):
            raise invalid("Emoji", "must be a string")
        if not isinstance(on, bool):
            raise invalid("On", "must be true or false")
        return check_reaction(self._actor, room, id, emoji, user, on=on)

    def _begin(self) -> None:
        asked = self._queue[0]
        if isinstance(asked.what, React):
            self._propose(asked.what)
        elif isinstance(asked.what, _Ticket):
            self._propose(CreateTicket(self._actor, secrets.digest(asked.what.secret), asked.what.expires_at))
        elif isinstance(asked.what, _Look) and self._connection.backlog > self._realtime.hub.limits.drained_bytes:
            self._realtime.hub.call_later(_DRAIN_S, self._begin)
        else:
            # Every change that was acknowledged before has to be seen, also one acknowledged by another node.
            self._realtime.replica.read(lambda error: self._call(partial(self._caught_up, asked, error)))

    def _caught_up(self, asked: _Asked, error: RaftError | None) -> None:
        if error is not None:
            self._tell(problem_of(error))
        elif isinstance(asked.what, PostChange):
            self._realtime.hub.work(self._connection, partial(self._command, asked.what), self._found)
        elif isinstance(asked.what, _Look):
            self._realtime.hub.work(self._connection, partial(self._page, asked.what, asked.client_id), self._found)

    def _found(self, found: _Found) -> None:
        if isinstance(found, EditPost | DeletePost):
            self._propose(found, is_caught_up=True)
        else:
            self._tell(found)

    def _propose(self, command: _Command, *, is_caught_up: bool = False) -> None:
        """Propose the command; if the state foresees its outcome, confirm that by a read and propose nothing."""
        us = self._realtime
        try:
            outcome = dry_run(us.replica, us.state, command)
            if outcome is None:
                propose(us.replica, command, lambda outcome: self._call(partial(self._tell, outcome)))
            elif is_caught_up:
                self._tell(outcome)
            else:
                us.replica.read(lambda error: self._call(partial(self._propose_confirmed, command, error)))
        except Problem as problem:
            self._tell(problem)
        except RaftError as error:  # it is not known which commands every member knows
            self._tell(problem_of(error))

    def _propose_confirmed(self, command: _Command, error: RaftError | None) -> None:
        if error is None:
            self._propose(command, is_caught_up=True)
        else:
            self._tell(problem_of(error))

    def _tell(self, outcome: Success | Problem | bytes) -> None:
        """Answer the first action, and begin the next."""
        asked = self._queue.popleft()
        self._connection.send(_answer(asked, outcome))
        self._connection.release()
        if self._queue:
            self._begin()

    def _call(self, job: Callable[[], None]) -> None:
        self._realtime.hub.call(job)

    # In a worker

    def _command(self, wish: PostChange) -> EditPost | DeletePost | PostChanged | Done | Problem:
        try:
            return command_for(self._realtime.replica, self._realtime.state, wish, self._mended)
        except Problem as problem:
            return problem
        except RaftError as error:
            return problem_of(error)

    def _mended(self, damage: CorruptLog) -> bool:
        return self._realtime.hub.substituted(lambda: self._realtime.replica.mended(damage))

    def _page(self, look: _Look, client_id: str | None) -> bytes | Problem:
        state, replica = self._realtime.state, self._realtime.replica

        def locate() -> Page:
            who = state.ask(lambda tables: acting(tables, self._actor))
            if isinstance(who, Refusal):
                raise problem_of_refusal(who)
            return state.page(look.room, look.ask, who)

        try:
            page, posts = mending(
                lambda: read_retrying(locate, lambda page: self._realtime.rendered.read(page, replica)), self._mended
            )
        except Problem as problem:
            return problem
        except RaftError as raft_error:
            return problem_of(raft_error)
        return replies.history(client_id, look.room, *_cut(page, posts))


def _answer(asked: _Asked, outcome: Success | Problem | bytes) -> bytes:
    match outcome, asked.what:
        case Problem(), _:
            return replies.error(outcome, asked.sent)
        case bytes(), _:
            return outcome
        case _, _Ticket(secret, expires_at):
            return replies.ticket(asked.client_id, secret, expires_at)
        case PostChanged(), PostChange(room=room, id=id):
            return replies.changed(asked.client_id, room, id, outcome.post)
        case _, PostChange(room=room, id=id) | React(room=room, id=id):
            return replies.changed(asked.client_id, room, id, None)
        case _:
            raise AssertionError("a page is bytes")


def _page_ask(sent: Mapping[str, object]) -> PageRequest:
    limit = validation.number("Limit", sent["limit"], 1, PAGE_POSTS_MAX) if "limit" in sent else PAGE_POSTS_MAX
    high = validation.INTEGER_MAX
    bounds = {
        name: validation.number(name.capitalize(), sent[name], 0, high)
        for name in ("before", "after", "around")
        if name in sent
    }
    if len(bounds) > 1:
        raise invalid("Before, After, Around", "only one of them may be given")
    return PageRequest(limit, **bounds)


def _cut(page: Page, posts: list[bytes]) -> tuple[Page, list[bytes]]:
    """Cut a page to its bound in bytes: as much above its pivot as below, and one post at least."""
    pivot = page.pivot - page.first_id
    above, below = posts[pivot:], posts[:pivot][::-1]
    bytes_max = PAGE_BYTES_MAX // 2 if above and below else PAGE_BYTES_MAX
    first, last = page.pivot - _fitting(below, bytes_max), page.pivot + _fitting(above, bytes_max) - 1
    return page.part(first, last), posts[first - page.first_id : last + 1 - page.first_id]


def _fitting(posts: list[bytes], bytes_max: int) -> int:
    """Return how many of the first posts fit; one at least."""
    for count, post in enumerate(posts):
        bytes_max -= len(post)
        if bytes_max < 0:
            return max(count, 1)
    return len(posts)
