"""Imports: check the lines of an export, and propose their messages in order.

Rules.
- All lines of a request are checked before the first one is proposed.
- At most WINDOW messages of one import are under way.  So whoever posts meanwhile waits behind these at most, and one
  import at a time is carried out by a node.
- A reply names the Id in the room of what it answers.  So the messages before it are waited for if that is one of them.
- What went wrong in the middle may be sent again: the state takes each message once (chat/state/apply/imports.py).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import NamedTuple, Protocol, TypeVar

from chat.commands import Actor
from chat.commands.imports import ImportedPost, ImportPost, Reactions
from chat.errors import Problem, invalid, problem, problem_of_refusal, unavailable
from chat.replica import Replica
from chat.services import validation
from chat.services.proposals import check_level, propose, unanswered
from chat.state.apply.imports import find_progress
from chat.state.apply.posts import EMOJI_MAX, REACTIONS_MAX
from chat.state.results import Posted, Refusal, Success
from chat.state.room_details import ImportProgress
from chat.state.tables import StateReader

WINDOW = 200  # messages: a round to a majority costs what many of them cost, and a post behind them waits 20 ms
LINES_MAX = 400  # of a request, which are checked in one go: 10 ms
TURN_S = 5.0  # that a request waits for another import's: each of those takes a tenth of a second
AHEAD_S = 300  # that a message may be later than this node's clock: clocks of nodes differ

_KNOWN = (
    "Id", "User", "Message", "PostedAt", "ClientId", "EditedAt", "Deleted", "ReplyTo", "Reactions", "Pinned", "Imported"
)  # fmt: skip
# RFC 3339 §5.6, without leap seconds.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T")


class Caller(Protocol):
    """The request on whose thread an import runs (`chat.api.request.Request`)."""

    def off_cpu(self) -> AbstractContextManager[object]:
        """Wait in this context: the processor is for others meanwhile."""

    def wait_for(self, start: Callable[[Callable[[T], None]], None], late: Problem) -> T:
        """Call `start` with a callback, and block until that is called with a result.  Raises `late` if it never is."""


class Line(NamedTuple):
    """A checked line of an export.  `post` does not say what it answers."""

    number: int
    reply_to: int  # the number of what it answers; 0: it is no reply
    posted_at: int  # microseconds since 1970
    reactions: Reactions
    pinned: bool
    post: ImportedPost


def check_source(field: str, value: object) -> str:
    """The name of an import: 1 to 64 code points.  Raises Problem."""
    return validation.name(field, value)


def check_lines(source: str, body: bytes, now: int) -> list[Line]:
    """The lines of a body, NDJSON, in the order of their numbers.  Raises Problem that names the line.

    `now`: microseconds since 1970.  Empty lines are skipped.
    """
    texts = [(at, text) for at, text in enumerate(body.split(b"\n"), 1) if text.strip()]
    if len(texts) > LINES_MAX:
        raise invalid("body", f"has {len(texts):,} messages, at most {LINES_MAX} are allowed")
    lines = [check_line(source, f"line {at}", text, now) for at, text in texts]
    for before, line in pairwise(lines):
        if line.number != before.number + 1:
            raise invalid("Id", f"must count without a gap, and {line.number} follows {before.number}")
    if not lines:
        raise invalid("body", "has no message")
    return lines


def check_line(source: str, place: str, text: bytes, now: int) -> Line:
    """Return a line of the body, checked.  Raises Problem whose detail begins with `place`."""
    try:
        return _line(source, validation.only(validation.json_object(text), *_KNOWN), now)
    except Problem as wrong:
        raise invalid(place, wrong.detail) from None


def _line(source: str, members: Mapping[str, object], now: int) -> Line:
    number = validation.post_id("Id", members.get("id"))
    posted_at = _moment("PostedAt", members.get("postedat"), now)
    user = validation.name("User", members.get("user"))
    client_id = _client_id(members, source, number)
    if _flag("Deleted", members):
        return Line(number, 0, posted_at, (), False, ImportedPost(user, "", client_id, deleted=True))
    edited_at = _moment("EditedAt", members["editedat"], now) if "editedat" in members else 0
    reply_to = validation.post_id("ReplyTo", members["replyto"]) if "replyto" in members else 0
    if reply_to >= number:
        raise invalid("ReplyTo", "must be the Id of an earlier message of the import")
    post = ImportedPost(user, validation.message("Message", members.get("message")), client_id, edited_at=edited_at)
    return Line(number, reply_to, posted_at, _reactions(members), _flag("Pinned", members), post)


def _client_id(members: Mapping[str, object], source: str, number: int) -> str:
    if "clientid" in members:
        return validation.client_id("ClientId", members["clientid"])
    return f"import:{source}:{number}"


def _flag(field: str, members: Mapping[str, object]) -> bool:
    value = members.get(field.lower(), False)
    if not isinstance(value, bool):
        raise invalid(field, "must be true or false")
    return value


def _reactions(members: Mapping[str, object]) -> Reactions:
    """The reactions of `{"👍": ["ann", "bob"]}`, each user once."""
    given = members.get("reactions", {})
    if not isinstance(given, dict):
        raise invalid("Reactions", 'must be an object like {"👍":["ann"]}')
    found: dict[str, dict[str, None]] = {}
    for emoji, users in given.items():
        if not isinstance(users, list):
            raise invalid("Reactions", 'must be an object like {"👍":["ann"]}')
        names = found.setdefault(validation.emoji("Reactions", emoji), {})
        names.update((validation.name("Reactions", user), None) for user in users)
    if len(found) > EMOJI_MAX or sum(map(len, found.values())) > REACTIONS_MAX:
        raise invalid("Reactions", f"must have up to {EMOJI_MAX} emoji and {REACTIONS_MAX} users")
    return tuple((emoji, tuple(users)) for emoji, users in found.items() if users)


def _moment(field: str, value: object, now: int) -> int:
    """Microseconds since 1970 of a time as RFC 3339 has it, that is not in the future."""
    if not isinstance(value, str) or _MOMENT.fullmatch(value) is None:
        raise invalid(field, "must be a time like 2026-11-23T10:00:00.123456Z")
    try:
        found = (datetime.fromisoformat(value.upper()) - _FIRST) // _MICROSECOND
    except (ValueError, OverflowError):
        raise invalid(field, "must be a time like 2026-11-23T10:00:00.123456Z") from None
    if found <= 0:
        raise invalid(field, "must be later than 1970")
    if found > now + AHEAD_S * 1_000_000:
        raise invalid(field, "must not be in the future")
    return found


# --- proposing


class Imported(NamedTuple):
    """The progress of an import."""

    messages: int  # the first so many were imported
    log_index: int  # that shows it


class Target(NamedTuple):
    """An import: the room, and the name of the import there."""

    room: str
    source: str


def progress_of(state: StateReader, actor: Actor, target: Target) -> ImportProgress:
    """Return the progress of an import in the state here.  Raises Problem if the user may not import there."""
    found = state.ask(lambda tables: find_progress(tables, actor, target.room, target.source))
    if isinstance(found, Refusal):
        raise problem_of_refusal(found)
    return found


_under_way = Lock()


def run(
    replica: Replica,
    state: StateReader,
    actor: Actor,
    target: Target,
    lines: Sequence[Line],
    caller: Caller,
) -> Imported:
    """Import the lines that are not imported yet; return once they are committed and applied here.

    The state has to hold all that was acknowledged before.  Raises Problem; then some of the first lines may be
    imported.
    """
    with _turn(caller):
        messages = progress_of(state, actor, target).messages
        left = [line for line in lines if line.number > messages]
        if left and left[0].number != messages + 1:
            raise problem("import_gap", f"Id: the next message of this import is {messages + 1}")
        done = Imported(messages, replica.last_applied)
        late = unanswered(None, "the import was not answered in time")
        for window in _windows(left):
            commands = _commands(window, actor, target, progress_of(state, actor, target))
            check_level(replica, commands[0])
            outcomes = caller.wait_for(partial(_propose, replica, commands), late)
            done = Imported(window[-1].number, _index_of(outcomes))
        return done


@contextmanager
def _turn(caller: Caller) -> Iterator[None]:
    """Hold this node's one turn at imports.  Raises Problem if others keep it for TURN_S."""
    with caller.off_cpu():
        has_turn = _under_way.acquire(timeout=TURN_S)
    if not has_turn:
        raise unavailable("other imports are under way at this node")
    try:
        yield
    finally:
        _under_way.release()


