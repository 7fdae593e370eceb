"""Convert a Slack export into files that `raft-chat import` reads, one for each channel.

    python slack_to_ndjson.py slack-export.zip --output converted
    raft-chat import general converted/general.ndjson

The export is the zip file that Slack makes, or the folder of it.  It needs Python 3.11 and nothing else.

Kept are the text, the author (by the name of their account), the time, edits, threads (a reply says what it answers)
and reactions.  Files stay where they are: the message has their names.  Notices that somebody joined or left are left
out.  A text that is too long for one message becomes several.
"""

import argparse
import json
import re
import sys
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

MESSAGE_POINTS = 8_000
NAME_POINTS = 64
EMOJI_POINTS = 32
EMOJI_MAX, REACTIONS_MAX = 20, 100  # of a message

SKIPPED = {"channel_join", "channel_leave", "group_join", "group_leave"}
# Of the most common names; others stay names, like :party-parrot:.
EMOJI = {
    "+1": "👍", "thumbsup": "👍", "-1": "👎", "thumbsdown": "👎", "heart": "❤", "joy": "😂", "smile": "😄",
    "tada": "🎉", "eyes": "👀", "pray": "🙏", "clap": "👏", "fire": "🔥", "rocket": "🚀", "white_check_mark": "✅",
    "x": "❌", "100": "💯", "wave": "👋", "raised_hands": "🙌", "ok_hand": "👌", "muscle": "💪",
    "thinking_face": "🤔", "cry": "😢", "sob": "😭", "slightly_smiling_face": "🙂",
}  # fmt: skip
BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")  # besides spaces

Json = dict[str, Any]


