"""How posts read, from which place in the log on: what the first member to apply a change makes of it.

A page that shows the state as of a log index has to show each of its posts as it was then, and what somebody was told
of is in every page that is asked for afterwards.
"""

from collections import Counter

from chat.state.events import PostChanged, Reacted
from chat.state.post_json import with_reactions
from chat.state.results import Posted
from tests.simulation.invariants import require


class Revisions:
    """All versions of all posts."""

    def __init__(self) -> None:
        self._shown: dict[tuple[str, int], list[tuple[int, bytes]]] = {}  # from a log index on, as readers see it
        self._plain: dict[tuple[str, int], bytes] = {}  # the last of these without its reactions
        self._reactions: dict[tuple[str, int], dict[str, list[str]]] = {}  # as a client has them from what it is told
        self._acknowledged: Counter[str] = Counter()  # room -> log index of the last change that anybody was told of

    def posted(self, post: Posted) -> None:
        """A new post is in the state."""
        key = post.room, post.id
        self._shown[key], self._plain[key], self._reactions[key] = [(post.index, post.json)], post.json, {}

    def changed(self, change: PostChanged | Reacted) -> None:
        """A post is another than before, or as it was asked to be already."""
        key = change.room, change.id
        if isinstance(change, Reacted):
            self._react(self._reactions[key], change)
        else:
            if b'"Deleted":true' in change.post:
                self._reactions[key].clear()
            self._plain[key] = change.post.removesuffix(self._suffix(key)) + b"}" * bool(self._reactions[key])
        post = self._plain[key]
        self._shown[key].append((change.index, post[:-1] + self._suffix(key) if self._suffix(key) else post))

    def _suffix(self, key: tuple[str, int]) -> bytes:
        reactions = tuple((emoji, tuple(users)) for emoji, users in self._reactions[key].items())
        return with_reactions(b"{}", reactions)[1:] if reactions else b""

    @staticmethod
    def _react(reactions: dict[str, list[str]], change: Reacted) -> None:
        users = reactions.setdefault(change.emoji, [])
        if change.on and change.user not in users:
            users.append(change.user)
        elif not change.on and change.user in users:
            users.remove(change.user)
        require(len(users) == change.count, "reactions", f"{change} where {users} react so")
        if not users:
            del reactions[change.emoji]

    def acknowledge(self, change: PostChanged | Reacted) -> None:
        """Somebody was told of it."""
        self._acknowledged[change.room] = max(self._acknowledged[change.room], change.index)

    def acknowledged(self, room: str) -> int:
        """The log index up to which a read that begins now has to find all changes."""
        return self._acknowledged[room]

    def is_one(self, room: str, id: int, post: bytes) -> bool:
        """Whether the post ever read so, reactions apart."""
        return any(post == shown[: len(post) - 1] + b"}" for _, shown in self._shown[room, id])

    def as_of(self, room: str, id: int, log_index: int) -> bytes:
        """The post as the state showed it then."""
        return [shown for index, shown in self._shown[room, id] if index <= log_index][-1]