def _commands(window: Sequence[Line], actor: Actor, target: Target, progress: ImportProgress) -> list[ImportPost]:
    """The commands of the lines; what they answer is imported, as `progress` says."""
    commands = []
    for line in window:
        post = replace(line.post, reply_to=progress.id_of(line.reply_to)) if line.reply_to else line.post
        commands.append(
            ImportPost(
                actor, target.room, target.source, line.number, line.reactions, line.pinned, line.posted_at, post
            )
        )
    return commands


def _windows(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    """The lines in windows of up to WINDOW; none has a reply to another of its lines."""
    start = 0
    for end, line in enumerate(lines):
        if end - start == WINDOW or line.reply_to >= lines[start].number:
            yield lines[start:end]
            start = end
    if start < len(lines):
        yield lines[start:]


def _propose(
    replica: Replica, commands: Sequence[ImportPost], told: Callable[[list[Success | Problem | None]], None]
) -> None:
    """Propose the commands in order.  `told` gets all outcomes, in the same order, once there is the last one."""
    outcomes: list[Success | Problem | None] = [None] * len(commands)
    left = [len(commands)]
    counting = Lock()

    def answered(at: int, outcome: Success | Problem) -> None:
        outcomes[at] = outcome
        with counting:
            left[0] -= 1
            is_last = not left[0]
        if is_last:
            told(outcomes)

    for at, command in enumerate(commands):
        propose(replica, command, lambda outcome, at=at: answered(at, outcome), flushes=True)  # type: ignore[misc]
    replica.flush()


def _index_of(outcomes: Sequence[Success | Problem | None]) -> int:
    """The log index of the last of these outcomes.  Raises the first Problem."""
    for outcome in outcomes:
        if isinstance(outcome, Problem):
            if outcome.code == "import_gap":  # the one before was lost on its way
                raise unavailable("Id: an earlier message of this import was lost on its way; send the same again")
            raise outcome
    last = outcomes[-1]
    assert isinstance(last, Posted)
    return last.index
