"""What is set for the whole cluster holds where a room says nothing of its own."""

from chat.commands import OPERATOR, Actor, Command, Post
from chat.commands.cluster import Expire, SetSettings
from chat.commands.rooms import ChangeRoom, DeleteRoom
from chat.state.accounts import MEMBER, SESSION, Token, User
from chat.state.machine import ChatState
from chat.state.results import Posted, Refusal, Repeated, Result, SettingsChanged
from chat.state.settings import INVITE, LOGIN, OPEN, Settings
from chat.state.tables import Tables
from tests.chat.random_log import START, STEP, entry

ANYBODY = Actor()


class Chat:
    """A state that commands are applied to one after the other, as a log's entries from 3 on."""

    def __init__(self) -> None:
        self.state = ChatState()
        self.index = 2

    def do(self, command: Command) -> Result:
        self.index += 1
        return self.state.apply(entry(self.index, command))

    def refusal(self, command: Command) -> str:
        """The code that a command is refused with, which changes no setting and no room."""
        before = self.state.ask(lambda tables: (tables.settings, list(tables.rooms.names)))
        result = self.do(command)
        assert isinstance(result, Refusal)
        assert self.state.ask(lambda tables: (tables.settings, list(tables.rooms.names))) == before
        return result.code

    def fill(self, room: str, posts: int) -> None:
        for number in range(posts):
            assert isinstance(self.do(Post(room, "ann", "hi", f"{room}{self.index}{number}")), Posted)

    def posts(self, room: str) -> int:
        return self.state.ask(lambda tables: tables.rooms.by_name[room].posts)


def test_what_is_not_named_stays() -> None:
    chat = Chat()
    chat.do(SetSettings(ANYBODY, max_rooms=9, max_age_seconds=60))
    assert chat.do(SetSettings(Actor(OPERATOR), OPEN, max_messages=5, max_age_seconds=0)) == SettingsChanged(
        4, Settings(signup=OPEN, max_rooms=9, max_messages=5)
    )
    chat.do(SetSettings(Actor(OPERATOR), INVITE, 0, 1, 2, 3, 4))
    assert chat.state.ask(lambda tables: tables.settings) == Settings(OPEN, INVITE, 0, 1, 2, 3, 4)


def test_what_no_bound_can_be_is_refused() -> None:
    chat = Chat()
    assert chat.refusal(SetSettings(ANYBODY, max_age_seconds=-1)) == "invalid_field"
    assert chat.refusal(SetSettings(Actor(OPERATOR), "closed")) == "invalid_field"


def test_where_nobody_logs_in_nobody_says_how_one_will_sign_up() -> None:
    assert Chat().refusal(SetSettings(ANYBODY, OPEN)) == "open_mode"


def test_where_there_is_a_login_an_admin_sets_it() -> None:
    chat = Chat()

    def log_in(tables: Tables) -> None:
        tables.settings = Settings(LOGIN)
        tables.users["bob"] = User("bob", "Bob", MEMBER, "", 1, True, 1, "bob")
        tables.tokens[1] = Token(1, b"", "bob", SESSION, "", 0, 0, 0)

    chat.state.ask(log_in)
    assert chat.refusal(SetSettings(Actor(1, "bob"), max_rooms=9)) == "forbidden"
    assert chat.refusal(SetSettings(ANYBODY, max_rooms=9)) == "login_needed"


def test_rooms_that_say_nothing_of_their_own_keep_what_the_cluster_says() -> None:
    chat = Chat()
    for room in ("quiet", "own"):
        chat.fill(room, 5)
    chat.do(ChangeRoom(ANYBODY, "own", max_messages=4))
    chat.do(SetSettings(ANYBODY, max_messages=2))
    chat.fill("new", 5)
    assert [chat.posts(room) for room in ("quiet", "own", "new")] == [5, 4, 2]
    chat.do(Expire(START, ("quiet", "own")))
    assert [chat.posts(room) for room in ("quiet", "own")] == [2, 4]
    chat.do(Expire(START + 1000 * STEP, ("quiet", "own")))
    chat.do(SetSettings(ANYBODY, max_age_seconds=1))
    chat.do(ChangeRoom(ANYBODY, "own", max_age_seconds=1_000_000))
    chat.do(Expire(START + 1000 * STEP, ("quiet", "own")))
    assert [chat.posts(room) for room in ("quiet", "own")] == [0, 4]


def test_no_more_rooms_are_made_than_there_may_be() -> None:
    chat = Chat()
    chat.fill("a", 1)
    chat.do(SetSettings(ANYBODY, max_rooms=2))
    chat.fill("b", 1)
    assert chat.refusal(Post("c", "ann", "hi", "c1")) == "too_many_rooms"
    chat.fill("a", 1)
    chat.do(DeleteRoom(Actor(), "b"))
    assert isinstance(chat.do(Post("c", "ann", "hi", "c1")), Posted)
    assert chat.refusal(Post("b", "ann", "hi", "c2")) == "too_many_rooms"


def test_a_retry_is_known_where_a_new_room_would_be_one_too_many() -> None:
    chat = Chat()
    first = chat.do(Post("a", "ann", "hi", "c1"))
    chat.fill("b", 1)
    chat.do(DeleteRoom(Actor(), "a"))
    chat.do(SetSettings(ANYBODY, max_rooms=1))
    assert isinstance(first, Posted)
    assert chat.do(Post("a", "ann", "hi", "c1")) == Repeated(0, first.index, 0)
