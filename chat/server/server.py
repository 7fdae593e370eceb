"""Werkzeug's threaded WSGI server, made fit for an open port.  Both ports use it; it knows nothing of chat and Raft.

    server = Server(app, host, port, name="client", cpu_slots=2)   # bound at once; OSError where taken
    server.start() ... server.drain(5.0)

Connections that wait for their clients share a poll (`poller.py`), and those that make the server wait have a thread
each (`http_connection.py`).  One loop does all else: it accepts, finishes the answers that slow clients have
not taken yet (`send_queue.py`), and once in a while cuts the connections that are past their deadline.  What a request
may look like is in `http.py`, what anybody may cost in `limits.py`.

Beside what PEP 3333 names, `environ` offers
    raft_chat.defer()       a DeferredResponse to return in place of an iterable; any thread then calls its send(status,
                            headers, body) once
    raft_chat.off_cpu()     a context manager for an application that waits: its CPU slot is for others meanwhile
    raft_chat.connection    a dict of the connection's own, for the application; a function that it puts there as
                            "on_end" is called once the connection has ended, by any thread, and must not block
    raft_chat.set_limits()  the bounds of this connection from here on, say once its client is known
    raft_chat.detach()      the socket, the caller's own from here on; the application then returns []
    raft_chat.from_this_machine   True for a connection of this machine's own, which is not a proxy's
    raft_chat.durations     to be set by the application: where to note how long the answer took (durations.py)
    raft_chat.user          to be set by the application: the user whom a streamed answer counts for
    raft_chat.read_ahead    bytes that arrived behind this request
    raft_chat.peer_cert     over TLS: the client's certificate, as ssl.SSLSocket.getpeercert has it, or {}
    RAW_URI                 the request target, undecoded, always of origin form
"""

import logging
import selectors
import socket
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from heapq import nsmallest
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from werkzeug.serving import ThreadedWSGIServer

from chat.server.durations import NOT_COUNTED, Durations
from chat.server.http import HttpError
from chat.server.http_connection import DeferredResponse, HttpConnection
from chat.server.limits import Limits, descriptor_limit
from chat.server.networks import is_this_machine, network, network_to_evict
from chat.server.poller import AVAILABLE, Poller
from chat.server.responses import error_response
from chat.server.send_queue import SendQueue
from chat.server.slow_readers import LargeBody, SlowReaders
from chat.server.sockets import accept_now
from chat.server.tls.handshakes import Handshakes
from chat.server.tls.tls_connection import TlsConnection

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["DeferredResponse", "Limits", "Server"]

logger = logging.getLogger(__name__)

Job = Callable[[], None]

ACCEPT_PAUSE_S: Final = 0.1  # out of descriptors, the listener stays readable: looking again at once would spin
ACCEPTS_MAX: Final = 64  # in a row: what comes at once is taken in at once, and slow clients' answers wait a moment
LISTEN_QUEUE: Final = 4096  # clients that all come back at once wait here, not in a retry of their kernel's
EVICTED_AT_ONCE: Final = 32  # idle connections closed for newcomers in one look; half of Limits.spare_descriptors
STRANGERS_EACH: Final = 16  # of a network while all connections are taken: a peer opens a few at once
EVICT_EVERY_S: Final = 0.1  # a look at 4,096 connections takes some milliseconds
LOG_EVERY_S: Final = 60.0
WORKER_IDLE_S: Final = 10.0  # then a thread without a job ends
STOP_S: Final = 1.0  # for threads whose sockets were shut down to notice


def _nothing() -> None:
    """Finish no batch."""


def _is_never_shared(address: str) -> bool:
    """Know no address of a proxy."""
    return False


def _no_refusal(host: str) -> str:
    """Let clients be sent on to any host."""
    return ""


def _waits(method: str, target: str) -> bool:
    """Assume that the application may wait."""
    return False


