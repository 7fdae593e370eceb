"""The cache of rendered posts: what it spares, what it may hold, and that it changes nothing that is seen."""

from collections.abc import Sequence
from random import Random

import pytest

from chat.commands import NOBODY, Actor, encode
from chat.commands.posts import React
from chat.services.post_cache import PostCache
from chat.state.post_json import render_post
from chat.state.room import Page, PageRequest
from raft.core.raft_messages import Command
from tests.chat.chat_client import GENERAL, ChatClient
from tests.support.fake_replica import FIRST_INDEX


class CountingChat(ChatClient):
    """Knows which entries were read from the log."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []
        entries = self.replica.commands

        def counted(indexes: Sequence[int]) -> list[Command]:
            self.read += indexes
            return entries(indexes)

        self.replica.commands = counted  # type: ignore[method-assign]
        self._uncached = entries

    def page(self, limit: int = 100, before: int | None = None) -> Page:
        return self.state.page("general", PageRequest(limit, before))

    def rendered(self, page: Page) -> list[bytes]:
        """Without a cache."""
        return [render_post(entry, id) for id, entry in enumerate(self._uncached(page.positions), page.first_id)]


def held(cache: PostCache) -> int:
    return sum(len(post) for posts in (cache._young, cache._old) for post in posts.values())


def test_a_page_that_is_read_again_is_not_read_from_the_log_again() -> None:
    chat, cache = CountingChat(), PostCache()
    chat.fill(10)
    page = chat.page(5)
    for _ in range(2):
        assert cache.read(page, chat.replica) == (page, chat.rendered(page))
        assert chat.read == page.positions


def test_only_what_is_new_in_a_page_is_read_from_the_log() -> None:
    chat, cache = CountingChat(), PostCache()
    chat.fill(10)
    cache.read(chat.page(5), chat.replica)
    chat.fill(2)
    chat.read.clear()
    page = chat.page(8)
    assert cache.read(page, chat.replica) == (page, chat.rendered(page))
    assert chat.read == [page.positions[0], *page.positions[-2:]]


@pytest.mark.parametrize("bytes_max", [0, 2_000, 6_000, 60_000])
def test_whatever_is_read_is_what_the_log_says_and_no_more_is_held_than_may_be(bytes_max: int) -> None:
    rng, chat, cache = Random(bytes_max), CountingChat(), PostCache(bytes_max)
    chat.fill(60)
    for _ in range(300):
        page = chat.page(rng.randint(1, 12), rng.randint(1, 61))
        assert cache.read(page, chat.replica) == (page, chat.rendered(page))
        assert held(cache) <= bytes_max


def test_what_is_read_often_stays_while_others_come_and_go() -> None:
    chat, cache = CountingChat(), PostCache(12_000)
    chat.fill(100)
    often, once = chat.page(10, before=11), chat.page(1, before=12)
    for before in range(12, 101):
        cache.read(chat.page(1, before), chat.replica)
        cache.read(often, chat.replica)
    assert all(chat.read.count(index) == 1 for index in often.positions)
    chat.read.clear()
    cache.read(once, chat.replica)
    assert chat.read == once.positions  # it was let go of


def test_a_post_that_is_gone_is_not_shown_though_it_was_read_before() -> None:
    chat = ChatClient()
    chat.fill(2)
    assert chat.get(f"{GENERAL}/messages/1").status_code == 200
    chat.configure({"MaxMessages": 1})
    assert chat.get(f"{GENERAL}/messages/1").status_code == 410
    assert chat.delete().status_code == 204
    assert chat.get(GENERAL).json == []


def test_what_has_left_the_log_is_a_lookup_error_and_leaves_nothing_behind() -> None:
    chat, cache = CountingChat(), PostCache()
    chat.fill(3)
    chat.replica.gone = {FIRST_INDEX + 1}
    with pytest.raises(LookupError):
        cache.read(chat.page(), chat.replica)
    assert held(cache) == 0


def test_a_page_whose_posts_have_many_reactions_ends_early_too(monkeypatch: pytest.MonkeyPatch) -> None:
    chat, cache = CountingChat(), PostCache()
    chat.fill(250)
    whole = cache.read(chat.page(250), chat.replica)[1]
    bytes_max = sum(map(len, whole))
    monkeypatch.setattr("chat.services.post_cache.PAGE_BYTES_MAX", bytes_max)
    assert cache.read(chat.page(250), chat.replica)[0].first_id == 1
    for id in range(151, 251):
        for user in range(5):
            chat.replica.commit(encode(React(Actor(NOBODY, "u" * 60 + str(user)), "general", id, "+", on=True)))
    page, posts = cache.read(chat.page(250), chat.replica)
    assert 151 < page.first_id < page.last_id == 250
    assert sum(map(len, posts)) <= bytes_max
    assert all(b'"Reactions":{"+":["uuu' in post for post in posts)


def test_no_page_has_more_bytes_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    chat, cache = CountingChat(), PostCache()
    chat.fill(250)
    bytes_max = 1000
    monkeypatch.setattr("chat.services.post_cache.PAGE_BYTES_MAX", bytes_max)
    for ask in (PageRequest(50), PageRequest(250), PageRequest(50, after=0), PageRequest(50, around=100)):
        whole = chat.state.page("general", ask)
        page, posts = cache.read(whole, chat.replica)
        assert bytes_max / 2 < sum(map(len, posts)) <= bytes_max
        assert posts == chat.rendered(page)
