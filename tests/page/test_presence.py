"""The users who are online and who are typing, on the page."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.reader import Reader, expect_messages, new_context, say
from tests.support.cluster import Cluster


@contextmanager
def reading(browser: Browser, cluster: Cluster, user: str, node: int = 1) -> Iterator[Page]:
    """A page of this user in the room "general", from one of the nodes; its console must stay empty."""
    reader = Reader(new_context(browser, user=user), cluster.nodes[node].url)
    yield reader.open("/#/rooms/general")
    reader.context.close()
    assert reader.complaints == []


def faces(page: Page) -> list[str]:
    return page.locator("#online-users .avatar").all_text_contents()


def test_who_else_is_there_is_shown_above_the_messages(browser: Browser, cluster: Cluster) -> None:
    with reading(browser, cluster, "ann") as ann:
        expect(ann.locator("#online-users")).to_be_hidden()
        with reading(browser, cluster, "bob") as bob:
            expect(ann.locator("#online-users")).to_have_text("Also online: bobB")
            expect(bob.locator("#online-users")).to_have_text("Also online: annA")
            expect(ann.locator("#online-users")).to_have_attribute("title", "Also online: bob")
        expect(ann.locator("#online-users")).to_be_hidden()


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_who_types_is_shown_on_another_node_until_he_has_said_it(browser: Browser, cluster: Cluster) -> None:
    with reading(browser, cluster, "ann", node=1) as ann, reading(browser, cluster, "bob", node=2) as bob:
        line = ann.locator("#typing")
        expect(line).to_be_empty()
        bob.locator("#message").press_sequentially("hello")
        expect(line).to_have_text("bob is typing")
        expect(bob.locator("#typing")).to_be_empty()
        bob.locator("#message").press("Enter")
        expect_messages(ann, "hello")
        expect(line).to_be_empty()


def test_typing_in_another_room_is_not_shown_and_that_of_many_is_counted(browser: Browser, cluster: Cluster) -> None:
    words = {
        "bob": "bob is typing",
        "eve": "bob and eve are typing",
        "gus": "bob, eve and 1 other are typing",
    }
    with reading(browser, cluster, "ann") as ann, ExitStack() as closing:
        elsewhere = closing.enter_context(reading(browser, cluster, "zoë"))
        pages = {user: closing.enter_context(reading(browser, cluster, user)) for user in words}
        expect(ann.locator("#online-users")).to_contain_text("Also online: zoë, bob, eve, gus")
        elsewhere.goto(elsewhere.url.replace("general", "kitchen"))
        elsewhere.locator("#message").press_sequentially("hm")
        for user, page in pages.items():
            page.locator("#message").press_sequentially("hm")
            expect(ann.locator("#typing")).to_have_text(words[user])


def test_a_reader_who_takes_another_name_is_there_under_that(browser: Browser, cluster: Cluster) -> None:
    with reading(browser, cluster, "ann") as ann, reading(browser, cluster, "bob") as bob:
        expect(ann.locator("#online-users")).to_contain_text("Also online: bob")
        say(bob, "I am somebody else now")
        bob.click("#me")
        bob.fill("#name", "robert")
        bob.press("#name", "Enter")
        expect(ann.locator("#online-users")).to_have_text("Also online: robertR")
        expect_messages(ann, "I am somebody else now")
        expect_messages(bob, "I am somebody else now")
