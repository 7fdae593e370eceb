"""`/users`: list, show, make and change accounts."""

from http import HTTPStatus

from chat.api.query import percent_encoded
from chat.api.request import Request
from chat.api.response import Read, Response, is_stale, json_line
from chat.api.router import Access, Answer, Body, Route
from chat.api.routes.paging import PAGE, name_ask, name_links
from chat.api.schemas import BOOLEAN, NAME, PASSWORD, READING, ROLE, SECRET, WAITING, array, record, ref
from chat.commands import NOBODY
from chat.errors import Problem, invalid, problem_of_refusal
from chat.services import validation
from chat.services.users import (
    ROOMS_MAX,
    NewUser,
    check_change,
    check_new_user,
    refused_display_name,
    refused_new_user,
)
from chat.state import permissions
from chat.state.accounts import ADMIN, Acting, User
from chat.state.apply.users import BAD_INVITE, FORBIDDEN, NO_SUCH_USER
from chat.state.name_pages import NamePage, NamePageRequest
from chat.state.post_json import timestamp
from chat.state.results import UserChanged, UserMade
from chat.state.tables import Tables


def list_users(request: Request) -> Read:
    """GET /users[?before|after|around=name][&limit=1000]: the users that the caller may see, by code point."""
    query = request.query()
    ask = name_ask(query)
    rest = "&consistency=stale" if is_stale(query) else ""

    def render() -> Response:
        who, seen = request.acting(), request.replica.last_applied
        page, users = request.state.ask(lambda tables: _page(tables, who, ask))
        headers = [("Cache-Control", "no-store"), *name_links("/users", ask, page, rest)]
        return Response(HTTPStatus.OK, json_line([_told(user) for user in users]), headers=headers, log_index=seen)

    return Read.asked(query, render)


def _page(tables: Tables, who: Acting, ask: NamePageRequest) -> tuple[NamePage, list[User]]:
    page = ask.page(permissions.visible_users(tables, who))
    return page, [tables.users[name] for name in page.names]


def show(request: Request, name: str) -> Read:
    """GET /users/{name}: one user; 404 if there is none, or if the caller may not see them."""
    name = validation.name("Name", name)

    def render() -> Response:
        who, seen = request.acting(), request.replica.last_applied
        user = request.state.ask(lambda tables: permissions.visible_user(tables, who, name))
        if user is None:
            raise problem_of_refusal(NO_SUCH_USER)
        return Response(HTTPStatus.OK, json_line(_told(user)), headers=[("Cache-Control", "no-store")], log_index=seen)

    return Read.asked(request.query(), render)


def make(request: Request) -> Response:
    """POST /users: 201 and a new account: with an invite, by open sign-up, or made by an admin."""
    fields = validation.json_object(request.body())
    if "invite" not in validation.members(fields):
        _identify(request)
    is_stranger = request.actor.by == NOBODY
    new_user = check_new_user(fields, is_stranger=is_stranger)
    if not is_stranger:
        request.services.authenticator.admit_change(request.actor, request.environ)
    else:
        request.services.authenticator.charge(request.environ)  # before it is looked whether the invite is one
    request.catch_up()
    _check(request, new_user)
    made = request.execute(new_user.command(request.actor, _hash(request, new_user.password)))
    assert isinstance(made, UserMade)
    location = f"/users/{percent_encoded(made.user.name)}"
    return Response(
        HTTPStatus.CREATED, json_line(_told(made.user)), headers=[("Location", location)], log_index=made.index
    )


def _identify(request: Request) -> None:
    """Authenticate the request, if it brings a token.  An expired cookie of a browser counts as none."""
    try:
        request.identify()
    except Problem as problem:
        if problem.status != HTTPStatus.UNAUTHORIZED or "HTTP_AUTHORIZATION" in request.environ:
            raise


