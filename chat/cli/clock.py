"""raft-chat clock accept: the operator says that the clock is right now.

After a wrong clock has stamped messages with times that are still to come, the log's time goes on from there
(raft/engine/clocks.py).  This sets it to the clock's, so that it may go backwards once.
"""

from collections.abc import Mapping, Sequence

from chat.cli.node_client import CommandFailed, NodeClient, add_data_dir, sub_parser


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    text = (
        "Say that the clock is right now: from then on messages are stamped by it, also where earlier ones are later."
    )
    parser = sub_parser("clock", text)
    parser.add_argument("act", choices=("accept",), metavar="accept", help="set the log's time to the nodes' clocks")
    add_data_dir(parser, environment)
    given = parser.parse_args(arguments)
    answer = NodeClient(given.data_dir).request("POST", "/raft/clock").value
    match answer:
        case {"Before": str(before), "After": str(after)}:
            print(f"the log's time was {before} and is {after}")
            return 0
    raise CommandFailed("the node answered something else than the log's time")
