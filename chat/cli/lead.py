"""raft-chat lead ID: make a node the leader, over any node of the cluster."""

import argparse
from collections.abc import Mapping, Sequence

from chat.cli.member import carry_out, member_id, tell
from chat.cli.node_client import NodeClient, add_node, sub_parser


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    parser = sub_parser("lead", "Make a node the leader, for example before you stop the one that leads.")
    parser.add_argument("id", type=member_id, metavar="ID", help="the id of the node")
    parser.add_argument("--json", action="store_true", help="print what was done as a line of JSON")
    add_node(parser, environment)
    parser.set_defaults(run=_lead)
    return carry_out(parser.parse_args(arguments))


def _lead(client: NodeClient, given: argparse.Namespace) -> None:
    client.request("POST", f"/raft/{given.id}/lead", repeatable=True)
    tell(given, f"Member {given.id} leads.", Done="leads")
