"""The body of an error: problem details in JSON (RFC 9457).  The server, the routes and the websockets make it here."""

import json
from http import HTTPStatus
from typing import Final

PROBLEM_JSON: Final = "application/problem+json"


def problem_json(status: int, code: str, detail: str, **members: object) -> bytes:
    """The document; `members` stand beside those of the standard."""
    title = HTTPStatus(status).phrase
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code, **members}
    return json.dumps(document).encode() + b"\n"
