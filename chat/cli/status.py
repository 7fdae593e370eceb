"""raft-chat status: show the cluster's nodes as a table, as any one of them knows them.

The node that is asked asks the others first, so each row is what that member says now; one that is away keeps the row
that it said last, and the column `heard` says how long ago.
"""

import argparse
import json
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence

from chat.cli.node_client import CommandFailed, NodeClient, add_node, open_client, sub_parser
from chat.cli.option_table import error_line
from chat.logs.log_lines import escaped

TIMEOUT_S = 10.0  # a node answers within its half second for the others; past this the next one is asked
INTERVAL_S, INTERVAL_MIN_S, INTERVAL_MAX_S = 2.0, 0.2, 3600.0
AWAY_MS = 2000  # a member that was asked answers within half a second
HOME, CLEAR_BELOW, CLEAR_LINE = "\x1b[H", "\x1b[J", "\x1b[K"
COLUMNS = ("", "id", "role", "term", "lag", "heard", "version", "disk free", "clock", "url")
NUMERIC = {"id", "term", "lag", "heard", "disk free", "clock"}  # aligned at the right
NOT_SAID = "-"

Cluster = Mapping[str, object]
Row = Sequence[str]


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    parser = sub_parser("status", "Show the nodes of the cluster.  Any node can be asked.")
    parser.add_argument("--watch", action="store_true", help="show the table again and again, until Ctrl-C")
    text = f"seconds between two tables of --watch (default: {INTERVAL_S:g})"
    parser.add_argument("--interval", type=float, default=INTERVAL_S, metavar="SECONDS", help=text)
    parser.add_argument("--json", action="store_true", help="print what the node answers, as a line of JSON")
    add_node(parser, environment)
    given = parser.parse_args(arguments)
    if not INTERVAL_MIN_S <= given.interval <= INTERVAL_MAX_S:
        parser.error(f"--interval: {given.interval:g} is not from {INTERVAL_MIN_S:g} to {INTERVAL_MAX_S:g}")
    client = open_client(given, TIMEOUT_S)
    if given.watch:
        _watch(client, given)
    else:
        sys.stdout.write(_shown(ask(client), as_json=given.json))
    return 0


def ask(client: NodeClient) -> Cluster:
    """The answer of a node to `GET /raft`, with its members.  Raises CommandFailed."""
    value = client.request("GET", "/raft?refresh=true").value
    match value:
        case {"Members": list(), "Id": int()}:
            assert isinstance(value, dict)
            return value
        case {"Role": _}:
            advice = "Pass a user's token with --token, or name the node's directory with --data-dir on its machine."
            raise CommandFailed(f"The node shows its cluster only to users. {advice}")
    raise CommandFailed("The node's answer is not that of a raft-chat node. Check the URL.")


def _watch(client: NodeClient, given: argparse.Namespace) -> None:
    """Show the table until Ctrl-C.  A node that does not answer is a line in its place."""
    pausing = threading.Event()
    while True:
        try:
            text = _shown(ask(client), as_json=given.json)
        except CommandFailed as error:
            text = "" if given.json else f"{error}\n"
            if given.json:
                print(error_line(error, as_json=True), file=sys.stderr, flush=True)
        if sys.stdout.isatty() and not given.json:
            text = HOME + text.replace("\n", f"{CLEAR_LINE}\n") + CLEAR_BELOW
        sys.stdout.write(text)
        sys.stdout.flush()
        pausing.wait(given.interval)