class Export:
    """The files of an export, in a zip file or in a folder."""

    def __init__(self, path: Path) -> None:
        """Raises SystemExit if there is no export."""
        self._zip = None if path.is_dir() else zipfile.ZipFile(path)
        self._folder = path
        names = self._names()
        # Some zip programs put everything into one more folder.
        roots = [name.removesuffix("channels.json") for name in names if name.endswith("channels.json")]
        if not roots:
            sys.exit(f"{path} is no Slack export: it has no channels.json.")
        self._root = min(roots, key=len)
        self._files = sorted(name for name in names if name.startswith(self._root))

    def channels(self) -> list[str]:
        """The names of the public and private channels."""
        listed = [*self.read("channels.json"), *self.read("groups.json")]
        return [channel["name"] for channel in listed]

    def users(self) -> dict[str, str]:
        """The names of the users by their ids."""
        return {user["id"]: _name(user.get("name") or user["id"], user["id"]) for user in self.read("users.json")}

    def messages(self, channel: str) -> list[Json]:
        """All messages of a channel, oldest first."""
        day = re.compile(re.escape(f"{channel}/") + r"\d{4}-\d\d-\d\d\.json")
        days = [name for name in self._files if day.fullmatch(name.removeprefix(self._root))]
        found = [message for name in days for message in self._read(name) if _time(message.get("ts"))]
        return sorted(found, key=lambda message: _time(message["ts"]))

    def read(self, name: str) -> list[Json]:
        """The list in a file; [] if there is no such file."""
        return self._read(self._root + name) if self._root + name in self._files else []

    def _read(self, name: str) -> list[Json]:
        text = self._zip.read(name) if self._zip is not None else (self._folder / name).read_bytes()
        value = json.loads(text)
        return [each for each in value if isinstance(each, dict)]

    def _names(self) -> list[str]:
        if self._zip is not None:
            return self._zip.namelist()
        return [path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*.json")]


def converted(messages: Sequence[Json], users: Mapping[str, str]) -> Iterator[Json]:
    """The lines for these messages of a channel, oldest first, with Ids 1, 2, 3 …"""
    ids: dict[str, int] = {}  # by the time of the message, which is Slack's name for it
    id = 0
    for message in messages:
        if message.get("type", "message") != "message" or message.get("subtype") in SKIPPED:
            continue
        for part, line in enumerate(_lines(message, users)):
            id += 1
            line = {"Id": id, **line}
            thread = message.get("thread_ts")
            if not part:
                ids[message["ts"]] = id
                if thread != message["ts"] and thread in ids and "Deleted" not in line:
                    line["ReplyTo"] = ids[thread]
            yield line


def _lines(message: Json, users: Mapping[str, str]) -> Iterator[Json]:
    """The lines of one message, without Ids: more than one if its text is too long."""
    author = {"User": _author(message, users), "PostedAt": _moment(message["ts"])}
    if message.get("subtype") == "tombstone":
        yield {**author, "Message": "", "Deleted": True}
        return
    whole = plain_text(str(message.get("text") or ""), users)
    files = [
        f"[file: {_shown(file.get('name') or file.get('title') or 'unnamed')}]" for file in _dicts(message, "files")
    ]
    attached = [
        plain_text(str(each.get("text") or each.get("fallback") or ""), users)
        for each in _dicts(message, "attachments")
    ]
    whole = unicodedata.normalize("NFC", "\n".join(text for text in (whole, *attached, *files) if text.strip()))
    starts = range(0, len(whole), MESSAGE_POINTS)
    for start in starts:
        text = whole[start : start + MESSAGE_POINTS]
        if not _is_visible(text):
            continue
        line: Json = {**author, "Message": text}
        edited = _time((message.get("edited") or {}).get("ts"))
        if edited:
            line["EditedAt"] = _moment(message["edited"]["ts"])
        reactions = _reactions(message, users)
        if reactions and not start:
            line["Reactions"] = reactions
        yield line


def plain_text(text: str, users: Mapping[str, str]) -> str:
    """The text without Slack's markup: mentions, channels, links and the three entities that it escapes."""
    text = re.sub(r"<([^<>]*)>", lambda found: _reference(found[1], users), text)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text.encode(errors="replace").decode()


def _reference(inner: str, users: Mapping[str, str]) -> str:
    target, _, label = inner.partition("|")
    match target[:1]:
        case "@":
            return f"@{users.get(target[1:]) or label or target[1:]}"
        case "#":
            return f"#{label or target[1:]}"
        case "!":
            return label or f"@{target[1:].partition('^')[0]}"
    address = target.removeprefix("mailto:").removeprefix("tel:")
    return f"{label} ({target})" if label and label not in (target, address) else address


def _author(message: Json, users: Mapping[str, str]) -> str:
    id = str(message.get("user") or message.get("bot_id") or "unknown")
    profile = message.get("user_profile") or message.get("bot_profile") or {}
    return users.get(id) or _name(str(message.get("username") or profile.get("name") or id), id)


def _name(text: str, otherwise: str) -> str:
    """The text as a user's name: nothing that hides or reorders text, up to 64 code points."""
    name = unicodedata.normalize("NFC", " ".join(_shown(text).split()))[:NAME_POINTS].strip()
    if name and name not in {".", ".."}:
        return name
    return _name(otherwise, "unknown") if otherwise != text else "unknown"


def _reactions(message: Json, users: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    left = REACTIONS_MAX
    for reaction in _dicts(message, "reactions"):
        name = str(reaction.get("name") or "").partition("::skin-tone")[0]
        emoji = EMOJI.get(name) or f":{_shown(name)}:"[:EMOJI_POINTS]
        if emoji not in found and len(found) == EMOJI_MAX:
            continue
        names = found.setdefault(emoji, {})
        for id in reaction.get("users") or []:
            user = users.get(id) or _name(str(id), "unknown")
            if user not in names and left:
                names[user] = None
                left -= 1
    return {emoji: [*names] for emoji, names in found.items() if names}


def _shown(text: object) -> str:
    """The text without what is invisible, except for blanks."""
    return "".join(point for point in str(text) if point == " " or _is_visible(point))


def _is_visible(text: str) -> bool:
    """Return whether a reader sees anything of the text."""
    return any(unicodedata.category(point)[0] not in "CZ" and point not in BLANK for point in text)


def _dicts(message: Json, name: str) -> list[Json]:
    return [each for each in message.get(name) or [] if isinstance(each, dict)]


def _time(ts: object) -> int:
    """Microseconds since 1970 of a time of Slack's, like "1609459200.000100"; 0 if it is none."""
    found = re.fullmatch(r"(\d{1,11})\.(\d{6})", str(ts or ""), re.ASCII)
    return int(found[1]) * 1_000_000 + int(found[2]) if found else 0


def _moment(ts: str) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=_time(ts))
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert the export that the command line names."""
    parser = argparse.ArgumentParser(description="Convert a Slack export into files that raft-chat import reads.")
    parser.add_argument("export", type=Path, help="the zip file, or its folder")
    parser.add_argument("--output", type=Path, default=Path(), help="the folder for the files (default: this one)")
    parser.add_argument("--channel", action="append", help="a channel to convert, or several (default: all)")
    given = parser.parse_args(arguments)
    export = Export(given.export)
    users = export.users()
    given.output.mkdir(parents=True, exist_ok=True)
    for channel in given.channel or export.channels():
        name = re.sub(r"[^\w.-]", "_", channel).lstrip(".") or "_"
        with (given.output / f"{name}.ndjson").open("w", encoding="utf-8") as file:
            lines = 0
            for line in converted(export.messages(channel), users):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                lines += 1
        sys.stdout.write(f"{name}.ndjson: {lines} messages\n")


if __name__ == "__main__":
    main()
