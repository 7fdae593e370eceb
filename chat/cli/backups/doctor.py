"""raft-chat doctor DIR: show what a data directory holds, whether it is sound, and what a start would say.

Nothing is written, and no node is asked.  The engine's part is handed in (tools.py).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from chat.cli.backups.tools import BackupTools
from chat.cli.node_client import CommandFailed, sub_parser
from chat.logs.log_lines import escaped

PLACES_MAX: Final = 8  # of one file, in the text
_PLURALS: Final = {"entry": "entries"}
Facts = Mapping[str, Any]


def main(arguments: Sequence[str], environment: Mapping[str, str], tools: BackupTools) -> int:
    """The sub-command; its exit code: 0 if the directory is sound.  Raises CommandFailed or OptionRefused."""
    text = (
        "Examine a data directory: what it holds, whether all of it is sound, and whether a node would start on it.  "
        "Nothing is written, and a node may be running there."
    )
    parser = sub_parser("doctor", text)
    parser.add_argument("directory", metavar="DIR", help="a data directory, like raft-chat-1, or a copy of one")
    parser.add_argument("--json", action="store_true", help="print one object of JSON instead")
    given = parser.parse_args(arguments)
    if not given.directory or "\0" in given.directory:
        parser.error(f"{given.directory!r} is not a path")
    try:
        facts = tools.examine(Path(given.directory))
    except OSError as error:
        raise CommandFailed(f"{given.directory} cannot be read: {error.strerror}") from None
    if given.json:
        print(json.dumps(facts))
    else:
        for line in _lines(facts):
            print(escaped(line))
    return 0 if facts["Sound"] else 1


def _lines(facts: Facts) -> Iterator[str]:
    """The facts, one a line."""
    yield from _owner(facts)
    yield from _log(facts)
    yield from _files(facts)
    yield from _verdict(facts)


def _owner(facts: Facts) -> Iterator[str]:
    directory = facts["Directory"]
    if "Id" not in facts:
        yield f"{directory} holds no node." if not facts["Refusal"] else f"The node of {directory} cannot be told."
    elif facts["ClusterId"]:
        generation = f", generation {facts['Generation']}" if facts["Generation"] else ""
        yield f"{directory} belongs to member {facts['Id']} of cluster {facts['ClusterId']}{generation}."
    else:
        yield f"{directory} belongs to member {facts['Id']}, which has not met its cluster yet."
    if facts["InUseBy"] is not None:
        yield f"A node runs here: process {facts['InUseBy'] or 'unknown'}."


def _log(facts: Facts) -> Iterator[str]:
    if "LastIndex" in facts:
        snapshot = facts["Snapshot"]
        if snapshot:
            yield f"The snapshot {snapshot['File']} holds the state at index {snapshot['Index']:,}."
        yield (
            f"The log goes up to index {facts['LastIndex']:,} in term {facts['Term']:,}; up to index "
            f"{facts['CommitIndex']:,} it is known to be committed."
        )
    if "Messages" in facts:
        yield f"At index {facts['Applied']:,} there are {_content(facts)}."
    for member in facts.get("Members", ()):
        vote = "votes" if member["Voting"] else "has no vote"
        clients = f", for clients {member['Advertise']}" if member["Advertise"] else ""
        yield f"Member {member['Id']} {vote}: {member['Url']}{clients}."
    if facts.get("Level"):
        yield f"The cluster uses level {facts['Level']}."


def _content(facts: Facts) -> str:
    messages, rooms, users = (_count(facts[f"{what}s"], what.lower()) for what in ("Message", "Room", "User"))
    return f"{messages} in {rooms}, and {users}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what if count == 1 else _PLURALS.get(what, what + 's')}"


def _ranges(indexes: Sequence[int]) -> str:
    """Ascending numbers in words: "7, 9 to 12"."""
    ranges: list[list[int]] = []
    for index in indexes:
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    said = [f"{first:,}" if first == last else f"{first:,} to {last:,}" for first, last in ranges[:PLACES_MAX]]
    return ", ".join(said) + (" and others" if len(ranges) > PLACES_MAX else "")


def _files(facts: Facts) -> Iterator[str]:
    kinds = [file["Kind"] for file in facts["Files"]]
    counts = [_count(kinds.count(kind), kind) for kind in ("segment", "snapshot", "checkpoint")]
    yield f"The directory has {facts['Bytes']:,} bytes, with {counts[0]}, {counts[1]} and {counts[2]}."
    for file in facts["Files"]:
        if file.get("UnfinishedBytes"):
            yield (
                f"{file['Name']} ends with {file['UnfinishedBytes']:,} bytes of a write that did not end. "
                "A start cuts them off; nobody was told that they are stored."
            )
        elif file.get("Problem") and not file["Counts"]:
            yield f"{file['Name']} is damaged, and is not needed any more."
        elif file.get("Problem") and file["Kind"] == "checkpoint":
            yield f"{file['Name']} is damaged. A start does without it, and takes longer."


def _what_is_asked(facts: Facts) -> Iterator[str]:
    """Yield the lines on what a node that starts here needs of the other members."""
    holes, awaited = facts.get("Holes"), facts.get("WaitsFor")
    if (holes or awaited) and len(facts["Members"]) == 1:
        yield "There is no other member that could give what is lost."
    elif holes:
        count = _count(len(holes), "entry")
        yield f"A node that starts here asks the other members for {count}: index {_ranges(holes)}."
    if facts.get("NeedsSnapshot"):
        yield "A node that starts here serves no messages before it has the leader's snapshot."
    if awaited:
        yield f"A node that starts here serves no messages before it has index {_ranges(awaited)} from another member."


def _verdict(facts: Facts) -> Iterator[str]:
    for place in facts["Damage"]:
        yield f"Damaged: {place['File']}, byte {place['Offset']:,}: {place['What']}."
        for offset, length in place["Gaps"][:PLACES_MAX]:
            yield f"  From byte {offset:,}, {_count(length, 'byte')} cannot be used."
        if len(place["Gaps"]) > PLACES_MAX:
            yield f"  So it is in {len(place['Gaps']) - PLACES_MAX:,} more places; --json has all."
        if place["Indexes"]:
            yield f"  {_count(len(place['Indexes']), 'entry')} lost there: index {_ranges(place['Indexes'])}."
    yield from _what_is_asked(facts)
    if not facts["Refusal"]:
        yield "A start would begin."
    else:
        yield f"A start would be refused: {facts['Refusal']}"
    yield "All is sound." if facts["Sound"] else "Not all is sound."
