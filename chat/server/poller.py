"""Poll all connections that wait for their clients, in place of a thread for each.

Rules
- A reader serves what has arrived where it sees it, one connection after the other, as long as that waits for nothing.
  Any other request gets a thread.  So a batch of requests costs one wake of one thread, and its writes are one batch.
- Two readers take turns (Leader/Followers; Schmidt et al., Pattern-Oriented Software Architecture 2).  The one that
  has the turn polls and serves.  It passes the turn on before it finishes the batch, which may wait for a disk.
- A crowd is more than EVENTS_MAX ready connections.  Then a turn takes one request of each network after the other,
  those first that have waited longest, so nobody waits behind what one address sends at once.
- While newcomers wait to be accepted, a turn of a crowd is one request of each network.  The node accepts them first,
  since it can tell them from the others only then.
- A network that asks for much while others are here is served a few requests at a time.  After each turn the reader
  rests as long as that took, and leaves the interpreter to the others' requests.
- A connection is here or with a thread, never with both.  It leaves before the thread gets it, and it comes back by
  `add`, the last thing that its thread does with it.  A connection that is taken over while it is served here leaves
  by `remove` before that: from then on its descriptor may be closed, and may be another's.
"""

import logging
import select
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import islice, zip_longest
from time import monotonic, sleep, thread_time
from typing import Final, Protocol

from chat.server.limits import KIB
from chat.server.sockets import Receiver, poll_now

logger = logging.getLogger(__name__)

READERS: Final = 2
EVENTS_MAX: Final = 64  # served between two looks at who else wants the turn: some milliseconds
NEWCOMERS_S: Final = 0.005  # for those that wait to be accepted, before each turn of a crowd: some hundred are, by then
RESTRAINED_MAX: Final = 16  # served in a turn of a network that asks for much while others are here: a millisecond
REST_MAX_S: Final = 0.005  # others wait meanwhile too
SERVED_MAX: Final = 16_384  # descriptors and networks whose last turn is remembered, of a crowd that changes
SHARED_S: Final = 1.0  # others are here for so long after something of theirs was ready beside it
RECEIVE_BYTES: Final = 16 * KIB  # at a time: a usual request whole
AVAILABLE: Final = hasattr(select, "epoll")  # where it is not, each connection has a thread


class PolledConnection(Protocol):
    """A connection, as the poller sees it."""

    descriptor: int

    @property
    def network(self) -> str:
        """The network that the client counts for; "" if many share one address."""

    def serve_now(self, receiver: Receiver) -> bool:
        """Serve the input that has arrived.  False: that would wait, so a thread has to."""


