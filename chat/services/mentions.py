"""Whom a message mentions: `@ann`, and `@room` for all members of the room.

Found where a post comes in, for what a user's name looks like is nothing that `apply` should have to know; the post's
command then names them, and `apply` decides for whom of these the room is there.
"""

from collections.abc import Callable, Iterator
from itertools import islice

from chat.commands.posts import WHOLE_ROOM
from chat.services.validation import NAME_POINTS_MAX

MENTIONS_MAX = 20  # of a message: the first ones; what mentions more people means the room
_ROOM = WHOLE_ROOM[1:]  # no user's name: `validation.user_name` does not take it
_LOOKED_AT_MAX = 100  # of a message's "@", so that 8,000 of them cost no more


def mentioned(message: str, known: Callable[[set[str]], set[str]]) -> tuple[str, ...]:
    """The users whom the message names, each once, and WHOLE_ROOM where it does, in the order of the message.

    What follows an "@" is the longest name that somebody has; neither the "@" nor the name's end stands within a word.
    `known` says which of some texts are users' names.
    """
    tails = [message[at + 1 : at + 2 + NAME_POINTS_MAX] for at in islice(_opens(message), _LOOKED_AT_MAX)]
    texts = [[tail[:end] for end in _ends(tail)] for tail in tails]
    names = known({text for each in texts for text in each}) | {_ROOM}
    found = [next((text for text in reversed(each) if text in names), "") for each in texts]
    return tuple(islice(dict.fromkeys(WHOLE_ROOM if name == _ROOM else name for name in found if name), MENTIONS_MAX))


def _opens(message: str) -> Iterator[int]:
    at = message.find("@")
    while at >= 0:
        if not at or not message[at - 1].isalnum():
            yield at
        at = message.find("@", at + 1)


def _ends(tail: str) -> Iterator[int]:
    """Where a name may end, ascending."""
    for end in range(1, min(len(tail), NAME_POINTS_MAX) + 1):
        if end == len(tail) or not (tail[end - 1].isalnum() and tail[end].isalnum()):
            yield end
