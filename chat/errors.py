"""Errors for clients: `application/problem+json` (RFC 9457), and the one table of codes and statuses.

A Problem's status says whose fault it is, its code what to do.  `detail` begins with the name of the wrong field, if
there is one.  It never echoes text of the client's.
"""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus

from chat.state.results import Refusal
from raft.errors import ChangeRefused, CorruptLog, DiskFailed, DiskFull, OutcomeUnknown, RaftError, Unavailable

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"

# A change that can never be is the client's fault; one that cannot be now is a conflict with the cluster's state.
_STATUS_OF_REFUSED_CHANGE = {"invalid": HTTPStatus.BAD_REQUEST, "unknown_member": HTTPStatus.NOT_FOUND}


class Problem(Exception):
    """A refused or failed request.  `members` are added to the JSON body beside those of the standard."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: tuple[tuple[str, str], ...] = (),
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = HTTPStatus(status).phrase
        self.detail = detail
        self.headers = headers
        self.members = members or {}

    def to_json(self) -> bytes:
        """The body of the response."""
        body = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.members,
        }
        return json.dumps(body).encode() + b"\n"


def invalid(field: str, why: str) -> Problem:
    """A Problem (400): `field` is missing or breaks a rule."""
    return Problem(HTTPStatus.BAD_REQUEST, "invalid_field", f"{field}: {why}")


def not_found(detail: str) -> Problem:
    """A Problem (404): there is nothing under this path."""
    return Problem(HTTPStatus.NOT_FOUND, "not_found", detail)


def unavailable(detail: str, retry_after_s: int = 1) -> Problem:
    """A Problem (503): nothing was proposed, and the same request may succeed later."""
    headers = (("Retry-After", str(retry_after_s)),)
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers)


def all_taken(things: str) -> Problem:
    """A Problem (503): the node's `things` (`websockets`, `streams`) are all in use."""
    detail = f"all {things} of this node are in use; try again, or at another node"
    headers = (("Retry-After", "1"),)
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"too_many_{things}", detail, headers)


def outcome_unknown(detail: str) -> Problem:
    """A Problem (504): the change was proposed, and may still happen."""
    return Problem(HTTPStatus.GATEWAY_TIMEOUT, "outcome_unknown", detail)


def problem_of(error: RaftError) -> Problem:
    """The Problem for an error of the engine."""
    match error:
        case Unavailable():
            return unavailable(str(error), error.retry_after)
        case OutcomeUnknown():
            return outcome_unknown(str(error))
        case ChangeRefused():
            return Problem(_STATUS_OF_REFUSED_CHANGE.get(error.code, HTTPStatus.CONFLICT), error.code, str(error))
        case CorruptLog():  # the engine has logged file and offset
            detail = "A record in this node's files is damaged; its log names the file. Ask another node."
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "damaged_record", detail)
        case DiskFull():
            detail = (
                "No majority of the nodes has room on its disk; nothing was written. Delete rooms or messages, or free "
                "space on the disks, then send the same again."
            )
            return Problem(HTTPStatus.INSUFFICIENT_STORAGE, "disk_full", detail)
        case DiskFailed():
            return unavailable("this node's disk has failed; ask another node")
        case _:
            logger.error("an error of the engine has no Problem of its own", exc_info=error)
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "the request failed; see the log")


STATUS_OF: dict[str, HTTPStatus] = {
    "invalid_field": HTTPStatus.BAD_REQUEST,
    "login_needed": HTTPStatus.UNAUTHORIZED,
    "bad_token": HTTPStatus.UNAUTHORIZED,
    "bad_login": HTTPStatus.UNAUTHORIZED,
    "bad_ticket": HTTPStatus.UNAUTHORIZED,
    "bad_invite": HTTPStatus.FORBIDDEN,
    "signup_closed": HTTPStatus.FORBIDDEN,
    "forbidden": HTTPStatus.FORBIDDEN,
    "not_your_name": HTTPStatus.FORBIDDEN,
    "not_the_author": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "no_such_user": HTTPStatus.NOT_FOUND,
    "no_such_invite": HTTPStatus.NOT_FOUND,
    "archived": HTTPStatus.CONFLICT,
    "open_mode": HTTPStatus.CONFLICT,
    "set_up_done": HTTPStatus.CONFLICT,
    "name_taken": HTTPStatus.CONFLICT,
    "looks_like": HTTPStatus.CONFLICT,
    "last_admin": HTTPStatus.CONFLICT,
    "too_many_users": HTTPStatus.CONFLICT,
    "too_many_tokens": HTTPStatus.CONFLICT,
    "too_many_invites": HTTPStatus.CONFLICT,
    "too_many_rooms": HTTPStatus.CONFLICT,
    "too_many_members": HTTPStatus.CONFLICT,
    "too_many_edits": HTTPStatus.CONFLICT,
    "too_many_reactions": HTTPStatus.CONFLICT,
    "too_many_pins": HTTPStatus.CONFLICT,
    "gone": HTTPStatus.GONE,
    "room_gone": HTTPStatus.GONE,
}


def problem_of_refusal(refusal: Refusal) -> Problem:
    """The Problem for a refused command."""
    if refusal.code == "no_such_room":
        return not_found(refusal.detail)
    status = STATUS_OF.get(refusal.code, HTTPStatus.UNPROCESSABLE_ENTITY)
    headers = (("WWW-Authenticate", "Bearer"),) if status is HTTPStatus.UNAUTHORIZED else ()
    return Problem(status, refusal.code, refusal.detail, headers)
