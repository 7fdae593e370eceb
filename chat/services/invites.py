"""Invites as clients send and see them: check the fields, build the command, and show an invite.

Only the digest of an invite is stored.  Its public id is the digest's first digits, which do not reveal the secret.
The chance that two of a thousand are the same is one in 10^13.
"""

from collections.abc import Iterable, Mapping

from chat.auth import secrets
from chat.commands import Actor
from chat.commands.accounts import CreateInvite
from chat.services import validation
from chat.services.users import role, room_names
from chat.state.accounts import MEMBER, Invite
from chat.state.post_json import timestamp

USES_MAX = 10_000
EXPIRES_S = range(60, 315_360_001)  # to ten years
EXPIRES_S_DEFAULT = 604_800  # a week
ID_DIGITS = 16


def check_invite(actor: Actor, fields: Mapping[str, object], secret: str, now: int) -> CreateInvite:
    """The command of a new invite, from fields in any case.  Raises Problem naming the field.

    `{"Role": "guest", "Rooms": ["general"], "Uses": 5, "ExpiresIn": 86400, "Label": "the builders"}`, all optional; by
    default for one member, within a week.  `now`: microseconds since 1970.
    """
    members = validation.only(fields, "Role", "Rooms", "Uses", "ExpiresIn", "Label")
    expires_in = members.get("expiresin", EXPIRES_S_DEFAULT)
    return CreateInvite(
        actor,
        secrets.digest(secret),
        role(members.get("role", MEMBER)),
        room_names(members.get("rooms", [])),
        validation.number("Uses", members.get("uses", 1), 1, USES_MAX),
        now + validation.number("ExpiresIn", expires_in, EXPIRES_S[0], EXPIRES_S[-1]) * 1_000_000,
        validation.label("Label", members.get("label", "")),
    )


def invite_id(digest: bytes) -> str:
    """The public id of an invite."""
    return digest.hex()[:ID_DIGITS]


def invite_of(invites: Iterable[Invite], id: str) -> Invite | None:
    """The invite with this id; None if there is none."""
    return next((invite for invite in invites if invite_id(invite.digest) == id), None)


def told(invite: Invite) -> dict[str, object]:
    """The JSON of an invite."""
    return {
        "Id": invite_id(invite.digest),
        "Role": invite.role,
        "Rooms": list(invite.rooms),
        "Uses": invite.uses_left,
        "ExpiresAt": timestamp(invite.expires_at),
        "Label": invite.label,
        "MadeBy": invite.made_by,
    }
