"""Posts that race the revocation of their token, on three nodes: `python -m tests.cluster.revocation --times 1000`.

Each time a new token posts over HTTP and over a websocket through every node, as fast as it is answered, until some
node is asked to revoke it.  What was begun before that was acknowledged may stand or not.  What was begun after it is
to be refused, whichever node it came through, and is in no room of any node: the answers are looked at, and so are
the rooms.
"""

import argparse
import json
import tempfile
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from tests.cluster.people import FLAGS, QUICK_PASSWORDS, People
from tests.cluster.writers import PAGE
from tests.support.cluster import Cluster
from tests.support.http_client import HttpClient
from tests.support.websocket_client import HandshakeRefused, WebSocketClient

ROOM = "general"
LATE = 2  # posts that each poster begins after the revocation
DEADLINE_S = 30
POSTED, REFUSED = "posted", "refused"


class Attempt(NamedTuple):
    """One post: its text, which no other has, when it was begun (monotonic seconds), and what came of it."""

    message: str
    began: float
    outcome: str  # POSTED, REFUSED, or what should not have come


class Revocation:
    """Of one token: when it was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged = float("inf")


class Poster(threading.Thread, ABC):
    """Posts with one token through one node until it has begun LATE posts after the revocation."""

    def __init__(self, name: str, port: int, address: str, token: str, revocation: Revocation) -> None:
        super().__init__(name=name)
        self.port = port
        self.address = address
        self.token = token
        self.has_posted = threading.Event()  # or is through
        self.attempts: list[Attempt] = []
        self._revocation = revocation

    def run(self) -> None:
        late = number = 0
        try:
            while late < LATE:
                number += 1
                message, began = f"{self.name}-{number}", monotonic()
                late += began > self._revocation.acknowledged
                outcome = self.post(message)
                self.attempts.append(Attempt(message, began, outcome))
                if outcome == POSTED:
                    self.has_posted.set()
        finally:
            self.has_posted.set()
            self.close()

    @abstractmethod
    def post(self, message: str) -> str:
        """Post, and return the outcome."""

    def close(self) -> None:
        """It is through."""


class HttpPoster(Poster):
    """By `POST /rooms/{room}`."""

    def __init__(self, name: str, port: int, address: str, token: str, revocation: Revocation) -> None:
        super().__init__(name, port, address, token, revocation)
        self._client = HttpClient(port, token=token, address=address)

    def post(self, message: str) -> str:
        answer = self._client.request("POST", f"/rooms/{ROOM}", json.dumps({"Message": message}))
        if answer.status == 201:
            return POSTED
        code = answer.json()["code"]
        return REFUSED if (answer.status, code) == (401, "bad_token") else f"{answer.status} {code}"

    def close(self) -> None:
        self._client.close()


class SocketPoster(Poster):
    """By a websocket that stays the same, until the node closes it; then by one that is not let in."""

    def __init__(self, name: str, port: int, address: str, token: str, revocation: Revocation) -> None:
        super().__init__(name, port, address, token, revocation)
        self._client = self._connect()

    def _connect(self) -> WebSocketClient | None:
        """None: not let in."""
        try:
            return WebSocketClient(self.port, token=self.token, address=self.address, timeout_s=DEADLINE_S)
        except HandshakeRefused as refused:
            if refused.answer.status != 401:
                raise
            return None
        except ConnectionAbortedError:  # closed without an answer
            return None

    def post(self, message: str) -> str:
        self._client = self._client or self._connect()
        if self._client is None:
            return REFUSED
        try:
            self._client.say(Action="post", RoomName=ROOM, Post={"Message": message, "ClientId": message})
            return self._answer_to(self._client, message)
        except OSError:
            self.close()
            return REFUSED

    def _answer_to(self, client: WebSocketClient, message: str) -> str:
        """The outcome.  Raises OSError where the node has closed."""
        while True:
            told = client.hear()
            if told.get("Ack", {}).get("ClientId") == message:
                return POSTED
            if told.get("Error", {}).get("ClientId") == message:
                code = told["Error"]["code"]
                return REFUSED if code == "bad_token" else str(code)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


@dataclass(slots=True)
class Result:
    """What came of all posts."""

    early: Counter[str] = field(default_factory=Counter)  # that were begun before their token's revocation was known
    late: Counter[str] = field(default_factory=Counter)
    standing: list[str] = field(default_factory=list)  # of the late ones, what some node has in its room
    lost: list[str] = field(default_factory=list)  # acknowledged, and some node does not have it


def race(directory: Path, times: int) -> Result:
    """So many tokens, one after the other, on three nodes."""
    result = Result()
    acknowledged: set[str] = set()
    too_late: set[str] = set()
    with Cluster(directory, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        cluster.start_ready()
        people = People(cluster)
        for number in range(times):
            attempts, revoked_at = _revoke_while_posting(cluster, people, number)
            for message, began, outcome in attempts:
                late = began > revoked_at
                (result.late if late else result.early)[outcome] += 1
                if outcome == POSTED:
                    acknowledged.add(message)
                if late:
                    too_late.add(message)
        for node in cluster.running():
            said = _said(people, node.id)
            result.standing += sorted(too_late & said)
            result.lost += sorted(acknowledged - said)
    return result


def _revoke_while_posting(cluster: Cluster, people: People, number: int) -> tuple[list[Attempt], float]:
    """All that was tried, and when the revocation was acknowledged."""
    revoker = people.request("bob", 1 + number % 3, "POST", "/tokens", {"Label": f"race {number}"})
    assert revoker.status == 201, revoker
    made = revoker.json()
    revocation = Revocation()
    # Each token comes from an address of its own: of one that brings many unknown ones few are looked for.
    address = f"127.1.{number // 250 % 250}.{number % 250 + 1}"
    posters: Sequence[Poster] = [
        kind(f"{number}-{kind.__name__}-{node.id}", node.port, address, made["Token"], revocation)
        for node in cluster.running()
        for kind in (HttpPoster, SocketPoster)
    ]
    for poster in posters:
        poster.start()
    for poster in posters:
        assert poster.has_posted.wait(DEADLINE_S), poster.name
    # A third by who owns it, a third by an admin, a third by itself; through every node in turn.
    node = cluster.nodes[1 + (number // 3) % 3]
    token = [people.token["bob"], people.token["ann"], made["Token"]][number % 3]
    with HttpClient(node.port, token=token) as client:
        if number % 3 == 2:
            answer = client.request("POST", "/logout")
        else:
            answer = client.request("DELETE", f"/tokens/{made['Id']}")
        revocation.acknowledged = monotonic()
    assert answer.status == 204, answer
    for poster in posters:
        poster.join(DEADLINE_S)
        assert not poster.is_alive(), poster.name
    return [attempt for poster in posters for attempt in poster.attempts], revocation.acknowledged


def _said(people: People, id: int) -> set[str]:
    """All texts in the room, as a node tells them."""
    said: list[str] = []
    with people.client("bob", id) as client:
        while True:
            answer = client.request("GET", f"/rooms/{ROOM}?after={len(said)}&limit={PAGE}")
            assert answer.status == 200, answer
            page = answer.json()
            if not page:
                assert len(set(said)) == len(said)
                return set(said)
            said += [post["Message"] for post in page]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1_000)
    flags = parser.parse_args()
    began = monotonic()
    with tempfile.TemporaryDirectory(prefix="raft-chat-revocation-") as directory:
        seen = race(Path(directory), flags.times)
    print(f"{flags.times} revocations in {monotonic() - began:.0f} s")
    print(f"posts begun before theirs was acknowledged: {dict(seen.early)}")
    print(f"posts begun after it: {dict(seen.late)}; of these in a room of some node: {len(seen.standing)}")
    print(f"acknowledged and not in a room: {len(seen.lost)}")
    return 0 if set(seen.late) == {REFUSED} and not seen.standing and not seen.lost else 1


if __name__ == "__main__":
    raise SystemExit(main())
