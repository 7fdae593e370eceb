"""Inviting people: the commands for what a client sent, and how an invite is told of.

Of an invite only the digest is kept.  It is known to people by the digest's first digits, which say nothing of the
secret; that two of a thousand have the same is a chance of one in 10^13.
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
    """The command for what a client sent, found whatever the members' case.  Raises Problem naming the field.

    `{"Role": "guest", "Rooms": ["general"], "Uses": 5, "ExpiresIn": 86400, "Label": "the builders"}`, any of them; for
    one member, within a week, unless it says otherwise.  `now`: microseconds since 1970.
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
    """What an invite is called."""
    return digest.hex()[:ID_DIGITS]


def invite_of(invites: Iterable[Invite], id: str) -> Invite | None:
    """The invite that is called so."""
    return next((invite for invite in invites if invite_id(invite.digest) == id), None)


def told(invite: Invite) -> dict[str, object]:
    """An invite as JSON has it."""
    return {
        "Id": invite_id(invite.digest),
        "Role": invite.role,
        "Rooms": list(invite.rooms),
        "Uses": invite.uses_left,
        "ExpiresAt": timestamp(invite.expires_at),
        "Label": invite.label,
        "MadeBy": invite.made_by,
    }
