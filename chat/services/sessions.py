"""Sign-in, set-up and tokens as clients ask for them: check the fields.

The secrets themselves are made in `auth/secrets.py`, and only their owner ever sees them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from chat.auth import secrets
from chat.errors import invalid
from chat.services import validation

SESSION_S = 30 * 86_400
TICKET_S = 3_600  # a page keeps one for the moment at which its node is gone
EXPIRES_S = range(60, 315_360_001)  # of a program's token: up to ten years; or it is good until it is revoked


class Login(NamedTuple):
    """A name and a password, and a label for the device."""

    name: str
    password: str
    label: str


class SetUp(NamedTuple):
    """The first user, made with the set-up token that the node printed."""

    secret: str
    name: str
    display_name: str
    password: str


class NewToken(NamedTuple):
    """A token for a program; `expires_in_s` 0: it is good until it is revoked."""

    label: str
    expires_in_s: int


def check_login(fields: Mapping[str, object]) -> Login:
    """Check the fields of a sign-in, in any case.  Raises Problem naming the field."""
    members = validation.only(fields, "Name", "Password", "Label")
    label = validation.label("Label", members["label"]) if "label" in members else ""
    return Login(
        validation.name("Name", members.get("name")), validation.password("Password", members.get("password")), label
    )


def check_set_up(fields: Mapping[str, object]) -> SetUp:
    """Check the fields of the first user.  Raises Problem naming the field."""
    members = validation.only(fields, "Token", "Name", "Password", "DisplayName")
    secret = members.get("token")
    if not isinstance(secret, str) or not secret.startswith(secrets.SETUP):
        raise invalid("Token", "must be the token that the node printed at its start")
    name = validation.user_name("Name", members.get("name"))
    return SetUp(
        secret,
        name,
        validation.display_name("DisplayName", members["displayname"]) if "displayname" in members else name,
        validation.password("Password", members.get("password")),
    )


def check_token(fields: Mapping[str, object]) -> NewToken:
    """Check the fields of a new token.  Raises Problem naming the field."""
    members = validation.only(fields, "Label", "ExpiresIn")
    low, high = EXPIRES_S[0], EXPIRES_S[-1]
    expires_in_s = validation.number("ExpiresIn", members["expiresin"], low, high) if "expiresin" in members else 0
    return NewToken(validation.label("Label", members.get("label"), 1), expires_in_s)
