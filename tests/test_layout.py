"""The house stands as the design draws it: floors that import only downwards, two dependencies, files that are found.

A new module fails here until it has been given its place in FLOORS: where it stands is a decision, not an accident.
"""

import ast
import configparser
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From the ground up; modules that share a line do not import each other.
FLOORS = (
    ("raft.core.boots", "raft.errors", "raft.core.raft_messages", "raft.core.planes", "raft.engine.timing", "raft.core.urls"),
    ("raft.core.configuration", "raft.core.entries"),
    ("raft.rpc.codec", "raft.rpc.peer_auth"),
    ("raft.core.log", "raft.core.pieces", "raft.core.progress"),
    ("raft.core.node",),
    ("raft.storage.disk",),
    ("raft.storage.identity", "raft.storage.positions", "raft.storage.reserve", "raft.storage.segments"),
    ("raft.storage.contents", "raft.storage.snapshots"),
    ("raft.storage.documents", "raft.storage.indexes", "raft.storage.snapshot_receiver"),
    ("raft.storage.file_set",),
    ("raft.storage.reader",),
    ("raft.storage.recovery",),
    ("raft.storage.log_store",),
    ("raft.rpc.peer_client",),
    ("raft.rpc.endpoint", "raft.cluster.bootstrap", "raft.rpc.peer_ports", "raft.cluster.starting_member", "raft.engine.leader_contact", "raft.engine.damage"),
    # The driver, from its parts up to the whole member.
    ("raft.cluster.changes", "raft.engine.node_lock", "raft.engine.proposals", "raft.engine.queues", "raft.core.client_sessions"),
    ("raft.engine.state_machine",),
    ("raft.compaction.compactor", "raft.engine.snapshot_transfer"),
    ("raft.engine.applier", "raft.engine.clocks", "raft.engine.removal_check", "raft.engine.gossip", "raft.engine.replication"),
    ("raft.compaction.policy",),
    ("raft.compaction.child_process",),
    ("raft.engine.group_commit",),
    ("raft.engine.driver", "raft.engine.forwarding"),
    ("raft.cluster.admin",),
    ("raft.cluster.member",),
    ("raft",),
    ("chat.server.failure_log", "chat.replica"),
    ("chat.server.networks", "chat.errors"),
    (
        "chat.services.validation",
        "chat.auth.secrets",
        "chat.server.base_path",
        "chat.auth.rate_limits",
        "chat.auth.cookies",
        "chat.services.confusable_names",
        "chat.auth.origins",
        "chat.state.name_pages",
        "chat.auth.proxies",
    ),
    ("chat.commands.accounts", "chat.commands.json_codec"),
    ("chat.commands.cluster", "chat.commands.posts", "chat.commands.rooms"),
    ("chat.services.mentions",),
    ("chat.commands",),
    ("chat.state.room_details", "chat.state.forgotten_rooms", "chat.state.post_revisions"),
    ("chat.state.room", "chat.state.client_ids"),
    # The replicated state: values, the tables of them, what a command does to these, and the whole.
    ("chat.state.accounts", "chat.state.log_times", "chat.state.read_positions", "chat.state.settings"),
    ("chat.state.events", "chat.state.room_directory"),
    ("chat.state.results", "chat.state.tables"),
    ("chat.state.permissions", "chat.state.snapshot.section"),
    ("chat.state.apply.read_markers",),
    ("chat.state.snapshot.sections.*", "chat.state.room_views"),
    ("chat.state.snapshot.sections",),
    ("chat.state.snapshot.document",),
    ("chat.state.apply.credentials", "chat.state.apply.posting", "chat.state.apply.settings"),
    ("chat.state.apply.expiry",),
    ("chat.state.apply.users", "chat.state.apply.posts", "chat.state.apply.rooms"),
    ("chat.state.apply.pins",),
    ("chat.state.machine",),
    ("chat.refusals",),
    (
        "chat.services.sessions",
        "chat.services.posts",
        "chat.services.proposing",
        "chat.services.rooms",
        "chat.services.read_markers",
        "chat.auth.token_activity",
        "chat.services.startup_messages",
        "chat.services.room_names",
    ),
    ("chat.services.settings", "chat.services.users", "chat.auth.authenticator", "chat.services.maintenance", "chat.services.revising"),
    ("chat.services.invites",),
    # The server loop, which knows nothing of a chat.
    ("chat.server.limits", "chat.server.sockets", "chat.server.workers"),
    ("chat.server.slow_readers",),
    ("chat.server.http", "chat.server.send_queue", "chat.server.poller"),
    ("chat.server.responses",),
    ("chat.server.request_reader",),
    ("chat.server.http_connection",),
    ("chat.server.server",),
    # The websockets.
    ("chat.realtime.frames", "chat.server.freed_memory", "chat.realtime.broadcast", "chat.realtime.processor_time"),
    ("chat.realtime.websocket_connection",),
    ("chat.realtime.registry", "chat.realtime.cursors"),
    ("chat.realtime.channels",),
    ("chat.realtime.hub",),
    ("chat.services.post_cache", "chat.realtime.replies"),
    ("chat.realtime.majority", "chat.realtime.presence", "chat.realtime.subscription"),
    ("chat.realtime.authentication",),
    ("chat.realtime.actions",),
    ("chat.realtime.protocol",),
    ("chat.realtime.handshake",),
    ("chat.realtime.sse",),
    ("chat.api.dependencies",),
    ("chat.api.request",),
    ("chat.api.reads", "chat.api.schemas"),
    ("chat.services.export", "chat.api.router"),
    ("chat.api.routes.paging",),
    ("chat.api.openapi", "chat.api.routes.*"),
    ("chat.app",),
    ("chat.cli.log_lines", "chat.cli.operator_file", "chat.cli.options"),
    ("chat.cli.node_client",),
    ("chat.cli.node_socket",),
    ("chat.cli.*",),
    ("chat", "chat.state", "chat.api.routes", "chat.cli", "static"),
    ("raft_chat",),
)

