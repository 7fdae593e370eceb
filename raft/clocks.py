"""What time it is, as most members have it: for what is to be given up by its age.

A leader whose clock is a year ahead would give up a year of what is kept.  So while it leads it asks the others, by
Hello, and goes by the middle one of all clocks that it knows; of an even number by the earlier of the two in the
middle, for to keep a thing too long is the lesser harm.  Where one clock of three is wrong, it does not count.
What is stamped on entries is the leader's own clock all the same.  So what a leader stamps whose clock is behind looks
older than it is, and by the others' time would go as soon as it comes: such a leader goes by its own.
"""

import threading
import time
from collections.abc import Callable

from raft.admission import check_sender
from raft.door import Door
from raft.errors import InvalidMessage, RefusedPeer
from raft.membership import Member
from raft.messages import Hello, HelloReply, Sender
from raft.node import Node, Role
from raft.proposals import now
from raft.transport import Connection
from raft.wire import decode_answer, encode

ASK_EVERY_S = 10.0
ANSWER_TIMEOUT_S = 1.0
KNOWN_S = 60.0  # a clock that was not heard of for so long does not count


class Clocks:
    """`sender()` says who this member is."""

    def __init__(self, id: int, door: Door, sender: Callable[[], Sender]) -> None:
        self._id = id
        self._door = door
        self._sender = sender
        self._told: dict[int, tuple[int, float]] = {}  # by member: its clock in microseconds, and when it was read

    def agreed_time(self) -> int:
        """Microseconds since 1970, never after the own clock; any thread."""
        read_s = time.monotonic()
        told = [(clock, read_s - at_s) for clock, at_s in list(self._told.values())]
        own = now()
        clocks = sorted([own, *(clock + int(past_s * 1e6) for clock, past_s in told if past_s < KNOWN_S)])
        return min(own, clocks[(len(clocks) - 1) // 2])

    def run(self, stopping: threading.Event) -> None:
        """The thread."""
        while not stopping.wait(ASK_EVERY_S):
            self.ask()

    def ask(self) -> None:
        """Ask all the others, where this member leads."""
        for member in self._door.look(self._to_ask_locked):
            self._ask(member)

    def _to_ask_locked(self, node: Node) -> list[Member]:
        if node.role is not Role.LEADER:
            return []
        return [member for id, member in node.configuration.members.items() if id != self._id]

    def _ask(self, asked: Member) -> None:
        connection = Connection(asked.url)
        try:
            status, body = connection.call(encode(self._sender(), Hello(self._id, asked.id)), ANSWER_TIMEOUT_S)
            sender, reply = decode_answer(body)
            committed = self._door.look(lambda node: node.committed_configuration)
            check_sender(sender, self._sender().cluster_id, committed)
        except (OSError, InvalidMessage, RefusedPeer):
            return  # what it said before counts for a while
        finally:
            connection.close()
        if status == 200 and sender.id == asked.id and isinstance(reply, HelloReply) and reply.time:
            self._told[asked.id] = reply.time, time.monotonic()
