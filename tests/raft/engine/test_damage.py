"""What is known to be damaged outlives the process that found it, until it is mended."""

import json
from pathlib import Path

import pytest

from raft.core.raft_messages import HardState
from raft.engine.damage import DAMAGE_MAX, NAME, Damage
from raft.errors import CorruptLog
from raft.storage.disk import RealDisk
from raft.storage.log_store import Storage
from tests.raft.disks import entries


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    """A segment with three entries, of which the second has a flipped bit."""
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(HardState(1, 1, 0), entries(1, 3))
    storage.close()
    (path,) = tmp_path.glob("log-*.jsonl")
    flip(path)
    return path


def flip(path: Path) -> int:
    """Flip a bit of the second entry, or flip it back; the offset of its line."""
    content = bytearray(path.read_bytes())
    place = content.index(b'"index":2') + 1
    offset = content.rindex(b"\n", 0, place) + 1
    content[offset + 80] ^= 1
    path.write_bytes(content)
    return offset


def found(path: Path, offset: int) -> CorruptLog:
    return CorruptLog(str(path), offset, "entry 2 is damaged", "act")


def test_damage_that_is_still_there_is_logged_and_shown_by_the_next_start(
    segment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    offset = flip(segment)
    flip(segment)
    Damage(RealDisk(), segment.parent).note(found(segment, offset))
    caplog.clear()
    again = Damage(RealDisk(), segment.parent)
    again.recheck()
    assert again.found() == [{"File": segment.name, "Offset": offset}]
    assert f"{segment}: damage that was found earlier is still there at byte {offset}" in caplog.text
    assert not again.note(found(segment, offset)), "it is no news"


def test_damage_that_was_mended_or_has_gone_is_forgotten(segment: Path, caplog: pytest.LogCaptureFixture) -> None:
    offset = flip(segment)
    noted = Damage(RealDisk(), segment.parent)
    noted.note(found(segment, offset))
    noted.note(found(segment.with_name("log-00000009-000000000000001.jsonl"), 7))
    caplog.clear()
    again = Damage(RealDisk(), segment.parent)
    again.recheck()
    assert (again.found(), caplog.text) == ([], "")
    assert (segment.parent / NAME).read_bytes() == b""


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[1]\n", b'{"File":"x"}\n', b'{"File":"x","Offset":"y"}\n', b"\xff",
        pytest.param(b"[" * 100_000, id="nested too deep"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_read_does_not_keep_a_node_from_starting(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    damage = Damage(RealDisk(), tmp_path)
    damage.recheck()
    assert damage.found() == []


def test_a_list_names_files_of_its_own_directory_only_and_so_many(tmp_path: Path) -> None:
    inside = tmp_path / "data"
    inside.mkdir()
    (tmp_path / "outside").write_bytes(b"no line of a log\n")
    place = {"File": "../outside", "Offset": 0}
    (inside / NAME).write_text("".join(json.dumps(place) + "\n" for _ in range(2 * DAMAGE_MAX)))
    damage = Damage(RealDisk(), inside)
    damage.recheck()
    assert damage.found() == []


def test_a_left_over_of_a_crash_is_in_nobodys_way(segment: Path) -> None:
    (segment.parent / f"{NAME}.tmp").write_bytes(b"half")
    Damage(RealDisk(), segment.parent).note(found(segment, 3))
    assert json.loads((segment.parent / NAME).read_bytes())["Offset"] == 3


def test_without_a_directory_damage_is_kept_in_memory(segment: Path) -> None:
    damage = Damage()
    damage.recheck()
    assert damage.note(found(segment, 5))
    assert damage.found() == [{"File": segment.name, "Offset": 5}]
    assert not (segment.parent / NAME).exists()
