"""Reads: GETs that wait until this node's state is new enough, without holding a thread.

A route that reads checks its query and returns a Read.  Its `render` is called once the state is as new as the client
asks for, and after the user was looked up again.  The thread of the request goes on at once; the engine confirms reads,
and one thread renders and sends them one after the other.  That is quicker than waking a thread for each, and only one
at a time uses the processor.

Rules
- A confirmed read looks at the state only after it was confirmed: what it shows may be newer than asked for, never
  older.  The same holds for the user: a token that was revoked before reads nothing.
- Until this node knows the mode, stale reads are confirmed too: sign-in may protect by now what they would show.
- A read that meets damage on this node's disk is answered once that is mended from another node.  A thread of its own
  waits for that, so that other reads go on.
- An error is an answer too.  A bug is logged, and answered with 500.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from queue import SimpleQueue
from threading import BoundedSemaphore, Lock, Thread

from chat.api.request import Request, no_recent_leader
from chat.api.response import Deferred, Detached, Read, Response, response_of
from chat.errors import Problem, problem_of, unavailable
from chat.replica import STALE_S_MAX, Replica
from chat.services.cursors import arrive, is_here, is_lost, start_over
from chat.services.post_cache import mending
from raft.errors import CorruptLog, RaftError

logger = logging.getLogger(__name__)

MENDING_MAX = 64  # reads that wait until damage is mended, each in a thread; more get a Problem


@dataclass(frozen=True, slots=True)
class _Settled:
    """A read that the engine has confirmed or refused, and its deferred response."""

    read: Read
    request: Request
    answer: Deferred
    error: RaftError | Problem | None


class Reads:
    """Answers the reads of one application."""

    def __init__(
        self,
        replica: Replica,
        identify: Callable[[Request], None],
        knows_mode: Callable[[], bool] = lambda: True,
        note_mode: Callable[[], None] = lambda: None,
    ) -> None:
        """`identify` sets who asks, as this member knows it by then; raises Problem (401).

        `knows_mode`: whether the state has the cluster's mode; `note_mode` is called when a read has shown that.
        """
        self._replica = replica
        self._identify = identify
        self._knows_mode = knows_mode
        self._note_mode = note_mode
        self._settled: SimpleQueue[_Settled] = SimpleQueue()  # bounded: a connection has one answer outstanding
        self._waiting = BoundedSemaphore(MENDING_MAX)
        self._starting = Lock()
        self._thread: Thread | None = None  # started by the first read that needs it

    def answer(self, request: Request, read: Read) -> Response | Deferred | Detached:
        """Answer a read, now or deferred.  Raises what `render` raises."""
        if read.stale and (self._replica.is_set_aside or not self._knows_mode()):
            read = replace(read, stale=False)
        if read.stale and request.state.guarded and self._replica.contact_age_s() > STALE_S_MAX:
            raise no_recent_leader()
        if read.stale and (read.place is None or is_here(self._replica, read.place)):
            return mending(lambda: self._rendered(request, read, None), partial(self._mended, request))
        if read.by_caller:
            late = unavailable("the cluster did not answer in time")
            error = request.wait_for(partial(self._start, read), late)
            return mending(lambda: self._rendered(request, read, error), partial(self._mended, request))
        answer = request.defer()
        if self._thread is None:
            self._start_thread()
        self._start(read, lambda error: self._settled.put(_Settled(read, request, answer, error)))
        return answer

    def _start(self, read: Read, done: Callable[[RaftError | Problem | None], None]) -> None:
        if read.start is not None:
            read.start(done)
        elif read.stale and read.place is not None:
            arrive(self._replica, read.place, done)
        else:
            self._replica.read(done)

    def _rendered(
        self, request: Request, read: Read, error: RaftError | Problem | None
    ) -> Response | Deferred | Detached:
        missing = None if read.place is None or is_here(self._replica, read.place) else read.place
        if error is None or (isinstance(error, Problem) and is_lost(error)):
            if error is None and not read.stale:
                self._note_mode()
            self._identify(request)
            if missing is not None:
                raise start_over(missing)
            return read.render()
        if missing is not None:
            raise unavailable("min_index: this node has not applied that index yet. Try again, or ask another node.")
        raise error if isinstance(error, Problem) else problem_of(error)

    def _mended(self, request: Request, damage: CorruptLog) -> bool:
        """Wait until damage is mended, in the request's own thread."""
        with request.off_cpu():
            return self._replica.mended(damage)

    # A thread for each read that met damage

    def _answer_mended(self, settled: _Settled, damage: CorruptLog) -> None:
        """Wait until damage is mended, and read again."""
        try:
            if self._replica.mended(damage):
                self._send(settled, self._response(settled, self._replica.mended))
            else:
                self._send(settled, response_of(problem_of(damage)))
        except Exception:
            logger.exception("a read's answer could not be sent")
        finally:
            self._waiting.release()

    # The thread

    def _start_thread(self) -> None:
        with self._starting:
            if self._thread is None:
                # daemon: it may be reading from a disk that hangs when the process ends
                self._thread = Thread(target=self._run, name="reads", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            settled = self._settled.get()
            try:
                self._send(settled, self._response(settled, lambda damage: False))
            except CorruptLog as damage:
                Thread(target=self._answer_mended, args=(settled, damage), name="reads-mended", daemon=True).start()
            except Exception:
                logger.exception("a read's answer could not be sent")

    def _send(self, settled: _Settled, response: Response | Deferred | Detached) -> None:
        if isinstance(response, Response):
            settled.request.send(settled.answer, response)
        else:
            self._replica.flush()  # of what was proposed for it nobody else is going to

    def _response(self, settled: _Settled, mended: Callable[[CorruptLog], bool]) -> Response | Deferred | Detached:
        """Render the answer.  Raises CorruptLog: a thread of its own may wait until the damage is mended."""
        try:
            return mending(lambda: self._rendered(settled.request, settled.read, settled.error), mended)
        except CorruptLog as damage:
            if mended == self._replica.mended:
                return response_of(problem_of(damage))
            if not self._waiting.acquire(blocking=False):  # which says nothing of whether another node has the record
                return response_of(unavailable("too many reads wait for damaged records of this node"))
            raise
        except Problem as problem:
            return response_of(problem)
        except RaftError as error:
            return response_of(problem_of(error))
        except Exception:
            logger.exception("the application failed on %s", settled.request.services.template_of(settled.request))
            detail = "the server failed on this request; its log says why"
            return response_of(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail))
