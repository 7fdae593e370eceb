"""raft-chat verify: check a backup without a node, and say what is in it."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from chat.cli.backups.tools import BackupTools, Content
from chat.cli.node_client import CommandFailed, sub_parser
from chat.logs.log_lines import escaped
from chat.state.post_json import timestamp
from raft.backup.report import BackupInvalid


def main(arguments: Sequence[str], environment: Mapping[str, str], tools: BackupTools) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    parser = sub_parser("verify", "Check a backup.  No node is needed.")
    parser.add_argument("file", type=Path, metavar="FILE", help="the backup, also one that gzip has compressed")
    parser.add_argument("--json", action="store_true", help="print what is in it as a line of JSON")
    given = parser.parse_args(arguments)
    content = verified(given.file, tools)
    sys.stdout.write(_json(content) if given.json else _text(given.file, content))
    return 0


def verified(path: Path, tools: BackupTools) -> Content:
    """Return what a backup holds.  Raises CommandFailed."""
    try:
        return tools.verify(path)
    except BackupInvalid as invalid:
        raise CommandFailed(f"{path} is no sound backup: {invalid}. Do not restore it.") from None
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror or error}.") from None


def _json(content: Content) -> str:
    header = {"".join(map(str.capitalize, name.split("_"))): value for name, value in asdict(content.header).items()}
    counts = {"Messages": content.messages, "Rooms": content.rooms, "Users": content.users}
    return json.dumps({**header, **counts}) + "\n"


def _text(path: Path, content: Content) -> str:
    header = content.header
    generation = f", generation {header.generation}" if header.generation else ""
    return (
        f"{escaped(str(path))} is a sound backup\n"
        f"cluster     {header.cluster_id}{generation}\n"
        f"index       {header.index}, of term {header.term}\n"
        f"last entry  {timestamp(header.time)}\n"
        f"made        {header.made_at}, by version {escaped(header.program)}\n"
        f"holds       {content.messages} messages, {content.rooms} rooms, {content.users} users\n"
    )
