"""The replicated state: Ids, ClientIds, refusals, events, digest."""

import json

from hypothesis import given
from hypothesis import strategies as st

from chat.commands import Post, encode
from chat.state.events import Event, PostEvent
from chat.state.machine import ChatState
from chat.state.name_pages import NamePageRequest
from chat.state.results import Posted, Refusal, Repeated, Result
from chat.state.room import PageRequest
from raft.core.entries import command_entry
from raft.core.raft_messages import Entry, ProposalId

START = 1_795_428_000_000_000


def entry(index: int, body: bytes) -> Entry:
    return command_entry(index, 1, START + index, ProposalId(1, 1, index, 0), body)


def said(
    message: str = "hi", client_id: str = "c1", room: str = "general", user: str = "ann", reply_to: int = 0
) -> bytes:
    return encode(Post(room, user, message, client_id, reply_to))


def apply(state: ChatState, *bodies: bytes) -> list[Result]:
    """Apply as the log's entries 3, 4 …"""
    return [state.apply(entry(index, body)) for index, body in enumerate(bodies, 3)]


def test_ids_count_in_each_room_for_itself() -> None:
    bodies = [said(room=room, client_id=str(number)) for number, room in enumerate(["a", "b", "a", "a", "b"])]
    results = apply(ChatState(), *bodies)
    assert [(r.room, r.id, r.index) for r in results if isinstance(r, Posted)] == [
        ("a", 1, 3), ("b", 1, 4), ("a", 2, 5), ("a", 3, 6), ("b", 2, 7),
    ]  # fmt: skip


def test_a_repeat_finds_the_first_post_and_adds_none() -> None:
    state = ChatState()
    assert (
        apply(state, said(), said("more", "c2"), said(), said("other"), said(reply_to=9))[2:] == [Repeated(1, 3, 3)] * 3
    )
    assert state.page("general", PageRequest()).newest_id == 2


def test_a_repeat_in_another_room_finds_that_the_first_post_is_not_there() -> None:
    state = ChatState()
    bodies = [said(), said(room="other"), said(room="other", client_id="c2"), said(room="other")]
    assert apply(state, *bodies)[1::2] == [Repeated(0, 3, 0)] * 2
    assert [room.name for room in state.rooms(NamePageRequest(10))[1]] == ["general", "other"]


def test_a_client_id_belongs_to_its_user() -> None:
    results = apply(ChatState(), said(user="ann"), said(user="bob"))
    assert [r.created for r in results if isinstance(r, Posted)] == [True, True]


def test_a_reply_names_an_earlier_post_of_its_room() -> None:
    state = ChatState()
    results = apply(
        state,
        said(),
        said(client_id="c2", reply_to=1),
        said(client_id="c3", reply_to=3),
        said(client_id="c4", reply_to=1, room="new"),
    )
    assert isinstance(results[1], Posted)
    assert json.loads(results[1].json)["ReplyTo"] == 1
    for refusal in results[2:]:
        assert isinstance(refusal, Refusal)
        assert refusal.code == "no_such_post"
        assert refusal.detail.startswith("ReplyTo:")
    assert [room.name for room in state.rooms(NamePageRequest(10))[1]] == ["general"]


def test_a_refused_client_id_can_be_used_again() -> None:
    results = apply(ChatState(), said(reply_to=1), said())
    assert isinstance(results[0], Refusal)
    assert isinstance(results[1], Posted)


@given(st.binary().filter(lambda body: b"\n" not in body))
def test_an_unknown_command_changes_nothing(body: bytes) -> None:
    state = ChatState()
    (result,) = apply(state, body)
    assert isinstance(result, Refusal)
    assert result.code == "unknown_command"
    assert all(line.startswith((b'{"Chat"', b'{"LogTimes"')) for line in state.document())


def test_events_are_handed_on_a_batch_at_a_time() -> None:
    state = ChatState()
    batches: list[tuple[int, list[Event]]] = []
    state.listen(lambda index, events: batches.append((index, events)))
    first, _, second = apply(state, said(), said(), said("more", "c2"))
    assert batches == []
    state.applied(5)
    state.applied(6)
    assert isinstance(first, Posted)
    assert isinstance(second, Posted)
    assert batches == [
        (5, [PostEvent(3, "general", 1, first.json), PostEvent(5, "general", 2, second.json)]),
        (6, []),
    ]


def test_rooms_are_listed_by_code_point() -> None:
    state = ChatState()
    names = ["b", "a", "é", "Z", "\U0001f600", "￿", "a b"]
    apply(state, *(said(room=name, client_id=name) for name in names))
    assert [room.name for room in state.rooms(NamePageRequest(99))[1]] == sorted(names)
    assert [room.name for room in state.rooms(NamePageRequest(2, after="a"))[1]] == ["a b", "b"]
    assert [room.name for room in state.rooms(NamePageRequest(1, after="aa"))[1]] == ["b"]


def test_posts_are_located_in_log_order_over_rooms() -> None:
    state = ChatState()
    apply(state, *(said(room=room, client_id=str(k)) for k, room in enumerate("abcab")))
    assert [each[:3] for each in state.located(3, 99, 99)] == [(4, "b", 1), (5, "c", 1), (6, "a", 2), (7, "b", 2)]
    assert [each[:3] for each in state.located(0, 99, 2)] == [(3, "a", 1), (4, "b", 1)]
    assert [each[:3] for each in state.located(0, 99, 99, ["b", "none"])] == [(4, "b", 1), (7, "b", 2)]


def test_the_same_log_gives_the_same_digest_and_another_log_another() -> None:
    log = [said(client_id=str(k), room="ab"[k % 2]) for k in range(9)]
    states = [ChatState(), ChatState(), ChatState()]
    apply(states[0], *log)
    apply(states[1], *log)
    apply(states[2], *log[:-1], said("other", "8", "a"))
    assert states[0].digest() == states[1].digest()
    assert states[0].digest() != states[2].digest()


def test_a_page_tells_the_index_it_is_of() -> None:
    state = ChatState()
    apply(state, said(), said("more", "c2"), said("elsewhere", "c3", "other"))
    page = state.page("general", PageRequest())
    assert (page.log_index, page.first_id, page.last_id, page.positions) == (5, 1, 2, [3, 4])
    assert state.page("unknown", PageRequest()).positions == []
