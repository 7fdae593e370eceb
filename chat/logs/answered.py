"""An answer to a request, as the lines of the log and of the access log describe it."""

from typing import Final, NamedTuple

NOTHING: Final = "-"
OPERATOR: Final = -1  # in place of a token's number, as in commands: the token of a node's operator.json


class Answered(NamedTuple):
    """An answer to a request."""

    at_s: float  # since 1970
    method: str  # "-" for a request whose head was refused
    route: str  # with its names in braces, like /rooms/{room}; "-" where there is none
    status: int
    code: str  # of the problem; ""
    length: int | None  # bytes of the body; None where it is not known
    duration_s: float
    user: str  # ""
    token: int  # the number of the user's token; OPERATOR; 0 for none
    network: str
    request_id: str


def described(answered: Answered) -> dict[str, object]:
    """The fields of an answer, without those that say nothing."""
    fields: dict[str, object] = {
        "method": answered.method,
        "route": answered.route,
        "status": answered.status,
        "code": answered.code,
        "duration_ms": round(answered.duration_s * 1000, 3),
        "bytes": answered.length,
        "user": answered.user,
        "token": answered.token,
        "network": answered.network,
        "request_id": answered.request_id,
    }
    if not answered.token:
        del fields["token"]
    return {name: value for name, value in fields.items() if value not in ("", None)}
