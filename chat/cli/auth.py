"""raft-chat auth open|login: whether people have to log in, told to a running node."""

from collections.abc import Mapping, Sequence

from chat.cli.node_client import NodeClient, add_data_dir, sub_parser


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    text = (
        "Whether who uses the cluster has to log in.  A node that was started with --auth login turns it back to that."
    )
    parser = sub_parser("auth", text)
    parser.add_argument(
        "auth", choices=("open", "login"), help="open: names are taken on trust, as everybody says them"
    )
    parser.add_argument("--signup", choices=("open", "invite"), help="under a login: who may make an account")
    add_data_dir(parser, environment)
    given = parser.parse_args(arguments)
    body = {"Auth": given.auth} | ({} if given.signup is None else {"Signup": given.signup})
    NodeClient(given.data_dir).request("PATCH", "/settings", body)
    if given.auth == "open":
        print("nobody has to log in; a node that was started with --auth login turns it back: start it without")
    else:
        print("everybody has to log in")
    return 0
