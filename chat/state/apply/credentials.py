"""Apply the commands on tokens, invites and tickets.

Rules.
- The actor is checked first, then the request; both before anything changes.
- The order of the log decides between a sign-in and a new password, and between a post and the revocation of its token.
- A token's tickets end with it.
- Nothing here reads a clock: a command names what is too old, and the time it is too old at.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from chat.commands.accounts import (
    OPERATOR,
    CreateInvite,
    CreateTicket,
    CreateToken,
    LogIn,
    RecordTokenUse,
    RedeemTicket,
    RevokeInvite,
    RevokeTokens,
)
from chat.commands.cluster import ExpireCredentials
from chat.state import permissions
from chat.state.accounts import (
    ADMIN,
    API,
    API_TOKENS_MAX,
    GUEST,
    HOUR,
    INVITES_MAX,
    INVITES_OF_ONE_MAX,
    KINDS,
    MEMBERS_INVITES_MAX,
    PROXY,
    ROLES,
    SESSION,
    TICKETS_MAX,
    TOKENS_MAX,
    Acting,
    Invite,
    Ticket,
    Token,
)
from chat.state.events import Emit, Revoked
from chat.state.results import Done, Redeemed, Refusal, Result, TokenMade, TokensRevoked
from chat.state.settings import OPEN
from chat.state.tables import Tables
from raft.core.raft_messages import Entry

EXPIRE_CREDENTIALS = 256  # in a step
LOOK_CREDENTIALS = 2_000  # that one question looks at: a millisecond

_FORBIDDEN = Refusal("forbidden", "Authorization: this user may not do that")
_NOBODY = Refusal("forbidden", "Authorization: this token belongs to no user, so it cannot do that")
BAD_LOGIN = Refusal("bad_login", "Password: wrong name or password")
BAD_TICKET = Refusal("bad_ticket", "Ticket: this ticket has expired or was already used. Ask for a new one.")
_KIND = Refusal("invalid_field", "Kind: must be session or api")
_EXPIRES = Refusal("invalid_field", "ExpiresIn: must be positive, or 0 for never")
_USES = Refusal("invalid_field", "Uses: must be at least 1")
_ROLE = Refusal("invalid_field", "Role: must be admin, member or guest")
NO_SUCH_INVITE = Refusal("no_such_invite", "Invite: there is no such invite")
NO_SUCH_ROOM = Refusal("no_such_room", "Rooms: one of these rooms does not exist")
_TOO_MANY_TOKENS = Refusal("too_many_tokens", f"Label: a user has at most {TOKENS_MAX} tokens. Revoke one.")
_TOO_MANY_PROGRAMS = Refusal("too_many_tokens", f"Label: you have {API_TOKENS_MAX} tokens for programs. Revoke one.")
_TOO_MANY_INVITES = Refusal(
    "too_many_invites", "Label: this cluster cannot have more invites. An admin can revoke some."
)
_TOO_MANY_OF_ONE = Refusal("too_many_invites", f"Label: you have {INVITES_OF_ONE_MAX} invites. Revoke one.")


# --- tokens


def log_in(tables: Tables, command: LogIn, entry: Entry, emit: Emit) -> TokenMade | Refusal:
    """Make a token for a user who knew the password, if it is still that one; or whom a node's proxy vouches for."""
    if tables.settings.auth == OPEN:
        return permissions.OPEN_MODE
    is_proxys = command.actor.by == OPERATOR
    if is_proxys != (command.kind == PROXY):
        return _KIND
    user = tables.users.get(command.actor.user)
    if user is None or not user.active:
        return BAD_LOGIN
    if not is_proxys and (not user.password_hash or user.password_index != command.password_at):
        return BAD_LOGIN
    return _make_token(tables, user.name, command, entry, emit)