def _check(request: Request, new_user: NewUser) -> None:
    """Refuse early, before a password is hashed.  The last word is the state's, when the command is applied."""
    now = request.services.authenticator.now()
    refusal = request.state.ask(lambda tables: refused_new_user(tables, request.actor, new_user, now))
    if new_user.invite and refusal is not BAD_INVITE:
        request.services.authenticator.refund(request.environ)
    if refusal is not None:
        raise problem_of_refusal(refusal)


def change(request: Request, name: str) -> Response:
    """PATCH /users/{name}: the changed user.  To set a new password of their own, users send the old one."""
    wish = check_change(name, validation.json_object(request.body()))
    request.catch_up()
    who = request.acting_on_accounts()
    is_self = bool(who.name) and who.name == wish.name
    if who.role != ADMIN and not is_self:
        raise problem_of_refusal(FORBIDDEN)
    if not request.state.ask(lambda tables: wish.name in tables.users):
        raise problem_of_refusal(NO_SUCH_USER)
    if wish.display_name is not None:
        display_name = wish.display_name
        refusal = request.state.ask(lambda tables: refused_display_name(tables, wish.name, display_name))
        if refusal is not None:
            raise problem_of_refusal(refusal)
    if is_self and wish.password is not None and wish.old_password is None:
        raise invalid("OldPassword", "missing: send your present password too")
    password_at = None
    if wish.old_password is not None:
        with request.off_cpu():
            password_at = request.services.authenticator.verify_password(request.environ, wish.name, wish.old_password)
    password_hash = _hash(request, wish.password) if wish.password is not None else None
    changed = request.execute(wish.command(request.actor, password_hash, password_at))
    assert isinstance(changed, UserChanged)
    return Response(HTTPStatus.OK, json_line(_told(changed.user)), log_index=changed.index)


def _hash(request: Request, password: str) -> str:
    """Hash a password; "" for none, with which nobody can sign in."""
    if not password:
        return ""
    with request.off_cpu():
        return request.services.authenticator.hash(request.environ, password)


def _told(user: User) -> dict[str, object]:
    return {
        "Name": user.name,
        "DisplayName": user.display_name,
        "Role": user.role,
        "Active": user.active,
        "CreatedAt": timestamp(user.created_at),
    }


_NEW = Body(
    record(
        {"Name": NAME},
        {"Password": PASSWORD, "DisplayName": NAME, "Invite": SECRET, "Role": ROLE, "Rooms": array(NAME, ROOMS_MAX)},
    )
)
_CHANGE = Body(
    record(
        {},
        {"DisplayName": NAME, "Password": PASSWORD, "OldPassword": PASSWORD, "Role": ROLE, "Active": BOOLEAN},
        members_min=1,
    )
)

ROUTES = (
    Route(
        "GET", "/users", list_users, Access.USER,
        "List the users, by name; a guest sees those who share a room with them",
        waits=False, answers={200: Answer("Users", array(ref("User")))}, query={**PAGE, **READING},
    ),
    Route(
        "POST", "/users", make, Access.ANYBODY, "Sign up, with an invite if one is needed; for admins: make a user",
        body=_NEW, answers={201: Answer("The user", ref("User"))}, query=WAITING, login=True,
        problems=(
            "bad_invite", "signup_closed", "forbidden", "name_taken", "looks_like", "too_many_users", "no_such_room",
            "too_many_attempts",
        ),
    ),
    Route(
        "GET", "/users/{user}", show, Access.USER, "Show one user",
        waits=False, answers={200: Answer("The user", ref("User"))}, problems=("no_such_user",), query=READING,
    ),
    Route(
        "PATCH", "/users/{user}", change, Access.SELF, "Change the named properties; only admins set Role and Active",
        body=_CHANGE, answers={200: Answer("The user after the change", ref("User"))}, query=WAITING, login=True,
        problems=("bad_login", "no_such_user", "last_admin", "looks_like", "too_many_attempts"),
    ),
)  # fmt: skip
