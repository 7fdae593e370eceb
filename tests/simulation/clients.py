"""People who post and read through any member, and whether what they were told can have been.

A room is a list that is only appended to, and every post in it is a different one: then a history is linearizable
exactly if each operation finds at least all that was finished before it began, in the one order there is.  A post
finds the Ids below its own, a read those up to the newest it shows.
"""

import json
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING, cast

from chat.commands import NOBODY, OPERATOR, Actor, Command, Post, encode
from chat.commands.cluster import SetSettings
from chat.commands.posts import DeletePost, EditPost, React
from chat.commands.rooms import ChangeRoom, DeleteRoom
from chat.errors import Problem
from chat.services.posts import PostChange, command_for
from chat.services.proposals import answer_to_repeat
from chat.state import permissions
from chat.state.events import PostChanged, Reacted, RoomDeleted
from chat.state.results import Done, Posted, Refusal, Repeated, RoomChanged, TokensRevoked
from chat.state.room import Page, PageRequest
from raft.errors import CorruptLog, RaftError
from tests.simulation.accounts import SIGNED_OUT, Account, SignIn, acts_by
from tests.simulation.invariants import Violation, require
from tests.simulation.machine import EPOCH
from tests.simulation.revisions import Revisions
from tests.simulation.whims import Whims

if TYPE_CHECKING:
    from chat.replica import Replica
    from tests.simulation.process import Process
    from tests.simulation.world import World

NAME = "linearizable"


class History:
    """What the rooms hold, as the first member to apply a post has it, and what somebody has seen of them."""

    def __init__(self) -> None:
        self._posts: dict[str, list[Posted]] = {}  # by room
        # Of all posts, with their rooms, the log's times: nobody says a thing twice while its ClientId is known.
        self._texts: dict[tuple[str, str], int] = {}
        self._forgotten_before = 0  # ClientIds that are older may be known no more
        self.revisions = Revisions()
        self._seen: Counter[str] = Counter()  # room -> the highest Id that any finished operation has told of
        self.newest = 0, ""  # log index and room of the newest post or change that a client was told of

    def forgot(self, before: int) -> None:
        """ClientIds that were seen before that time are let go of, in some of the table."""
        self._forgotten_before = max(self._forgotten_before, before)

    def posted(self, post: Posted, time: int) -> None:
        """A new post is in the state."""
        posts = self._posts.setdefault(post.room, [])
        require(post.id == len(posts) + 1, NAME, f"a post after {len(posts)} others has the Id {post.id}")
        text = json.loads(post.json)["Message"]
        last = self._texts.get((post.room, text), -1)
        require(last < self._forgotten_before, "posted once", f"{text!r} stands twice in {post.room}")
        self._texts[post.room, text] = time
        posts.append(post)
        self.revisions.posted(post)

    def seen(self, room: str) -> int:
        """What an operation that begins now has to find."""
        return self._seen[room]

    def post_done(self, post: Posted, text: str, began_at: int) -> None:
        """A client was told that its post stands."""
        posts = self._posts.get(post.room, [])
        require(post.id <= len(posts), NAME, f"{post} stands nowhere")
        first = posts[post.id - 1].json
        is_there = post.json == first if post.created else self.revisions.is_one(post.room, post.id, post.json)
        require(is_there, NAME, f"{post} stands nowhere")
        require(json.loads(first)["Message"] == text, NAME, f"{text!r} was answered with {post}")
        require(post.id > began_at, NAME, f"{post} comes before post {began_at}, which had been answered")
        self._seen[post.room] = max(self._seen[post.room], post.id)
        self.newest = max(self.newest, (post.index, post.room))

    def change_done(self, change: PostChanged | Reacted) -> None:
        """A client was told what became of a post."""
        self.revisions.acknowledge(change)
        self.newest = max(self.newest, (change.index, change.room))

    def post_gone(self, post: Post) -> None:
        """A client was told that its post stood, and is gone."""
        require((post.room, post.message) in self._texts, NAME, f"{post} is said to be gone, and never stood")

    def author(self, room: str, id: int) -> str:
        """Who posted it; "nobody" where there is no such post yet."""
        posts = self._posts.get(room, [])
        return str(json.loads(posts[id - 1].json)["User"]) if id <= len(posts) else "nobody"

    @property
    def rooms(self) -> list[str]:
        """All that anything was ever posted in."""
        return list(self._posts)

    def read_done(self, page: Page, room: str, shown: list[bytes], began_at: int, changed_at: int) -> None:
        """A client was shown a page with the newest posts of a room, when changes up to a log index were known."""
        newest = page.newest_id
        if newest < began_at:
            detail = f"a read of {room} shows {newest} posts, {began_at} had been shown or answered"
            raise Violation(NAME, detail)
        if page.log_index < changed_at:
            raise Violation(NAME, f"a read of {room} is of {page.log_index}, a change at {changed_at} was answered")
        ids = range(page.first_id, newest + 1)
        if page.last_id != newest or shown != [self.revisions.as_of(room, id, page.log_index) for id in ids]:
            raise Violation(NAME, f"a read of {room} shows {shown} from {page.first_id} on, which nobody posted so")
        self._seen[room] = max(self._seen[room], newest)


