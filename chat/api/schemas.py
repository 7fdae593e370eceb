"""JSON Schemas (2020-12, as in OpenAPI 3.1) of requests and answers, made from the bounds that validation checks.

A schema cannot say everything (NFC, no control characters); validation checks the rest.  Schemas that several routes
use are in COMPONENTS, under the name that `ref` takes.
"""

from collections.abc import Mapping

from chat.services import validation
from chat.services.validation import AGE_S_MAX, MAX_MESSAGES_MAX
from chat.state.accounts import ROLES
from chat.state.room_details import ALIASES_MAX, ALL, DIRECT, MENTIONS, NONE, PINS_MAX, PRIVATE, PUBLIC

Schema = Mapping[str, object]

TEXT: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
MOMENT: Schema = {"type": "string", "format": "date-time"}


def text(points_max: int, points_min: int = 1) -> Schema:
    """A string of so many code points."""
    return {"type": "string", "minLength": points_min, "maxLength": points_max}


def integer(low: int = 0, high: int = validation.INTEGER_MAX) -> Schema:
    """A whole number within bounds, these included."""
    return {"type": "integer", "minimum": low, "maximum": high}


def word(*words: object) -> Schema:
    """A value out of a few."""
    return {"enum": list(words)}


def array(items: Schema, items_max: int | None = None) -> Schema:
    """A list."""
    return {"type": "array", "items": items} | ({} if items_max is None else {"maxItems": items_max})


def record(
    required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, members_min: int = 0
) -> Schema:
    """An object of these members and no others, with `members_min` of them at least."""
    schema: dict[str, object] = {"type": "object", "properties": {**required, **(optional or {})}}
    if required:
        schema["required"] = list(required)
    if members_min:
        schema["minProperties"] = members_min
    return schema | {"additionalProperties": False}


def mapping(values: Schema) -> Schema:
    """An object whose members have any names."""
    return {"type": "object", "additionalProperties": values}


def or_null(schema: Schema) -> Schema:
    """Allow null beside this schema."""
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Schema:
    """A reference to the schema of this name in COMPONENTS."""
    return {"$ref": f"#/components/schemas/{name}"}


NAME = text(validation.NAME_POINTS_MAX)
POST_ID = integer(1)
MEMBER_ID = integer(1)
PASSWORD = text(validation.PASSWORD_POINTS[-1], validation.PASSWORD_POINTS[0])
NOTIFY = word(ALL, MENTIONS, NONE)
TOPIC = text(validation.TOPIC_POINTS_MAX, 0)
MESSAGE = text(validation.MESSAGE_POINTS_MAX)
CLIENT_ID = text(validation.CLIENT_ID_POINTS_MAX)
EMOJI = text(validation.EMOJI_POINTS_MAX)
RETENTION = record(
    {},
    {"MaxMessages": or_null(integer(1, MAX_MESSAGES_MAX)), "MaxAgeSeconds": or_null(integer(1, AGE_S_MAX))},
    members_min=1,
)
LABEL = text(validation.NAME_POINTS_MAX, 0)
ROLE = word(*ROLES)
SECRET = text(validation.URL_POINTS_MAX, 0)
INVITE: dict[str, Schema] = {
    "Id": TEXT,
    "Role": ROLE,
    "Rooms": array(NAME),
    "Uses": integer(1),
    "ExpiresAt": MOMENT,
    "Label": LABEL,
    "MadeBy": TEXT,
}
USER = {"user": NAME}  # as a parameter, without sign-in

# The schemas of the names in paths.
PATH_NAMES: Mapping[str, Schema] = {
    "room": NAME,
    "id": POST_ID,
    "emoji": EMOJI,
    "user": NAME,
    "member": MEMBER_ID,
    "invite": TEXT,
    "path": TEXT,
}

RAFT_INDEX: Schema = {"type": "string", "pattern": "^([0-9a-f]{1,64}-)?[0-9]{1,16}$"}
# Of whatever waits until this member has applied so much of the log; and of what reads.
WAITING: Mapping[str, Schema] = {"min_index": RAFT_INDEX}
READING: Mapping[str, Schema] = {**WAITING, "consistency": word("linearizable", "stale")}

COMPONENTS: dict[str, Schema] = {
    "Post": record(
        {
            "Id": POST_ID,
            "User": NAME,
            "Message": text(validation.MESSAGE_POINTS_MAX, 0),
            "PostedAt": MOMENT,
            "ClientId": CLIENT_ID,
        },
        {
            "ReplyTo": POST_ID,
            "EditedAt": MOMENT,
            "Deleted": word(True),
            "Reactions": mapping(array(NAME)),
            "Imported": record({"At": MOMENT}),
        },
    ),
    "Room": record(
        {
            "Name": NAME,
            "Topic": TOPIC,
            "Visibility": word(PUBLIC, PRIVATE, DIRECT),
            "Owner": or_null(NAME),
            "Archived": BOOLEAN,
            "Messages": integer(),
            "NewestId": integer(),
            "LastPostedAt": or_null(MOMENT),
            "Retention": or_null(RETENTION),
        },
        {
            "Pins": array(POST_ID, PINS_MAX),
            "Aliases": array(NAME, ALIASES_MAX),
            "Members": array(NAME),  # of a direct room
            "Joined": BOOLEAN,  # with sign-in, like the other fields of the user who asks
            "ReadId": integer(),
            "Unread": integer(),
            "Mentions": integer(),
            "Favourite": word(True),
            "Notify": NOTIFY,
        },
    ),
    "User": record(
        {"Name": NAME, "DisplayName": NAME, "Role": ROLE, "Active": BOOLEAN, "CreatedAt": MOMENT},
    ),
    "Invite": record(INVITE),
    "NewInvite": record({**INVITE, "Invite": TEXT}),
    "Problem": {
        "type": "object",
        "properties": {
            "type": TEXT,
            "title": TEXT,
            "status": integer(400, 599),
            "detail": TEXT,
            "code": TEXT,
            "request_id": text(64),
            "ClientId": CLIENT_ID,
        },
        "required": ["type", "title", "status", "detail", "code"],
    },
}
