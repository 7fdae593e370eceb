"""The lines of the log: `<crc32 of the rest, 8 hex digits> <JSON>` and a newline.

The same bytes are written to the log file and sent to peers; nothing is ever encoded twice.  The layout of an entry's
JSON is fixed (members in this order, no white space).  So one regular expression splits a line, and the command is
handed on as bytes, undecoded.
"""

import json
import re
from zlib import crc32

from raft.core.raft_messages import Command, Entry, Kind, ProposalId
from raft.errors import InvalidMessage

RECORD_BYTES_MAX = 1 << 20  # a request body is at most 128 KiB; JSON escapes can make that six times as much

_ENTRY = re.compile(
    rb'[0-9a-f]{8} \{"index":([0-9]{1,16}),"term":([0-9]{1,16}),"time":([0-9]{1,17}),'
    rb'(?:"id":\[([0-9]{1,16}),([0-9]{1,16}),([0-9]{1,16}),([0-9]{1,16})\],"command":([^\n]+)'
    rb'|"configuration":([^\n]+)|"clock":([0-9]{1,17})|"noop":null)\}\n'
)
_COMMAND = re.compile(rb'[0-9a-f]{8} \{"index":[0-9]+,"term":[0-9]+,"time":([0-9]{1,17}),"id":\[[0-9,]+\],"command":')


def seal(payload: bytes) -> bytes:
    """Return the line for `payload`, which is JSON without a newline in it."""
    return b"%08x %b\n" % (crc32(payload), payload)


def unseal(line: bytes) -> bytes:
    """Return the JSON of a line that `seal` made.  Raises InvalidMessage if the checksum or the form is wrong."""
    if len(line) < 11 or line[8:9] != b" " or line[-1:] != b"\n" or line[:8] != b"%08x" % crc32(memoryview(line)[9:-1]):
        raise InvalidMessage("a record with a wrong checksum")
    return line[9:-1]


def command_entry(index: int, term: int, time: int, id: ProposalId, command: bytes) -> Entry:
    """Encode a command's entry; `command` is JSON without a newline."""
    payload = b'{"index":%d,"term":%d,"time":%d,"id":[%d,%d,%d,%d],"command":%b}' % (
        index, term, time, id.member, id.boot, id.sequence, id.reach, command,
    )  # fmt: skip
    return Entry(index, term, time, Kind.COMMAND, id, command, seal(payload))


def configuration_entry(index: int, term: int, time: int, configuration: bytes) -> Entry:
    """Encode the entry that puts `configuration` (JSON) in force."""
    payload = b'{"index":%d,"term":%d,"time":%d,"configuration":%b}' % (index, term, time, configuration)
    return Entry(index, term, time, Kind.CONFIGURATION, None, configuration, seal(payload))


def noop_entry(index: int, term: int, time: int) -> Entry:
    """Encode a new leader's first entry of its term."""
    payload = b'{"index":%d,"term":%d,"time":%d,"noop":null}' % (index, term, time)
    return Entry(index, term, time, Kind.NOOP, None, b"null", seal(payload))


def clock_entry(index: int, term: int, time: int, before: int) -> Entry:
    """Encode the entry that sets the log's time to `time`; `before` is the log's time until then."""
    payload = b'{"index":%d,"term":%d,"time":%d,"clock":%d}' % (index, term, time, before)
    return Entry(index, term, time, Kind.CLOCK, None, b"%d" % before, seal(payload))


def is_entry_at(line: bytes, index: int) -> bool:
    """Return whether the line is intact and holds the entry of that index."""
    return line.startswith(b'%08x {"index":%d,' % (crc32(line[9:-1]), index)) and line[-1:] == b"\n"


def entry_at(data: bytes, start: int, index: int) -> Entry | None:
    """Decode the entry of `index` whose line begins at `start`, checksum verified; None if no such line is there."""
    match = _ENTRY.match(data, start)
    if match is None or int(match[1]) != index:
        return None
    if int(data[start : start + 8], 16) != crc32(memoryview(data)[start + 9 : match.end() - 1]):
        return None
    return _entry_of(match)


def decode_entry(line: bytes) -> Entry:
    """Decode the entry of a line, checksum verified; the command's own JSON is not checked.

    Raises InvalidMessage: the line is damaged, or is not an entry.
    """
    unseal(line)
    return entry_of_verified(line)


def entry_of_verified(line: bytes) -> Entry:
    """Decode a line whose checksum was verified before.  Raises InvalidMessage if it is not an entry."""
    match = _ENTRY.fullmatch(line)
    if match is None:
        raise InvalidMessage("a record that is not an entry")
    return _entry_of(match)


def decode_entries(data: bytes, start: int, most: int) -> list[Entry]:
    """Decode the lines from `start` to the end as `decode_entry` does, at most `most`.

    Raises InvalidMessage: a line is damaged or not an entry, or there are more.
    """
    entries: list[Entry] = []
    view, end = memoryview(data), len(data)
    while start < end:
        match = _ENTRY.match(data, start)
        if match is None:
            decode_entry(data[start : data.find(b"\n", start) + 1])  # raises, and says what is wrong
            raise AssertionError("a line that is an entry by itself only")
        if len(entries) == most:
            raise InvalidMessage(f"more than {most} entries")
        after = match.end()
        if int(data[start : start + 8], 16) != crc32(view[start + 9 : after - 1]):
            raise InvalidMessage("a record with a wrong checksum")
        entries.append(_entry_of(match))
        start = after
    return entries


def _entry_of(match: re.Match[bytes]) -> Entry:
    index, term, time, member, boot, sequence, reach, command, configuration, before = match.groups()
    if command is not None:
        id = ProposalId(int(member), int(boot), int(sequence), int(reach))
        return Entry(int(index), int(term), int(time), Kind.COMMAND, id, command, match[0])
    if configuration is not None:
        return Entry(int(index), int(term), int(time), Kind.CONFIGURATION, None, configuration, match[0])
    if before is not None:
        return Entry(int(index), int(term), int(time), Kind.CLOCK, None, before, match[0])
    return Entry(int(index), int(term), int(time), Kind.NOOP, None, b"null", match[0])


def command_of_verified(line: bytes, index: int) -> Command:
    """Decode the command of a line whose checksum and index were verified before.

    A quarter of the time of `entry_of_verified`: a page of 50 posts that is in no cache takes 0.2 ms instead of 0.3.
    Raises InvalidMessage.
    """
    match = _COMMAND.match(line)
    if match is None:
        raise InvalidMessage(f"entry {index} is no command")
    return Command(index, int(match[1]), line[match.end() : -2])


def decode_object(payload: bytes) -> dict[str, object]:
    """Decode an unsealed line that is not an entry, as a dict.  Raises InvalidMessage."""
    try:
        value = json.loads(payload)
    except ValueError as error:
        raise InvalidMessage(f"a record that is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidMessage("a record that is not a JSON object")
    return value
