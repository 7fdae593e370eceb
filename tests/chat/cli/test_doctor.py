"""raft-chat doctor: the facts of a data directory, in the words of a start, and without a trace in the directory."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import pytest

import raft_chat
from chat.cli.backups.doctor import _what_is_asked
from chat.commands import LEVEL, NOBODY, Actor
from chat.commands.cluster import ForgetRooms
from chat.commands.rooms import DeleteRoom
from chat.state.machine import ChatState
from raft.cluster.examination import examine
from raft.errors import StartRefused
from raft.storage.disk import RealDisk
from raft.storage.identity import Founder, load, load_or_create, lock_directory, save, settle
from raft.storage.log_store import Storage
from tests.formats.running import ID, running
from tests.formats.scene import Scene
from tests.support.cluster import COMMAND, environment
from tests.support.tools import absent, require

RUN_S = 30
MESSAGES = 90
TEXT = "A message of some length, so that a few of them end a segment. " * 2
ANN = Actor(NOBODY, "ann")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a sole voter: a snapshot, segments above it, a checkpoint, and an end."""
    directory = tmp_path_factory.mktemp("doctor") / "raft-chat-1"
    with running(directory) as node:
        scene = Scene(node.member.propose, node.member.agreed_time, "")
        for number in range(MESSAGES):
            scene.post(ANN, "general", f"{number} {TEXT}")
            if number == MESSAGES // 3:
                node.maintenance.compact(node.member.last_applied)
        node.maintenance.checkpoint()
        scene.post(ANN, "doomed", TEXT)
        scene.do(DeleteRoom(ANN, "doomed"))
        for _ in range(3):  # the last entry may not be known to be committed when the node stops
            scene.do(ForgetRooms(()))
    return directory


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage; a sole voter starts on copies."""
    shutil.copytree(made, tmp_path / "raft-chat-1")
    return tmp_path / "raft-chat-1"


def state_of(directory: Path) -> dict[str, tuple[int, bytes]]:
    """All that may be seen of a directory: the content and the times of its files, and its own time."""
    files = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in directory.iterdir()}
    return {**files, ".": (directory.stat().st_mtime_ns, b"")}


class Doctor:
    """Runs the command, and checks each time that nothing was changed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def lines(self, directory: Path, code: int) -> list[str]:
        return self._run(directory, code).splitlines()

    def facts(self, directory: Path, code: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._run(directory, code, "--json"))
        return found

    def _run(self, directory: Path, code: int, *flags: str) -> str:
        before = state_of(directory)
        assert raft_chat.main(["doctor", str(directory), *flags]) == code
        assert state_of(directory) == before
        output = self._capsys.readouterr()
        assert output.err == ""
        return output.out


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(capsys)


def start_says(directory: Path, *, alone: bool = True) -> str | None:
    """The refusal of a real start on a copy, by the steps that it takes before it opens a port."""
    copy = directory.with_name("started")
    shutil.copytree(directory, copy)
    disk = RealDisk()
    try:
        identity = load_or_create(disk, copy, ID)
        Storage.open(disk, copy, identity.cluster_id, must_exist=bool(identity.founders)).close()
        settle(disk, copy, identity, alone=alone, moved=False)
    except StartRefused as refused:
        return str(refused).replace(str(copy), str(directory))
    return None


def segments(directory: Path) -> list[Path]:
    """The segments that count: those above the snapshot, the newest last."""
    (snapshot,) = directory.glob("snapshot-*.jsonl")
    base_index = int(snapshot.name[9:24])
    paths = sorted(directory.glob("log-*.jsonl"))
    first = max(place for place, path in enumerate(paths) if int(path.name[13:28]) <= base_index + 1)
    return paths[first:]


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_a_sound_directory_is_told_in_lines(directory: Path, doctor: Doctor) -> None:
    cluster_id = load(RealDisk(), directory).cluster_id  # type: ignore[union-attr]
    (snapshot,) = directory.glob("snapshot-*.jsonl")
    facts = doctor.facts(directory, 0)
    last, known = facts["LastIndex"], facts["CommitIndex"]
    size = sum(path.stat().st_size for path in directory.iterdir())
    count = len([*directory.glob("log-*.jsonl")])
    assert doctor.lines(directory, 0) == [
        f"{directory} belongs to member 1 of cluster {cluster_id}.",
        f"The snapshot {snapshot.name} holds the state at index {int(snapshot.name[9:24])}.",
        f"The log goes up to index {last} in term 1; up to index {known} it is known to be committed.",
        f"At index {known} there are {MESSAGES} messages in 1 room, and 0 users.",
        "Member 1 votes: http://127.0.0.1:12379.",
        f"The cluster uses level {LEVEL}.",
        f"The directory has {size:,} bytes, with {count} segments, 1 snapshot and 1 checkpoint.",
        "A start would begin.",
        "All is sound.",
    ]


