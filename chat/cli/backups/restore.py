"""raft-chat restore: make the data directory of a new cluster from a backup, or from a data directory or its copy."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chat.cli.backups.tools import BackupTools
from chat.cli.importing.command import INTO_ROOM, restore_into_room
from chat.cli.node_client import CommandFailed, sub_parser
from chat.cli.options import read_members
from chat.logs.log_lines import escaped
from chat.state.post_json import timestamp
from raft.backup.report import BackupInvalid, Restored, RestoreRefused

CLUSTER_DEFAULT = "http://127.0.0.1:12379"
DESCRIPTION = """\
Make the data directory of a new cluster of one node.  Start the node with the
same --id, --cluster and --data-dir, then add other nodes to it.  SOURCE is a
backup, a copy of a data directory, or the directory of a stopped node.
With --into-room ROOM, put the messages of an export into a room instead.
"""


def main(arguments: Sequence[str], environment: Mapping[str, str], tools: BackupTools) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    if any(argument.partition("=")[0] == INTO_ROOM for argument in arguments):
        return restore_into_room(arguments, environment)
    parser = sub_parser("restore", DESCRIPTION)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="a backup, or a data directory")
    parser.add_argument("--data-dir", type=Path, required=True, help="the directory to make: new or empty")
    parser.add_argument("--id", type=int, default=1, metavar="N", help="the id of the node (default: 1)")
    text = f"the peer URL of the node, as it is started with (default: {CLUSTER_DEFAULT})"
    parser.add_argument("--cluster", default=CLUSTER_DEFAULT, metavar="URL", help=text)
    given = parser.parse_args(arguments)
    members = read_members(given.cluster, is_tls=True)
    if given.id not in members:
        parser.error(f"--id {given.id} is not a place in --cluster, which has {', '.join(map(str, sorted(members)))}")
    if not given.source.exists():
        raise CommandFailed(f"{given.source} does not exist.")
    try:
        restored = tools.restore(given.source, given.data_dir, given.id, members[given.id])
    except BackupInvalid as invalid:
        raise CommandFailed(f"{given.source} is no sound backup: {invalid}. Nothing was restored.") from None
    except RestoreRefused as refused:
        raise CommandFailed(str(refused)) from None
    except OSError as error:
        raise CommandFailed(f"Nothing was restored: {error}.") from None
    for line in _lines(restored, given.data_dir, len(members) > 1):
        sys.stdout.write(f"{line}\n")
    return 0


def _lines(restored: Restored, data_dir: Path, has_others: bool) -> Iterator[str]:
    yield (
        f"restored cluster {restored.from_cluster_id or '-'} up to index {restored.index} "
        f"as the new cluster {restored.cluster_id}"
    )
    if restored.time:
        yield f"the last entry is of {timestamp(restored.time)}{_age(restored.time)}; what came later is not there"
    if restored.damage:
        yield f"what lies behind index {restored.index} is left out: {escaped(restored.damage)}"
    if restored.unconfirmed:
        yield (
            f"the last {restored.unconfirmed} entries are kept, though this directory does not show that a majority "
            "had them: they were possibly never acknowledged"
        )
    yield f"start it with: raft-chat --id {restored.id} --cluster {restored.id}={restored.url} --data-dir {data_dir}"
    if has_others:
        yield "then add the other nodes: raft-chat member add, with empty data directories and --join"


def _age(time: int) -> str:
    age = datetime.now(UTC) - datetime.fromtimestamp(time / 1e6, UTC)
    if age < timedelta(seconds=1):
        return ""
    seconds = int(age.total_seconds())
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f", {seconds // size} {unit} ago"
    return f", {seconds} seconds ago"
