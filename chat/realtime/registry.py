"""Registered connections: the token and the user that each acts for, and which of them an event concerns.

Rules
- Only the hub's selector thread enters.
- A connection that is not registered is anonymous.  Without sign-in all are, and are told what is public.  With sign-in
  a connection that has not proved anything yet is in no channel.
- Roles are as of the last account event; the members of a room are in each event.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from chat.commands import Actor
from chat.realtime.connection import Connection
from chat.state.accounts import ADMIN, GUEST, MEMBER, Acting
from chat.state.events import Reach, is_told

_ANYONE: Final = Acting("", MEMBER)  # is told what is public


class Registry:
    """The registered connections of a node."""

    def __init__(self) -> None:
        self._present: dict[Connection, tuple[Actor, Acting]] = {}
        self._by_token: dict[int, set[Connection]] = {}
        self._by_user: dict[str, set[Connection]] = {}
        self._admins: set[Connection] = set()
        self._attached: set[Connection] = set()

    def register(self, connection: Connection, actor: Actor, acting: Acting) -> None:
        """Register the connection as acting for this user."""
        self.unregister(connection)
        self._present[connection] = actor, acting
        self._by_token.setdefault(actor.by, set()).add(connection)
        self._by_user.setdefault(acting.name, set()).add(connection)
        if acting.role == ADMIN:
            self._admins.add(connection)
        elif acting.role == GUEST:
            self._attached.add(connection)

    def unregister(self, connection: Connection) -> None:
        """Make the connection anonymous."""
        if connection not in self._present:
            return
        actor, acting = self._present.pop(connection)
        _take_out(self._by_token, actor.by, connection)
        _take_out(self._by_user, acting.name, connection)
        self._admins.discard(connection)
        self._attached.discard(connection)

    def is_registered(self, connection: Connection) -> bool:
        """Return True if the connection is registered."""
        return connection in self._present

    def actor(self, connection: Connection) -> Actor:
        """The token and the user that the connection acts for."""
        return self._present[connection][0]

    def is_told(self, connection: Connection, reach: Reach) -> bool:
        """Return True if an event of this reach concerns the connection."""
        return is_told(self._present[connection][1], reach) if connection in self._present else reach.is_common

    def of_token(self, number: int) -> list[Connection]:
        """The connections that act by this token."""
        return [*self._by_token.get(number, ())]

    def of_user(self, name: str) -> list[Connection]:
        """The connections of this user."""
        return [*self._by_user.get(name, ())]

    def shares(
        self, connections: Collection[Connection], reaches: Sequence[Reach], frames: Sequence[bytes]
    ) -> Iterable[tuple[Collection[Connection], int, bytes]]:
        """Divide a batch's frames among `connections`, an ordered set: some of them, how many frames, and these joined.

        `reaches` has the reach of each frame.  Nearly always all connections get all frames.  Otherwise only those are
        looked at one by one that may differ: guests, and users whom a frame concerns that is not for all.
        """
        if not self._attached and all(reach.public and reach.without is None for reach in reaches):
            return [(connections, len(frames), b"".join(frames))]
        kinds = [*dict.fromkeys(reaches)]
        apart = self._apart(kinds)
        common = tuple(reach.is_common for reach in kinds)
        told: dict[tuple[bool, ...], list[Connection]] = {common: []}
        for connection in connections:
            if connection in apart:
                acting = self._present[connection][1]
                told.setdefault(tuple(is_told(acting, reach) for reach in kinds), []).append(connection)
            else:
                told[common].append(connection)
        shares = [(some, _chosen(kinds, kept, reaches, frames)) for kept, some in told.items()]
        return [(some, len(chosen), b"".join(chosen)) for some, chosen in shares if chosen]

    def _apart(self, kinds: Sequence[Reach]) -> set[Connection]:
        apart = set(self._attached)
        for reach in [*kinds, *(reach.without for reach in kinds if reach.without is not None)]:
            if reach.public:
                continue
            if reach.admins:
                apart |= self._admins
            names = reach.members if len(reach.members) < len(self._by_user) else self._by_user
            for name in names:
                if name in reach.members and name in self._by_user:
                    apart |= self._by_user[name]
        return apart


def _chosen(
    kinds: Iterable[Reach], kept: Iterable[bool], reaches: Iterable[Reach], frames: Iterable[bytes]
) -> list[bytes]:
    chosen = {reach for reach, is_kept in zip(kinds, kept, strict=True) if is_kept}
    return [frame for reach, frame in zip(reaches, frames, strict=True) if reach in chosen]


def _take_out(
    connections: dict[int, set[Connection]] | dict[str, set[Connection]],
    key: int | str,
    connection: Connection,
) -> None:
    there = connections[key]  # type: ignore[index]
    there.discard(connection)
    if not there:
        del connections[key]  # type: ignore[arg-type]
