"""The clients of a run: writers, readers and websocket listeners, each a thread that nothing may stop but its end.

They use all nodes in turn and do what the API asks of a client: a post is tried again with its ClientId, a socket
resumes by its cursor.  They wait no longer than CLIENT_S for an answer: a node that hangs is left for the next one.
"""

import itertools
import random
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from tests.cluster.writers import TRY_AGAIN
from tests.faults.history import History, Tried
from tests.support.http_client import HttpClient
from tests.support.websocket_client import WebSocketClient

CLIENT_S = 1.0
GIVE_UP_S = 12.0  # then a post's outcome stays unknown
PACE_S = 0.02  # a writer's posts are at least so far apart: the nodes have the two cores, not the clients
AGAIN_S = 0.02
RETRY_SHARE = 0.02  # of acknowledged posts that are sent once more
MOVE_ON_SHARE = 0.01  # of a writer's posts, and of a listener's frames, after which they use another node unforced
PAGES = (1, 10, 50, 200)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node serves clients."""

    host: str
    port: int


class Actor(threading.Thread, ABC):
    """A client.  What it did not expect is a violation, with its traceback."""

    def __init__(self, name: str, places: Sequence[Place], history: History, seed: int) -> None:
        super().__init__(name=name)
        self.history = history
        self.stopping = threading.Event()
        self.rng = random.Random(f"{seed} {name}")
        start = self.rng.randrange(len(places))
        self._places = itertools.cycle([*places[start:], *places[:start]])
        self._client: HttpClient | None = None

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.act()
        except Exception:
            self.history.violate(f"{self.name}: {traceback.format_exc()}")
            raise
        finally:
            self.move_on()

    @abstractmethod
    def act(self) -> None:
        """Do one thing, and note what came of it."""

    def next_place(self) -> Place:
        return next(self._places)

    def client(self) -> HttpClient:
        """The connection to the node in use."""
        if self._client is None:
            place = self.next_place()
            self._client = HttpClient(place.port, CLIENT_S, place.host)
        return self._client

    def move_on(self) -> None:
        """Use the next node from now on."""
        if self._client is not None:
            self._client.close()
            self._client = None


class Writer(Actor):
    """Posts to the rooms in turn.  A post that is under way at the end is seen to its own end."""

    def __init__(self, name: str, places: Sequence[Place], history: History, seed: int, rooms: Sequence[str]) -> None:
        super().__init__(name, places, history, seed)
        self._rooms = itertools.cycle(rooms)
        self._numbers = itertools.count(1)

    def act(self) -> None:
        number = next(self._numbers)
        text = f"{self.name} says {number}" + self.rng.choice(["", " é\u2028😀", " " + "x" * 300 + "."])
        tried = self.history.begin(next(self._rooms), self.name, f"{self.name}-{number}", text)
        end = tried.began + GIVE_UP_S
        while not self._post(tried) and monotonic() < end:
            self.move_on()
            self.stopping.wait(AGAIN_S)
        if tried.id is not None and self.rng.random() < RETRY_SHARE:
            self.move_on()
            self._post(tried)
            self.history.count("retries of acknowledged posts")
        if self.rng.random() < MOVE_ON_SHARE:
            self.move_on()
        self.stopping.wait(PACE_S - (monotonic() - tried.began))

    def _post(self, tried: Tried) -> bool:
        """Try once; whether it was acknowledged."""
        self.history.count("requests to post")
        try:
            answer = self.client().post(tried.room, tried.message, tried.user, tried.client_id)
        except OSError:
            return False
        if answer.status in {200, 201}:
            self.history.acknowledge(tried, answer.json())
            return True
        if answer.status not in TRY_AGAIN:
            self.history.violate(f"{tried} was answered with {answer}")
        return False


class Reader(Actor):
    """Reads the newest page of a room, on any node, as linearizably as a GET is without asking for it."""

    def __init__(self, name: str, places: Sequence[Place], history: History, seed: int, rooms: Sequence[str]) -> None:
        super().__init__(name, places, history, seed)
        self._rooms = rooms

    def act(self) -> None:
        room = self.rng.choice(self._rooms)
        at_least = self.history.reach(room)
        try:
            answer = self.client().request("GET", f"/rooms/{room}?limit={self.rng.choice(PAGES)}")
        except OSError:
            answer = None
        if answer is not None and answer.status == 200:
            self.history.read(room, at_least, answer.json(), self.name)
        elif answer is not None and answer.status not in TRY_AGAIN:
            self.history.violate(f"a read of {room} was answered with {answer}")
        if answer is None or answer.status != 200 or self.rng.random() < 0.2:
            self.move_on()
        self.stopping.wait(PACE_S)


class Listener(Actor):
    """A websocket that gets every post of every room from the first on, and resumes on another node by its cursor."""

    def __init__(self, name: str, places: Sequence[Place], history: History, seed: int) -> None:
        super().__init__(name, places, history, seed)
        self.last_ids: dict[str, int] = {}
        self.subscribed = threading.Event()  # for the first time: from then on it may miss nothing
        self._cursor: str | None = None

    def act(self) -> None:
        place = self.next_place()
        try:
            with WebSocketClient(place.port, host=place.host, timeout_s=CLIENT_S) as websocket:
                self._listen(websocket)
        except OSError:
            self.stopping.wait(AGAIN_S)

    def _listen(self, websocket: WebSocketClient) -> None:
        websocket.say(Action="subscribe", Rooms="*", Cursor=self._cursor)
        greeted_by = monotonic() + 4 * CLIENT_S
        greeted = False
        while not self.stopping.is_set():
            try:
                frame = websocket.hear_any(CLIENT_S / 4)
            except TimeoutError:
                if not greeted and monotonic() > greeted_by:
                    return
                continue
            if "Hello" in frame:
                greeted = True
                self.history.count("sockets subscribed")
                self._cursor = self._cursor or frame["Hello"]["Cursor"]
                self.subscribed.set()
            elif "Limited" in frame:
                self.last_ids[frame["Limited"]["RoomName"]] = frame["Limited"]["NewestId"]
                self._cursor = frame.get("Cursor", self._cursor)
                self.history.count("frames that said Limited")
            elif "Cursor" in frame:  # without one it was sent before the socket subscribed, and comes again
                self._take(frame)
                if self.rng.random() < MOVE_ON_SHARE:
                    return

    def _take(self, frame: dict[str, Any]) -> None:
        room, post = frame["RoomName"], frame["Post"]
        expected = self.last_ids.get(room, 0) + 1
        if post["Id"] != expected:
            self.history.violate(f"{self.name} got Id {post['Id']} of {room} after Id {expected - 1}")
        self.last_ids[room] = post["Id"]
        self._cursor = frame["Cursor"]
        self.history.see(room, post, self.name)


def stop_all(actors: Sequence[Actor], join_s: Callable[[], float]) -> None:
    """End them and wait until they have; `join_s` says how much longer each may take."""
    for actor in actors:
        actor.stopping.set()
    for actor in actors:
        if actor.ident is not None:  # it was started
            actor.join(max(0.1, join_s()))
        assert not actor.is_alive(), f"{actor.name} does not end"
