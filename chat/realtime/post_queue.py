"""The posts of one websocket, in order.

Rules
- Posts to one room are proposed one after the other, so a failover cannot reorder them.
- If a post may not have been made, the posts behind it are refused.  The client sends them again, in order.
- A post that the state here refuses is not proposed.  The refusal is confirmed by a state that holds all that was
  acknowledged.
"""

from collections import deque
from collections.abc import Mapping
from functools import partial

from chat.commands import Actor, Post
from chat.errors import Problem, invalid, problem_of, unavailable
from chat.realtime import replies
from chat.realtime.authentication import Realtime
from chat.realtime.websocket_connection import WebSocketConnection
from chat.services.posts import check_post, with_mentions
from chat.services.proposals import post_to_propose, propose
from chat.state.results import Posted
from raft.errors import RaftError

_BEHIND_A_FAILURE = unavailable("the post before this one failed; nothing was changed")


class PostQueue:
    """The posts of one websocket: a queue a room.  The first post is proposed, the others wait for its outcome."""

    def __init__(self, realtime: Realtime, connection: WebSocketConnection, actor: Actor) -> None:
        self._hub = realtime.hub
        self._replica = realtime.replica
        self._state = realtime.state
        self._authenticator = realtime.authenticator
        self._connection = connection
        self._actor = actor
        self._queues: dict[str, deque[dict[str, object]]] = {}  # as they were sent

    def post(self, fields: Mapping[str, object]) -> None:
        """Queue a post, and answer it once it has an outcome.  Raises Problem if it is no post at all."""
        room, post = fields.get("roomname"), fields.get("post")
        if not isinstance(post, dict):
            raise invalid("Post", "must be an object")
        if not isinstance(room, str):
            self._connection.send(replies.error(invalid("RoomName", "must be a string"), post))
            return
        self._connection.hold()
        queue = self._queues.setdefault(room, deque())
        queue.append(post)
        if len(queue) == 1:
            self._propose(room, queue)

    def _propose(self, room: str, queue: deque[dict[str, object]]) -> None:
        while queue:
            try:
                post = with_mentions(check_post(room, queue[0], self._actor), self._state)
                self._authenticator.admit_post(self._actor)
            except Problem as problem:
                self._refuse(problem, queue)
            else:
                settled = post_to_propose(post, self._actor, self._state)
                if isinstance(settled, Problem):
                    self._confirm(room, post)
                else:
                    self._propose_settled(room, settled)
                return
        del self._queues[room]

    def _confirm(self, room: str, post: Post) -> None:
        def done(error: RaftError | None) -> None:
            self._hub.call(partial(self._settle, room, post, error))

        self._replica.read(done)

    def _settle(self, room: str, post: Post, error: RaftError | None) -> None:
        """Decide on a refused post again, now that the state holds all that was acknowledged."""
        settled = problem_of(error) if error is not None else post_to_propose(post, self._actor, self._state)
        if isinstance(settled, Problem):
            self._answered(room, post, settled)
        else:
            self._propose_settled(room, settled)

    def _propose_settled(self, room: str, post: Post) -> None:
        """Propose the post; all that arrives in one turn of the hub is written as one batch."""
        propose(self._replica, post, partial(self._done, room, post), flushes=True)
        self._hub.at_end_of_turn(self._replica.flush_soon)

    def _done(self, room: str, post: Post, outcome: Posted | Problem) -> None:
        """Take the outcome to the selector thread; called in a thread of the engine."""
        self._hub.call(partial(self._answered, room, post, outcome))

    def _answered(self, room: str, post: Post, outcome: Posted | Problem) -> None:
        queue = self._queues[room]
        if isinstance(outcome, Problem):
            self._refuse(outcome, queue)
        else:
            queue.popleft()
            self._tell(replies.posted(post, outcome))
        self._propose(room, queue)

    def _refuse(self, problem: Problem, queue: deque[dict[str, object]]) -> None:
        """Answer the first post with a problem; refuse the others if it may have been made."""
        self._tell(replies.error(problem, queue.popleft()))
        while queue and replies.is_temporary(problem):
            self._tell(replies.error(_BEHIND_A_FAILURE, queue.popleft()))

    def _tell(self, message: bytes) -> None:
        self._connection.send(message)
        self._connection.release()
