"""raft-chat auth open|login: set by a running node whether users have to sign in."""

from collections.abc import Mapping, Sequence

from chat.cli.node_client import NodeClient, add_data_dir, sub_parser


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    text = (
        "Turn sign-in on (login) or off (open) for the cluster.  A node that runs with --auth login turns it on again."
    )
    parser = sub_parser("auth", text)
    parser.add_argument(
        "auth", choices=("open", "login"), help="open: everybody may use any name; login: users have to sign in"
    )
    parser.add_argument(
        "--signup", choices=("open", "invite"), help="who may sign up.  open: anybody; invite: people with an invite"
    )
    add_data_dir(parser, environment)
    given = parser.parse_args(arguments)
    body = {"Auth": given.auth} | ({} if given.signup is None else {"Signup": given.signup})
    NodeClient(given.data_dir).request("PATCH", "/settings", body)
    if given.auth == "open":
        print(
            "Nobody has to sign in. But a node that runs with --auth login turns sign-in on again: restart it without."
        )
    else:
        print("Everybody has to sign in.")
    return 0
