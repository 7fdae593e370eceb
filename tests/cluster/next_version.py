"""A next version of the program, for tests: it knows a higher level, one more command, and says more in all that it
writes and sends.

A room's topic that begins with LATER is set by the new command.  What it says more is what a later version may add by
the rules of this one: members of JSON objects, and values at the end of a list.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import chat.commands
import raft_chat_node
from chat.api.routes import rooms as routes
from chat.commands import Actor
from chat.commands.json_codec import reader
from chat.commands.rooms import ChangeRoom
from chat.services.rooms import check_settings
from chat.state import machine
from chat.state.apply.rooms import change
from chat.state.events import Emit
from chat.state.results import Result
from chat.state.tables import Tables
from raft.core.raft_messages import Entry
from raft.rpc import codec
from raft.storage import identity
from tests.support.cluster import Forked

LATER, SUFFIX = "later", ", as the next version does it"
LEVEL = chat.commands.LEVEL + 1
NEXT = Forked("from tests.cluster import next_version; next_version.install()")


@dataclass(frozen=True, slots=True)
class LaterChange(ChangeRoom):
    """A change of a room that only the next version knows."""

    suffix: str = ""


def install() -> None:
    """Make the program in this process the next version."""
    for module, name, value in (
        (chat.commands, "LEVEL", LEVEL),
        (raft_chat_node, "LEVEL", LEVEL),
        (routes, "check_settings", _check_settings),
        (codec, "_encode_sender", _saying_more(codec._encode_sender)),
        (identity, "encode", _writing_more(identity.encode)),
    ):
        assert hasattr(module, name)
        setattr(module, name, value)
    chat.commands.KINDS["later-change"] = LaterChange
    chat.commands._NAMES[LaterChange] = "later-change"
    chat.commands._READERS["later-change"] = reader(LaterChange)
    chat.commands._LEVELS[LaterChange] = LEVEL
    machine.APPLIERS[LaterChange] = _apply


def _check_settings(actor: Actor, room: str, members: Mapping[str, object]) -> ChangeRoom:
    """As this version does, with the new command for some topics."""
    asked = check_settings(actor, room, members)
    if asked.topic is None or not asked.topic.startswith(LATER):
        return asked
    return LaterChange(**{field.name: getattr(asked, field.name) for field in fields(ChangeRoom)}, suffix=SUFFIX)


def _apply(tables: Tables, command: LaterChange, entry: Entry, emit: Emit) -> Result:
    values = {field.name: getattr(command, field.name) for field in fields(ChangeRoom)}
    return change(tables, ChangeRoom(**{**values, "topic": f"{command.topic}{command.suffix}"}), entry, emit)


def _saying_more(encode: Callable[[Any], str]) -> Callable[[Any], str]:
    """The sender's description in each call and answer, one value longer, and with one member more beside it."""

    def encode_more(sender: Any) -> str:
        said = encode(sender)
        assert said.endswith("]")
        return f'{said[:-1]},"more"],"later":{{"of":["the next version"]}}'

    return encode_more


def _writing_more(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """identity.json with one member more."""

    def encode_more(value: Any) -> bytes:
        return json.dumps({**json.loads(encode(value)), "Later": True}).encode() + b"\n"

    return encode_more
