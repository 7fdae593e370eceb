"""The codec: messages to JSON bytes and back, and all validation of what comes from a peer.

A body is JSON lines.  The first line names the RPC and the sender, and carries the fields of its dataclass under their
own names.  Entries follow as they stand in the log file, a snapshot's lines as in its file, proposals one a line, a
notice's body as it is.  What `decode_*` returns has the right types, non-negative numbers, entries without gaps and
with sound checksums.  Code behind it does not check again, with two exceptions: a snapshot's lines are checked where
they are written, and a notice's body where it is read.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from itertools import pairwise
from typing import Any, get_args, get_type_hints

from raft.core.boots import is_list_of_boots
from raft.core.configuration import decode_configuration
from raft.core.entries import RECORD_BYTES_MAX, decode_entries
from raft.core.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    InstallSnapshot,
    InstallSnapshotReply,
    Kind,
    ProposalId,
    RequestVote,
    RequestVoteReply,
    SnapshotMeta,
    TimeoutNow,
    TimeoutNowReply,
)
from raft.core.urls import is_client_url
from raft.errors import InvalidMessage
from raft.rpc.calls import (
    AcceptClock,
    ChangeMembership,
    ChangeMembershipReply,
    FetchedEntries,
    FetchEntries,
    Hello,
    HelloReply,
    Notice,
    NoticeReply,
    Propose,
    ProposeReply,
    ReadIndex,
    ReadIndexReply,
    RecordedBoot,
    Sender,
    SnapshotChunk,
    SnapshotChunkReply,
    TransferLeadership,
    WantSnapshot,
    WantSnapshotReply,
)
from raft.rpc.handshake import Proved

FORMAT = 3  # of all messages between members
ENTRIES_MAX = 8_192  # lines of a body behind the first: no leader holds more entries in memory
HEAD_BYTES_MAX = 512 << 10  # of the first line: a configuration of 64 members with the longest URLs has half of that
TEXT_POINTS_MAX = 2_048  # of a text; the longest ones are refusals and URLs
NOTICE_BYTES_MAX = 256 << 10  # of a notice's body: some thousands of names, and little beside the log's entries
SENDER_BYTES_MAX = 12 << 10  # as JSON, without an escape: three texts, two numbers, its boots; some are remembered
FETCH_INDEXES_MAX = 1_024  # of a FetchEntries: as many short messages as its answer holds
FETCH_BYTES_MAX = 1 << 20  # of the records in an answer, or one record: some milliseconds of the answering member
NUMBER_MAX = 1 << 53  # the largest integer that every JSON reader keeps exact

Call = (
    RequestVote | AppendEntries | InstallSnapshot | TimeoutNow | Propose | ReadIndex | ChangeMembership
    | TransferLeadership | AcceptClock | SnapshotChunk | Hello | Notice | RecordedBoot
    | WantSnapshot | FetchEntries
)  # fmt: skip
Answer = (
    RequestVoteReply | AppendEntriesReply | InstallSnapshotReply | TimeoutNowReply | ProposeReply | ReadIndexReply
    | ChangeMembershipReply | SnapshotChunkReply | HelloReply | NoticeReply
    | WantSnapshotReply | FetchedEntries
)  # fmt: skip

_CALLS: tuple[type[Any], ...] = get_args(Call)
_ANSWERS: tuple[type[Any], ...] = get_args(Answer)
_TAKEN_WHOLE: dict[type[Any], str] = {SnapshotChunk: "lines", Notice: "body"}  # the bytes behind the first line
_BY_NAME = {cls.__name__: cls for cls in (*_CALLS, *_ANSWERS)}
_NAME_AT = len(b'{"rpc":"')
_BOOLEANS = (b"true", b"false")
_IN_LINES = {"entries", "proposals", "lines", "body"}  # not in the first line but behind it
_LOCAL = {"request", "received"}  # set by the receiver, and never sent
_SHAPES: dict[type[Any], dict[str, Any]] = {
    cls: {f.name: get_type_hints(cls)[f.name] for f in fields(cls) if f.name not in _IN_LINES | _LOCAL}
    for cls in (*_CALLS, *_ANSWERS)
}
_OPTIONAL: dict[str, object] = {"report": ""}  # what members of earlier versions do not send
_NUMBERED = {cls for cls in _CALLS if "request" in {f.name for f in fields(cls)}}
_PLAIN_VALUES = {int: "([0-9]{1,15})", bool: "(true|false)"}


def _plain_head(cls: type[Any]) -> re.Pattern[bytes]:
    """Return a pattern for the first line of a message of only numbers and booleans, as `encode` writes it."""
    values = ",".join([f'"{name}":{_PLAIN_VALUES[hint]}' for name, hint in _SHAPES[cls].items()])
    sender = rf"\[[^]\\\n]{{0,{SENDER_BYTES_MAX}}}\]{{1,2}}"  # the sender's boots, a list too, come last
    return re.compile(rf'{{"rpc":"{cls.__name__}","format":{FORMAT},"from":({sender}),{values}}}\n'.encode())


_PLAIN_HEADS = {
    cls.__name__.encode(): (cls, tuple(shape), _plain_head(cls))
    for cls, shape in _SHAPES.items()
    if shape and set(shape.values()) <= set(_PLAIN_VALUES)
}
_PROPOSAL = re.compile(rb'\{"id":\[([0-9]{1,16}),([0-9]{1,16}),([0-9]{1,16}),([0-9]{1,16})\],"command":([^\n]+)\}')


def encode(sender: Sender, message: Call | Answer) -> bytes:
    """Return the body for `message`."""
    names = _SHAPES[type(message)]
    values = ",".join([f'"{name}":{_encode_value(getattr(message, name))}' for name in names])
    head = f'{{"rpc":"{type(message).__name__}",{_encode_sender(sender)},{values}}}\n'.encode()
    if isinstance(message, AppendEntries | FetchedEntries):
        return b"".join([head, *(entry.record for entry in message.entries or ())])
    if isinstance(message, SnapshotChunk):
        return head + message.lines
    if isinstance(message, Notice):
        return head + message.body
    if isinstance(message, Propose):
        return b"".join([head, *(_encode_proposal(id, command) for id, command in message.proposals)])
    return head


@lru_cache(maxsize=4)  # this member has one description at a time
def _encode_sender(sender: Sender) -> str:
    said = [sender.id, sender.incarnation, sender.cluster_id, sender.advertise, sender.level, sender.boots]
    return f'"format":{FORMAT},"from":{json.dumps(said)}'


def _encode_value(value: object) -> str:
    """Encode as JSON; numbers and booleans, which are nearly all values, without the encoder."""
    if type(value) is int:
        return str(value)
    if type(value) is bool:
        return "true" if value else "false"
    if isinstance(value, SnapshotMeta):
        said = [value.index, value.term, value.time, value.configuration_index]
        return f"[{','.join(map(str, said))},{value.configuration.decode()}]"
    return json.dumps(value)


def decode_call(body: bytes, request: int, proved: Proved | None = None) -> tuple[Sender, Call]:
    """Decode a peer's call; `request` is the receiver's number for it.  Raises InvalidMessage.

    `proved`: by the peer on this connection; None: nothing.
    """
    sender, cls, values, start = _decode_head(body, _CALLS, with_lines=(AppendEntries, Propose, *_TAKEN_WHOLE))
    if proved is not None:
        proved.check(sender)
    if cls in _NUMBERED:
        values["request"] = request
    if cls is AppendEntries:
        values["entries"] = _decode_entries(body, start, values)
    elif cls is Propose:
        values["proposals"] = tuple(_decode_proposal(line, sender.id) for line in _split(body[start:]))
    elif cls in _TAKEN_WHOLE:  # not split here, because the code that uses the bytes splits them
        values[_TAKEN_WHOLE[cls]] = body[start:]
    call: Call = cls(**values)
    if call.source != sender.id:
        raise InvalidMessage(f"source: a message of member {call.source} from member {sender.id}")
    if isinstance(call, Notice) and len(call.body) > NOTICE_BYTES_MAX:
        raise InvalidMessage(f"body: more than {NOTICE_BYTES_MAX} bytes")
    if isinstance(call, FetchEntries):
        _check_indexes(call.indexes)
    return sender, call


def decode_answer(body: bytes, proved: Proved | None = None) -> tuple[Sender, Answer]:
    """Decode a peer's answer; `proved` as for a call.  Raises InvalidMessage."""
    sender, cls, values, start = _decode_head(body, _ANSWERS, with_lines=(FetchedEntries,))
    if proved is not None:
        proved.check(sender)
    if cls is FetchedEntries:
        values["entries"] = _decode_fetched(body, start)
    answer: Answer = cls(**values)
    if values.get("source", sender.id) != sender.id:
        raise InvalidMessage(f"source: an answer of member {values['source']} from member {sender.id}")
    return sender, answer


