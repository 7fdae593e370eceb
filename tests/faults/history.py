"""What clients were told, and what is wrong with it.

A room is a list that is only appended to, so that linearizability comes down to this, checked as it happens:
- a post is the same wherever it is seen: in an acknowledgement, in a read, on a websocket, on any node;
- a read is a whole piece of the list, and reaches at least as far as anything that had ended when it began: a post
  that was acknowledged, or another read, on whichever node.
And to this, checked against the final list:
- every acknowledged post stands there once, under the Id that was told, and the Ids count from 1 without a gap;
- nothing stands there that nobody tried to post;
- a post that was acknowledged before another one was begun stands before it.
"""

import hashlib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

VIOLATIONS_MAX = 50  # told in full; a broken engine would go on for ever


@dataclass(slots=True)
class Tried:
    """A post that a writer tried; times are monotonic seconds, `ended` and `id` None while its fate is unknown."""

    room: str
    user: str
    client_id: str
    message: str
    began: float
    ended: float | None = None
    id: int | None = None


def digest(post: Mapping[str, Any]) -> bytes:
    return hashlib.blake2b(json.dumps(post, sort_keys=True).encode(), digest_size=8).digest()


class History:
    """Written to by all clients at once; what they call is short."""

    def __init__(self) -> None:
        self.tried: list[Tried] = []
        self.acknowledged_at: list[float] = []
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()  # reads, frames, retries …, for the report
        self._lock = threading.Lock()
        self._told: dict[tuple[str, int], bytes] = {}
        self._reach: dict[str, int] = {}  # by room: the highest Id that ended operations have told of

    def violate(self, words: str) -> None:
        with self._lock:
            self._violate_locked(words)

    def _violate_locked(self, words: str) -> None:
        self.counts["violations"] += 1
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(words)

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def begin(self, room: str, user: str, client_id: str, message: str) -> Tried:
        tried = Tried(room, user, client_id, message, monotonic())
        with self._lock:
            self.tried.append(tried)
        return tried

    def acknowledge(self, tried: Tried, post: Mapping[str, Any]) -> None:
        """The answer to a post; to be called once for the first answer, and again for the answer to a retry."""
        now = monotonic()
        with self._lock:
            self._see_locked(tried.room, post, "an acknowledgement")
            stands = (post.get("User"), post.get("ClientId"), post.get("Message"))
            if stands != (tried.user, tried.client_id, tried.message):
                self._violate_locked(f"{tried} was answered with another post: {post}")
            if tried.id is None:
                tried.id, tried.ended = post["Id"], now
                self.acknowledged_at.append(now)
                self._reach[tried.room] = max(self._reach.get(tried.room, 0), post["Id"])
            elif tried.id != post["Id"]:
                self._violate_locked(f"doubled: {tried} was answered with Id {post['Id']} when it was tried again")

    def reach(self, room: str) -> int:
        """How far a read of this room that begins now has to reach."""
        with self._lock:
            return self._reach.get(room, 0)

    def read(self, room: str, at_least: int, posts: Sequence[Mapping[str, Any]], reader: str) -> None:
        """The room's newest page; `at_least` is what `reach` said before the read began."""
        ids = [post["Id"] for post in posts]
        with self._lock:
            self.counts["reads"] += 1
            if ids and ids != list(range(ids[0], ids[0] + len(ids))):
                self._violate_locked(f"{reader}: a page of {room} with the Ids {ids}")
            last = ids[-1] if ids else 0
            if last < at_least:
                self._violate_locked(f"{reader}: a stale read of {room}, up to Id {last}; Id {at_least} was known")
            for post in posts:
                self._see_locked(room, post, reader)
            self._reach[room] = max(self._reach.get(room, 0), last)

    def see(self, room: str, post: Mapping[str, Any], where: str) -> None:
        """A post seen live; being pushed, it says nothing of how far reads have to reach."""
        with self._lock:
            self.counts["frames"] += 1
            self._see_locked(room, post, where)

    def _see_locked(self, room: str, post: Mapping[str, Any], where: str) -> None:
        found = digest(post)
        if self._told.setdefault((room, post["Id"]), found) != found:
            self._violate_locked(f"{where}: another post was told before as Id {post['Id']} of {room} than {post}")

    def check_final(self, rooms: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Hold all of it against the lists as they are in the end."""
        with self._lock:
            for room, posts in rooms.items():
                self._check_room_locked(room, posts)
            for tried in self.tried:
                posts = rooms.get(tried.room, ())
                if tried.id is not None and tried.id > len(posts):
                    self._violate_locked(f"lost: {tried}")
            for room, id in self._told:
                if id > len(rooms.get(room, ())):
                    self._violate_locked(f"Id {id} of {room} was told and is not there")

    def _check_room_locked(self, room: str, posts: Sequence[Mapping[str, Any]]) -> None:
        if [post["Id"] for post in posts] != list(range(1, len(posts) + 1)):
            self._violate_locked(f"the Ids of {room} do not count from 1")
        by_client_id = {(tried.user, tried.client_id): tried for tried in self.tried if tried.room == room}
        seen: set[tuple[str, str]] = set()
        earliest_end = float("inf")  # of the posts after the one that is looked at
        for post in reversed(posts):
            self._see_locked(room, post, "the final list")
            key = (post["User"], post.get("ClientId", ""))
            tried = by_client_id.get(key)
            if key in seen:
                self._violate_locked(f"doubled: {post} in {room}")
            seen.add(key)
            if tried is None or tried.message != post["Message"]:
                self._violate_locked(f"nobody posted {post} to {room}")
                continue
            if tried.id is not None and tried.id != post["Id"]:
                self._violate_locked(f"{tried} stands as Id {post['Id']}")
            if tried.began > earliest_end:
                self._violate_locked(f"{tried} stands before one that was acknowledged before it was begun")
            if tried.ended is not None:
                earliest_end = min(earliest_end, tried.ended)
        times = [post["PostedAt"] for post in posts]
        if times != sorted(times):
            self._violate_locked(f"PostedAt goes backwards in {room}")


def longest_gap(times: Sequence[float], began: float, ended: float) -> tuple[float, float]:
    """The longest stretch between `began` and `ended` without any of `times` (ascending), and when it began."""
    marks = [began, *(at for at in times if began < at < ended), ended]
    return max((later - earlier, earlier) for earlier, later in itertools.pairwise(marks))
