"""Errors for clients: `application/problem+json` (RFC 9457), and the one table of codes and statuses.

A Problem's status says whose fault it is, its code what to do.  `detail` begins with the name of the wrong field, if
there is one.  It never echoes text of the client's.
"""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from chat.logs import request_log
from chat.server import failure_log
from chat.server.networks import network
from chat.server.problem_json import PROBLEM_JSON, problem_json
from raft.backup.report import BackupRefused
from raft.errors import ChangeRefused, CorruptLog, DiskFailed, DiskFull, OutcomeUnknown, RaftError, Unavailable

logger = logging.getLogger(__name__)

# The status of each code.  A code that is not here has 422.
STATUS_OF: dict[str, HTTPStatus] = {
    code: status
    for status, codes in {
        HTTPStatus.BAD_REQUEST: "invalid_field bad_cursor bad_forwarded invalid",
        HTTPStatus.UNAUTHORIZED: "login_needed bad_token bad_login bad_ticket",
        HTTPStatus.FORBIDDEN: (
            "forbidden bad_invite signup_closed not_your_name not_the_author foreign_origin bad_proxy_user"
        ),
        HTTPStatus.NOT_FOUND: "not_found no_such_user no_such_invite unknown_member",
        HTTPStatus.CONFLICT: (
            "archived open_mode set_up_done name_taken looks_like last_admin level_too_low too_many_users "
            "too_many_tokens too_many_invites too_many_rooms too_many_members too_many_edits too_many_reactions "
            "too_many_pins change_in_progress id_used no_majority not_a_voter not_in_contact not_taken_over "
            "clocks_differ import_gap"
        ),
        HTTPStatus.GONE: "gone room_gone start_over",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_coding",
        HTTPStatus.MISDIRECTED_REQUEST: "wrong_host",
        HTTPStatus.UPGRADE_REQUIRED: "upgrade_required",
        HTTPStatus.TOO_MANY_REQUESTS: "too_many_attempts too_many_changes too_many_posts",
        HTTPStatus.INTERNAL_SERVER_ERROR: "damaged_record internal_error",
        HTTPStatus.SERVICE_UNAVAILABLE: (
            "starting no_recent_leader too_many_streams too_many_websockets unavailable backup_in_progress "
            "backup_failed"
        ),
        HTTPStatus.GATEWAY_TIMEOUT: "outcome_unknown",
        HTTPStatus.INSUFFICIENT_STORAGE: "disk_full backup_no_room",
    }.items()
    for code in codes.split()
}


class Refused(Protocol):
    """A refused command, as the state has it (`chat.state.results.Refusal`)."""

    @property
    def code(self) -> str:
        """The code of the Problem."""

    @property
    def detail(self) -> str:
        """The text of the Problem."""


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
        self.detail = detail
        self.headers = headers
        self.members = members or {}

    def to_json(self, request_id: str = "") -> bytes:
        """The body of the response."""
        more = {"request_id": request_id} if request_id else {}
        return problem_json(self.status, self.code, self.detail, **self.members, **more)


def refuse(refused: Problem, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer, in WSGI, a request that never reaches the routes.  It is logged."""
    failure_log.answered(refused.status, refused.code, refused.detail)
    address = network(environ.get("REMOTE_ADDR", ""))
    id = request_log.refused_early(refused.status, refused.code, address, environ.get("HTTP_X_REQUEST_ID"))
    body = refused.to_json(id)
    headers = [
        ("Content-Type", PROBLEM_JSON), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"),
        (request_log.HEADER, id), *refused.headers, ("Content-Length", str(len(body))),
    ]  # fmt: skip
    start_response(f"{refused.status:d} {HTTPStatus(refused.status).phrase}", headers)
    return [body]


def problem(code: str, detail: str, retry_after_s: int = 0, members: Mapping[str, object] | None = None) -> Problem:
    """A Problem with the status of its code, and the headers that belong to it.  `retry_after_s` 0: no Retry-After."""
    status = STATUS_OF.get(code, HTTPStatus.UNPROCESSABLE_ENTITY)
    headers = (("WWW-Authenticate", "Bearer"),) if status is HTTPStatus.UNAUTHORIZED else ()
    retry_after = (("Retry-After", str(retry_after_s)),) if retry_after_s else ()
    return Problem(status, code, detail, (*headers, *retry_after), members)


def invalid(field: str, why: str) -> Problem:
    """A Problem (400): `field` is missing or breaks a rule."""
    return problem("invalid_field", f"{field}: {why}")


def not_found(detail: str) -> Problem:
    """A Problem (404): there is nothing under this path."""
    return problem("not_found", detail)


def unavailable(detail: str, retry_after_s: int = 1) -> Problem:
    """A Problem (503): nothing was proposed, and the same request may succeed later."""
    return problem("unavailable", detail, retry_after_s)


def all_taken(things: str) -> Problem:
    """A Problem (503): the node's `things` (`websockets`, `streams`) are all in use."""
    detail = f"all {things} of this node are in use; try again, or at another node"
    return problem(f"too_many_{things}", detail, retry_after_s=1)


def outcome_unknown(detail: str) -> Problem:
    """A Problem (504): the change was proposed, and may still happen."""
    return problem("outcome_unknown", detail)


def problem_of(error: RaftError) -> Problem:
    """The Problem for an error of the engine."""
    match error:
        case Unavailable():
            return unavailable(str(error))
        case OutcomeUnknown():
            return outcome_unknown(str(error))
        case ChangeRefused():
            return problem(error.code, str(error))
        case CorruptLog():  # the engine has logged file and offset
            detail = "A record in this node's files is damaged; its log names the file. Ask another node."
            return problem("damaged_record", detail)
        case BackupRefused():
            return problem(error.code, str(error), retry_after_s=60)
        case DiskFull():
            detail = (
                "No majority of the nodes has room on its disk; nothing was written. Delete rooms or messages, or free "
                "space on the disks, then send the same again."
            )
            return problem("disk_full", detail)
        case DiskFailed():
            return unavailable("this node's disk has failed; ask another node")
        case _:
            logger.error("an error of the engine has no Problem of its own", exc_info=error)
            return problem("internal_error", "the request failed; the node's log says why")


def problem_of_refusal(refusal: Refused) -> Problem:
    """The Problem for a refused command."""
    if refusal.code == "no_such_room":
        return not_found(refusal.detail)
    return problem(refusal.code, refusal.detail)