def _decode_head(
    body: bytes, expected: tuple[type[Any], ...], *, with_lines: tuple[type[Any], ...]
) -> tuple[Sender, type[Any], dict[str, Any], int]:
    """Return the sender, the class, its fields, and where the first line ends."""
    known = _decode_plain_head(body)
    if known is None or known[1] not in expected or (len(body) > known[3] and known[1] not in with_lines):
        return _decode_any_head(body, expected, with_lines)
    return known


def _decode_plain_head(body: bytes) -> tuple[Sender, type[Any], dict[str, Any], int] | None:
    """Decode the first line of nearly every message, in a third of JSON's time; None: another kind of line."""
    cls, names, form = _PLAIN_HEADS.get(body[_NAME_AT : body.find(b'"', _NAME_AT)], (None, (), None))
    if cls is None or form is None or (match := form.match(body)) is None:
        return None
    sender, *texts = match.groups()
    values = {
        name: text == b"true" if text in _BOOLEANS else int(text) for name, text in zip(names, texts, strict=True)
    }
    return _sender_of(sender), cls, values, match.end()


@lru_cache(maxsize=64)  # each member sends the same description all the time
def _sender_of(text: bytes) -> Sender:
    try:
        return _decode_sender(json.loads(text.decode()))
    except (ValueError, RecursionError):
        return _decode_sender(None)


