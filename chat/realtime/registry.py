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
from chat.realtime.websocket_connection import Link
from chat.state.accounts import ADMIN, GUEST, MEMBER
from chat.state.events import Reach
from chat.state.permissions import Acting, is_told

_ANYONE: Final = Acting("", MEMBER)  # is told what is public


class Attendance:
    """The links of which is known who they are."""

    def __init__(self) -> None:
        self._present: dict[Link, tuple[Actor, Acting]] = {}
        self._by_token: dict[int, set[Link]] = {}
        self._by_user: dict[str, set[Link]] = {}
        self._admins: set[Link] = set()
        self._guests: set[Link] = set()

    def enter(self, link: Link, actor: Actor, acting: Acting) -> None:
        """It acts so from now on."""
        self.leave(link)
        self._present[link] = actor, acting
        self._by_token.setdefault(actor.by, set()).add(link)
        self._by_user.setdefault(acting.name, set()).add(link)
        if acting.role == ADMIN:
            self._admins.add(link)
        elif acting.role == GUEST:
            self._guests.add(link)

    def leave(self, link: Link) -> None:
        """It is nobody in particular."""
        if link not in self._present:
            return
        actor, acting = self._present.pop(link)
        _take_out(self._by_token, actor.by, link)
        _take_out(self._by_user, acting.name, link)
        self._admins.discard(link)
        self._guests.discard(link)

    def knows(self, link: Link) -> bool:
        """Whether it is entered."""
        return link in self._present

    def actor(self, link: Link) -> Actor:
        """By whom it acts."""
        return self._present[link][0]

    def is_told(self, link: Link, reach: Reach) -> bool:
        """Whether what concerns these concerns it."""
        return is_told(self._present[link][1], reach) if link in self._present else reach.is_common

    def of_token(self, number: int) -> list[Link]:
        """The links that act by this token."""
        return [*self._by_token.get(number, ())]

    def of_user(self, name: str) -> list[Link]:
        """The links of this user."""
        return [*self._by_user.get(name, ())]

    def shares(
        self, links: Iterable[Link], reaches: Sequence[Reach], frames: Sequence[bytes]
    ) -> Iterable[tuple[Iterable[Link], bytes]]:
        """Which of `links`, an ordered set, get which of the frames, joined; `reaches` says whom each concerns.

        Nearly always all get all.  Else those are looked at one by one who may get something else than the others:
        guests, and whom the frames concern that are not for all.
        """
        if not self._guests and all(reach.public and reach.without is None for reach in reaches):
            return [(links, b"".join(frames))]
        kinds = [*dict.fromkeys(reaches)]
        apart = self._apart(kinds)
        common = tuple(reach.is_common for reach in kinds)
        told: dict[tuple[bool, ...], list[Link]] = {common: []}
        for link in links:
            if link in apart:
                acting = self._present[link][1]
                told.setdefault(tuple(is_told(acting, reach) for reach in kinds), []).append(link)
            else:
                told[common].append(link)
        return [(some, joined) for kept, some in told.items() if (joined := _joined(kinds, kept, reaches, frames))]

    def _apart(self, kinds: Sequence[Reach]) -> set[Link]:
        apart = set(self._guests)
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


def _take_out(links: dict[int, set[Link]] | dict[str, set[Link]], key: int | str, link: Link) -> None:
    there = links[key]  # type: ignore[index]
    there.discard(link)
    if not there:
        del links[key]  # type: ignore[arg-type]
