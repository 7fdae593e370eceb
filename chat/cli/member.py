"""raft-chat member add|remove|promote|move: change the cluster's nodes, over any one of them.

Rules
- Each of these may be sent twice without harm: the cluster counts what is already so as done.  So a node that does not
  answer is passed over, and the next one of --from is asked.
- The exit code is 0 if the change is done, 1 if it was refused or no node could take it, 3 if it is not known.
- A removed id can never be used again, so `remove` asks first.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from chat.cli.node_client import (
    NOT_KNOWN,
    CommandFailed,
    NodeClient,
    OutcomeNotKnown,
    add_node,
    open_client,
    sub_parser,
)
from chat.cli.option_table import error_line
from chat.cli.status import Cluster, ask, is_away
from chat.errors import Problem
from chat.services import validation
from raft.core.urls import is_local_url

TIMEOUT_S = 15.0  # a node answers a change within 5 s
YES = ("y", "yes")


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    parser = sub_parser("member", "Add, remove, promote and move nodes of the cluster.  Any node can be asked.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))

    text = "add a node, and print the command that starts it"
    adding = actions.add_parser("add", help=text, description=f"{text.capitalize()}.")
    _add_id(adding, "the id of the new node; an id of a removed one cannot be used again")
    adding.add_argument("url", metavar="URL", help="the URL at which the other nodes reach it")
    adding.add_argument("--no-vote", action="store_true", help="do not let it vote, until it is promoted")
    adding.set_defaults(run=_add)

    text = "remove a node for good.  It stops by itself"
    removing = actions.add_parser("remove", help=text, description=f"{text}.")
    _add_id(removing, "the id of the node")
    removing.add_argument("--yes", action="store_true", help="do not ask")
    removing.set_defaults(run=_remove)

    text = "let a node vote that was added without a vote"
    promoting = actions.add_parser("promote", help=text, description=f"{text.capitalize()}.")
    _add_id(promoting, "the id of the node")
    promoting.set_defaults(run=_promote)

    text = "set the URL at which the other nodes reach a node"
    moving = actions.add_parser("move", help=text, description=f"{text.capitalize()}.")
    _add_id(moving, "the id of the node")
    moving.add_argument("url", metavar="URL", help="its new URL")
    moving.set_defaults(run=_move)

    for each in actions.choices.values():
        each.add_argument("--json", action="store_true", help="print what was done as a line of JSON")
        add_node(each, environment)
    given = parser.parse_args(arguments)
    return carry_out(given)


def carry_out(given: argparse.Namespace) -> int:
    """Run a command that changes the cluster; its exit code.  Raises CommandFailed."""
    try:
        given.run(open_client(given, TIMEOUT_S), given)
    except OutcomeNotKnown as error:
        advice = "raft-chat status shows what became of the change; it may be asked for again."
        unknown = OutcomeNotKnown(f"{str(error).removesuffix('.')}. {advice}")
        print(error_line(unknown, as_json=given.json), file=sys.stderr)
        return NOT_KNOWN
    return 0


def tell(given: argparse.Namespace, text: str, **done: object) -> None:
    """Print what was done: for people, or with --json for programs."""
    print(json.dumps({"Id": given.id, **done}) if given.json else text)


def _add_id(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("id", type=member_id, metavar="ID", help=text)


def member_id(text: str) -> int:
    """The id of a member.  Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of a node, like 4")
    return int(text)


def _url(text: str) -> str:
    try:
        return validation.peer_url("URL", text.encode(errors="surrogateescape"))
    except Problem as problem:
        raise CommandFailed(f"{problem.detail}.") from None


def _add(client: NodeClient, given: argparse.Namespace) -> None:
    url = _url(given.url)
    query = "?voting=false" if given.no_vote else ""
    client.request("POST", f"/raft/{given.id}{query}", url, repeatable=True)
    try:
        command = start_command(ask(client), given.id, url)
    except CommandFailed as error:  # the change is made all the same
        command = f"(how to start it is not known: {error})"
    vote = "It does not vote." if given.no_vote else "It votes once it has caught up."
    text = f"Added member {given.id} at {url}. {vote} Start it on its machine:\n\n  {command}\n"
    if not is_local_url(url):
        text += "\nGive it the cluster's --cluster-secret-file too, or the certificates, as the other nodes have them."
    tell(given, text, Done="added", Url=url, Voting=not given.no_vote, Command=command)


def start_command(cluster: Cluster, id: int, url: str) -> str:
    """The command that starts the new member on its machine; its clients' port is the one above its peers' port.

    On another machine, `--host` is the address at which the others reach it, for its clients.
    """
    members = cluster["Members"]
    assert isinstance(members, list)
    urls = {member["Id"]: str(member["Url"]) for member in members if isinstance(member, dict)} | {id: url}
    listed = ",".join(f"{each}={peer_url}" for each, peer_url in sorted(urls.items()))
    parts = urlsplit(url)
    port = min((parts.port or 80) + 1, 65535)
    words = ["raft-chat", "--id", str(id), "--cluster", listed, "--port", str(port)]
    return shlex.join([*words, *([] if is_local_url(url) else ["--host", parts.hostname or ""]), "--join"])


def _remove(client: NodeClient, given: argparse.Namespace) -> None:
    if not given.yes:
        _confirm(f"Remove member {given.id} for good? Its id cannot be used again. [y/N] ")
    client.request("DELETE", f"/raft/{given.id}", repeatable=True)
    tell(given, f"Removed member {given.id}. Its process ends by itself.", Done="removed")


def _confirm(question: str) -> None:
    """Ask at the terminal.  Raises CommandFailed if the answer is not yes, or there is no terminal."""
    if not sys.stdin.isatty():
        raise CommandFailed("A removed id cannot be used again, and there is no terminal to ask at. Pass --yes.")
    print(question, end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in YES:
        raise CommandFailed("Nothing was changed.")


def _promote(client: NodeClient, given: argparse.Namespace) -> None:
    try:
        client.request("POST", f"/raft/{given.id}/promote", repeatable=True)
    except OutcomeNotKnown:
        if (url := _url_if_away(client, given.id)) is None:
            raise
        raise OutcomeNotKnown(f"Member {given.id} does not answer at {url}; it votes once it has caught up") from None
    tell(given, f"Member {given.id} votes.", Done="promoted")


def _url_if_away(client: NodeClient, id: int) -> str | None:
    """The peer URL of a member that does not answer the others; None: it answers, or is not known."""
    members = ask(client)["Members"]
    assert isinstance(members, list)
    return next((str(each["Url"]) for each in members if each["Id"] == id and is_away(each)), None)


def _move(client: NodeClient, given: argparse.Namespace) -> None:
    url = _url(given.url)
    client.request("PUT", f"/raft/{given.id}", url, repeatable=True)
    text = f"The other nodes look for member {given.id} at {url}. Restart it with this URL in --cluster."
    tell(given, text, Done="moved", Url=url)
