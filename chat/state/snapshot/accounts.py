"""Users, tokens, invites and tickets.

A token's user and a ticket's token are there before it; of tokens the first row is the number that the next one gets.
"""

from chat.commands.json_codec import row_reader
from chat.state.accounts import (
    API,
    INVITES_MAX,
    ROLES,
    SESSION,
    TICKETS_MAX,
    TOKENS_MAX,
    USERS_MAX,
    Invite,
    Ticket,
    Token,
    User,
)  # fmt: skip
from chat.state.snapshot.section import Row, Section
from chat.state.tables import Tables

_user, _token, _invite, _ticket = row_reader(User), row_reader(Token), row_reader(Invite), row_reader(Ticket)


def _copy_users(tables: Tables) -> list[Row]:
    return [tables.users[name] for name in sorted(tables.users)]


def _take_user(tables: Tables, row: object, index: int) -> None:
    user = _user(row)
    _check(user.role in ROLES and 0 < user.password_index <= index and user.created_at > 0)
    _check(user.skeleton not in tables.skeletons and len(tables.users) < USERS_MAX)
    tables.users[user.name] = user
    tables.skeletons[user.skeleton] = user.name


def _copy_tokens(tables: Tables) -> list[Row]:
    return [(tables.next_token,), *tables.tokens.values()] if tables.next_token > 1 else []


def _take_token(tables: Tables, row: object, index: int) -> None:
    if tables.next_token == 1:
        (tables.next_token,) = _next_token(row)
        _check(tables.next_token > 1)
        return
    token = _token(row)
    last = next(reversed(tables.tokens), 0)
    _check(last < token.number < tables.next_token and token.digest not in tables.numbers)
    _check(tables.users[token.user].active and token.kind in {SESSION, API})
    _check(min(token.created_at, token.expires_at, token.used_hour) >= 0)
    numbers = tables.tokens_of.get(token.user, ())
    _check(len(numbers) < TOKENS_MAX)
    tables.tokens[token.number] = token
    tables.numbers[token.digest] = token.number
    tables.tokens_of[token.user] = (*numbers, token.number)


def _next_token(row: object) -> tuple[int]:
    if not isinstance(row, list) or len(row) != 1 or type(row[0]) is not int:
        raise TypeError("Tokens")
    return (row[0],)


def _copy_invites(tables: Tables) -> list[Row]:
    return [*tables.invites.values()]


def _take_invite(tables: Tables, row: object, index: int) -> None:
    invite = _invite(row)
    _check(invite.role in ROLES and invite.uses_left > 0 and invite.expires_at >= 0)
    _check(invite.digest not in tables.invites and len(tables.invites) < INVITES_MAX)
    tables.invites[invite.digest] = invite


def _copy_tickets(tables: Tables) -> list[Row]:
    return [*tables.tickets.values()]


def _take_ticket(tables: Tables, row: object, index: int) -> None:
    ticket = _ticket(row)
    tickets = tables.tickets_of.get(ticket.number, ())
    _check(ticket.number in tables.tokens and ticket.digest not in tables.tickets and ticket.expires_at >= 0)
    _check(len(tickets) < TICKETS_MAX)
    tables.tickets[ticket.digest] = ticket
    tables.tickets_of[ticket.number] = (*tickets, ticket.digest)


def _check(could_be: bool) -> None:
    if not could_be:
        raise ValueError("not what a state has")


USERS = Section("Users", _copy_users, _take_user)
TOKENS = Section("Tokens", _copy_tokens, _take_token)
INVITES = Section("Invites", _copy_invites, _take_invite)
TICKETS = Section("Tickets", _copy_tickets, _take_ticket)
