"""Making a post: check what the client sent, propose it once, tell the outcome.  REST and websocket both come here."""

from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from secrets import token_bytes

from chat.commands import OPERATOR, Actor, Post, decode, encode
from chat.errors import Problem, invalid, outcome_unknown, problem_of, problem_of_refusal
from chat.replica import Replica
from chat.services import validation
from chat.services.mentions import mentioned
from chat.state.machine import ChatState
from chat.state.permissions import NAMELESS, NOT_YOUR_NAME
from chat.state.post_json import render_post, with_reactions
from chat.state.results import Posted, Refusal, Repeated
from raft.core.raft_messages import Command
from raft.errors import OutcomeUnknown, RaftError

CLIENT_ID_BYTES = 12  # random; as long as nobody guesses them, nobody can use one up before its owner's retry
CLIENT_IDS_MADE = 256  # at a time: asking the kernel for each one lets another thread run in between, at each post

_NOBODY = Actor()
_client_ids: deque[str] = deque()  # made and not used yet; its steps are atomic


def check_post(room: str, fields: Mapping[str, object], actor: Actor = _NOBODY) -> Post:
    """The command for what a client sent; members are found whatever their case.  Raises Problem naming the field."""
    members = validation.members(fields)
    get = members.get
    if "message" not in members:
        raise invalid("Message", "missing")
    return Post(
        validation.name("RoomName", room),
        user_of(actor, "User", members),
        validation.message("Message", get("message")),
        validation.client_id("ClientId", get("clientid")) if "clientid" in members else _new_client_id(),
        validation.post_id("ReplyTo", get("replyto")) if "replyto" in members else 0,
        actor.by,
    )


def with_mentions(post: Post, state: ChatState) -> Post:
    """The post, naming whom its message mentions; that are users, so where nobody logs in it is nobody."""
    if not post.by or "@" not in post.message:
        return post

    def known(texts: set[str]) -> set[str]:
        return state.ask(lambda tables: {text for text in texts if text in tables.users})

    return post._replace(mentions=mentioned(post.message, known))


def user_of(actor: Actor, field: str, members: Mapping[str, object]) -> str:
    """Whose name stands on what this one does: his own, or where nobody has to log in, the one that he says.

    `members` by their names in lower case.  Raises Problem: 400 where a name is missing, 403 where it is another one,
    and for the operator, who has none.
    """
    if actor.by == OPERATOR:
        raise problem_of_refusal(NAMELESS)
    said = members.get(field.lower())
    if said is None and field.lower() not in members:
        if not actor.user:
            raise invalid(field, "missing")
        return actor.user
    name = validation.name(field, said)
    if actor.user and name != actor.user:
        raise problem_of_refusal(NOT_YOUR_NAME)
    return name


def with_key(fields: Mapping[str, object], key: str) -> Mapping[str, object]:
    """What a client sent, with the value of its `Idempotency-Key` header (an Internet draft of the IETF's) as ClientId.

    The draft has it in quotes, most clients send it without: both are the same key.  Raises Problem (400) for a
    ClientId that is another one, and for a key beyond ASCII, for which HTTP knows no encoding.
    """
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key.isascii():
        raise invalid("Idempotency-Key", "must be ASCII")
    key = validation.client_id("Idempotency-Key", key)
    if validation.members(fields).get("clientid", key) != key:
        raise invalid("Idempotency-Key", "another one than ClientId")
    return {name: value for name, value in fields.items() if name.lower() != "clientid"} | {"ClientId": key}


def _new_client_id() -> str:
    try:
        return _client_ids.popleft()
    except IndexError:
        random = token_bytes(CLIENT_ID_BYTES * CLIENT_IDS_MADE)
        pieces = (random[start : start + CLIENT_ID_BYTES] for start in range(0, len(random), CLIENT_ID_BYTES))
        _client_ids.extend(urlsafe_b64encode(piece).decode() for piece in pieces)
        return _client_ids.popleft()


def propose(replica: Replica, post: Post, done: Callable[[Posted | Problem], None], *, flushes: bool = False) -> None:
    """Propose a checked post; `done` is called once, by a thread of the engine's.  `flushes`: as Replica has it."""
    replica.propose(encode(post), lambda result: done(_outcome(replica, post, result)), flushes=flushes)


def unanswered(post: Post, detail: str) -> Problem:
    """Nobody knows what became of the post: the client may retry it under the ClientId that is named."""
    problem = outcome_unknown(f"ClientId: {detail}; retry with the ClientId in this answer")
    problem.members = {"ClientId": post.client_id}
    return problem


def answer_to_repeat(
    post: Post, repeated: Repeated, read: Callable[[Sequence[int]], list[Command]]
) -> Posted | Problem:
    """What a client is told whose (User, ClientId) had made a post before: that post, where this is the same one.

    As it is now, where it was edited or reacted to.  `read` is `Replica.commands`: from the disk's cache.
    """
    if repeated.id and not repeated.version_index:
        return _gone()  # deleted: its text is not looked for, though the log may have it until the next compaction
    try:
        command, *_ = commands = read(sorted({repeated.index, repeated.version_index or repeated.index}))
    except LookupError:
        return _unreadable(post) if repeated.id else _gone()  # what the state has is in the log, or will be in a moment
    except (RaftError, OSError):
        return _unreadable(post)
    # Equal commands have equal bytes.  Where not even user and ClientId are the same, two hashes were: no matter.
    if not _is_same(command.body, post):
        return Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "client_id_reused",
            "ClientId: used before with another RoomName, Message or ReplyTo",
        )
    if not repeated.id:
        return _gone()
    now = with_reactions(render_post(commands[-1], repeated.id), repeated.reactions)
    return Posted(post.room, repeated.id, repeated.index, False, now)


def _is_same(body: bytes, post: Post) -> bool:
    """Whether a command says what this post says; by which token does not matter, nor who or what there was by then."""
    if body == encode(post):
        return True
    earlier = decode(body)
    return isinstance(earlier, Post) and _said(earlier) == _said(post)


def _said(post: Post) -> Post:
    return post._replace(by=0, mentions=(), looks="")


def _gone() -> Problem:
    return Problem(HTTPStatus.GONE, "gone", "ClientId: the post that was made with it is gone; nothing was posted now")


def _unreadable(post: Post) -> Problem:
    return unanswered(post, "the post stands, but this member cannot read it at the moment")


def _outcome(replica: Replica, post: Post, result: object) -> Posted | Problem:
    match result:
        case Posted():
            return result
        case Repeated():
            return answer_to_repeat(post, result, replica.commands)
        case Refusal():
            return problem_of_refusal(result)
        case OutcomeUnknown():
            return unanswered(post, str(result))
        case RaftError():
            return problem_of(result)
        case _:
            raise AssertionError(f"the engine answered a post with {type(result).__name__}")
