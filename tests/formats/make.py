"""Make a fixture of a whole data directory: `python -m tests.formats.make format1-a`.

A fixture that is there is never made again: README.md says why, and when a further one is needed.
"""

import argparse
import json
import sys
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from werkzeug.test import Client

from chat.auth.secrets import TOKEN
from chat.commands import Actor
from raft.core.configuration import AddMember, RemoveMember
from raft.storage.segment import encode_void
from tests.formats.held import GetJson, held
from tests.formats.running import Running, running
from tests.formats.scene import Scene, secret
from tests.support.wsgi import deferring

HERE = Path(__file__).parent
ADMIN = "ann1"
NOT_KEPT = ("LOCK", "operator.json", "RESERVE")  # what a node makes anew at each start
LEVEL = 1  # of the first release, which every later program reads
_CLOCK_WAS_AHEAD = 1_000_000  # microseconds
_MUCH_LATER_S = 1e6  # when nothing reads a replaced file any more


def make(directory: Path) -> dict[str, object]:
    """Make the data directory, and return what it holds.

    It has several lives, so several terms: a snapshot ends the first, a checkpoint the second, and some entries follow.
    """
    with running(directory, LEVEL) as node:
        play(node, "1")
        node.maintenance.compact(node.member.last_applied)
        for later_s in (0, _MUCH_LATER_S):  # the first one sees which files are replaced
            node.storage.sweep(time.monotonic() + later_s)
    with running(directory, LEVEL) as node:
        ann = play(node, "2")
        node.maintenance.checkpoint()
    write_void(directory)
    with running(directory, LEVEL) as node:
        Scene(node.member.propose, node.member.agreed_time, "3").post(ann, "late", "After the checkpoint")
        content = held(getting(node))
    for name in NOT_KEPT:
        with suppress(FileNotFoundError):
            (directory / name).unlink()
    files = {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}
    return {"Files": files, "Held": content}


def play(node: Running, mark: str) -> Actor:
    """One play of the scene, and entries of the other kinds; return its admin."""
    member = node.member
    ann = Scene(member.propose, member.agreed_time, mark).play()
    now = member.agreed_time()
    member._node_lock.act(lambda core: core.set_clock(now, now - _CLOCK_WAS_AHEAD))  # as `raft-chat clock accept` does
    other = 1 + int(mark)
    member.change(AddMember(other, f"http://127.0.0.1:{other}2379", False))
    member.change(RemoveMember(other))
    return ann


def write_void(directory: Path) -> None:
    """Put a void line in the place of a batch's opening, as a repair of a sealed segment does."""
    path = sorted(directory.glob("log-*.jsonl"))[-3]
    lines = path.read_bytes().splitlines(keepends=True)
    place = next(n for n, line in enumerate(lines) if n > 1 and b' {"durable":' in line)
    lines[place] = encode_void(len(lines[place]))
    path.write_bytes(b"".join(lines))
    path.with_suffix(".idx").unlink(missing_ok=True)  # the next start makes it anew


def getting(node: Running, admin: str = ADMIN) -> GetJson:
    """GET as an admin of the fixture."""
    client = Client(deferring(node.app), use_cookies=False)
    headers = {"Authorization": f"Bearer {secret(TOKEN, admin)}"}

    def get(path: str) -> object:
        answer = client.open("/", method="GET", headers=headers, environ_overrides={"RAW_URI": path})
        assert answer.status_code == 200, (path, answer.text)
        return answer.json

    return get


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="like format1-b: the format's number, and a letter that is not taken")
    name = parser.parse_args().name
    directory, expected = HERE / name, HERE / f"{name}.json"
    if directory.exists() or expected.exists():
        sys.exit(f"{directory} is there; a fixture is never changed")
    content = make(directory)
    expected.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    sys.stdout.write(f"{directory}: {sum(path.stat().st_size for path in directory.iterdir())} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
