"""What the state refuses, in the client's terms: one table of codes and statuses.

A code that is not here is the client's fault in what it sent (422).
"""

from http import HTTPStatus

from chat.errors import Problem, not_found
from chat.state.results import Refusal

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
    """The answer to who asked for what was refused."""
    if refusal.code == "no_such_room":
        return not_found(refusal.detail)
    status = STATUS_OF.get(refusal.code, HTTPStatus.UNPROCESSABLE_ENTITY)
    headers = (("WWW-Authenticate", "Bearer"),) if status is HTTPStatus.UNAUTHORIZED else ()
    return Problem(status, refusal.code, refusal.detail, headers)
