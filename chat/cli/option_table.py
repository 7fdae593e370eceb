"""The table of a node's options, and the parser and the help text that are made of it."""

import argparse
import json
from typing import Final, NamedTuple, NoReturn

from chat.logs.log_lines import escaped

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
VALUE, REPEATED, SWITCH = "value", "repeated", "switch"  # a switch on the command line is "true" elsewhere


class Option(NamedTuple):
    """A row of the table: the name without its hyphens, and what --help shows."""

    name: str
    metavar: str  # "" for a switch
    help: str
    kind: str = VALUE


OPTIONS: Final = (
    Option("id", "N", "the id of this node: its place in --cluster, from 1 (default: 1)"),
    Option(
        "cluster",
        "URLS",
        "the peer URL of every node, with commas between; nodes talk to each other at these URLs.  ID=URL "
        "sets a node's id (default: http://127.0.0.1:12379)",
    ),
    Option("port", "PORT", "the port for clients (default: 12380)"),
    Option("host", "HOST", "the address to listen on for clients (default: 127.0.0.1)"),
    Option(
        "peer-host",
        "ADDRESS",
        "the address, or address:port, to listen on for the other nodes (default: this node's URL in --cluster)",
    ),
    Option("join", "", "join a running cluster.  Add the node there first: POST /raft/<id>", SWITCH),
    Option("advertise", "URL", "the URL that clients use for this node (default: --host and --port)"),
    Option("cert", "FILE", "encrypt the clients' port (TLS) with this certificate and its chain, in PEM"),
    Option("key", "FILE", "the private key of --cert, in PEM.  SIGHUP reads both files again"),
    Option(
        "http-port",
        "PORT",
        "with --cert: send clients from plain http on this port to https on --port (default: none)",
    ),
    Option("base-path", "PATH", "the path of the chat behind a proxy, like /chat (default: none)"),
    Option(
        "trust-proxy",
        "NETWORKS",
        "trust X-Forwarded-For, -Proto, -Host and Forwarded from proxies in these networks, like "
        "10.0.0.0/8,::1.  You can repeat this option (default: none)",
        REPEATED,
    ),
    Option(
        "allowed-host",
        "NAME",
        "answer requests for this host name too.  IP addresses, localhost, the machine's name and the names "
        "in --advertise are always allowed.  You can repeat this option (default: none)",
        REPEATED,
    ),
    Option(
        "allow-origin",
        "URL",
        "let web pages of this origin use the chat with Bearer tokens, like https://intranet.example.  You "
        "can repeat this option (default: none)",
        REPEATED,
    ),
    Option(
        "auth-header",
        "NAME",
        "sign in the user that a trusted proxy names in this header, like X-Remote-User (default: none)",
    ),
    Option(
        "auth-role-header",
        "NAME",
        "give that user the role in this header, like X-Remote-Role: admin, member or guest (default: none)",
    ),
    Option(
        "cluster-secret-file",
        "FILE",
        "a file with the secret that the nodes of a cluster share, to keep everybody else out (default: none)",
    ),
    Option("peer-cert", "FILE", "this node's certificate for TLS between the nodes (default: no TLS)"),
    Option("peer-key", "FILE", "the private key of --peer-cert"),
    Option("peer-ca", "FILE", "the authority that has signed the certificates of all nodes"),
    Option(
        "accept-unsigned-peers",
        "",
        "talk to nodes without the secret too, while you give it to one node after the other",
        SWITCH,
    ),
    Option(
        "insecure-peers",
        "",
        "start without a secret although other machines can reach the peer port: whoever does owns the cluster",
        SWITCH,
    ),
    Option("data-dir", "DIR", "this node's data directory (default: raft-chat-<id>)"),
    Option(
        "moved",
        "",
        "start on a copied or moved data directory: its newest copy, and no other one may ever run again",
        SWITCH,
    ),
    Option(
        "auth",
        "MODE",
        "open: anybody may use any name; login: users sign in.  Without this option, the cluster keeps its "
        "mode; a new cluster is open",
    ),
    Option(
        "signup",
        "WHO",
        "who may sign up, with --auth login.  open: anybody; invite: people with an invite (default: invite)",
    ),
    Option("heartbeat-ms", "MS", "the leader sends a heartbeat each MS milliseconds (default: 60)"),
    Option(
        "election-timeout-ms",
        "MS",
        "a node that hears no leader for MS to 2 x MS milliseconds calls an election (default: 300)",
    ),
    Option("compact-mib", "MIB", "do not compact a log of less than MIB MiB (default: 64)"),
    Option(
        "scrub-mb-per-s",
        "MB",
        "look for damage in this node's files by itself, once a week and after a start, reading at most MB "
        "megabytes a second; 0: only when asked (default: 8)",
    ),
    Option("metrics-token-file", "FILE", "a file with the token that may read /metrics (default: none)"),
    Option("log-level", "LEVEL", f"one of {', '.join(LOG_LEVELS)} (default: info)"),
    Option("log-format", "FORMAT", "text: a line for people; json: an object a line, for programs (default: text)"),
    Option("access-log", "", "print a line on stdout for each request, in the format of --log-format", SWITCH),
    Option("config", "FILE", "a TOML file with any of these options"),
)
_EPILOG = """\
Other commands, each with its own --help:
  raft-chat status  show the nodes of the cluster
  raft-chat member  add, remove, promote and move nodes
  raft-chat lead    make a node the leader
  raft-chat send    send messages to a room
  raft-chat tail    show the messages of a room, and new ones as they come
  raft-chat user    add, list and change users
  raft-chat auth    turn sign-in on or off
  raft-chat cert    make certificates for TLS
  raft-chat clock   repair the time of messages after a clock was wrong
  raft-chat backup  back up the whole chat as one file
  raft-chat verify  check a backup
  raft-chat restore  make a new cluster from a backup or a data directory
  raft-chat import  put the messages of an export into a room
  raft-chat doctor  examine a data directory: what it holds, and whether it is sound
  raft-chat bundle  write the program to one file that runs without an installation

`raft-chat version` prints the version.
Each option can also come from the environment, like RAFT_CHAT_PORT=12380, or
from the file that --config names.
"""


class OptionRefused(Exception):
    """An error in one line for stderr; unprintable characters are escaped."""

    def __init__(self, text: str) -> None:
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


def error_line(error: Exception, *, as_json: bool) -> str:
    """An error as a line for stderr: text for people, or with --json an object for programs."""
    # A node's words may be in it.
    return json.dumps({"error": str(error)}) if as_json else f"raft-chat: {escaped(str(error))}"


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        raise OptionRefused(message)


def node_parser() -> Parser:
    """Make the parser of a node's flags, and of --config."""
    parser = Parser(
        prog="raft-chat",
        description="Start a node of raft-chat, a highly available chat server without a database.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    for name, metavar, text, kind in OPTIONS:
        if kind == SWITCH:
            parser.add_argument(f"--{name}", action="store_const", const="true", help=text)
        else:
            action = "append" if kind == REPEATED else "store"
            parser.add_argument(f"--{name}", metavar=metavar, action=action, help=text)
    return parser
