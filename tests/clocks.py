"""Clocks that leap, on real nodes: what becomes of stamps, retention, sessions, tokens and invites.  Needs faketime.

    python -m tests.clocks                a table: what each scene shows before, during and after the leap
    python -m tests.clocks --scene NAME   one of them

What is wrong in a row is named at its end, and then the exit code is 1.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from time import monotonic, time

from tests.cluster.people import FLAGS, PASSWORD, QUICK_PASSWORDS, operator, wait_login
from tests.faults.tools import LIBFAKETIME
from tests.support.cluster import READY_S, Cluster, NodeProcess
from tests.support.http_client import Answer, HttpClient
from tests.support.waiting import wait_until

DAY_S = 86_400
LEAP_S = 5.0  # as long a clock is wrong
SHORT_S = 2  # of retention
NEAR_S = 20.0  # ten that clocks may differ, and a busy machine
SESSION_S, INVITE_S = 30 * DAY_S, 7 * DAY_S
LEAPED = "the clock has leaped"


class FakeClock:
    """Of one node, by libfaketime."""

    def __init__(self, file: Path, off_s: int = 0) -> None:
        self._file = file
        self.set(off_s)
        self.command = (
            "env", f"LD_PRELOAD={LIBFAKETIME}", f"FAKETIME_TIMESTAMP_FILE={file}", "FAKETIME_CACHE_DURATION=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1", *QUICK_PASSWORDS.command(),
        )  # fmt: skip

    def set(self, off_s: int) -> None:
        """From now on, within a second, it is so far off the right time."""
        written = self._file.with_suffix(".new")
        written.write_text(f"{off_s:+d}\n")
        os.replace(written, self._file)


@dataclass(frozen=True, slots=True)
class Row:
    """What one moment of a scene shows; what is `off` is so by seconds against the right time."""

    moment: str
    posted_off_s: float
    short_gone_s: float  # a message that is kept for SHORT_S went after so long
    kept: int  # messages that are kept for an hour
    kept_of: int
    token: int  # the status that an old session gets
    session_off_s: float
    invite_off_s: float
    invites: int  # of those made before that are still there
    is_wrong_meanwhile: bool = False  # stamps may be wrong at this moment, for the operator has not said anything yet

    def faults(self) -> list[str]:
        """What is not as it should be."""
        off = {"PostedAt": self.posted_off_s, "session": self.session_off_s, "invite": self.invite_off_s}
        found = [name for name, off_s in off.items() if abs(off_s) > NEAR_S and not self.is_wrong_meanwhile]
        found += ["retention"] * (not SHORT_S - 0.5 <= self.short_gone_s < SHORT_S + 10)
        found += ["posts lost"] * (self.kept != self.kept_of) + ["token"] * (self.token != 200)
        return found + ["invite lost"] * (not self.invites)


class Scene:
    """A cluster with a login, whose clocks can be set."""

    def __init__(self, directory: Path, size: int, off_s: int = 0) -> None:
        self.clocks = [FakeClock(directory / f"clock-{id}", off_s) for id in range(1, size + 1)]
        nodes = [NodeProcess(id, directory, command=clock.command) for id, clock in enumerate(self.clocks, 1)]
        self.cluster = Cluster(directory, nodes=nodes, flags=FLAGS)
        self._posts = 0
        self._token = ""

    def begin(self) -> None:
        """Start, and make what the rows look at."""
        self.cluster.start_ready()
        wait_login(self.cluster)
        with operator(self.cluster.nodes[1]) as client:
            body = json.dumps({"Name": "ann", "Password": PASSWORD, "Role": "admin"})
            assert client.request("POST", "/users", body).status == 201
        self._token, _ = self._log_in()
        self._invite()
        for room, age_s in (("kept", 3_600), ("short", SHORT_S)):
            self._post(room)
            body = json.dumps({"Retention": {"MaxAgeSeconds": age_s}})
            assert self._ask("PATCH", f"/rooms/{room}", body).status == 200

    def set_clocks(self, off_s: int, *ids: int) -> None:
        """Have the clocks of these nodes, or of all, be so far off."""
        for id in ids or self.cluster.nodes:
            self.clocks[id - 1].set(off_s)

    def await_leap(self, *ids: int) -> None:
        """Until these nodes, or all, have logged it."""
        for id in ids or self.cluster.nodes:
            self.cluster.nodes[id].wait_says(LEAPED)

    def accept(self) -> None:
        """As raft-chat clock accept does."""
        with operator(self.cluster.nodes[1]) as client:
            answer = client.request("POST", "/raft/clock")
            assert answer.status == 200, answer

    def look(self, moment: str, *, is_wrong_meanwhile: bool = False) -> Row:
        """Post, log in, invite, and wait for a message to go."""
        posted_at = self._post("short")
        began_s = monotonic()
        off_s = self._off_s(posted_at)
        session_off_s = self._off_s(self._log_in()[1]) - SESSION_S
        invite_off_s = self._off_s(self._invite()) - INVITE_S
        self._post("kept")
        wait_until(lambda: self._ask("GET", "/rooms/short").json() == [], READY_S, "the message goes")
        gone_s = monotonic() - began_s
        kept = len(self._ask("GET", "/rooms/kept").json())
        invites = len(self._ask("GET", "/invites").json())
        status = self._ask("GET", "/me").status
        return Row(
            moment, off_s, gone_s, kept, self._posts, status, session_off_s, invite_off_s, invites, is_wrong_meanwhile
        )

    def _ask(self, method: str, path: str, body: str | None = None) -> Answer:
        with HttpClient(self.cluster.nodes[1].port, token=self._token) as client:
            return client.request(method, path, body)

    def _log_in(self) -> tuple[str, str]:
        body = json.dumps({"Name": "ann", "Password": PASSWORD})
        answer = self.cluster.request(1, "POST", "/login", body)
        assert answer.status == 200, answer
        return answer.json()["Token"], answer.json()["ExpiresAt"]

    def _invite(self) -> str:
        answer = self._ask("POST", "/invites", json.dumps({"Role": "guest"}))
        assert answer.status == 201, answer
        expires_at = answer.json()["ExpiresAt"]
        assert isinstance(expires_at, str)
        return expires_at

    def _post(self, room: str) -> str:
        answer = self._ask("POST", f"/rooms/{room}", json.dumps({"Message": "hello"}))
        assert answer.status == 201, answer
        self._posts += room == "kept"
        posted_at = answer.json()["PostedAt"]
        assert isinstance(posted_at, str)
        return posted_at

    @staticmethod
    def _off_s(moment: str) -> float:
        return datetime.fromisoformat(moment).timestamp() - time()


def leap(scene: Scene, off_s: int, *ids: int, leap_s: float = LEAP_S) -> Iterator[Row]:
    """The clocks of these nodes, or of all, leap while they run, and come back."""
    scene.begin()
    yield scene.look("before")
    scene.set_clocks(off_s, *ids)
    began_s = monotonic()
    if len(ids) == 1:  # of one wrong clock among three nobody takes notice but itself
        scene.cluster.nodes[ids[0]].wait_says("this node's clock is")
    else:
        scene.await_leap()
    yield scene.look("during")
    Event().wait(max(leap_s - (monotonic() - began_s), 0.0))  # what is shown is a leap of this length
    scene.set_clocks(0, *ids)
    yield scene.look("after")


def wrong_at_the_start(scene: Scene, off_s: int) -> Iterator[Row]:
    """The clock is wrong when the nodes start, and is mended; then they start once more; then it is accepted."""
    scene.begin()
    yield scene.look("wrong", is_wrong_meanwhile=True)
    scene.set_clocks(0)
    scene.await_leap()
    yield scene.look("mended", is_wrong_meanwhile=True)
    for id in scene.cluster.nodes:
        scene.cluster.terminate(id)
    scene.cluster.restart()
    scene.cluster.nodes[1].wait_says("run `raft-chat clock accept`")
    yield scene.look("started again", is_wrong_meanwhile=True)
    scene.accept()
    yield scene.look("accepted")


def in_short(scene: Scene) -> Iterator[Row]:
    """For CI: what goes wrong at a start is accepted, and then the clock leaps while the node runs."""
    scene.begin()
    scene.set_clocks(0)
    scene.await_leap()
    for id in scene.cluster.nodes:
        scene.cluster.terminate(id)
    scene.cluster.restart()
    scene.cluster.nodes[1].wait_says("run `raft-chat clock accept`")
    scene.accept()
    scene.set_clocks(-DAY_S)
    wait_until(lambda: scene.cluster.nodes[1].log().count(LEAPED) == 2, READY_S, "the second leap is logged")
    yield scene.look("accepted, and then a leap")


SCENES: dict[str, tuple[int, int, Callable[[Scene], Iterator[Row]]]] = {  # how many nodes, their clocks at the start
    "one-400d": (1, 0, lambda scene: leap(scene, 400 * DAY_S)),
    "one-back": (1, 0, lambda scene: leap(scene, -DAY_S)),
    "one-of-three-400d": (3, 0, lambda scene: leap(scene, 400 * DAY_S, 1)),
    "one-of-three-back": (3, 0, lambda scene: leap(scene, -DAY_S, 1)),
    "three-400d": (3, 0, lambda scene: leap(scene, 400 * DAY_S)),
    "three-back": (3, 0, lambda scene: leap(scene, -DAY_S)),
    "one-start-400d": (1, 400 * DAY_S, lambda scene: wrong_at_the_start(scene, 400 * DAY_S)),
    "in-short": (1, 400 * DAY_S, in_short),
    "three-start-400d": (3, 400 * DAY_S, lambda scene: wrong_at_the_start(scene, 400 * DAY_S)),
}


def rows(name: str, directory: Path) -> Iterator[Row]:
    """What a scene shows."""
    size, off_s, play = SCENES[name]
    scene = Scene(directory, size, off_s)
    with scene.cluster:
        yield from play(scene)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see above."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.clocks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", choices=SCENES, action="append")
    chosen = parser.parse_args(arguments).scene or list(SCENES)
    head = ("scene", "moment", "PostedAt off", "gone after", "kept", "old session", "new session off", "invite off")
    _say("{:18} {:14} {:>22} {:>10} {:>8} {:>11} {:>22} {:>22}".format(*head))
    wrong = 0
    for name in chosen:
        with tempfile.TemporaryDirectory() as directory:
            for row in rows(name, Path(directory)):
                faults = row.faults()
                wrong += bool(faults)
                _say(
                    f"{name:18} {row.moment:14} {_shown(row.posted_off_s):>22} {row.short_gone_s:8.1f} s "
                    f"{row.kept:>3} of {row.kept_of} {row.token:>11} {_shown(row.session_off_s):>22} "
                    f"{_shown(row.invite_off_s):>22} {', '.join(faults)}"
                )
    return 1 if wrong else 0


def _shown(off_s: float) -> str:
    return f"{'-' if off_s < -0.5 else ''}{timedelta(seconds=round(abs(off_s)))}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
