"""Authenticate websockets, and close them when their token is revoked.

Rules
- Without sign-in nobody is authenticated.  With sign-in a websocket acts by a token from the start (a cookie or a
  Bearer token), or it sends and gets nothing until it brings a ticket.
- A token is looked up in the selector thread, and the websocket is registered in the same step.  Account events come to
  the same thread after the state has changed.  So a token that is revoked meanwhile is either not found, or its
  websocket is found registered: no websocket outlives its token.
- The account events of a batch are applied before the room events of that batch are published.
- A ticket is used up by a command, so it works once on all nodes together.  It is looked for in the state first, so
  that nothing that strangers send gets into the log.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from chat.auth.authenticator import Authenticator
from chat.auth.secrets import digest
from chat.commands import Actor, encode
from chat.commands.accounts import RedeemTicket
from chat.errors import Problem, problem_of, problem_of_refusal
from chat.realtime.connection import Connection
from chat.realtime.frames import CloseCode
from chat.realtime.hub import Hub
from chat.realtime.majority import MajorityNotice
from chat.realtime.presence import Presence
from chat.realtime.replies import is_temporary
from chat.replica import Replica
from chat.services.post_cache import PostCache
from chat.services.read_markers import PendingMarkers
from chat.state.apply.credentials import BAD_TICKET
from chat.state.events import AccountEvent, AuthChanged, PreferencesChanged, ReadMarkerMoved, Revoked, UsersChanged
from chat.state.machine import ChatState
from chat.state.permissions import acting
from chat.state.results import Redeemed, Refusal
from chat.state.settings import LOGIN
from raft.errors import RaftError

TICKET_WAIT_S = 10.0  # as long as a page needs to load what it opens its websocket with
WEBSOCKETS_OF_USER_MAX = 50  # of a user: more devices and bots than anybody has

_NOBODY: Final = Actor()
_SIGNED_OUT = (CloseCode.POLICY_VIOLATION, "signed out")
_MODE_CHANGED = (CloseCode.SERVICE_RESTART, "sign-in was turned on or off: connect again")
_NO_TICKET = (CloseCode.POLICY_VIOLATION, "no ticket was sent in time")
_TOO_MANY = (CloseCode.POLICY_VIOLATION, f"more than {WEBSOCKETS_OF_USER_MAX} websockets of this user")


class Realtime:
    """The parts that all connections of a node share, and their authentication.

    For the hub's selector thread, except `on_account_events`.
    """

    def __init__(
        self,
        hub: Hub,
        replica: Replica,
        state: ChatState,
        authenticator: Authenticator,
        nodes: Callable[[], list[str]],
        *,
        pending_markers: PendingMarkers | None = None,
        rendered: PostCache | None = None,
    ) -> None:
        """`nodes` gives the URLs that clients reach the members under; `pending_markers` as `create_app` has it."""
        self.hub = hub
        self.replica = replica
        self.state = state
        self.authenticator = authenticator
        self.nodes = nodes
        self.pending_markers = pending_markers or PendingMarkers()
        self.presence = Presence(hub, replica, state)
        self.majority = MajorityNotice(hub, replica)
        self.rendered = rendered or PostCache()

    def authenticate(self, connection: Connection, environ: Mapping[str, Any], enter: Callable[[Actor], None]) -> None:
        """Call `enter` with the user of the opening request, now or once they are known; or close the websocket.

        A token that is not known here may have been made at another node a moment ago, so it is looked for twice.
        """
        if self.authenticator.knows_mode():
            self._authenticate_in_mode(connection, environ, enter)
            return
        self.hub.unsubscribe(connection)

        def mode_is_known() -> None:
            if self._is_open():
                self.hub.listen(connection)
            self._authenticate_in_mode(connection, environ, enter)

        self._when_confirmed(connection, mode_is_known)

    def _authenticate_in_mode(
        self, connection: Connection, environ: Mapping[str, Any], enter: Callable[[Actor], None]
    ) -> None:
        if self._is_open():
            enter(_NOBODY)
            return
        self.hub.unsubscribe(connection)
        actor = self._recognise(connection, environ)
        if actor is not None:
            self._authenticated_as(connection, actor, enter)
        elif not connection.closing:
            known = partial(self.authenticator.make_known, environ)
            self._when_confirmed(connection, partial(self._look_again, connection, environ, enter), known)

    def _when_confirmed(
        self,
        connection: Connection,
        then: Callable[[], None],
        start: Callable[[Callable[[RaftError | Problem | None], None]], None] | None = None,
    ) -> None:
        """Call `then` once the state holds all that was acknowledged; close the connection if that cannot be known.

        `start`: does more than to read the state.
        """

        def confirmed(error: RaftError | Problem | None) -> None:
            connection.go_on()
            if isinstance(error, Problem) and not is_temporary(error):
                connection.close(CloseCode.POLICY_VIOLATION, error.code)
            elif error is not None:
                connection.close(CloseCode.TRY_AGAIN_LATER, "this node is behind")
            elif not connection.closing:
                then()

        connection.pause()
        (start or self.replica.read)(lambda error: self._call(partial(confirmed, error)))

    def _look_again(self, connection: Connection, environ: Mapping[str, Any], enter: Callable[[Actor], None]) -> None:
        actor = self._recognise(connection, environ)
        if actor is None:
            connection.close(*_SIGNED_OUT)
        else:
            self.authenticator.refund_unknown_token(environ)
            self._authenticated_as(connection, actor, enter)

    def _recognise(self, connection: Connection, environ: Mapping[str, Any]) -> Actor | None:
        """Return the user; None: the token is not known here.  A malformed token closes the websocket."""
        try:
            return self.authenticator.authenticate(environ)
        except Problem:
            connection.close(*_SIGNED_OUT)
            return None

    def _authenticated_as(self, connection: Connection, actor: Actor, enter: Callable[[Actor], None]) -> None:
        if actor == _NOBODY:
            self.hub.call_later(TICKET_WAIT_S, partial(self._give_up, connection))
        elif self.register(connection, actor):
            self.hub.listen(connection)
            enter(actor)

    def _give_up(self, connection: Connection) -> None:
        if self.hub.registry.is_registered(connection):
            return
        if connection.paused:  # one came, and is being used up
            self.hub.call_later(TICKET_WAIT_S, partial(self._give_up, connection))
        else:
            connection.close(*_NO_TICKET)

    def register(self, connection: Connection, actor: Actor) -> bool:
        """Register the connection as acting for this user.  If that is not allowed, close it and return False."""
        found = self.state.ask(lambda tables: acting(tables, actor))
        if isinstance(found, Refusal):
            connection.close(*_SIGNED_OUT)
            return False
        others = self.hub.registry.of_user(found.name) if found.name else []
        if sum(not other.closing for other in others) >= WEBSOCKETS_OF_USER_MAX:
            connection.close(*_TOO_MANY)
            return False
        self.hub.registry.register(connection, actor, found)
        return True

    def redeem(
        self,
        connection: Connection,
        environ: Mapping[str, Any],
        ticket: str,
        done: Callable[[Actor | Problem], None],
    ) -> None:
        """Use up a ticket.  Then `done` gets the user for whom the websocket is registered, in the selector thread.

        Meanwhile the websocket is not read.  A ticket that is not known here is looked for as a token is: a number of
        times for an address.  Raises Problem (429).
        """
        told = partial(self._redeemed, connection, done)
        secret = digest(ticket)
        try:
            is_there = self._has_ticket(secret)
        except RaftError as error:  # it is not known yet what time it is
            connection.pause()
            told(error)
            return
        if is_there:
            connection.pause()
            self._use_up(secret, told)
            return
        self.authenticator.charge_unknown_token(environ)
        connection.pause()
        self.replica.read(lambda error: self._look_for(secret, environ, error, told))

    def _look_for(
        self, secret: bytes, environ: Mapping[str, Any], error: RaftError | None, told: Callable[[object], None]
    ) -> None:
        """Look for a ticket after a read; in a thread of the engine, which must not call back into it."""
        try:
            is_there = error is None and self._has_ticket(secret)
        except RaftError as unknown:
            error = unknown
        if error is not None:
            self._call(partial(told, error))
        elif is_there:
            self.authenticator.refund_unknown_token(environ)
            self._call(partial(self._use_up, secret, told))
        else:
            self._call(partial(told, BAD_TICKET))

    def _has_ticket(self, secret: bytes) -> bool:
        """Return True if the state has the ticket.  Raises RaftError if the cluster's time is not known."""
        ticket = self.state.ask(lambda tables: tables.tickets.get(secret))
        return ticket is not None and (not ticket.expires_at or ticket.expires_at > self.replica.agreed_time())

    def _use_up(self, secret: bytes, told: Callable[[object], None]) -> None:
        self.replica.propose(encode(RedeemTicket(secret)), lambda result: self._call(partial(told, result)))

    def _redeemed(self, connection: Connection, done: Callable[[Actor | Problem], None], result: object) -> None:
        connection.go_on()
        match result:
            case Redeemed(token=token):
                actor = Actor(token.number, token.user)
                if not connection.closing and self.register(connection, actor):
                    done(actor)
            case Refusal():
                done(problem_of_refusal(result))
            case RaftError():
                done(problem_of(result))
            case _:
                raise AssertionError(f"the engine answered a ticket with {type(result).__name__}")

    # What becomes of accounts

    def on_account_events(self, events: Sequence[AccountEvent]) -> None:
        """Apply the account events of a batch that is not published yet.  From the apply thread; never blocks."""
        self._call(partial(self._apply_account_events, [*events]))

    def _apply_account_events(self, events: Sequence[AccountEvent]) -> None:
        registry = self.hub.registry
        for event in events:
            match event:
                case Revoked():
                    for connection in (
                        connection for number in event.numbers for connection in registry.of_token(number)
                    ):
                        connection.expel(*_SIGNED_OUT)
                case UsersChanged():
                    for connection in registry.of_user(event.name):
                        self._renew(connection)
                case AuthChanged():
                    self.hub.close_all(*_MODE_CHANGED)
                case ReadMarkerMoved():
                    self._tell(event.user, {"Type": "Marked", "RoomName": event.room, "Id": event.id})
                case PreferencesChanged(room=room, favourite=favourite):
                    notify = event.notify or None
                    self._tell(
                        event.user,
                        {"Type": "Preferences", "RoomName": room, "Favourite": favourite, "Notify": notify},
                    )

    def _tell(self, user: str, event: dict[str, object]) -> None:
        """Send an event to all devices of a user.  Devices that reconnect ask for the list of rooms themselves."""
        frame = json.dumps({"Event": event}, ensure_ascii=False).encode()
        for connection in self.hub.registry.of_user(user):
            if self.hub.is_subscribed(connection):
                connection.send(frame)

    def _renew(self, connection: Connection) -> None:
        """Register the connection again: the user's role may have changed."""
        actor = self.hub.registry.actor(connection)
        found = self.state.ask(lambda tables: acting(tables, actor))
        if isinstance(found, Refusal):
            connection.expel(*_SIGNED_OUT)
        else:
            self.hub.registry.register(connection, actor, found)

    def _is_open(self) -> bool:
        return not self.state.guarded or self.state.ask(lambda tables: tables.settings.auth != LOGIN)

    def _call(self, job: Callable[[], None]) -> None:
        self.hub.call(job)