def test_a_directory_is_examined_beside_the_node_that_runs_on_it(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(directory) as node:
        Scene(node.member.propose, node.member.agreed_time, "x").post(ANN, "general", TEXT)
        assert raft_chat.main(["doctor", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"A node runs here: process {os.getpid()}." in lines
    words = f"data directory {directory} is in use by another process (pid {os.getpid()})"
    assert lines[-2:] == [f"A start would be refused: {words}", "All is sound."]


def test_a_directory_on_a_disk_that_is_only_read_is_examined(directory: Path) -> None:
    """In a mount namespace of its own.  An index that is missing there cannot be made, and is done without."""
    require(absent("unshare", "mount"))
    segments(directory)[0].with_suffix(".idx").unlink()
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && ! touch "$1"/new 2>&1 && shift && exec "$@"'
    command = [*COMMAND, "doctor", str(directory)]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", str(directory), *command],
        capture_output=True, text=True, timeout=RUN_S, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Read-only file system" in done.stdout
    assert done.stdout.endswith("A start would begin.\nAll is sound.\n")


Damages = Callable[[Path], tuple[str, int] | None]


def flipped_in_a_sealed_segment(directory: Path) -> tuple[str, int]:
    path = segments(directory)[1]
    flip(path, path.read_bytes().index(b'"command"'))
    return path.name, path.read_bytes().rindex(b"\n", 0, path.read_bytes().index(b'"index"')) + 1


def flipped_with_its_index_gone(directory: Path) -> tuple[str, int]:
    name, offset = flipped_in_a_sealed_segment(directory)
    (directory / name).with_suffix(".idx").unlink()
    return name, offset


def short_sealed_segment(directory: Path) -> tuple[str, int]:
    path = segments(directory)[1]
    content = path.read_bytes()
    end = content.rindex(b"\n", 0, len(content) // 2) + 1
    path.write_bytes(content[:end])
    return path.name, end


def missing_segment(directory: Path) -> tuple[str, int]:
    path = segments(directory)[1]
    path.unlink()
    return path.name, 0


def flipped_in_the_snapshot(directory: Path) -> None:
    (snapshot,) = directory.glob("snapshot-*.jsonl")
    flip(snapshot, snapshot.stat().st_size // 2)


def flipped_before_the_end_of_the_newest_segment(directory: Path) -> None:
    path = segments(directory)[-1]
    flip(path, path.read_bytes().index(b'"index"'))


@pytest.mark.parametrize(
    "damage",
    [
        flipped_in_a_sealed_segment, flipped_with_its_index_gone, short_sealed_segment, missing_segment,
        flipped_in_the_snapshot, flipped_before_the_end_of_the_newest_segment,
    ],
    ids=lambda damage: damage.__name__,
)  # fmt: skip
def test_damage_is_named_and_a_start_says_what_the_doctor_says(
    damage: Damages, directory: Path, doctor: Doctor
) -> None:
    place = damage(directory)
    facts = doctor.facts(directory, 1)
    assert not facts["Sound"]
    assert facts["Damage"]
    if place is not None:
        assert place in [(each["File"], each["Offset"]) for each in facts["Damage"]]
    assert facts["Refusal"] == start_says(directory)
    lines = doctor.lines(directory, 1)
    first = facts["Damage"][0]
    assert any(line.startswith(f"Damaged: {first['File']}, byte {first['Offset']:,}") for line in lines)
    assert lines[-1] == "Not all is sound."


def entries_in(path: Path) -> set[int]:
    return {int(found[1]) for found in re.finditer(rb'\{"index":([0-9]+),', path.read_bytes())}


def zeroed_part_of_the_snapshot(directory: Path) -> str:
    (snapshot,) = directory.glob("snapshot-*.jsonl")
    content = snapshot.read_bytes()
    start = 4200  # an index is held against the first and the last 4 KiB of its file
    assert start + 300 < len(content) - 4096
    snapshot.write_bytes(content[:start] + bytes(300) + content[start + 300 :])
    return snapshot.name


def zeroed_part_of_a_segment(directory: Path) -> str:
    path = segments(directory)[1]
    content = path.read_bytes()
    path.write_bytes(content[:2000] + bytes(1000) + content[3000:])
    return path.name


@pytest.mark.parametrize(
    "damage",
    [
        zeroed_part_of_the_snapshot, zeroed_part_of_a_segment,
        lambda directory: short_sealed_segment(directory)[0], lambda directory: missing_segment(directory)[0],
    ],
    ids=["part of the snapshot", "part of a segment", "short segment", "missing segment"],
)  # fmt: skip
def test_the_entries_that_are_lost_in_a_file_are_named(
    damage: Callable[[Path], str], made: Path, directory: Path, doctor: Doctor
) -> None:
    name = damage(directory)
    before, path = entries_in(made / name), directory / name
    intact = {index for index in before if path.exists() and is_intact(path, index)}
    (found,) = doctor.facts(directory, 1)["Damage"]
    assert found["File"] == name
    assert found["Indexes"] == sorted(before - intact)
    assert len(found["Gaps"]) == 1
    lost = before - intact
    words = f"  {len(lost)} entr{'y' if len(lost) == 1 else 'ies'} lost there: index "
    assert any(line.startswith(words) for line in doctor.lines(directory, 1))


def test_an_entry_that_a_start_has_to_apply_and_lacks_is_named(tmp_path: Path, doctor: Doctor) -> None:
    """The log can be opened, because an index is trusted of a file whose ends are as they were."""
    directory = tmp_path / "raft-chat-1"
    with running(directory, segment_bytes=16_000) as node:
        scene = Scene(node.member.propose, node.member.agreed_time, "")
        for number in range(MESSAGES):
            scene.post(ANN, "general", f"{number} {TEXT}")
    path = sorted(directory.glob("log-*.jsonl"))[0]
    found = re.compile(rb'\{"index":([0-9]+)').search(path.read_bytes(), 8_000)
    assert found is not None and path.with_suffix(".idx").exists()
    flip(path, found.end() + 20)
    facts = doctor.facts(directory, 1)
    assert start_says(directory) is None and "Applied" not in facts  # the node is refused as it applies its log
    assert f"{path}: entry {int(found[1])} is damaged" in facts["Refusal"]


def test_what_a_start_waits_for_is_told_where_there_are_other_members() -> None:
    told = [*_what_is_asked({"Holes": [3, 4, 7], "WaitsFor": [7], "Members": [{}, {}]})]
    assert told == [
        "A node that starts here asks the other members for 3 entries: index 3 to 4, 7.",
        "A node that starts here serves no messages before it has index 7 from another member.",
    ]
    assert [*_what_is_asked({"NeedsSnapshot": True, "Members": [{}, {}]})] == [
        "A node that starts here serves no messages before it has the leader's snapshot."
    ]
    assert [*_what_is_asked({"Holes": [3], "WaitsFor": [], "Members": [{}]})] == [
        "There is no other member that could give what is lost."
    ]


def is_intact(path: Path, index: int) -> bool:
    """Return whether the line of this entry is in the file as it was written."""
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if b'{"index":%d,' % index in line]
    return any(line[:8] == b"%08x" % crc32(line[9:-1]) and line.endswith(b"\n") for line in lines)


def damage_at_random(directory: Path, random: Random) -> None:
    """Flip a bit of a file, zero a part of it, cut it, make it longer or remove it."""
    path = random.choice(sorted(path for path in directory.iterdir() if path.suffix in {".jsonl", ".json", ".idx"}))
    content = bytearray(path.read_bytes())
    offset = random.randrange(len(content))
    match random.randrange(5):
        case 0:
            content[offset] ^= 1 << random.randrange(8)
        case 1:
            zeroes = min(512, len(content) - offset)
            content[offset : offset + zeroes] = bytes(zeroes)
        case 2:
            del content[offset:]
        case 3:
            content += random.randbytes(100)
        case _:
            path.unlink()
            return
    path.write_bytes(content)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.repeated
def test_whatever_is_damaged_the_doctor_says_what_a_start_says(seed: int, directory: Path, doctor: Doctor) -> None:
    random = Random(seed)
    for _ in range(random.randrange(1, 3)):
        damage_at_random(directory, random)
    said = start_says(directory)
    facts, _ = examine(directory, LEVEL, ChatState)
    assert facts["Refusal"] == said
    assert doctor.facts(directory, 0 if facts["Sound"] else 1)["Refusal"] == said
    assert not (said and facts["Sound"])


def test_what_a_start_does_without_is_told_and_does_not_make_a_directory_unsound(
    directory: Path, doctor: Doctor
) -> None:
    (checkpoint,) = directory.glob("checkpoint-*.jsonl")
    flip(checkpoint, checkpoint.stat().st_size // 2)
    (replaced, *_) = sorted(directory.glob("log-*.jsonl"))
    assert replaced not in segments(directory)
    flip(replaced, replaced.stat().st_size // 2)
    with segments(directory)[-1].open("ab") as newest:
        newest.write(b'00000000 {"durable":')
    lines = doctor.lines(directory, 0)
    assert f"{checkpoint.name} is damaged. A start does without it, and takes longer." in lines
    assert f"{replaced.name} is damaged, and is not needed any more." in lines
    assert any(line.startswith(f"{segments(directory)[-1].name} ends with 20 bytes of a write") for line in lines)
    assert start_says(directory) is None


def founded(directory: Path, level: int) -> Path:
    """The directory of one of three founders, whose programs have this level."""
    disk = RealDisk()
    lock_directory(disk, directory).close()
    identity = load_or_create(disk, directory, ID)
    founders = {id: Founder(f"http://127.0.0.1:{id}", identity.incarnation, "", level) for id in (1, 2, 3)}
    identity = replace(identity, founders=founders)
    save(disk, directory, identity)
    Storage.open(disk, directory).close()
    settle(disk, directory, identity, alone=False, moved=False)
    return directory


def test_a_copy_of_a_member_of_several_is_refused_in_the_words_of_a_start(tmp_path: Path, doctor: Doctor) -> None:
    directory = founded(tmp_path / "raft-chat-1", 1)
    assert doctor.facts(directory, 0)["Refusal"] is None
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    refusal = doctor.facts(copy, 1)["Refusal"]
    assert "start it with --moved" in refusal
    assert refusal == start_says(copy, alone=False)


def test_a_log_of_a_newer_program_is_refused(tmp_path: Path, doctor: Doctor) -> None:
    directory = founded(tmp_path / "raft-chat-1", LEVEL + 1)
    words = f"this raft-chat knows level {LEVEL}, and its cluster uses level {LEVEL + 1}: start a newer one"
    assert doctor.facts(directory, 1)["Refusal"] == words


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"{}", "Format is missing or not of its type"), (b'{"Format": 2}', "format 2, and this program knows format 1")],
)
def test_an_identity_that_cannot_be_used_is_refused_in_the_words_of_a_start(
    content: bytes, words: str, directory: Path, doctor: Doctor
) -> None:
    (directory / "identity.json").write_bytes(content)
    refusal = doctor.facts(directory, 1)["Refusal"]
    assert words in refusal
    assert refusal == start_says(directory)


def test_a_log_without_an_identity_and_an_empty_directory_are_told_apart(directory: Path, doctor: Doctor) -> None:
    (directory / "identity.json").unlink()
    refusal = doctor.facts(directory, 1)["Refusal"]
    assert refusal == start_says(directory)
    (empty := directory.with_name("empty")).mkdir()
    lines = doctor.lines(empty, 0)
    assert lines[0] == f"{empty} holds no node."
    assert lines[-2:] == ["A start would begin.", "All is sound."]


def test_a_directory_of_something_else_is_not_called_sound(tmp_path: Path, doctor: Doctor) -> None:
    (tmp_path / "LOCK").touch()
    assert doctor.facts(tmp_path, 0)["Sound"], "a start that was refused leaves that much"
    (tmp_path / "passwd").touch()
    refusal = doctor.facts(tmp_path, 1)["Refusal"]
    assert refusal == f"{tmp_path} is not a data directory: it has no identity.json"


def test_a_directory_that_is_not_there_is_an_error_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raft_chat.main(["doctor", str(tmp_path / "missing")]) == 1
    assert capsys.readouterr().err == f"raft-chat: {tmp_path / 'missing'} cannot be read: No such file or directory\n"
