"""Who is connected: by which token each websocket acts, and for whom; and whom of them an event concerns.

Rules
- Only the hub's selector thread enters.
- Who is not entered is nobody in particular: where there is no login that is everybody.  Where there is one, who has
  not proved anything yet is in no audience.
- Roles are as of the last word of the state; whose rooms are whose is told by each event.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from chat.commands import Actor
from chat.realtime.connection import Connection
from chat.state.accounts import ADMIN, GUEST, MEMBER
from chat.state.events import Reach
from chat.state.permissions import Acting, is_told

_ANYONE: Final = Acting("", MEMBER)  # is told what is public


class Registry:
    """The websockets of which is known who they are."""

    def __init__(self) -> None:
        self._present: dict[Connection, tuple[Actor, Acting]] = {}
        self._by_token: dict[int, set[Connection]] = {}
        self._by_user: dict[str, set[Connection]] = {}
        self._admins: set[Connection] = set()
        self._attached: set[Connection] = set()

    def register(self, connection: Connection, actor: Actor, acting: Acting) -> None:
        """It acts so from now on."""
        self.unregister(connection)
        self._present[connection] = actor, acting
        self._by_token.setdefault(actor.by, set()).add(connection)
        self._by_user.setdefault(acting.name, set()).add(connection)
        if acting.role == ADMIN:
            self._admins.add(connection)
        elif acting.role == GUEST:
            self._attached.add(connection)

    def unregister(self, connection: Connection) -> None:
        """It is nobody in particular."""
        if connection not in self._present:
            return
        actor, acting = self._present.pop(connection)
        _take_out(self._by_token, actor.by, connection)
        _take_out(self._by_user, acting.name, connection)
        self._admins.discard(connection)
        self._attached.discard(connection)

    def is_registered(self, connection: Connection) -> bool:
        """Whether it is entered."""
        return connection in self._present

    def actor(self, connection: Connection) -> Actor:
        """By whom it acts."""
        return self._present[connection][0]

    def is_told(self, connection: Connection, reach: Reach) -> bool:
        """Whether what concerns these concerns it."""
        return is_told(self._present[connection][1], reach) if connection in self._present else reach.is_common

    def of_token(self, number: int) -> list[Connection]:
        """The websockets that act by this token."""
        return [*self._by_token.get(number, ())]

    def of_user(self, name: str) -> list[Connection]:
        """The websockets of this user."""
        return [*self._by_user.get(name, ())]

    def shares(
        self, connections: Iterable[Connection], reaches: Sequence[Reach], frames: Sequence[bytes]
    ) -> Iterable[tuple[Iterable[Connection], bytes]]:
        """Which of `connections`, an ordered set, get which of the frames, joined; `reaches` says whom each concerns.

        Nearly always all get all.  Else those are looked at one by one who may get something else than the others:
        guests, and whom the frames concern that are not for all.
        """
        if not self._attached and all(reach.public and reach.without is None for reach in reaches):
            return [(connections, b"".join(frames))]
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
        return [(some, joined) for kept, some in told.items() if (joined := _joined(kinds, kept, reaches, frames))]

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


def _joined(kinds: Iterable[Reach], kept: Iterable[bool], reaches: Iterable[Reach], frames: Iterable[bytes]) -> bytes:
    chosen = {reach for reach, is_kept in zip(kinds, kept, strict=True) if is_kept}
    return b"".join(frame for reach, frame in zip(reaches, frames, strict=True) if reach in chosen)


def _take_out(
    connections: dict[int, set[Connection]] | dict[str, set[Connection]],
    key: int | str,
    connection: Connection,
) -> None:
    there = connections[key]  # type: ignore[index]
    there.discard(connection)
    if not there:
        del connections[key]  # type: ignore[arg-type]
