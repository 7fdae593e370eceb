"""Reads that meet damage on this node's disk: answered once it is mended, and nobody else waits for that."""

import threading
from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from chat.api import reads
from chat.services.export import export
from chat.services.post_cache import MEND_S, mending
from raft.errors import CorruptLog
from tests.chat.api.test_reads import Deferring
from tests.chat.chat_client import GENERAL, ChatClient
from tests.support.fake_replica import FIRST_INDEX

DAMAGE = CorruptLog("log-1.jsonl", 7, "entry 5 is damaged", "act", (5,))


def with_damage(chat: ChatClient, *, mends: bool = True) -> ChatClient:
    """Its room `general` has a post whose record is damaged, and that no cache holds."""
    chat.fill(3)
    chat.replica.damaged, chat.replica.mends = {FIRST_INDEX + 1}, mends
    return chat


def test_a_page_is_answered_with_what_was_mended() -> None:
    chat = Deferring()
    with_damage(chat)
    chat.ask(GENERAL)
    status, _, posts = chat.answer.next()
    assert (status, [post["Message"] for post in posts]) == (200, ["m1", "m2", "m3"])
    assert chat.replica.waits_for_mends == ["reads-mended"]


def test_a_record_that_no_node_has_is_a_problem_with_a_code_and_the_others_are_served() -> None:
    chat = Deferring()
    with_damage(chat, mends=False)
    chat.ask(GENERAL)
    status, _, problem = chat.answer.next()
    assert (status, problem["code"]) == (500, "damaged_record")
    chat.ask(f"{GENERAL}?after=2")
    assert [post["Message"] for post in chat.answer.next()[2]] == ["m3"]


def test_other_reads_are_answered_while_one_waits() -> None:
    chat = Deferring()
    with_damage(chat)
    may_go_on, mended = threading.Event(), chat.replica.mended

    def slowly(damage: CorruptLog) -> bool:
        assert may_go_on.wait(10)
        return mended(damage)

    chat.replica.mended = slowly  # type: ignore[method-assign]
    chat.ask(GENERAL)
    chat.ask("/rooms")
    assert chat.answer.next()[2] == ["general"]
    may_go_on.set()
    assert [post["Id"] for post in chat.answer.next()[2]] == [1, 2, 3]


def test_not_more_than_so_many_reads_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "MENDING_MAX", 1)
    chat = Deferring()
    with_damage(chat)
    may_go_on, mended = threading.Event(), chat.replica.mended

    def slowly(damage: CorruptLog) -> bool:
        assert may_go_on.wait(10)
        return mended(damage)

    chat.replica.mended = slowly  # type: ignore[method-assign]
    chat.ask(GENERAL)
    chat.ask(GENERAL)
    status, _, problem = chat.answer.next()
    assert (status, problem["code"]) == (503, "unavailable"), "the second one: another node may have the record"
    may_go_on.set()
    assert chat.answer.next()[0] == 200
    with_damage(chat)
    chat.ask(GENERAL)
    assert chat.answer.next()[0] == 200, "the place is free again"


def whole_export(answer: TestResponse) -> int:
    """The status; 0 if the answer lacks a message."""
    return answer.status_code if answer.status_code != 200 or answer.data.count(b"\n") == 3 else 0


READS: dict[str, Callable[[ChatClient], int]] = {
    "a stale page": lambda chat: chat.get(f"{GENERAL}?consistency=stale").status_code,
    "a single message": lambda chat: chat.get(f"{GENERAL}/messages/2").status_code,
    "the history of a message": lambda chat: chat.get(f"{GENERAL}/messages/2/history").status_code,
    "the pinned messages": lambda chat: chat.get(f"{GENERAL}/pins").status_code,
    "an export": lambda chat: whole_export(chat.get(f"{GENERAL}/export")),
    "an edit": lambda chat: chat.open("PATCH", f"{GENERAL}/messages/2", b'{"Message":"m","User":"ann"}').status_code,
    "a deletion": lambda chat: chat.open("DELETE", f"{GENERAL}/messages/2?user=ann").status_code // 100 * 100,
}


@pytest.mark.parametrize("name", READS)
def test_every_place_that_reads_waits_until_the_record_is_mended(name: str) -> None:
    chat = ChatClient()
    with_damage(chat)
    assert chat.open("PUT", f"{GENERAL}/messages/2/pin").status_code == 204
    assert READS[name](chat) == 200
    assert chat.replica.waits_for_mends and not chat.replica.damaged


@pytest.mark.parametrize("name", READS)
def test_every_place_that_reads_says_so_if_no_node_has_the_record(name: str) -> None:
    chat = ChatClient()
    with_damage(chat, mends=False)
    assert chat.open("PUT", f"{GENERAL}/messages/2/pin").status_code == 204
    assert READS[name](chat) == 500


def test_an_export_goes_on_behind_damage_in_a_later_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.services.export.PIECE_POSTS", 1)
    chat = ChatClient()
    with_damage(chat)  # the second of three pieces
    assert whole_export(chat.get(f"{GENERAL}/export")) == 200
    assert chat.replica.waits_for_mends and not chat.replica.damaged


def test_an_export_that_meets_a_record_that_no_node_has_breaks_off() -> None:
    chat = ChatClient()
    with_damage(chat, mends=False)
    _, pieces = export(chat.state, chat.replica, "general")
    with pytest.raises(CorruptLog):
        list(pieces)


def test_a_repeated_post_whose_first_one_is_damaged_waits_for_nothing_and_may_be_sent_again() -> None:
    """The thread that answers it applies entries, so that all would wait."""
    chat = ChatClient()
    assert chat.post(Message="m", ClientId="c").status_code == 201
    chat.replica.damaged = {FIRST_INDEX}
    answer = chat.post(Message="m", ClientId="c")
    assert answer.status_code in (503, 504) and chat.replica.waits_for_mends == []
    chat.replica.damaged = set()
    assert chat.post(Message="m", ClientId="c").status_code == 200


def test_a_read_that_meets_one_damaged_place_after_the_other_is_mended_again_and_again_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s, tries = [0.0], [0]

    def read() -> int:
        tries[0] += 1
        if tries[0] <= 3:
            raise DAMAGE
        return tries[0]

    monkeypatch.setattr("chat.services.post_cache.monotonic", lambda: now_s[0])
    assert mending(read, lambda damage: True) == 4

    def damaged_all_over() -> int:
        now_s[0] += MEND_S / 4
        raise DAMAGE

    with pytest.raises(CorruptLog):
        mending(damaged_all_over, lambda damage: True)


def test_anybody_who_may_change_the_cluster_begins_a_scrub() -> None:
    chat = ChatClient()
    assert chat.open("POST", "/raft/scrub").status_code == 202
    assert chat.replica.scrubs == 1
