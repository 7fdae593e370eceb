"""`/tokens` and `/ws-ticket`: tokens for programs, and tickets for websockets."""

from http import HTTPStatus

from chat.api.request import Request
from chat.api.response import Read, Response, json_line
from chat.api.router import Access, Answer, Body, Route
from chat.api.schemas import (
    BOOLEAN,
    MOMENT,
    READING,
    TEXT,
    USER,
    WAITING,
    array,
    integer,
    or_null,
    record,
    text,
    word,
)
from chat.auth import secrets
from chat.commands.accounts import CreateTicket, CreateToken, RevokeTokens
from chat.errors import not_found, problem_of_refusal
from chat.services import validation
from chat.services.sessions import EXPIRES_S, TICKET_S, check_token
from chat.state import permissions
from chat.state.accounts import ADMIN, API, HOUR, KINDS, TOKENS_MAX, Token
from chat.state.apply.users import FORBIDDEN, NO_SUCH_USER
from chat.state.post_json import timestamp
from chat.state.results import Refusal, TokenMade, TokensRevoked
from chat.state.tables import Tables

_NO_STORE = ("Cache-Control", "no-store")


def list_tokens(request: Request) -> Read:
    """GET /tokens[?user=name]: the caller's own tokens, or for an admin anybody's, oldest first; no secrets."""
    asked = request.query().text("user")
    name = None if asked is None else validation.name("user", asked)

    def render() -> Response:
        seen = request.replica.last_applied
        tokens = request.state.ask(lambda tables: _tokens(tables, request, name))
        if isinstance(tokens, Refusal):
            raise problem_of_refusal(tokens)
        body = json_line([_described(token) | {"Current": token.number == request.actor.by} for token in tokens])
        return Response(HTTPStatus.OK, body, headers=[_NO_STORE], log_index=seen)

    return Read.asked(request.query(), render)


def _tokens(tables: Tables, request: Request, name: str | None) -> list[Token] | Refusal:
    who = permissions.acting_on_accounts(tables, request.actor)
    if isinstance(who, Refusal):
        return who
    if who.role != ADMIN and name not in (None, who.name):
        return FORBIDDEN
    name = who.name if name is None else name
    if name not in tables.users:
        return NO_SUCH_USER
    return [tables.tokens[number] for number in tables.tokens_of.get(name, ())]


def create(request: Request) -> Response:
    """POST /tokens: 201 and a token for a program, which is shown only this once."""
    asked = check_token(validation.json_object(request.body()))
    secret, expires_at = secrets.new_secret(secrets.TOKEN), request.services.authenticator.expiry(asked.expires_in_s)
    made = request.execute(CreateToken(request.actor, secrets.digest(secret), API, asked.label, expires_at))
    assert isinstance(made, TokenMade)
    body = json_line({"Token": secret, **_described(made.token)})
    return Response(HTTPStatus.CREATED, body, headers=[_NO_STORE], log_index=made.index)


def revoke(request: Request, id: str) -> Response:
    """DELETE /tokens/{id}: 204, and the token is revoked on every node; its websockets are closed."""
    number = validation.integer("Id", id, low=1)
    revoked = request.execute(RevokeTokens(request.actor, (number,)))
    assert isinstance(revoked, TokensRevoked)
    if not revoked.numbers:
        raise not_found("Id: this user has no such token")
    return Response(HTTPStatus.NO_CONTENT, log_index=revoked.index)


def create_ticket(request: Request) -> Response:
    """POST /ws-ticket: 201 and a ticket that opens one websocket, at any node, in place of the cookie."""
    secret, expires_at = secrets.new_secret(secrets.TICKET), request.services.authenticator.expiry(TICKET_S)
    made = request.execute(CreateTicket(request.actor, secrets.digest(secret), expires_at))
    body = json_line({"Ticket": secret, "ExpiresAt": timestamp(expires_at)})
    return Response(HTTPStatus.CREATED, body, headers=[_NO_STORE], log_index=made.index)


def _described(token: Token) -> dict[str, object]:
    return {
        "Id": token.number,
        "Kind": token.kind,
        "Label": token.label,
        "CreatedAt": timestamp(token.created_at),
        "ExpiresAt": timestamp(token.expires_at) if token.expires_at else None,
        "UsedAt": timestamp(token.used_hour * HOUR),
    }


_LABEL = text(validation.NAME_POINTS_MAX, 0)
_ASKED = record({"Label": text(validation.NAME_POINTS_MAX)}, {"ExpiresIn": integer(EXPIRES_S[0], EXPIRES_S[-1])})
_TICKET = record({"Ticket": TEXT, "ExpiresAt": MOMENT})
_TOKEN = {
    "Id": integer(1), "Kind": word(*KINDS), "Label": _LABEL, "CreatedAt": MOMENT, "ExpiresAt": or_null(MOMENT),
    "UsedAt": MOMENT,
}  # fmt: skip

ROUTES = (
    Route(
        "GET", "/tokens", list_tokens, Access.SELF, "List the tokens of a user; UsedAt is exact to the hour",
        answers={200: Answer("Oldest first", array(record({**_TOKEN, "Current": BOOLEAN}), TOKENS_MAX))},
        problems=("no_such_user",), query={**USER, **READING}, login=True,
    ),
    Route(
        "POST", "/tokens", create, Access.USER, "Make a token for a program",
        body=Body(_ASKED),
        answers={201: Answer("The token, which is told this once", record({"Token": TEXT, **_TOKEN}))},
        problems=("too_many_tokens",), query=WAITING, login=True,
    ),
    Route(
        "DELETE", "/tokens/{id}", revoke, Access.SELF, "Revoke a token",
        problems=("not_found",), query=WAITING, login=True,
    ),
    Route(
        "POST", "/ws-ticket", create_ticket, Access.USER, "Make a ticket that opens one websocket",
        answers={201: Answer("The ticket, good for an hour and one socket", _TICKET)},
        query=WAITING, login=True,
    ),
)  # fmt: skip
