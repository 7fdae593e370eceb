"""The actions on messages of the page: each one of the bar, by mouse and by keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.page.reader import Reader, expect_messages, new_context, say
from tests.support.cluster import Cluster
from tests.support.curl import curl


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("shared"), 1) as cluster:
        yield cluster.start_ready()


@pytest.fixture
def ann(browser: Browser, shared: Cluster) -> Iterator[Reader]:
    reader = Reader(new_context(browser, user="ann"), shared.nodes[1].url)
    yield reader
    reader.context.close()
    assert reader.complaints == []


def act(page: Page, message: Locator, name: str) -> None:
    """Press a button of the message's bar."""
    message.hover()
    page.get_by_role("toolbar", name="Message actions").get_by_role("button", name=name).click()


def test_a_message_is_reacted_to_answered_edited_pinned_and_deleted(shared: Cluster, ann: Reader) -> None:
    url = f"{shared.nodes[1].url}/rooms/actions"
    shared.post(1, "actions", "shall **we** ship?", user="bob")
    shared.post(1, "actions", "helo", user="ann")
    page = ann.open("/#/rooms/actions")
    expect_messages(page, "shall we ship?", "helo")
    log = page.get_by_role("log", name="Messages")
    question, mine = log.get_by_role("article").nth(0), log.get_by_role("article").nth(1)

    act(page, question, "React")
    page.get_by_role("searchbox", name="Search emoji").fill("rocket")
    page.get_by_role("button", name="rocket", exact=True).click()
    expect(question.locator(".reaction")).to_have_text(["🚀 1"])
    question.locator(".reaction").click()
    expect(question.locator(".reaction")).to_have_count(0)

    act(page, question, "Reply")
    expect(page.locator(".composer-about")).to_contain_text("Reply to bob")
    say(page, "yes, *now*")
    answer = log.get_by_role("article").nth(2)
    expect(answer.locator(".answered")).to_have_text("bob shall we ship?")
    expect(answer.locator("em")).to_have_text("now")
    assert shared.request(1, "GET", "/rooms/actions/messages/3").json()["ReplyTo"] == 1

    act(page, mine, "Edit")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("helo")
    say(page, "hello")
    expect(mine.locator(".post-text")).to_have_text("hello")
    mine.get_by_role("button", name="Edited").click()
    expect(page.get_by_role("dialog", name="Earlier versions").locator(".post-text")).to_have_text(["hello", "helo"])
    page.keyboard.press("Escape")

    act(page, question, "Pin")
    expect(question.locator(".post-pin")).to_have_text("Pinned")
    page.get_by_role("button", name="Pinned messages").click()
    expect(page.locator(".pin")).to_contain_text("shall we ship?")
    page.locator(".pin-row").get_by_role("button", name="Unpin").click()
    expect(page.get_by_text("Nothing is pinned here.")).to_be_visible()
    expect(question.locator(".post-pin")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

    act(page, mine, "Delete")
    mine.get_by_role("button", name="Undo").click()
    expect(mine.locator(".post-text")).to_have_text("hello")
    act(page, mine, "Delete")
    expect(mine).to_contain_text("Message deleted.")
    assert "Deleted" not in shared.request(1, "GET", "/rooms/actions/messages/2").json()
    page.close()  # at once, and so the deletion is sent
    page = ann.open("/#/rooms/actions")
    expect_messages(page, "shall we ship?", "", "yes, now")
    curl("-X", "DELETE", f"{url}/messages/3?user=ann")
    expect(page.locator(".post-deleted .post-note")).to_have_text("2 messages were deleted.")


def test_the_keyboard_alone_goes_to_a_message_and_acts_on_it(shared: Cluster, ann: Reader) -> None:
    for number in range(3):
        shared.post(1, "keys", f"message {number}", user="ann")
    page = ann.open("/#/rooms/keys")
    expect_messages(page, "message 0", "message 1", "message 2")
    page.locator("#timeline").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator("article").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")  # from React to Reply
    page.keyboard.press("Enter")
    page.keyboard.type("an answer")
    page.keyboard.press("Enter")
    expect(page.locator(".answered")).to_have_text("ann message 1")
    page.keyboard.press("ArrowUp")  # in the empty field: the last message
    expect(page.get_by_role("textbox", name="Message")).to_have_value("an answer")
    page.keyboard.type(", edited")
    page.keyboard.press("Enter")
    expect(page.locator(".post-text").last).to_have_text("an answer, edited")


def test_a_message_of_somebody_else_is_not_offered_to_be_edited(shared: Cluster, ann: Reader, tmp_path: Path) -> None:
    shared.post(1, "others", "```py\nprint(1)\n```\nsee <https://example.com/>", user="bob")
    page = ann.open("/#/rooms/others")
    message = page.get_by_role("article")
    message.hover()
    bar = page.get_by_role("toolbar", name="Message actions")
    expect(bar.get_by_role("button", name="Reply")).to_be_visible()
    expect(bar.get_by_role("button", name="Edit")).to_be_hidden()
    expect(bar.get_by_role("button", name="Delete")).to_be_hidden()
    expect(message.locator("pre code")).to_have_text("print(1)")
    link = message.get_by_role("link")
    expect(link).to_have_attribute("href", "https://example.com/")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    page.evaluate("() => { Object.defineProperty(navigator, 'clipboard', {value: undefined}); }")  # as on plain http
    message.locator(".text-code-frame").hover()
    message.locator(".text-copy").click()
    expect(message.locator(".text-copy")).to_have_text("Copied")