class Server(ThreadedWSGIServer):
    """A WSGI server on one port."""

    request_queue_size = LISTEN_QUEUE

    def __init__(
        self,
        app: "WSGIApplication",
        host: str,
        port: int,
        *,
        name: str,
        cpu_slots: int | None = None,
        limits: Limits = Limits(),  # noqa: B008  it is frozen
        ssl_context: ssl.SSLContext | None = None,
        never_waits: Callable[[str, str], bool] | None = None,
        finish_batch: Callable[[], None] = _nothing,
        is_shared: Callable[[str], bool] = _is_never_shared,
        durations: Durations = NOT_COUNTED,
        on_sweep: Callable[[], None] = _nothing,
        host_refusal: Callable[[str], str] = _no_refusal,
    ) -> None:
        """Bind and listen at once.  Raises OSError if the port is taken.

        `cpu_slots`: the number of threads that run the application at a time.  Python runs one thread at a time: of 256
        busy connections each would get its turn before a heartbeat does.

        `never_waits(method, target)`: whether the application defers its answer to such a request, or has all of it at
        once, without waiting for anything; without it each connection has a thread.  `finish_batch()` is called after
        one or more requests have been worked on, by a thread that nobody waits for: what they began together is
        finished there.  With an `ssl_context` the connections are over TLS; it may ask clients for certificates.
        `is_shared(address)`: whether many clients come from this address, as a proxy's do; its
        connections never give way to others'.  `durations`: of the requests that do not reach the application, or for
        which it sets no others.  `on_sweep()` is called about once a second; it must be short.
        `host_refusal(host)`: why a client of plain HTTP on a port with TLS is not sent on to this host; "" if it is.
        """
        # Werkzeug would print what is wrong with the address and exit; bound here, it raises.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family, backlog=LISTEN_QUEUE) as listener:
            super().__init__(host, listener.getsockname()[1], app, HttpConnection, fd=listener.fileno())
        self.socket.setblocking(False)  # a client that is gone before accept() must not hold the loop up
        self.ssl_context = ssl_context  # not given to Werkzeug, which would shake hands inside accept()
        # It may be replaced by another one at any time, for the connections that come later.
        self._connection = HttpConnection if ssl_context is None else TlsConnection
        self.name = name
        self.cpu_slots = threading.BoundedSemaphore(cpu_slots or limits.connections)
        self.limits = limits
        self.draining = False
        self.finish_batch = finish_batch
        self.never_waits = never_waits or _waits
        self.has_poller = AVAILABLE and never_waits is not None
        self._poller = Poller(name, self.give_thread, finish_batch) if self.has_poller else None
        self.handshakes = Handshakes(name)  # of a server with TLS and a poller
        self._workers = Workers(name)
        self._open: set[HttpConnection] = set()  # added to and taken from in one step each, so it needs no lock
        self._ended = threading.Condition()  # a connection has
        self._large_bodies = SlowReaders(limits.large_bodies_bytes)
        self._turned_away = 0  # since that was last logged
        self._evicted = 0  # likewise: idle connections that were closed for others
        self._log_at = 0.0
        self._cuts_logged = 0
        self._log_cuts_at = 0.0
        self._log_accept_at = 0.0  # likewise, of connections that could not be accepted
        self._looked_at = -inf  # when room was last looked for
        self._has_made_room = False  # by that look
        self._largest = ""  # the network that held most when room was last made
        self._is_shared = is_shared
        self.durations = durations
        self._on_sweep = on_sweep
        self.host_refusal = host_refusal
        self._descriptors_max = descriptor_limit() - limits.spare_descriptors
        self._accepted_all = False
        self._accept_again_at = 0.0
        self._sweep_at = 0.0
        self._listening = False  # the listener is in the loop's selector
        self._stopping = threading.Event()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._selector = selectors.DefaultSelector()  # here: want of descriptors is the caller's error, not the loop's
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, self._woken)
        self.slow_readers = SlowReaders(limits.send_queue_bytes)
        self.send_queue = SendQueue(limits, self._selector, self._wake, self.slow_readers)
        # daemon, as the connections' threads are: a start that fails elsewhere, or an application that hangs past the
        # deadline of drain(), must not keep the process alive.
        self._loop = threading.Thread(target=self.serve_forever, name=f"{name}-server", daemon=True)

    def start(self) -> None:
        """Accept connections, in a thread of its own."""
        if self._poller is not None:
            self._poller.start()
            if self.ssl_context is not None:
                self.handshakes.start()
        self._loop.start()

    def drain(self, deadline_s: float) -> None:
        """Refuse new connections, close idle ones, finish what is in flight, deferred answers too; cut what is left."""
        self.draining = True  # before idleness is looked at: a connection that becomes idle later looks at this
        self._wake()
        if self._loop.ident is None:
            self.server_close()
        for connection in self._open.copy():
            if connection.idle and not connection.response_lock.locked():
                connection.shut_if_quiet()
        self._await_end_of_connections(deadline_s)
        for connection in self._open.copy():
            connection.shut(socket.SHUT_RDWR)
        self._stopping.set()
        self._wake()
        self._await_end_of_connections(STOP_S)
        if self._loop.ident is not None:
            self._loop.join(STOP_S)
        self._workers.stop()
        if self._poller is not None:
            self._poller.stop(STOP_S)
            self.handshakes.stop(STOP_S)
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _await_end_of_connections(self, deadline_s: float) -> None:
        with self._ended:
            self._ended.wait_for(lambda: not self._open, deadline_s)

    # The loop

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Run the loop.  It wakes for events, and to look at deadlines."""
        while not self._stopping.is_set():
            try:
                self._run_once()
            except Exception:
                logger.exception("%s: the server's loop failed, and goes on", self.name)
                self._stopping.wait(ACCEPT_PAUSE_S)  # whatever it was may be there again
        self.send_queue.take_in()
        self.send_queue.cut(inf)
        self.server_close()

    def _run_once(self) -> None:
        pause_s = self._listen_or_pause()
        for key, _ in self._selector.select(min(pause_s, self.limits.sweep_s)):
            key.data()
        self.send_queue.take_in()
        now = monotonic()
        if now >= self._sweep_at:
            self._sweep(now)
            self.send_queue.cut(now)
            self._on_sweep()
            self._sweep_at = now + self.limits.sweep_s

    def _listen_or_pause(self) -> float:
        """Listen only while connections are wanted, and return for how long they are not."""
        pause_s = 0.0 if self.draining else max(0.0, self._accept_again_at - monotonic())
        wanted = not pause_s and not self.draining
        if wanted != self._listening:
            self._listening = wanted
            if wanted:
                self._selector.register(self.socket, selectors.EVENT_READ, self._accept)
            else:
                self._selector.unregister(self.socket)
                if self._poller is not None:
                    self._poller.note_newcomers(wait=False)  # who waits is not accepted now
        if self.draining:
            self.server_close()
        return pause_s or inf

    def _woken(self) -> None:
        try:
            while self._wake_receiver.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is being woken; closed: it is no more
            self._wake_sender.send(b"w")

    def _sweep(self, now: float) -> None:
        """Cut the connections that are past their deadline.  Their threads answer 408 if they can."""
        for connection in self._open.copy():
            if connection.known_by <= now:
                connection.cut()
            elif connection.deadline <= now:
                connection.shut(socket.SHUT_RDWR if connection.writing else socket.SHUT_RD)
        if self.slow_readers.cuts > self._cuts_logged and now >= self._log_cuts_at:
            logger.warning(
                "%s: %d answers were cut off: their clients read too slowly, or more waited for one address or user "
                "than its share",
                self.name, self.slow_readers.cuts - self._cuts_logged,
            )  # fmt: skip
            self._cuts_logged = self.slow_readers.cuts
            self._log_cuts_at = now + LOG_EVERY_S
        if (self._turned_away or self._evicted) and now >= self._log_at:
            logger.warning(
                "%s: all connections are in use: %d were refused, and %d idle ones of the addresses with most "
                "were closed",
                self.name, self._turned_away, self._evicted,
            )  # fmt: skip
            self._turned_away = self._evicted = 0
            self._log_at = now + LOG_EVERY_S

    # A new connection

    def _accept(self) -> None:
        self._accepted_all = False
        for _ in range(ACCEPTS_MAX):
            self._handle_request_noblock()  # type: ignore[attr-defined]  # BaseServer's: the methods below, in turn
            if self._accepted_all or self.draining:
                break
        if self._poller is not None:
            self._poller.note_newcomers(wait=not self._accepted_all and not self.draining)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection.  If descriptors have run out, stop listening for a moment."""
        try:
            request, client_address = self._accept_one()
        except ConnectionAbortedError:
            raise
        except BlockingIOError:
            self._accepted_all = True
            raise
        except OSError as error:
            self._accepted_all = True
            self._accept_again_at = monotonic() + ACCEPT_PAUSE_S
            self._make_room("")
            if monotonic() >= self._log_accept_at:
                self._log_accept_at = monotonic() + LOG_EVERY_S
                logger.warning("%s: cannot accept a connection: %s", self.name, error)
            raise
        return request, client_address

    def _accept_one(self) -> tuple[socket.socket, Any]:
        if AVAILABLE:
            return accept_now(self.socket)
        request, client_address = self.socket.accept()
        request.setblocking(True)  # some systems have it inherit from the listener
        return request, client_address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Refuse a connection that would be one too many; BaseServer then closes it.

        While there is room anybody may have it.  When there is none, clients that are not known yet give way
        (Limits.stranger_s).  Where there are none, the address that holds most loses its longest idle connections; a
        newcomer from that address is refused.
        """
        if len(self._open) < self.limits.connections and request.fileno() < self._descriptors_max:
            return True
        if self._make_room(network(client_address[0])) and self._has_spare_room(request):
            return True
        if self._is_operators(request, client_address[0]):
            return True
        self._turned_away += 1
        self.durations[5].append(0.0)
        if self.ssl_context is None:
            _answer_unread(
                request,
                network(client_address[0]),
                HttpError(
                    503,
                    "too_many_connections",
                    "all connections of this server are in use; try again",
                    (("Retry-After", "1"),),
                ),
            )
        return False

    def _has_spare_room(self, request: Any) -> bool:
        """Return True if a newcomer fits in the spare: evicted connections are closed a moment later."""
        descriptors_max = self._descriptors_max + self.limits.spare_descriptors // 2
        return len(self._open) < self.limits.connections + EVICTED_AT_ONCE and request.fileno() < descriptors_max

    def _is_operators(self, request: Any, address: str) -> bool:
        """Return True for a connection that may use the operator's spare: from this machine, but not from a proxy."""
        if not self.limits.operator_spare or not self.is_from_this_machine(address):
            return False
        spare = EVICTED_AT_ONCE + self.limits.operator_spare  # beyond what newcomers get while others make room
        descriptors_max = self._descriptors_max + min(spare, self.limits.spare_descriptors * 3 // 4)
        return len(self._open) < self.limits.connections + spare and request.fileno() < descriptors_max

    def _make_room(self, newcomer: str) -> bool:
        """Have idle connections of the address that holds most give way; False where that is the newcomer's own."""
        if monotonic() < self._looked_at + EVICT_EVERY_S and (self._has_made_room or newcomer == self._largest):
            return newcomer != self._largest  # one look at all of them serves many newcomers
        self._looked_at, self._has_made_room = monotonic(), False
        open_now = self._open.copy()
        if strangers := [connection for connection in open_now if connection.known_by < inf]:
            return self._evict_strangers(strangers, newcomer)
        by_network: dict[str, list[HttpConnection]] = {}
        for connection in open_now:
            if connection.network:
                by_network.setdefault(connection.network, []).append(connection)
        largest = network_to_evict({name: len(held) for name, held in by_network.items()}, newcomer)
        self._largest = newcomer if largest is None else largest
        if largest is None:
            return False
        held = by_network[largest]
        idle = [connection for connection in held if _may_go(connection)]
        for connection in nsmallest(EVICTED_AT_ONCE, idle, key=lambda connection: connection.deadline):
            connection.shut_if_quiet()
            self._evicted += 1
        self._has_made_room = bool(idle)
        return self._has_made_room

    def _evict_strangers(self, strangers: list[HttpConnection], newcomer: str) -> bool:
        """Have the oldest connections give way whose clients are not known yet; known clients never do then.

        A network with many of them goes first, and gets no more.  One with few may be about to become known.
        """
        held = Counter(connection.network for connection in strangers)

        def order(connection: HttpConnection) -> tuple[bool, float]:
            return held[connection.network] <= STRANGERS_EACH, connection.known_by

        for connection in nsmallest(EVICTED_AT_ONCE, strangers, key=order):
            connection.shut_if_quiet()
            self._evicted += 1
        largest, most = held.most_common(1)[0]
        self._largest = largest if most > STRANGERS_EACH else ""
        self._has_made_room = True
        return held[newcomer] <= STRANGERS_EACH

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin to serve a connection."""
        connection = self._connection(request, client_address, self)
        connection.idle = self.has_poller  # until its first request begins; a thread says so itself
        self._open.add(connection)
        if self.has_poller:
            self.poll(connection)
            if self.draining:
                connection.shut_if_quiet()
        else:
            self.give_thread(connection)

    def give_thread(self, connection: Any) -> None:
        """Have a thread serve a connection.  If the system has no more threads, the connection is closed."""
        if connection.client_has_closed and connection.response_lock.acquire(blocking=False):
            connection.finish()  # there is nothing to serve, and no answer under way
            return
        try:
            self._workers.run(connection.serve)
        except RuntimeError as error:
            logger.error("%s: a connection could not be served: %s", self.name, error)
            connection.finish()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log an error of a connection that has no thread yet."""
        logger.error("%s: a connection could not be served", self.name, exc_info=sys.exc_info())

    # For the connections

    def poll(self, connection: Any) -> None:
        """Give a quiet connection to the poller; the last thing that its thread does with it."""
        assert self._poller is not None
        try:
            self._poller.add(connection)
        except (OSError, ValueError) as error:  # out of the kernel's memory for it, or the watch has been stopped
            logger.warning("%s: a connection cannot be polled: %s", self.name, error)
            connection.finish()

    def stop_polling(self, connection: Any) -> None:
        """Take a connection from the poller, before its socket is given away."""
        if self._poller is not None:
            self._poller.remove(connection)

    def ended(self, connection: HttpConnection) -> None:
        """Forget a connection that is closed or detached."""
        self._open.discard(connection)
        with self._ended:
            self._ended.notify_all()

    def is_from_this_machine(self, address: str) -> bool:
        """Return True for the address of a client on this machine, which is not a proxy."""
        return is_this_machine(address) and not self._is_shared(address)

    def network_of(self, address: str) -> str:
        """The network that this client counts for; "" for many clients behind one address."""
        return "" if self._is_shared(address) else network(address)

    def admit_large_body(self, body: LargeBody, length: int) -> None:
        """Count a large body that is about to be read.  Raises HttpError.

        When there is no room, the network that holds more than its share loses the body that has been here longest.
        """
        if not self._large_bodies.reserve(body, length):
            raise HttpError(
                503, "too_many_bodies", "too many large request bodies at once; try again", (("Retry-After", "1"),)
            )

    def return_large_body(self, body: LargeBody) -> None:
        """Count it no longer."""
        self._large_bodies.release(body)


def _may_go(connection: HttpConnection) -> bool:
    """Return True if the connection may be closed for another one: no client waits for an answer there."""
    return connection.is_receiving_body or (connection.may_be_evicted and not connection.response_lock.locked())


def _answer_unread(request: socket.socket, newcomer: str, refused: HttpError) -> None:
    """Send the error, if it fits in the socket's buffer, and read what has arrived: then closing does not reset."""
    with suppress(OSError):
        request.send(error_response(refused, newcomer), socket.MSG_DONTWAIT)
        request.recv(64 * 1024, socket.MSG_DONTWAIT)


class Workers:
    """Threads for what takes long: one for each job at a time; idle ones are used again.

    For any thread.  The callers bound how many jobs there are.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._idle = 0  # threads that nobody has given a job to; under the lock
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()  # each is for a thread that was idle; None ends it
        self._stopped = False  # under the lock

    def run(self, job: Job) -> None:
        """Run `job` in a thread of its own, at once.  Raises RuntimeError: the system has no more threads."""
        with self._lock:
            reused = self._idle > 0
            self._idle -= reused
        if reused:
            self._jobs.put(job)
        else:
            # daemon: an application that hangs past the deadline of a drain must not keep the process alive.
            threading.Thread(target=self._run, name=f"{self._name}-worker", args=(job,), daemon=True).start()

    def stop(self) -> None:
        """End the threads: those that are idle at once, the others after their jobs."""
        with self._lock:
            self._stopped = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._jobs.put(None)

    def _run(self, job: Job | None) -> None:
        while job is not None:
            try:
                job()
            except Exception:
                logger.exception("%s: a worker's job failed", self._name)
            job = self._next_job()

    def _next_job(self) -> Job | None:
        with self._lock:
            if self._stopped:
                return None
            self._idle += 1
        try:
            return self._jobs.get(timeout=WORKER_IDLE_S)
        except Empty:
            with self._lock:
                if self._idle:
                    self._idle -= 1
                    return None
        return self._jobs.get()  # it is being given one just now
