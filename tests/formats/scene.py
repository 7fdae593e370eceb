"""What a fixture's data directory holds: at least one command of each kind, given to a member of one in this process.

The scene is played several times under other names, so that each kind of command is in a snapshot's past as well as in
the segments.  Nothing in it may change with time: no token expires, and no room has a bound by age.
"""

import queue
from collections.abc import Callable
from typing import Any

from chat.auth.secrets import INVITE, TICKET, TOKEN, Passwords, digest
from chat.commands import NOBODY, OPERATOR, Actor, Command, Post, encode
from chat.commands.accounts import (
    ChangeUser,
    CreateInvite,
    CreateTicket,
    CreateToken,
    CreateUser,
    LogIn,
    RecordTokenUse,
    RedeemTicket,
    RevokeInvite,
    RevokeTokens,
)
from chat.commands.cluster import Expire, ExpireCredentials, Forget, ForgetRooms, SetAuth, SetSettings
from chat.commands.imports import ImportedPost, ImportPost
from chat.commands.posts import DeletePost, EditedPost, EditPost, MarkRead, MarkUnread, Pin, React, Tombstone
from chat.commands.rooms import ChangeMembers, ChangeRoom, CreateRoom, DeleteRoom, SetPreferences
from chat.state.results import Posted, Refusal, TokenMade, UserMade
from raft.errors import RaftError

PASSWORD = "correct horse"
_QUICK = Passwords("scrypt:1024:8:1")
_DEADLINE_S = 30
_LONG_AGO = 1  # microseconds since 1970
Propose = Callable[[bytes, Callable[[object], None]], None]


def secret(kind: str, name: str) -> str:
    """A secret that tests know."""
    return kind + name.ljust(43, "0")