def _decode_any_head(
    body: bytes, expected: tuple[type[Any], ...], with_lines: tuple[type[Any], ...]
) -> tuple[Sender, type[Any], dict[str, Any], int]:
    end = body.find(b"\n", 0, HEAD_BYTES_MAX) + 1
    if not end:
        raise InvalidMessage(f"the first line does not end with a newline, or has more than {HEAD_BYTES_MAX} bytes")
    head = _decode_object(body[: end - 1])
    if type(head.get("format")) is not int or head["format"] != FORMAT:
        raise InvalidMessage(f"format: {_shown(head.get('format'))} is not one this version speaks ({FORMAT})")
    name = head.get("rpc")
    cls = _BY_NAME.get(name) if isinstance(name, str) else None
    if cls is None or cls not in expected:
        raise InvalidMessage(f"rpc: {_shown(name)} is not known here")
    if len(body) > end and cls not in with_lines:
        raise InvalidMessage(f"rpc: lines behind a {name}, which has none")
    values = {name: _checked(head.get(name, _OPTIONAL.get(name)), name, hint) for name, hint in _SHAPES[cls].items()}
    return _decode_sender(head.get("from")), cls, values, end


def _split(lines: bytes) -> list[bytes]:
    found = lines.split(b"\n", ENTRIES_MAX + 1)
    if found.pop() != b"":
        raise InvalidMessage(f"the body does not end with a newline, or has more than {ENTRIES_MAX} lines")
    return found


def _decode_object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode())  # decoded here, because loads() would guess the encoding of bytes
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidMessage("the first line is not a JSON object")
    return value


def _decode_sender(value: object) -> Sender:
    if isinstance(value, list) and len(value) >= 6:  # a later version may add values
        id, level, boots = value[0], value[4], value[5]
        numbers = _is_number(id) and _is_number(level) and id and level
        texts = all(_is_text(text) for text in value[1:4]) and (not value[3] or is_client_url(value[3]))
        if numbers and texts and is_list_of_boots(boots) and all(map(_is_number, boots[-1:])):
            return Sender(id, value[1], value[2], value[3], level, tuple(boots))
    raise InvalidMessage("from: not [id, incarnation, cluster id, advertised URL, level, boots]")


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= NUMBER_MAX


def _is_text(value: object) -> bool:
    """Return whether this is a short text that may stand in a line of the log."""
    return isinstance(value, str) and len(value) <= TEXT_POINTS_MAX and value.isprintable()


def _shown(value: object) -> str:
    """Format a value for an error: short, and only the type of a nested one."""
    return type(value).__name__ if isinstance(value, dict | list) else f"{str(value)[:40]!r}"