def create_token(tables: Tables, command: CreateToken, entry: Entry, emit: Emit) -> TokenMade | Refusal:
    """Make one more token for the acting user."""
    who = permissions.acting_on_accounts(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    if command.kind == PROXY:
        return _KIND
    return _make_token(tables, who.name, command, entry, emit) if who.name else _NOBODY


def _make_token(
    tables: Tables, user: str, command: LogIn | CreateToken, entry: Entry, emit: Emit
) -> TokenMade | Refusal:
    if command.kind not in KINDS:
        return _KIND
    if command.expires_at < 0:
        return _EXPIRES
    known = tables.numbers.get(command.digest)
    if known is not None:  # 256 random bits: the same request once more
        return TokenMade(entry.index, tables.tokens[known])
    numbers = tables.tokens_of.get(user, ())
    if command.kind == API and sum(tables.tokens[number].kind == API for number in numbers) >= API_TOKENS_MAX:
        return _TOO_MANY_PROGRAMS
    if len(numbers) >= TOKENS_MAX:
        sessions = [number for number in numbers if _makes_room(tables.tokens[number])]
        if command.kind == API or not sessions:
            return _TOO_MANY_TOKENS
        tables.change()
        _revoke(tables, sessions[:1], entry, emit)
    tables.change()
    number = tables.next_token
    tables.next_token += 1
    token = Token(
        number, command.digest, user, command.kind, command.label, entry.time, command.expires_at, entry.time // HOUR
    )
    tables.tokens[number] = token
    tables.numbers[token.digest] = number
    tables.tokens_of[user] = (*tables.tokens_of.get(user, ()), number)
    return TokenMade(entry.index, token)


def _makes_room(token: Token) -> bool:
    """Return whether a token may give way: a session, but not that of a proxy's user that all their programs share."""
    return token.kind == SESSION or (token.kind == PROXY and token.expires_at > 0)


def revoke_tokens(tables: Tables, command: RevokeTokens, entry: Entry, emit: Emit) -> TokensRevoked | Refusal:
    """Revoke the given tokens, or with a name all of that user: the actor's own, or anybody's for an admin."""
    who = permissions.acting_on_accounts(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    if who.role != ADMIN and command.name not in {"", who.name}:
        return _FORBIDDEN
    named = tables.tokens_of.get(command.name, ()) if command.name else dict.fromkeys(command.tokens)
    numbers = [number for number in named if _may_revoke(tables, who, number)]
    return TokensRevoked(entry.index, _revoke(tables, numbers, entry, emit))


def _may_revoke(tables: Tables, who: Acting, number: int) -> bool:
    token = tables.tokens.get(number)
    return token is not None and (who.role == ADMIN or token.user == who.name)


def _revoke(tables: Tables, numbers: Iterable[int], entry: Entry, emit: Emit) -> tuple[int, ...]:
    """End these tokens, which are there."""
    gone = tables.remove_tokens(numbers)
    if gone:
        emit(Revoked(entry.index, gone))
    return gone


def used(tables: Tables, command: RecordTokenUse, entry: Entry, emit: Emit) -> Done:
    """Note that the tokens were used in this hour; unknown ones are ignored."""
    hour = entry.time // HOUR
    for number in command.tokens:
        token = tables.tokens.get(number)
        if token is not None and token.used_hour < hour:
            tables.change()
            tables.tokens[number] = token._replace(used_hour=hour)
    return Done(entry.index)


# --- invites and tickets


def create_invite(tables: Tables, command: CreateInvite, entry: Entry, emit: Emit) -> Done | Refusal:
    """Make an invite: a member may invite guests into their own rooms, an admin anybody into any room they see."""
    who = permissions.acting_on_accounts(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    if command.role not in ROLES:
        return _ROLE
    if command.uses < 1:
        return _USES
    if command.expires_at < 0:
        return _EXPIRES
    if who.role == GUEST or (who.role != ADMIN and command.role != GUEST):
        return _FORBIDDEN
    for name in command.rooms:
        room = permissions.visible_room(tables, who, name)
        if room is None:
            return NO_SUCH_ROOM
        if not permissions.may_add(tables, who, room, ""):
            return _FORBIDDEN
    if command.digest in tables.invites:  # 256 random bits: the same request once more
        return Done(entry.index)
    refused = _refused_invite(tables, who)
    if refused is not None:
        return refused
    tables.change()
    tables.invites[command.digest] = Invite(
        command.digest, command.role, command.rooms, command.uses, command.expires_at, command.label, who.name,
        entry.time,
    )  # fmt: skip
    return Done(entry.index)


def _refused_invite(tables: Tables, who: Acting) -> Refusal | None:
    """The Refusal for one more invite of this user; None if they may make it.  Only admins may use up the last ones."""
    if len(tables.invites) >= INVITES_MAX:
        return _TOO_MANY_INVITES
    if who.role == ADMIN:
        return None
    makers = [invite.made_by for invite in tables.invites.values()]
    if makers.count(who.name) >= INVITES_OF_ONE_MAX:
        return _TOO_MANY_OF_ONE
    counted = sum(_counts(tables, maker) for maker in makers)
    return _TOO_MANY_INVITES if counted >= MEMBERS_INVITES_MAX else None


def _counts(tables: Tables, maker: str) -> bool:
    """Return whether invites of this maker count among those of members: an active user who is no admin."""
    user = tables.users.get(maker)
    return user is not None and user.active and user.role != ADMIN


def revoke_invite(tables: Tables, command: RevokeInvite, entry: Entry, emit: Emit) -> Done | Refusal:
    """Revoke an invite; an admin may, and its maker."""
    who = permissions.acting_on_accounts(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    invite = tables.invites.get(command.digest)
    if invite is None or (who.role != ADMIN and invite.made_by != who.name):
        return NO_SUCH_INVITE
    tables.change()
    del tables.invites[command.digest]
    return Done(entry.index)


def create_ticket(tables: Tables, command: CreateTicket, entry: Entry, emit: Emit) -> Done | Refusal:
    """Make a ticket, which opens one websocket that acts as the actor's token; the oldest of too many is dropped."""
    who = permissions.acting_on_accounts(tables, command.actor)
    if isinstance(who, Refusal):
        return who
    if not who.name:
        return _NOBODY
    if command.expires_at < 0:
        return _EXPIRES
    if command.digest in tables.tickets:
        return Done(entry.index)
    tables.change()
    number = command.actor.by
    tickets = tables.tickets_of.get(number, ())
    for digest in tickets[: max(len(tickets) - TICKETS_MAX + 1, 0)]:
        _drop_ticket(tables, digest)
    tables.tickets[command.digest] = Ticket(command.digest, number, command.expires_at)
    tables.tickets_of[number] = (*tables.tickets_of.get(number, ()), command.digest)
    return Done(entry.index)


def redeem_ticket(tables: Tables, command: RedeemTicket, entry: Entry, emit: Emit) -> Redeemed | Refusal:
    """Use up a ticket.  A second use is refused."""
    ticket = tables.tickets.get(command.digest)
    if ticket is None:
        return BAD_TICKET
    _drop_ticket(tables, command.digest)
    return Redeemed(entry.index, tables.tokens[ticket.number])


def _drop_ticket(tables: Tables, digest: bytes) -> None:
    tables.change()
    number = tables.tickets.pop(digest).number
    left = tuple(each for each in tables.tickets_of[number] if each != digest)
    if left:
        tables.tickets_of[number] = left
    else:
        del tables.tickets_of[number]


def expire_credentials(tables: Tables, command: ExpireCredentials, entry: Entry, emit: Emit) -> Done:
    """Remove the named credentials that are too old at the given time, or at the entry's (rules of expiry.py)."""
    now = min(command.now, entry.time)
    for digest in command.tickets:
        ticket = tables.tickets.get(digest)
        if ticket is not None and _is_over(ticket.expires_at, now):
            _drop_ticket(tables, digest)
    for digest in command.invites:
        invite = tables.invites.get(digest)
        if invite is not None and _is_over(invite.expires_at, now):
            tables.change()
            del tables.invites[digest]
    known = [tables.tokens[number] for number in dict.fromkeys(command.tokens) if number in tables.tokens]
    _revoke(tables, [token.number for token in known if _is_over(token.expires_at, now)], entry, emit)
    return Done(entry.index)


def due_credentials(tables: Tables, now: int, first: int) -> tuple[ExpireCredentials | None, int]:
    """The next step over all credentials from number `first` on; and the number to go on from, 0 after the last."""
    tokens: list[int] = []
    invites: list[bytes] = []
    tickets: list[bytes] = []
    number = first
    for each in islice(_all(tables), first, first + LOOK_CREDENTIALS):
        number += 1
        if not _is_over(each.expires_at, now):
            continue
        match each:
            case Token():
                tokens.append(each.number)
            case Invite():
                invites.append(each.digest)
            case Ticket():
                tickets.append(each.digest)
        if len(tokens) + len(invites) + len(tickets) == EXPIRE_CREDENTIALS:
            break
    found = tokens or invites or tickets
    command = ExpireCredentials(now, tuple(tokens), tuple(invites), tuple(tickets)) if found else None
    count = len(tables.tokens) + len(tables.invites) + len(tables.tickets)
    return command, number if number < count else 0


def _all(tables: Tables) -> Iterator[Token | Invite | Ticket]:
    return chain(tables.tickets.values(), tables.invites.values(), tables.tokens.values())


def _is_over(expires_at: int, now: int) -> bool:
    return 0 < expires_at <= now


APPLIERS: dict[type, Callable[..., Result]] = {
    LogIn: log_in,
    CreateToken: create_token,
    RevokeTokens: revoke_tokens,
    RecordTokenUse: used,
    CreateInvite: create_invite,
    RevokeInvite: revoke_invite,
    CreateTicket: create_ticket,
    RedeemTicket: redeem_ticket,
    ExpireCredentials: expire_credentials,
}
