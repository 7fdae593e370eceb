"""Data directories of earlier versions: a member starts on each, and shows what was in it (README.md)."""

import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from chat.commands import KINDS, decode
from chat.state.machine import ChatState
from raft.compaction.compactor import LogPrefix
from raft.core.entries import entry_of_verified
from raft.core.raft_messages import Kind
from raft.storage.disk import RealDisk
from raft.storage.file_names import snapshot_index
from raft.storage.recovery import recover
from raft.storage.segment import decode_header, intact_lines_in, is_void
from tests.formats.held import held
from tests.formats.make import HERE, getting
from tests.formats.running import running

FIXTURES = sorted(path for path in HERE.iterdir() if path.is_dir() and path.name.startswith("format"))
BYTES_MAX = 60_000
LEFT_OUT = {
    "with all files": (),
    "without its checkpoint": ("checkpoint-*",),
    "without its indexes": ("*.idx",),
}


# By the form of a digest: that of the state in each fixture.  Nodes compare only digests of one form.
DIGESTS = {
    "format1-a": {"1.1": "4bcea8907e307bf0b978e665e1b422b2"},
    "format1-b": {"1.1": "16139a70e607d7f58726e88606afa628"},
    "format1-c": {"1.1": "4b1f5b43b9f37c39e2fd959ed308218f"},
}
FORM_RULE = (
    "the bytes that are hashed of one and the same state have changed: raise DIGEST_FORMAT in "
    "chat/state/snapshot/document.py, or in raft/engine/state_machine.py for the engine's part, and add this digest to "
    "DIGESTS under the new form; else nodes of this version and of the one before set each other aside in an upgrade"
)


def expected(fixture: Path) -> dict[str, Any]:
    """What is written down about a fixture."""
    content: dict[str, Any] = json.loads(fixture.with_suffix(".json").read_text(encoding="utf-8"))
    return content


def replayed(fixture: Path) -> Iterator[tuple[Kind, str]]:
    """The kind of each entry, and of a command also its type, that a start without the checkpoint applies."""
    base_index = max(snapshot_index(path.name) for path in fixture.iterdir())
    for path in fixture.glob("log-*.jsonl"):
        for line in intact_lines_in(path.read_bytes()):
            if line[3] is not None and int(line[3]) > base_index:
                entry = entry_of_verified(line[0])
                command = decode(entry.body) if entry.kind is Kind.COMMAND else None
                yield entry.kind, type(command).__name__ if command is not None else ""


def test_each_kind_of_entry_and_of_command_is_in_a_fixture() -> None:
    found = {kind for fixture in FIXTURES for kind in replayed(fixture)}
    assert {kind for kind, _ in found} == set(Kind)
    missing = {"Post", *(kind.__name__ for kind in KINDS.values())} - {name for _, name in found}
    assert missing == set(), "README.md says how a fixture is added"


def test_each_other_kind_of_line_is_in_a_fixture() -> None:
    segments = [path.read_bytes() for fixture in FIXTURES for path in fixture.glob("log-*.jsonl")]
    other = [line[2] for content in segments for line in intact_lines_in(content) if line[3] is None]
    assert any(is_void(payload) for payload in other)
    assert any(payload.startswith(b'{"durable":') for payload in other)
    headers = [decode_header(payload) for payload in other if payload.startswith(b'{"format":')]
    assert len(headers) == len(segments)
    sealed = [header.sealed for header in headers]
    assert all(one.term_runs for one in sealed)
    assert any(one.configurations for one in sealed)


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_a_fixture_is_as_it_was_made_and_small(fixture: Path) -> None:
    files = {path.name: path.read_bytes() for path in fixture.iterdir()}
    assert {name: sha256(content).hexdigest() for name, content in files.items()} == expected(fixture)["Files"]
    assert sum(map(len, files.values())) < BYTES_MAX
    for kind in ("snapshot", "checkpoint", "log"):
        assert any(name.startswith(f"{kind}-") and name.endswith(".jsonl") for name in files)
    assert {"log", "snapshot"} <= {name.partition("-")[0] for name in files if name.endswith(".idx")}


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_the_digest_of_a_state_changes_with_its_form_only(fixture: Path, tmp_path: Path) -> None:
    directory = tmp_path / "raft-chat-1"
    shutil.copytree(fixture, directory)
    last_index = recover(RealDisk(), directory, "", True, None, beside="test").last_index
    state = LogPrefix(RealDisk(), directory, last_index, ChatState(), lambda: None)._state
    digest = sha256(b"".join(state.digest_input())).hexdigest()[:32]
    assert digest == DIGESTS[fixture.name].get(state.digest_format, ""), FORM_RULE


@pytest.mark.parametrize("left_out", LEFT_OUT)
@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_a_member_starts_on_a_fixture_and_shows_what_was_in_it(fixture: Path, left_out: str, tmp_path: Path) -> None:
    directory = tmp_path / "raft-chat-1"
    shutil.copytree(fixture, directory)
    for pattern in LEFT_OUT[left_out]:
        for path in [*directory.glob(pattern)]:
            path.unlink()
    with running(directory) as node:
        assert held(getting(node)) == expected(fixture)["Held"]
    with running(directory) as node:  # and once more, on what this version wrote behind it
        assert held(getting(node)) == expected(fixture)["Held"]