def _checked(value: Any, name: str, hint: Any) -> Any:
    if hint is int and type(value) is int and 0 <= value <= NUMBER_MAX:
        return value
    if (hint is bool and type(value) is bool) or (hint is str and _is_text(value)):
        return value
    if hint == dict[int, str] and isinstance(value, dict):
        if all(key.isascii() and key.isdecimal() and len(key) < 16 and _is_text(text) for key, text in value.items()):
            return {int(key): text for key, text in value.items()}
    elif hint == tuple[int, ...] and isinstance(value, list) and all(_is_number(item) for item in value):
        return tuple(value)
    elif hint is SnapshotMeta and isinstance(value, list) and len(value) == 5 and all(map(_is_number, value[:4])):
        return SnapshotMeta(value[0], value[1], value[2], value[3], _checked_configuration(value[4]))
    raise InvalidMessage(f"{name}: {_shown(value)} is not valid")


def _checked_configuration(value: object) -> bytes:
    """Return a configuration's bytes, as every member writes them."""
    try:
        return decode_configuration(json.dumps(value).encode()).encode()
    except (InvalidMessage, RecursionError) as error:
        raise InvalidMessage(f"snapshot: {error}") from None


def _decode_entries(body: bytes, start: int, values: Mapping[str, Any]) -> tuple[Entry, ...]:
    """Decode records without a gap after prev_log_index; terms never fall and do not exceed the leader's.

    A command's JSON was checked where it was proposed.  A configuration's is checked here: it decides who votes.
    """
    index, term = values["prev_log_index"], values["prev_log_term"]
    try:
        entries = decode_entries(body, start, ENTRIES_MAX)
        for entry in entries:
            index += 1
            if entry.index != index or not term <= entry.term <= values["term"] or len(entry.record) > RECORD_BYTES_MAX:
                raise InvalidMessage(f"index {entry.index} of term {entry.term} does not follow")
            if entry.kind is Kind.CONFIGURATION:
                decode_configuration(entry.body)
            term = entry.term
    except InvalidMessage as error:
        raise InvalidMessage(f"entries: {error}") from None
    return tuple(entries)


def _check_indexes(indexes: tuple[int, ...]) -> None:
    if not 0 < len(indexes) <= FETCH_INDEXES_MAX:
        raise InvalidMessage(f"indexes: {len(indexes)}, not 1 to {FETCH_INDEXES_MAX}")
    if not indexes[0] or any(index >= after for index, after in pairwise(indexes)):
        raise InvalidMessage("indexes: not ascending from 1")


def _decode_fetched(body: bytes, start: int) -> tuple[Entry, ...]:
    """Decode the records of a FetchedEntries, ascending; which of them are wanted, the asker knows."""
    try:
        entries = decode_entries(body, start, FETCH_INDEXES_MAX)
        for entry in entries:
            if len(entry.record) > RECORD_BYTES_MAX:
                raise InvalidMessage(f"index {entry.index} is too long")
            if entry.kind is Kind.CONFIGURATION:
                decode_configuration(entry.body)
    except InvalidMessage as error:
        raise InvalidMessage(f"entries: {error}") from None
    if any(entry.index >= after.index for entry, after in pairwise(entries)):
        raise InvalidMessage("entries: not ascending")
    return tuple(entries)


def _encode_proposal(id: ProposalId, command: bytes) -> bytes:
    return b'{"id":[%d,%d,%d,%d],"command":%b}\n' % (id.member, id.boot, id.sequence, id.reach, command)


def _decode_proposal(line: bytes, source: int) -> tuple[ProposalId, bytes]:
    match = _PROPOSAL.fullmatch(line)
    if match is None or len(line) > RECORD_BYTES_MAX // 2:
        raise InvalidMessage("proposals: one that cannot be read")
    id, command = ProposalId(int(match[1]), int(match[2]), int(match[3]), int(match[4])), match[5]
    if id.member != source:
        raise InvalidMessage(f"proposals: one of member {id.member} from member {source}; they are never passed on")
    try:
        json.loads(command.decode())  # the command will be in the log for ever, so it has to be JSON
    except (ValueError, RecursionError):
        raise InvalidMessage("proposals: one whose command is not JSON") from None
    return id, command
