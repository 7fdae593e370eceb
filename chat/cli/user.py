"""raft-chat user …: manage users by a running node."""

import argparse
import getpass
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO
from urllib.parse import quote

from chat.cli.node_client import CommandFailed, NodeClient, add_data_dir, sub_parser

_USERS = "/users"


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    parser = sub_parser("user", "Add, list and change users.  A node of the cluster has to run on this machine.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))

    _define_add(actions.add_parser("add", help="add a user", description="Add a user."))
    listing = actions.add_parser("list", help="list all users", description="List all users.")
    listing.set_defaults(run=_list)
    for action, active, text in (
        ("deactivate", False, "end a user's sessions and tokens, and let them sign in no more.  Their messages stay"),
        ("activate", True, "let a deactivated user sign in again"),
    ):
        changing = actions.add_parser(action, help=text, description=f"{text[0].upper()}{text[1:]}.")
        changing.add_argument("name", metavar="NAME")
        changing.set_defaults(run=_change, active=active)
    text = "set a user's password, and end all their sessions and tokens"
    setting = actions.add_parser("password", help=text, description=f"{text[0].upper()}{text[1:]}.")
    setting.add_argument("name", metavar="NAME")
    _add_password_stdin(setting)
    setting.set_defaults(run=_set_password)

    for each in actions.choices.values():
        add_data_dir(each, environment)
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except UnicodeEncodeError:
        raise CommandFailed(f"The name {given.name!r} is not UTF-8.") from None
    return 0


def _define_add(adding: argparse.ArgumentParser) -> None:
    adding.add_argument("name", metavar="NAME")
    role = adding.add_mutually_exclusive_group()
    role.add_argument(
        "--admin", dest="role", action="store_const", const="admin", help="an admin, who may do everything"
    )
    role.add_argument(
        "--guest", dest="role", action="store_const", const="guest", help="a guest, who sees only the rooms of --room"
    )
    adding.add_argument(
        "--room", dest="rooms", metavar="ROOM", action="append", default=[], help="a room to add them to; repeatable"
    )
    adding.add_argument("--display-name", help="the name to show instead of NAME")
    password = adding.add_mutually_exclusive_group()
    _add_password_stdin(password)
    password.add_argument(
        "--no-password", action="store_true", help="reserve the name: nobody can sign in until it has a password"
    )
    adding.set_defaults(run=_add, role="member")


def _add_password_stdin(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--password-stdin", action="store_true", help="read the password from the first line of stdin")


def _add(given: argparse.Namespace) -> None:
    client = NodeClient(given.data_dir)
    body = {"Name": given.name, "Role": given.role, "Rooms": given.rooms}
    if given.display_name is not None:
        body["DisplayName"] = given.display_name
    if not given.no_password:
        body["Password"] = _password(given)
    client.request("POST", _USERS, body)
    print(f"Made user {given.name}: {given.role}{', without a password' if given.no_password else ''}.")


def _list(given: argparse.Namespace) -> None:
    client = NodeClient(given.data_dir)
    target: str | None = _USERS
    while target is not None:
        users, target = client.request("GET", target)
        for user in users if isinstance(users, list) else ():
            state = "active" if user["Active"] else "not active"
            print(f"{user['Name']}\t{user['Role']}\t{state}\t{user['DisplayName']}")


def _change(given: argparse.Namespace) -> None:
    NodeClient(given.data_dir).request("PATCH", _path(given.name), {"Active": given.active})
    print(f"User {given.name} is {'active' if given.active else 'not active any more'}.")


def _set_password(given: argparse.Namespace) -> None:
    client = NodeClient(given.data_dir)
    client.request("PATCH", _path(given.name), {"Password": _password(given)})
    print(f"User {given.name} has a new password.")


def _path(name: str) -> str:
    return f"{_USERS}/{quote(name, safe='')}"


def _first_line(stream: TextIO) -> str:
    """The first line, whatever the locale, without its end and a byte order mark.  Raises CommandFailed."""
    try:
        line = stream.buffer.readline().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CommandFailed("The password on stdin is not UTF-8.") from None
    return line.removesuffix("\n").removesuffix("\r")


def _password(given: argparse.Namespace) -> str:
    """Read the password from stdin, or ask for it twice.  Raises CommandFailed."""
    if given.password_stdin:
        return _first_line(sys.stdin)
    if not sys.stdin.isatty():
        raise CommandFailed("There is no terminal to type a password at. Pipe it in with --password-stdin.")
    password = getpass.getpass(f"Password for {given.name}: ")
    if getpass.getpass("Once more: ") != password:
        raise CommandFailed("The two passwords are not the same.")
    return password
