"""`/login`, `/logout`, `/me` and `/setup`: sign in, sign out, show the user, and make the first one."""

from contextlib import suppress
from http import HTTPStatus

from chat.api.request import Request
from chat.api.response import Headers, Read, Response, json_line
from chat.api.router import Access, Answer, Body, Route
from chat.api.schemas import BOOLEAN, MOMENT, NAME, PASSWORD, READING, TEXT, WAITING, record, text, word
from chat.auth import secrets
from chat.auth.origins import is_of_own_page, member_origins
from chat.auth.proxy_users import is_of_proxy_user
from chat.commands import NOBODY, OPERATOR, SETUP, Actor
from chat.commands.accounts import CreateUser, LogIn, RevokeTokens
from chat.confusable_names import skeleton
from chat.errors import Problem, problem_of_refusal, unavailable
from chat.services import validation
from chat.services.sessions import SESSION_S, check_login, check_set_up
from chat.state import permissions
from chat.state.accounts import ADMIN, PROXY, ROLES, SESSION
from chat.state.apply.users import SET_UP_DONE
from chat.state.post_json import timestamp
from chat.state.results import Refusal, TokenMade, UserMade
from chat.state.settings import LOGIN, OPEN
from chat.state.tables import Tables

_NO_SESSION = Refusal("forbidden", "Authorization: the operator's token is not a session, so it cannot be signed out")
_NO_STORE = ("Cache-Control", "no-store")


def log_in(request: Request) -> Response:
    """POST /login: a token for the right password, in the answer and as a cookie."""
    asked = check_login(validation.json_object(request.body()))
    request.catch_up()
    if request.state.ask(_is_open):
        raise problem_of_refusal(permissions.OPEN_MODE)
    with request.off_cpu():
        password_at = request.services.authenticator.verify_password(request.environ, asked.name, asked.password)
    return _with_session(request, HTTPStatus.OK, asked.name, password_at, asked.label)


def log_out(request: Request) -> Response:
    """POST /logout: 204, and the token of the request is revoked and its cookie removed."""
    if request.actor.by <= NOBODY:
        raise problem_of_refusal(permissions.OPEN_MODE if request.state.ask(_is_open) else _NO_SESSION)
    revoked = request.execute(RevokeTokens(request.actor, (request.actor.by,)))
    headers = [request.services.authenticator.cookie(request.environ, "", 0)]
    return Response(HTTPStatus.NO_CONTENT, headers=headers, log_index=revoked.index)


def set_up(request: Request) -> Response:
    """POST /setup: the first user, an admin, made with the set-up token from this node's log; and their session."""
    asked = check_set_up(validation.json_object(request.body()))
    authenticator = request.services.authenticator
    request.catch_up()
    if request.state.ask(_is_open):
        raise problem_of_refusal(permissions.OPEN_MODE)
    if request.state.ask(_has_users):
        raise problem_of_refusal(SET_UP_DONE)
    authenticator.check_setup(request.environ, asked.secret)
    with request.off_cpu():
        password_hash = authenticator.hash(request.environ, asked.password)
    looks = skeleton(asked.name)
    first = CreateUser(Actor(SETUP), asked.name, asked.display_name, looks, password_hash, ADMIN)
    made = request.execute(first)
    assert isinstance(made, UserMade)
    return _with_session(request, HTTPStatus.CREATED, asked.name, made.user.password_index, "")


def _with_session(request: Request, status: HTTPStatus, name: str, password_at: int, label: str) -> Response:
    """Answer a right password with a new session."""
    authenticator = request.services.authenticator
    secret, expires_at = secrets.new_secret(secrets.TOKEN), authenticator.expiry(SESSION_S)
    session = LogIn(Actor(NOBODY, name), password_at, secrets.digest(secret), SESSION, label, expires_at)
    made = request.execute(session)
    assert isinstance(made, TokenMade)
    told = {"Token": secret, "User": made.token.user, "ExpiresAt": timestamp(made.token.expires_at)}
    headers: Headers = [_NO_STORE, authenticator.cookie(request.environ, secret, SESSION_S)]
    return Response(status, json_line(told), headers=headers, log_index=made.index)


