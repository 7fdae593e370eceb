"""Who the websockets are: taken in by what they prove, and sent away when that is no longer so.

Rules
- Where there is no login everybody is nobody in particular, and none of this is looked at.  Where there is one, a link
  acts by a token from its first moment on (a cookie, or Bearer), or is silent and deaf until it brings a ticket.
- Who a link is, is looked up in the selector thread and entered there at once; what becomes of accounts comes to the
  same thread, and is in the state before.  So a token that is revoked while a link is taken in is either not found or
  found entered: no link outlives its token.
- Of the same batch, what became of accounts is heeded before what happened in rooms is told.
- A ticket is used up by a command, so it is good once on all nodes together; it is looked for in the state first, so
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
from chat.realtime.frames import CloseCode
from chat.realtime.hub import Hub
from chat.realtime.majority import MajorityNotice
from chat.realtime.presence import Presence
from chat.realtime.websocket_connection import Link
from chat.replica import Replica
from chat.services.post_cache import PostCache
from chat.services.read_markers import PendingMarkers
from chat.state.apply.credentials import BAD_TICKET
from chat.state.events import AccountEvent, AuthChanged, ReadMarkerMoved, Revoked, UsersChanged
from chat.state.machine import ChatState
from chat.state.permissions import acting
from chat.state.results import Redeemed, Refusal
from chat.state.settings import LOGIN
from raft.errors import RaftError

TICKET_WAIT_S = 10.0  # as long as a page needs to load what it opens its websocket with
LINKS_MAX = 50  # of a user: more devices and bots than anybody has

_NOBODY: Final = Actor()
_SIGNED_OUT = (CloseCode.POLICY_VIOLATION, "signed out")
_MODE_CHANGED = (CloseCode.SERVICE_RESTART, "whether there is a login has changed: connect anew")
_NO_TICKET = (CloseCode.POLICY_VIOLATION, "no ticket came in time")
_TOO_MANY = (CloseCode.POLICY_VIOLATION, f"more than {LINKS_MAX} websockets of this user")


class Reception:
    """What all websockets of a node have in common.  But for `heed`, for the hub's selector thread."""

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
        hub.on_join, hub.on_forget = self._joined, self._forgotten
        self.rendered = rendered or PostCache()

    def _joined(self, link: Link) -> None:
        self.presence.greet(link)
        self.majority.greet(link)

    def _forgotten(self, link: Link) -> None:
        self.presence.leave(link)
        self.majority.forget(link)

    def receive(self, link: Link, environ: Mapping[str, Any], enter: Callable[[Actor], None]) -> None:
        """Call `enter` with who the request `environ` is from, now or once that is known; or close the link.

        A token that is not known here may have been made at another node a moment ago, so it is looked for twice.
        """
        if self.authenticator.knows_mode():
            self._receive_knowing(link, environ, enter)
            return
        self.hub.leave(link)
        link.pause()
        self.replica.read(lambda error: self._call(partial(self._receive_later, link, environ, enter, error)))

    def _receive_later(
        self,
        link: Link,
        environ: Mapping[str, Any],
        enter: Callable[[Actor], None],
        error: RaftError | None,
    ) -> None:
        """Go on after the read that told the mode."""
        link.go_on()
        if error is not None:
            link.close(CloseCode.TRY_AGAIN_LATER, "this node is behind")
        elif not link.closing:
            if self._is_open():
                self.hub.listen(link)
            self._receive_knowing(link, environ, enter)

    def _receive_knowing(self, link: Link, environ: Mapping[str, Any], enter: Callable[[Actor], None]) -> None:
        if self._is_open():
            enter(_NOBODY)
            return
        self.hub.leave(link)
        actor = self._recognise(link, environ)
        if actor is not None:
            self._receive_as(link, actor, enter)
        elif not link.closing:
            link.pause()
            self.replica.read(lambda error: self._call(partial(self._look_again, link, environ, enter, error)))

    def _look_again(
        self,
        link: Link,
        environ: Mapping[str, Any],
        enter: Callable[[Actor], None],
        error: RaftError | None,
    ) -> None:
        link.go_on()
        if error is not None:
            link.close(CloseCode.TRY_AGAIN_LATER, "this node is behind")
            return
        actor = self._recognise(link, environ)
        if actor is None:
            link.close(*_SIGNED_OUT)
        elif not link.closing:
            self.authenticator.refund_unknown_token(environ)
            self._receive_as(link, actor, enter)

    def _recognise(self, link: Link, environ: Mapping[str, Any]) -> Actor | None:
        """None: not known here; where that will not be another time, the link is closed."""
        try:
            return self.authenticator.authenticate(environ)
        except Problem:
            link.close(*_SIGNED_OUT)
            return None

    def _receive_as(self, link: Link, actor: Actor, enter: Callable[[Actor], None]) -> None:
        if actor == _NOBODY:
            self.hub.call_later(TICKET_WAIT_S, partial(self._give_up, link))
        elif self.enter(link, actor):
            self.hub.listen(link)
            enter(actor)

    def _give_up(self, link: Link) -> None:
        if self.hub.attendance.knows(link):
            return
        if link.paused:  # one came, and is being used up
            self.hub.call_later(TICKET_WAIT_S, partial(self._give_up, link))
        else:
            link.close(*_NO_TICKET)

    def enter(self, link: Link, actor: Actor) -> bool:
        """It acts so from now on; where nobody may, or too many do already, it is closed."""
        found = self.state.ask(lambda tables: acting(tables, actor))
        if isinstance(found, Refusal):
            link.close(*_SIGNED_OUT)
            return False
        others = self.hub.attendance.of_user(found.name) if found.name else []
        if sum(not other.closing for other in others) >= LINKS_MAX:
            link.close(*_TOO_MANY)
            return False
        self.hub.attendance.enter(link, actor, found)
        return True

    def redeem(
        self, link: Link, environ: Mapping[str, Any], ticket: str, done: Callable[[Actor | Problem], None]
    ) -> None:
        """Use a ticket up; `done` gets in the selector thread whom the link, which is entered, acts for.

        Meanwhile nothing is read of what it says.  A ticket that is not known here is looked for as a token is: so many
        times for an address.  Raises Problem (429).
        """
        told = partial(self._redeemed, link, done)
        secret = digest(ticket)
        try:
            is_there = self._has_ticket(secret)
        except RaftError as error:  # it is not known yet what time it is
            link.pause()
            told(error)
            return
        if is_there:
            link.pause()
            self._use_up(secret, told)
            return
        self.authenticator.charge_unknown_token(environ)
        link.pause()
        self.replica.read(lambda error: self._look_for(secret, environ, error, told))

    def _look_for(
        self, secret: bytes, environ: Mapping[str, Any], error: RaftError | None, told: Callable[[object], None]
    ) -> None:
        """In a thread of the engine's, which must not call back into it."""
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
        """Raises RaftError where it is not known what time it is."""
        ticket = self.state.ask(lambda tables: tables.tickets.get(secret))
        return ticket is not None and (not ticket.expires_at or ticket.expires_at > self.replica.agreed_time())

    def _use_up(self, secret: bytes, told: Callable[[object], None]) -> None:
        self.replica.propose(encode(RedeemTicket(secret)), lambda result: self._call(partial(told, result)))

    def _redeemed(self, link: Link, done: Callable[[Actor | Problem], None], result: object) -> None:
        link.go_on()
        match result:
            case Redeemed(token=token):
                actor = Actor(token.number, token.user)
                if not link.closing and self.enter(link, actor):
                    done(actor)
            case Refusal():
                done(problem_of_refusal(result))
            case RaftError():
                done(problem_of(result))
            case _:
                raise AssertionError(f"the engine answered a ticket with {type(result).__name__}")

    # What becomes of accounts

    def heed(self, events: Sequence[AccountEvent]) -> None:
        """What became of accounts with a batch that is not published yet.  From the apply thread; never blocks."""
        self._call(partial(self._heed, [*events]))

    def _heed(self, events: Sequence[AccountEvent]) -> None:
        attendance = self.hub.attendance
        for event in events:
            match event:
                case Revoked():
                    for link in (link for number in event.numbers for link in attendance.of_token(number)):
                        link.expel(*_SIGNED_OUT)
                case UsersChanged():
                    for link in attendance.of_user(event.name):
                        self._renew(link)
                case AuthChanged():
                    self.hub.close_all(*_MODE_CHANGED)
                case ReadMarkerMoved():
                    self._tell(event)

    def _tell(self, marked: ReadMarkerMoved) -> None:
        """His other devices of what somebody has read; those that are on their way back ask for it by themselves."""
        told = {"Type": "Marked", "RoomName": marked.room, "Id": marked.id}
        frame = json.dumps({"Event": told}, ensure_ascii=False).encode()
        for link in self.hub.attendance.of_user(marked.user):
            if self.hub.follows(link):
                link.send(frame)

    def _renew(self, link: Link) -> None:
        """His role may be another one."""
        actor = self.hub.attendance.actor(link)
        found = self.state.ask(lambda tables: acting(tables, actor))
        if isinstance(found, Refusal):
            link.expel(*_SIGNED_OUT)
        else:
            self.hub.attendance.enter(link, actor, found)

    def _is_open(self) -> bool:
        return not self.state.guarded or self.state.ask(lambda tables: tables.settings.auth != LOGIN)

    def _call(self, job: Callable[[], None]) -> None:
        self.hub.call(job)
