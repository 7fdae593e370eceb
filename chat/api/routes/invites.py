"""`/invites`: list, make and revoke invites to sign up."""

from http import HTTPStatus

from chat.api.request import Request
from chat.api.response import Read, Response, json_line
from chat.api.router import Access, Answer, Body, Route
from chat.api.schemas import LABEL, NAME, READING, ROLE, WAITING, array, integer, record, ref
from chat.auth import secrets
from chat.commands.accounts import RevokeInvite
from chat.errors import problem_of_refusal
from chat.services import validation
from chat.services.invites import EXPIRES_S, USES_MAX, check_invite, invite_of, told
from chat.services.users import ROOMS_MAX
from chat.state import permissions
from chat.state.accounts import Acting, Invite
from chat.state.apply.credentials import NO_SUCH_INVITE
from chat.state.tables import Tables

_UNCACHED = ("Cache-Control", "no-store")


def list_invites(request: Request) -> Read:
    """GET /invites: the invites that are left, the newest last.  Admins see all, others their own."""

    def render() -> Response:
        who, seen = request.acting_on_accounts(), request.replica.last_applied
        invites = request.state.ask(lambda tables: permissions.visible_invites(tables, who))
        body = json_line([told(invite) for invite in invites])
        return Response(HTTPStatus.OK, body, headers=[_UNCACHED], log_index=seen)

    return Read.asked(request.query(), render)


def make(request: Request) -> Response:
    """POST /invites: 201 and the invite, whose secret is shown only this once."""
    request.acting_on_accounts()  # before anything is proposed
    secret = secrets.new_secret(secrets.INVITE)
    fields = validation.json_object(request.body())
    command = check_invite(request.actor, fields, secret, request.services.authenticator.now())
    made = request.execute(command)
    who = request.acting_on_accounts()
    invite = Invite(
        command.digest, command.role, command.rooms, command.uses, command.expires_at, command.label, who.name
    )
    body = json_line({**told(invite), "Invite": secret})
    return Response(HTTPStatus.CREATED, body, headers=[_UNCACHED], log_index=made.index)


def revoke(request: Request, id: str) -> Response:
    """DELETE /invites/{id}: 204, and the invite is revoked."""
    request.catch_up()
    who = request.acting_on_accounts()
    invite = request.state.ask(lambda tables: _find(tables, who, id))
    if invite is None:
        raise problem_of_refusal(NO_SUCH_INVITE)
    done = request.execute(RevokeInvite(request.actor, invite.digest))
    return Response(HTTPStatus.NO_CONTENT, log_index=done.index)


def _find(tables: Tables, who: Acting, id: str) -> Invite | None:
    return invite_of(permissions.visible_invites(tables, who), id)


_NEW = Body(
    record(
        {},
        {
            "Role": ROLE,
            "Rooms": array(NAME, ROOMS_MAX),
            "Uses": integer(1, USES_MAX),
            "ExpiresIn": integer(EXPIRES_S[0], EXPIRES_S[-1]),
            "Label": LABEL,
        },
    )
)

ROUTES = (
    Route(
        "GET", "/invites", list_invites, Access.MEMBER,
        "List the invites that are left: admins see all, others their own",
        waits=False, answers={200: Answer("Invites", array(ref("Invite")))}, query=READING, login=True,
    ),
    Route(
        "POST", "/invites", make, Access.MEMBER,
        "Invite people; members who are not admins invite guests into their own rooms",
        body=_NEW, answers={201: Answer("The invite, with its secret", ref("NewInvite"))}, query=WAITING, login=True,
        problems=("no_such_room", "too_many_invites"),
    ),
    Route(
        "DELETE", "/invites/{invite}", revoke, Access.MEMBER, "Revoke an invite: admins any, others their own",
        query=WAITING, login=True, problems=("no_such_invite",),
    ),
)  # fmt: skip