def _shown(cluster: Cluster, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(cluster) + "\n"
    return "\n".join([*_headline(cluster), *_table([COLUMNS, *_rows(cluster)])]) + "\n"


def _headline(cluster: Cluster) -> Iterator[str]:
    """The cluster as a whole, and what is wrong with it."""
    leader = cluster.get("Leader")
    known = f"leader {leader}" if leader else "no leader"
    yield (
        f"cluster {escaped(_said(cluster.get('ClusterId')))[:8]}, {known}, term {_said(cluster.get('Term'))}, "
        f"commit index {_said(cluster.get('CommitIndex'))}, as member {cluster['Id']} knows it"
    )
    if waiting_for := cluster.get("WaitingFor"):
        yield f"member {cluster['Id']} is starting: {escaped(str(waiting_for))}"
    elif not leader:
        yield f"member {cluster['Id']} knows no leader: it reaches no majority of the nodes, or there is an election"
    if cluster.get("Damage"):
        yield f"member {cluster['Id']} has found damage in its files that is not mended yet; its log says where"
    if (scrub := cluster.get("Scrub")) and isinstance(scrub, dict):
        yield f"member {cluster['Id']} {_scrubbed(scrub)}"
    yield from _differences(cluster.get("StateDigest"))


def _differences(compared: object) -> Iterator[str]:
    """The members whose state differs from the others'."""
    if not isinstance(compared, dict):
        return
    for name, what in (
        ("Differing", "the state of member {} differs from a majority's; it serves nobody until it has a new one"),
        ("Undecided", "the states of members {} differ, and no majority agrees; see the logs"),
    ):
        members = compared.get(name)
        if isinstance(members, list) and members:
            yield what.format(", ".join(escaped(_said(member)) for member in members))


def _scrubbed(scrub: Cluster) -> str:
    done, total = scrub.get("DoneBytes"), scrub.get("TotalBytes")
    if scrub.get("Running") and isinstance(done, int) and isinstance(total, int):
        return f"looks for damage in its files: {100 * done // max(total, 1)} % of {_size(total)}"
    found = scrub.get("LastFound")
    return f"looked for damage in its files, until {escaped(_said(scrub.get('LastEnd')))}: {found or 'none'} found"


def _rows(cluster: Cluster) -> Iterator[Row]:
    members = cluster["Members"]
    assert isinstance(members, list)
    for member in members:
        if isinstance(member, dict):
            yield [escaped(cell) for cell in _row(cluster, member)]


def _row(cluster: Cluster, member: Cluster) -> Row:
    own = member.get("Id") == cluster["Id"]
    url = member.get("Advertise") or member.get("Url")
    return (
        "*" if own else "",
        _said(member.get("Id")),
        _role(cluster, member),
        _said(member.get("Term")),
        _lag(cluster, member),
        _ago(member.get("HeardMs")),
        _said(member.get("Version")),
        _size(member.get("DiskFreeBytes")),
        _offset(member.get("ClockOffsetMs")),
        _said(url),
    )


def is_away(member: Cluster) -> bool:
    """Return whether a member did not answer the node that was asked."""
    heard_ms = member.get("HeardMs")
    return not isinstance(heard_ms, int) or heard_ms > AWAY_MS


def _role(cluster: Cluster, member: Cluster) -> str:
    """The role; of a member that does not answer, only that it is away."""
    if member.get("Id") != cluster["Id"] and is_away(member):
        return "away" if member.get("Voting") else "away, no vote"
    if member.get("Id") == cluster.get("Leader"):
        return "leader"
    return _said(member.get("Role")) if member.get("Voting") else "no vote"


def _lag(cluster: Cluster, member: Cluster) -> str:
    """The entries that are committed, and that the member has not applied."""
    committed, applied = cluster.get("CommitIndex"), member.get("LastApplied")
    if not isinstance(committed, int) or not isinstance(applied, int):
        return NOT_SAID
    return str(max(committed - applied, 0))


def _said(value: object) -> str:
    return NOT_SAID if value is None or value == "" else str(value)


def _ago(milliseconds: object) -> str:
    if not isinstance(milliseconds, int):
        return "never"
    if milliseconds < AWAY_MS:
        return "now"
    seconds = milliseconds // 1000
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _size(size: object) -> str:
    if not isinstance(size, int):
        return NOT_SAID
    for unit, bytes_each in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)):
        if size >= bytes_each:
            return f"{size / bytes_each:.1f} {unit}"
    return f"{size / 1024:.1f} KiB"


def _offset(milliseconds: object) -> str:
    if not isinstance(milliseconds, int):
        return NOT_SAID
    return f"{milliseconds:+} ms" if abs(milliseconds) < 10_000 else f"{milliseconds / 1000:+.0f} s"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(COLUMNS, row, widths, strict=True)
        aligned = [cell.rjust(width) if name in NUMERIC else cell.ljust(width) for name, cell, width in cells]
        yield "  ".join(aligned).rstrip()