class Scene:
    """One play of the scene: all its names end with `mark`."""

    def __init__(self, propose: Propose, now: Callable[[], int], mark: str) -> None:
        """`now()`: the log's time in microseconds since 1970."""
        self._propose = propose
        self._now = now
        self._mark = mark
        self._number = 0  # of ClientIds

    def do(self, command: Command) -> Any:
        """Have a command committed and applied, and return its result.  Raises AssertionError if it was refused."""
        results: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._propose(encode(command), results.put)
        result = results.get(timeout=_DEADLINE_S)
        assert not isinstance(result, Refusal | RaftError), (command, result)
        return result

    def play(self) -> Actor:
        """Everything, in an order in which nothing is refused; return an admin."""
        m = self._mark
        self.do(SetAuth(Actor(OPERATOR), "open", "invite"))
        self.post(Actor(NOBODY, "visitor"), "open" + m, f"Hello {m}, from before there were accounts")
        ann, bob = self._user("ann" + m, "admin"), self._user("bob" + m, "member")
        gus = self._user("gus" + m, "guest")
        self.do(SetAuth(Actor(OPERATOR), "login", "open"))
        anns, bobs = self._sign_in(ann), self._sign_in(bob)
        self._tokens(anns, gus)
        self._invites(anns)
        self._rooms(anns, bobs)
        self._posts(anns, bobs)
        self._import(anns)
        self._what_goes(anns)
        return anns

    # Accounts

    def _user(self, name: str, role: str) -> UserMade:
        password = _QUICK.hash(PASSWORD) if role == "admin" else ""
        made = self.do(CreateUser(Actor(OPERATOR), name, name.title(), name, password, role))
        assert isinstance(made, UserMade)
        return made

    def _sign_in(self, made: UserMade) -> Actor:
        name, password_index = made.user.name, made.user.password_index
        if made.user.password_hash:
            who, kind = Actor(NOBODY, name), "session"
        else:  # a proxy vouches for them
            who, kind, password_index = Actor(OPERATOR, name), "proxy", 0
        token = self.do(LogIn(who, password_index, digest(secret(TOKEN, name)), kind, "laptop", 0))
        assert isinstance(token, TokenMade)
        return Actor(token.token.number, name)

    def _tokens(self, ann: Actor, gus: UserMade) -> None:
        m = self._mark
        bot = self.do(CreateToken(ann, digest(secret(TOKEN, "bot" + m)), "api", "bot", 0)).token.number
        lost = self.do(CreateToken(ann, digest(secret(TOKEN, "lost" + m)), "api", "lost", 0)).token.number
        old = self.do(CreateToken(ann, digest(secret(TOKEN, "old" + m)), "api", "old", _LONG_AGO)).token.number
        self.do(RecordTokenUse((bot, ann.by)))
        self.do(RevokeTokens(ann, (lost,)))
        for name in ("redeemed", "kept", "old"):
            self.do(CreateTicket(ann, digest(secret(TICKET, name + m)), _LONG_AGO if name == "old" else 0))
        self.do(RedeemTicket(digest(secret(TICKET, "redeemed" + m))))
        self.do(ExpireCredentials(self._now(), (old,), (), (digest(secret(TICKET, "old" + m)),)))
        self.do(ChangeUser(ann, gus.user.name, display_name="Gus, away"))
        gone = self._user("gone" + m, "member")
        self.do(ChangeUser(ann, gone.user.name, active=False))

    def _invites(self, ann: Actor) -> None:
        m = self._mark
        for name in ("used", "kept", "revoked"):
            self.do(CreateInvite(ann, digest(secret(INVITE, name + m)), "member", ("open" + m,), 2, 0, name))
        invite, name = digest(secret(INVITE, "used" + m)), "ivy" + m
        self.do(CreateUser(Actor(), name, name, name, "", "member", invite))
        self.do(RevokeInvite(ann, digest(secret(INVITE, "revoked" + m))))

    # Rooms and messages

    def _rooms(self, ann: Actor, bob: Actor) -> None:
        m, drawn = self._mark, "abcdefghij"
        self.do(CreateRoom(ann, "general" + m, "public", "everything", looks="general" + m))
        self.do(CreateRoom(ann, f"plans{m}~{drawn}", "private", "", (bob.user,), looks="plans" + m))
        self.do(CreateRoom(ann, f"direct{m}~{drawn}", "direct", members=(bob.user,)))
        self.do(CreateRoom(bob, "before" + m, "public", looks="before" + m))
        self.do(ChangeRoom(ann, "before" + m, name="after" + m, topic="renamed", looks="after" + m))
        self.do(CreateRoom(ann, "attic" + m, "public", looks="attic" + m))
        self.do(ChangeRoom(ann, "attic" + m, archived=True))
        self.do(ChangeMembers(ann, "general" + m, (bob.user, "gus" + m), True))
        self.do(ChangeMembers(ann, "general" + m, ("gus" + m,), False))
        self.do(ChangeRoom(ann, f"plans{m}~{drawn}", owner=bob.user, max_messages=50))

    def post(self, who: Actor, room: str, message: str, **more: Any) -> Posted:
        """Post a message."""
        self._number += 1
        made = self.do(Post(room, who.user, message, f"client-{self._mark}-{self._number}", by=who.by, **more))
        assert isinstance(made, Posted)
        return made

    def _posts(self, ann: Actor, bob: Actor) -> None:
        m, drawn = self._mark, "abcdefghij"
        general = "general" + m
        self.post(ann, general, 'Zero width \u200d, Ünïcødé, 日本語, 🎉 and "quotes" with \\ and \t.')
        self.post(bob, general, f"@{ann.user} look at this", mentions=(ann.user,))
        self.post(ann, general, "An answer", reply_to=1, mentions=("@room",))
        edited = self.post(bob, general, "A first try")
        deleted = self.post(bob, general, "A text that is taken back")
        self.post(ann, f"plans{m}~{drawn}", "A secret " * 5)
        self.post(bob, f"direct{m}~{drawn}", "Between the two of us")
        self.post(ann, "made by its first message" + m, "First!", looks="made" + m)
        for text in ("better", "best"):
            post = EditedPost(bob.user, f"A {text} try", f"client-{m}-{self._number}")
            self.do(EditPost(bob, general, edited.id, edited.index, self._now(), post))
        self.do(DeletePost(bob, general, deleted.id, deleted.index, self._now(), Tombstone(bob.user, "gone")))
        for actor, emoji, on in ((ann, "👍", True), (bob, "👍", True), (bob, "x", True), (bob, "x", False)):
            self.do(React(actor, general, 1, emoji, on))
        for id, on in ((1, True), (2, True), (2, False)):
            self.do(Pin(ann, general, id, on))
        self.do(MarkRead(((ann.by, general, 3), (bob.by, general, 5))))
        self.do(MarkUnread(((bob.by, general, 4),)))
        self.do(SetPreferences(bob, general, favourite=True, notify="none"))

    def _import(self, ann: Actor) -> None:
        room, at = "imported" + self._mark, 1_600_000_000_000_000
        self.do(CreateRoom(ann, room, "public", looks=room))
        posts = (
            (ImportedPost("zoë", "From elsewhere", "e-1"), (("👍", ("yan", "zoë")),), True),
            (ImportedPost("yan", "An edited answer", "e-2", reply_to=1, edited_at=at + 5_000_000), (), False),
            (ImportedPost("yan", "", "e-3", deleted=True), (), False),
        )
        for number, (post, reactions, pinned) in enumerate(posts, 1):
            self.do(ImportPost(ann, room, "elsewhere.ndjson", number, reactions, pinned, at + number, post))

    def _what_goes(self, ann: Actor) -> None:
        m = self._mark
        for name in ("doomed", "forgotten"):
            self.post(ann, name + m, "This room goes")
            self.do(DeleteRoom(ann, name + m))
        self.do(ForgetRooms(("forgotten" + m,)))
        for number in range(4):
            self.post(ann, "short" + m, f"Number {number}")
        self.do(ChangeRoom(ann, "short" + m, max_messages=2))
        self.do(Expire(self._now(), ("short" + m,)))
        self.do(Forget(self._now(), 0, 16))
        self.do(SetSettings(ann, max_rooms=500, max_messages=1000))
        self.do(SetSettings(ann, signup="invite"))
        self.do(RecordTokenUse((ann.by,)))