class Client:
    """One person: one operation at a time, asked of one member after the other until it is answered."""

    def __init__(self, id: int, world: "World", rng: Random) -> None:
        self.id = id
        self.done = False  # nothing left to do
        self._world = world
        self._rng = rng
        self._operations = 0
        self._attempt = 0  # answers to earlier ones are not heard any more
        self._member = 0
        self._asks = False  # an operation is under way
        self._room = ""
        self._began_at = 0
        self._changed_at = 0
        self._command: Command | PostChange | SignIn | None = None  # None: it reads
        self._account = Account(id, rng, login=world.scenario.login)
        self._whims = Whims(rng)
        self._was_revoked = False  # before the operation began, its token's end had been acknowledged
        self._last = False

    def start(self) -> None:
        """Begin to think of something."""
        self._world.schedule.after(self._rng.expovariate(1.0) * self._world.scenario.think_ms, self._begin)

    def _begin(self) -> None:
        world, rng = self._world, self._rng
        if world.network.healed and self._last:
            self.done = True
            return
        self._last = world.network.healed and isinstance(self._command, Post)  # after the healing: a post, then a read
        self._operations += 1
        if not self._last:
            self._room = f"room-{rng.randint(1, world.scenario.rooms)}"
        self._command = self._account.needed(healed=world.network.healed)
        if self._command is None and not self._last:
            self._command = self._thought()
        self._last = self._last and self._command is None
        self._was_revoked = self._account.token in world.revocations
        self._began_at = world.history.seen(self._room)
        self._changed_at = world.history.revisions.acknowledged(self._room)
        self._ask()

    def _thought(self) -> Command | PostChange | None:
        """What it would do now."""
        world, rng = self._world, self._rng
        kind, actor = 1.0 if world.network.healed else rng.random(), self._account.actor
        if kind < world.scenario.reading:
            return None
        if kind < world.scenario.reading + world.scenario.deleting:
            if rng.random() < 0.3:
                return ChangeRoom(Actor(OPERATOR), self._room, max_age_seconds=rng.choice([-1, 1, 2]))
            if rng.random() < 0.2:
                age_s, unused_s, empty_s = rng.choice([0, 0, 2]), rng.choice([0, 0, 1]), rng.choice([0, 0, 1])
                return SetSettings(Actor(OPERATOR), None, None, rng.choice([0, 50]), age_s, unused_s, empty_s)
            kept = rng.choice([0, 1, 5, 30])
            if kept:
                return ChangeRoom(Actor(OPERATOR), self._room, max_messages=kept)
            return DeleteRoom(Actor(OPERATOR), self._room)
        if kind >= 1 - world.scenario.changing and not world.network.healed:
            return self._change()
        if kind >= 1 - world.scenario.changing - world.scenario.whims and not world.network.healed:
            now = EPOCH + int(world.schedule.now_ms * 1000)
            if world.scenario.login and rng.random() < 0.5:
                return self._account.whim(world.scenario.clients)
            return self._whims.next(actor, now)
        text = f"{self.id}.{self._operations}" + "x" * rng.choice([0, 10, 300])
        return Post(self._room, actor.user, text, f"{self.id}-{self._operations}", by=actor.by)

    def _change(self) -> Command | PostChange:
        """What it would have become of one of the newest posts."""
        rng, history, actor = self._rng, self._world.history, self._account.actor
        newest = history.seen(self._room)
        id = max(newest - rng.randrange(5), 1)
        if rng.random() < 0.4:
            return React(actor, self._room, id, rng.choice("+-"), rng.random() < 0.7)
        message = None if rng.random() < 0.3 else f"edit {self.id}.{self._operations}"
        if actor.by:
            own = [id for id in range(max(newest - 20, 1), newest + 1) if history.author(self._room, id) == actor.user]
            return PostChange(actor, self._room, rng.choice(own) if own else id, message)
        return PostChange(Actor(NOBODY, history.author(self._room, id)), self._room, id, message)

    def _ask(self) -> None:
        """Ask a member, usually the same as before."""
        world, rng = self._world, self._rng
        self._asks = True
        self._attempt += 1
        attempt = self._attempt
        shunned = world.network.shunned
        if self._member not in world.network.running or self._member in shunned or rng.random() < 0.2:
            self._member = rng.choice([id for id in world.members if id not in shunned])
        process = world.network.running.get(self._member)
        if process is None:
            world.schedule.after(20 + rng.random() * 30, self._again, attempt)
            return
        world.schedule.after(world.scenario.patience_ms, self._again, attempt)
        if self._arrives():
            world.schedule.after_for(process, self._delay_ms(), self._serve, process, attempt)

    def _again(self, attempt: int) -> None:
        if attempt == self._attempt:
            self._member = 0
            self._ask()

    def leave(self, member: int) -> None:
        """Wait for an answer of that member no longer."""
        if self._asks and self._member == member:
            self._attempt += 1
            self._world.schedule.after(self._rng.random() * 20, self._again, self._attempt)

    def _arrives(self) -> bool:
        return self._world.network.healed or self._rng.random() >= self._world.scenario.loss

    def _delay_ms(self) -> float:
        return self._rng.random() * self._world.scenario.latency_ms

    # At the member

    def _serve(self, process: "Process", attempt: int) -> None:
        command = self._command
        if attempt != self._attempt:
            return  # a connection that the client has closed is not served
        if isinstance(command, SignIn):
            process.forwarding.read(lambda error: self._sign_in(process, attempt, command, error))
        elif isinstance(command, PostChange):
            process.forwarding.read(lambda error: self._wish(process, attempt, command, error))
        elif command is not None:
            process.forwarding.post(encode(command), lambda result: self._commanded(process, attempt, command, result))
        else:
            process.forwarding.read(lambda error: self._read(process, attempt, error))

    def _sign_in(self, process: "Process", attempt: int, sign_in: SignIn, error: RaftError | None) -> None:
        if error is not None:
            self._answer(attempt, lambda: self._failed(error))
            return
        command = process.state.ask(lambda tables: sign_in.command(tables, process.wall_us))
        process.forwarding.post(encode(command), lambda result: self._commanded(process, attempt, command, result))

    def _wish(self, process: "Process", attempt: int, wish: PostChange, error: RaftError | None) -> None:
        if error is not None:
            self._answer(attempt, lambda: self._failed(error))
            return
        try:
            change = command_for(cast("Replica", process), process.state, wish, process.mended)
        except CorruptLog:
            return  # the client asks again
        except Problem as problem:  # it is gone, or not this one's
            refusal = Refusal(problem.code, str(problem))
            self._answer(attempt, lambda: self._done(wish, refusal))
            return
        if isinstance(change, EditPost | DeletePost):
            process.forwarding.post(encode(change), lambda result: self._commanded(process, attempt, change, result))
        else:
            self._answer(attempt, lambda: self._done(wish, change))

    def _commanded(self, process: "Process", attempt: int, command: Command, result: object) -> None:
        if isinstance(command, Post) and isinstance(result, Repeated):
            try:
                result = answer_to_repeat(command, result, process.commands)
            except CorruptLog as damage:
                process.mended(damage)
                return  # the client asks again
        self._answer(attempt, lambda: self._done(command, result))

    def _read(self, process: "Process", attempt: int, error: RaftError | None) -> None:
        if error is not None:
            self._answer(attempt, lambda: self._failed(error))
            return
        room, limit = self._room, self._rng.choice([3, 1_000])
        acting = process.state.ask(lambda tables: permissions.acting(tables, self._account.actor))
        if isinstance(acting, Refusal):
            refusal = acting
            self._answer(attempt, lambda: self._signed_out(refusal))
            return
        page = process.state.page(room, PageRequest(limit), acting)
        try:
            shown = process.shown(page)
        except LookupError:
            return  # the client asks again
        self._answer(attempt, lambda: self._was_shown(page, room, shown))

    def _answer(self, attempt: int, tell: Callable[[], None]) -> None:
        if self._arrives():
            self._world.schedule.after(self._delay_ms(), self._hear, attempt, tell)

    # Back at the client

    def _hear(self, attempt: int, tell: Callable[[], None]) -> None:
        if attempt == self._attempt:
            tell()

    def _signed_out(self, refusal: Refusal) -> None:
        self._world.counts["operations that found a token ended"] += 1
        self._account.answered(React(self._account.actor, "", 0, "", True), refusal)
        self._command, self._last = None, False  # it did nothing
        self._over()

    def _require_token(self) -> None:
        if self._was_revoked:
            detail = f"{self._account.actor} did {self._command}, and its token had ended before"
            raise Violation("revoked is revoked", detail)

    def _done(self, command: Command | PostChange, result: object) -> None:
        if isinstance(result, RaftError) or (
            isinstance(result, Problem) and result.status == HTTPStatus.GATEWAY_TIMEOUT
        ):
            self._failed(result)
            return
        if isinstance(result, Refusal) and result.code in SIGNED_OUT and acts_by(command) == self._account.token:
            self._signed_out(result)
            return
        if acts_by(command) > 0 and not isinstance(result, Refusal | Problem | Done):
            self._require_token()
        if not isinstance(command, PostChange):
            self._account.answered(command, result)
        if isinstance(result, TokensRevoked):
            self._world.revocations.answered(result)
            self._world.counts["tokens revoked"] += len(result.numbers)
        if isinstance(command, Post):
            if isinstance(result, Problem) and result.status == HTTPStatus.GONE:
                self._world.history.post_gone(command)
                self._world.counts["retries found gone"] += 1
                self._over()
                return
            if not isinstance(result, Posted):
                raise Violation(NAME, f"{command} was answered with {result}")
            self._world.history.post_done(result, command.message, self._began_at)
            self._world.lagging_leaders.look()
            self._world.counts["posts acknowledged"] += 1
            self._world.counts["retries found posted"] += not result.created
        elif isinstance(result, PostChanged | Reacted):
            self._world.history.change_done(result)
            self._world.lagging_leaders.look()
            self._world.counts["posts changed"] += 1
        elif isinstance(result, RoomDeleted | RoomChanged):
            self._world.counts["rooms deleted or bounded"] += 1
        self._over()

    def _was_shown(self, page: Page, room: str, shown: list[bytes]) -> None:
        self._require_token()
        self._world.history.read_done(page, room, shown, self._began_at, self._changed_at)
        self._world.counts["reads"] += 1
        self._over()

    def _failed(self, error: RaftError | Problem) -> None:
        self._world.counts[f"answers {type(error).__name__}"] += 1
        self._attempt += 1
        self._world.schedule.after(10 + self._rng.random() * 20, self._again, self._attempt)

    def _over(self) -> None:
        self._asks = False
        self._attempt += 1
        self.start()