# The protocol is pure: whatever it knows of time, chance or the world is handed to it.  wire.py keeps it company.
CORE = ("raft.core.node", "raft.rpc.codec")
NOT_IN_THE_CORE = {"time", "threading", "os", "socket", "logging", "random"}

# What the chat may name of the engine: values and how numbers are packed, never its machinery.  The seam itself is
# chat/replica.py.
ENGINE_VALUES = {"raft.errors", "raft.core.configuration", "raft.core.raft_messages", "raft.core.planes"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources() -> dict[str, Path]:
    files = [ROOT / "raft_chat.py", *(p for top in ("raft", "chat", "static") for p in (ROOT / top).rglob("*.py"))]
    return {module_name(path): path for path in files if path.exists()}


def imports_of(path: Path) -> Iterator[str]:
    """Every module that the file imports, wherever in it; `from a import b` names a.b where that is a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides which floor it reaches for"
            assert node.module is not None
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name for name in inner if name in sources()]
            yield from found
            if len(found) < len(inner):
                yield node.module


def floor_of(module: str) -> int:
    for height, names in enumerate(FLOORS):
        if module in names or f"{module.rpartition('.')[0]}.*" in names:
            return height
    raise AssertionError(f"{module} has no place in FLOORS")


def own_imports(module: str) -> list[str]:
    return [name for name in imports_of(sources()[module]) if name in sources() and name != module]


def stands_on(modules: Iterable[str]) -> set[str]:
    """The modules and all that they import, and what those import."""
    found: set[str] = set()
    waiting = set(modules) & set(sources())
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= set(own_imports(module)) - found
    return found


@pytest.mark.parametrize("module", sorted(sources()))
def test_a_module_imports_only_from_floors_below_it(module: str) -> None:
    here = floor_of(module)
    assert {name: floor_of(name) for name in own_imports(module) if floor_of(name) >= here} == {}


def test_the_engine_knows_nothing_of_the_chat() -> None:
    above = {
        (module, name)
        for module, path in sources().items()
        if module.split(".")[0] == "raft"
        for name in imports_of(path)
        if name.split(".")[0] in {"chat", "raft_chat", "static"}
    }
    assert above == set()


def test_the_chat_sees_only_values_of_the_engine() -> None:
    seen = {
        (module, name)
        for module in sources()
        if module.split(".")[0] == "chat"
        for name in own_imports(module)
        if name.split(".")[0] == "raft" and name not in ENGINE_VALUES
    }
    assert seen == set()


def test_the_core_has_no_clock_no_thread_no_disk_and_no_dice() -> None:
    impure = {
        (module, name)
        for module in stands_on(CORE)
        for name in imports_of(sources()[module])
        if name.split(".")[0] in NOT_IN_THE_CORE
    }
    assert impure == set()


def test_it_runs_on_two_dependencies() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split("\n")
    names = [re.split(r"[\s<>=!~;\[]", line.strip())[0] for line in lines if line.strip()]
    assert names == ["werkzeug", "simple-websocket"]


def test_every_package_is_shipped() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    shipped = set(config["options"]["packages"].split())
    assert shipped == {name for name, path in sources().items() if path.name == "__init__.py"}
