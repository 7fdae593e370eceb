"""raft-chat clock accept: set the log's time to the nodes' clocks.

After a wrong clock has stamped messages with future times, the log's time goes on from there (raft/engine/clocks.py).
This command sets it back to the clocks, so it may go backwards once.
"""

from collections.abc import Mapping, Sequence

from chat.cli.node_client import CommandFailed, NodeClient, add_data_dir, sub_parser


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    text = (
        "After a wrong clock: give new messages the time of the nodes' clocks, even if earlier ones have a later time."
    )
    parser = sub_parser("clock", text)
    parser.add_argument("act", choices=("accept",), metavar="accept", help="set the log's time to the nodes' clocks")
    add_data_dir(parser, environment)
    given = parser.parse_args(arguments)
    answer = NodeClient(given.data_dir).request("POST", "/raft/clock").value
    match answer:
        case {"Before": str(before), "After": str(after)}:
            print(f"The log's time was {before} and is now {after}.")
            return 0
    raise CommandFailed("The node's answer does not have the log's time. Is it the same version?")