class Poller:
    """`add` is for any thread; `give_thread(connection)` gets those that need one, `finish()` ends each batch."""

    def __init__(self, name: str, give_thread: Callable[[PolledConnection], None], finish: Callable[[], None]) -> None:
        self._name = name
        self._give_thread = give_thread
        self._finish = finish
        self._poll = select.epoll()
        self._turn = threading.Lock()
        self._receiver = Receiver(RECEIVE_BYTES)  # whose turn it is uses it
        self._polled: dict[int, PolledConnection] = {}  # by descriptor
        self._network_of: dict[int, str | int] = {}  # by descriptor; who shares an address with many is by itself
        self._turns = 0  # of crowds
        self._served_in: dict[int | str, int] = {}  # the last such turn, by descriptor and by network
        self._stopping, self._stop = socket.socketpair()  # readable once the other end is closed
        self._poll.register(self._stopping, select.EPOLLIN)
        self._stopped = False
        self._is_crowded = False  # more was ready than was served in the last turn
        self._is_shared_until = 0.0  # by more networks than the one that asks for so much
        self._rest_s = 0.0  # before the next turn
        self._all_accepted = threading.Event()
        self._all_accepted.set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the readers."""
        for number in range(1, READERS + 1):
            thread = threading.Thread(target=self._run, name=f"{self._name}-reader-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def add(self, connection: PolledConnection) -> None:
        """Poll a connection from now on.  Input that has arrived already is seen too."""
        self._polled[connection.descriptor] = connection
        self._network_of[connection.descriptor] = connection.network or connection.descriptor
        poll_now(self._poll.fileno(), connection.descriptor, select.EPOLLIN)

    def remove(self, connection: PolledConnection) -> None:
        """Stop to poll a connection, if it was polled; for the thread that serves it."""
        if self._polled.get(connection.descriptor) is connection:
            del self._polled[connection.descriptor]
            self._network_of.pop(connection.descriptor, None)
            self._poll.unregister(connection.descriptor)

    def note_newcomers(self, *, wait: bool) -> None:
        """Note whether connections wait to be accepted; for who accepts them."""
        if wait:
            self._all_accepted.clear()
        elif not self._all_accepted.is_set():
            self._all_accepted.set()

    def stop(self, timeout_s: float) -> None:
        """End the readers.  The connections are left as they are."""
        self._stopped = True
        self._stop.close()
        for thread in self._threads:
            thread.join(timeout_s)
        if not any(thread.is_alive() for thread in self._threads):  # one that hangs in a disk would poll once more
            self._poll.close()
            self._stopping.close()

    def _run(self) -> None:
        while not self._stopped:
            try:
                try:
                    with self._turn:
                        self._serve_what_came()
                finally:
                    self._finish()  # also what came before a bug
            except Exception:  # a bug: the connection is cut at its deadline, the others are served
                logger.exception("%s: a reader failed, and goes on", self._name)

    def _serve_what_came(self) -> None:
        if self._is_crowded:
            self._let_others_go_first()
        # One call: each lets go of the interpreter, and who writes what is read here is not to begin before the end.
        ready = self._poll.poll(maxevents=len(self._polled) + 1)
        self._is_crowded = len(ready) > EVENTS_MAX
        if not self._is_crowded:
            self._served_in.clear()
        if self._is_crowded:
            self._serve_crowd(ready)
        else:
            self._serve(ready)

    def _serve(self, events: Iterable[tuple[int, int]]) -> None:
        for descriptor, _ in events:
            connection = self._polled.get(descriptor)
            if connection is not None and not connection.serve_now(self._receiver):
                self.remove(connection)
                self._give_thread(connection)

    def _let_others_go_first(self) -> None:
        """Wait for newcomers to be accepted, and rest after a turn of a network that others share this node with."""
        if not self._all_accepted.is_set():
            self._all_accepted.wait(NEWCOMERS_S)
        if self._rest_s:
            sleep(self._rest_s)

    def _serve_crowd(self, ready: list[tuple[int, int]]) -> None:
        """Serve some of all that is ready, of each network in turn."""
        began, now = thread_time(), monotonic()
        by_network = self._by_network(ready)
        if len(by_network) > 1:
            self._is_shared_until = now + SHARED_S
        largest = max(map(len, by_network.values()), default=0)
        is_restrained = now < self._is_shared_until and largest > EVENTS_MAX // 2
        most = RESTRAINED_MAX if is_restrained else EVENTS_MAX
        if not self._all_accepted.is_set():
            most = min(most, len(by_network))
        each_in_turn = (one for some in zip_longest(*by_network.values()) for one in some if one is not None)
        chosen = [*islice(each_in_turn, most)]
        self._turns += 1
        if len(self._served_in) > SERVED_MAX:
            self._served_in.clear()
        for descriptor, _ in chosen:
            self._served_in[descriptor] = self._served_in[self._network_of.get(descriptor, descriptor)] = self._turns
        self._serve(chosen)
        # By the processor's time: on a busy machine a turn lasts long, and nobody should wait for so long once more.
        self._rest_s = min(thread_time() - began, REST_MAX_S) if is_restrained else 0.0

    def _by_network(self, ready: list[tuple[int, int]]) -> dict[str | int, list[tuple[int, int]]]:
        """Return what is ready, by network, those first that have waited longest; quick, for thousands may be.

        The kernel lists what is ready again and again always at the same place.
        """
        by_network: defaultdict[str | int, list[tuple[int, int]]] = defaultdict(list)
        network_of, served_in = self._network_of.get, self._served_in.get
        for event in sorted(ready, key=lambda event: served_in(event[0], 0)):
            by_network[network_of(event[0], event[0])].append(event)
        return dict(sorted(by_network.items(), key=lambda item: served_in(item[0], 0)))