def me(request: Request) -> Read:
    """GET /me: the user of the request; 401 without one, with the ways to sign in."""
    authenticator = request.services.authenticator
    authenticator.check_started()

    def render() -> Response:
        if not request.replica.cluster_id:  # nothing is known yet, not even the mode
            raise unavailable("this node is starting")
        seen = request.replica.last_applied
        with suppress(Problem):  # a token that is over is nobody's, who is told how to go on
            request.actor = authenticator.authenticate(request.environ) or Actor()
        told = request.state.ask(lambda tables: _described(tables, request.actor))
        return Response(HTTPStatus.OK, json_line(told), headers=[_NO_STORE, *cookie], log_index=seen)

    cookie: Headers = []
    read = Read.asked(request.query(), render)
    if is_of_proxy_user(request.environ):
        request.identify()
        if not read.stale:
            with suppress(Problem):  # it goes on without
                cookie = _browsers_session(request)
    return read


def _browsers_session(request: Request) -> Headers:
    """Give a browser a session of its own, if a proxy names its user and it has none: the header that sets its cookie.

    Programs need none.  They rarely send Accept-Language, or what only browsers send over TLS (Sec-Fetch-Mode).
    A page of another site gets none: the browser keeps no cookie for it, and each session too many ends an older one.
    """
    environ = request.environ
    if not any(key in environ for key in ("HTTP_SEC_FETCH_MODE", "HTTP_ACCEPT_LANGUAGE")):
        return []
    if not is_of_own_page(environ, member_origins(request.replica.status())):
        return []
    number = request.actor.by
    token = request.state.ask(lambda tables: tables.tokens.get(number))
    if token is None or token.kind != PROXY or token.expires_at:
        return []
    authenticator = request.services.authenticator
    authenticator.admit_change(request.actor, environ)
    secret, expires_at = secrets.new_secret(secrets.TOKEN), authenticator.expiry(SESSION_S)
    by_node = Actor(OPERATOR, request.actor.user)
    request.execute(LogIn(by_node, 0, secrets.digest(secret), PROXY, "browser", expires_at))
    return [authenticator.cookie(environ, secret, SESSION_S)]


def _described(tables: Tables, actor: Actor) -> dict[str, object]:
    who = permissions.acting(tables, actor)
    if isinstance(who, Refusal):
        problem = problem_of_refusal(who)
        members = {"Signup": tables.settings.signup, "Setup": not tables.users}
        raise Problem(problem.status, problem.code, problem.detail, problem.headers, members)
    if who.operator:
        return {"Auth": tables.settings.auth, "Role": who.role}
    if _is_open(tables):
        return {"Auth": OPEN}
    user, token = tables.users[who.name], tables.tokens.get(actor.by)
    by_proxy = {"Proxy": True} if token is not None and token.kind == PROXY else {}
    return {"Auth": LOGIN, "User": user.name, "DisplayName": user.display_name, "Role": user.role, **by_proxy}


def _is_open(tables: Tables) -> bool:
    return tables.settings.auth == OPEN


def _has_users(tables: Tables) -> bool:
    return bool(tables.users)


_SESSION = record({"Token": TEXT, "User": NAME, "ExpiresAt": MOMENT})
_ME = record({"Auth": word(OPEN, LOGIN)}, {"User": NAME, "DisplayName": NAME, "Role": word(*ROLES), "Proxy": BOOLEAN})

ROUTES = (
    Route(
        "POST", "/login", log_in, Access.ANYBODY, "Sign in: get a token, which is set as a cookie too",
        body=Body(record({"Name": NAME, "Password": PASSWORD}, {"Label": text(validation.NAME_POINTS_MAX, 0)})),
        answers={200: Answer("The token, good for 30 days", _SESSION)},
        problems=("bad_login", "too_many_attempts", "too_many_tokens"), query=WAITING, login=True,
    ),
    Route(
        "POST", "/logout", log_out, Access.USER, "Sign out: revoke the token of this request",
        query=WAITING, login=True,
    ),
    Route(
        "GET", "/me", me, Access.ANYBODY, "Show the user of this request, and whether sign-in is needed",
        answers={200: Answer("Who asks", _ME)}, problems=("login_needed", "bad_token", "bad_proxy_user"), query=READING,
    ),
    Route(
        "POST", "/setup", set_up, Access.ANYBODY,
        "Make the first user, an admin, with the set-up token from the node's log",
        body=Body(record({"Token": TEXT, "Name": NAME, "Password": PASSWORD}, {"DisplayName": NAME})),
        answers={201: Answer("A token of theirs", _SESSION)},
        problems=("bad_token", "set_up_done", "too_many_attempts"), query=WAITING, login=True,
    ),
)  # fmt: skip
