"""Writing a message: completion, slash commands, files that cannot be sent yet, and drafts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.cluster.people import FLAGS, QUICK_PASSWORDS, People
from tests.page.reader import Reader, expect_messages, kept_drafts, new_context, say, stored
from tests.page.test_sign_in import leave, newcomer, sign_in
from tests.support.cluster import Cluster
from tests.support.waiting import wait_until

ENTER_WHILE_COMPOSING = """document.getElementById('message').dispatchEvent(
  new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"""
FILE_EVENT = """([type, selector]) => {
  const data = new DataTransfer();
  data.items.add(new File(['x'], 'x.png', { type: 'image/png' }));
  const more = type === 'paste' ? { clipboardData: data } : { dataTransfer: data };
  const event = new (type === 'paste' ? ClipboardEvent : DragEvent)(type, { bubbles: true, cancelable: true, ...more });
  return !document.querySelector(selector).dispatchEvent(event);
}"""
DRAFT = "raft-chat.draft.drafts"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("writing"), 1) as cluster:
        yield cluster.start_ready()


@pytest.fixture
def ann(browser: Browser, shared: Cluster) -> Iterator[Reader]:
    reader = Reader(new_context(browser, user="ann"), shared.nodes[1].url)
    yield reader
    reader.context.close()
    assert reader.complaints == []


def type_anew(page: Page, text: str) -> None:
    page.fill("#message", "")
    page.locator("#message").press_sequentially(text)


def test_names_rooms_emoji_and_commands_are_completed(shared: Cluster, ann: Reader) -> None:
    for user in ("bob", "Béa Löwe", "bobby"):
        shared.post(1, "names", f"from {user}", user=user)
    shared.post(1, "the%20kitchen", "coffee")
    page = ann.open("/#/rooms/names")
    field = page.get_by_role("textbox", name="Message")
    options = page.get_by_role("listbox", name="Suggestions").get_by_role("option")
    chosen = page.locator("[role=option][aria-selected=true] .choice-title")
    expect(page.locator(".post")).to_have_count(3)

    type_anew(page, "hello @low")  # without its accent
    expect(options.locator(".choice-title")).to_have_text(["Béa Löwe"])
    assert field.get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    page.evaluate(ENTER_WHILE_COMPOSING)
    expect(field).to_have_value("hello @low")
    page.keyboard.press("Enter")
    expect(field).to_have_value("hello @Béa Löwe ")
    expect(options).to_have_count(0)

    type_anew(page, "@bo")
    expect(chosen).to_have_text("bobby")  # who wrote last
    page.keyboard.press("ArrowDown")
    expect(chosen).to_have_text("bob")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    expect(field).to_have_value("@bobby ")
    type_anew(page, "@bob")
    expect(options).to_have_count(2)
    expect(chosen).to_have_count(0)  # it is a whole name
    page.keyboard.press("Enter")
    expect(page.locator(".post-text").last).to_have_text("@bob")

    type_anew(page, "see #kit")
    options.first.click()
    expect(field).to_have_value("see #the kitchen ")
    expect(field).to_be_focused()
    type_anew(page, "up :rocke")
    expect(chosen).to_have_text(":rocket:")
    page.keyboard.press("Enter")
    expect(field).to_have_value("up 🚀 ")
    type_anew(page, "/to")
    expect(chosen).to_have_text("/topic text")
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    expect(field).to_have_value("/to")
    page.keyboard.type("p")
    expect(options).to_have_count(0)  # it stays closed for this word
    for text in ("ann@bo", "10:30", "a/to", "##", ":D"):
        type_anew(page, text)
        expect(options.and_(page.locator("[aria-selected=true]"))).to_have_count(0)


def test_slash_commands_do_what_they_say_and_an_unknown_one_keeps_the_text(shared: Cluster, ann: Reader) -> None:
    shared.post(1, "commands", "hello", user="bob")
    shared.post(1, "the%20garden", "roses", user="bob")
    page = ann.open("/#/rooms/commands")
    field, error = page.locator("#message"), page.locator("#message-error")
    say(page, "/topic Plans for *May*")
    expect(page.locator("#room-topic")).to_have_text("Plans for *May*")
    expect(field).to_have_value("")
    say(page, "/me waves")
    expect(page.locator(".post-text em")).to_have_text("waves")
    say(page, "/shrug so what")
    say(page, "//etc/hosts is a file")
    expect_messages(page, "hello", "waves", r"so what ¯\_(ツ)_/¯", "/etc/hosts is a file")
    for text, words in (
        ("/dance with me", "There is no command /dance"),
        ("/invite bob", "Without sign-in everybody can read this room"),
        ("/leave", "Without sign-in rooms have no members"),
        ("/join nowhere", "There is no room called nowhere"),
        ("/topic", "Write the topic after the command"),
    ):
        say(page, text)
        expect(error).to_contain_text(words)
        expect(field).to_have_value(text)
    say(page, "/help")
    expect(page.get_by_role("dialog", name="Commands")).to_contain_text("Add a shrug to your text")
    page.keyboard.press("Escape")
    expect(field).to_be_focused()
    say(page, "/join #The Garden")
    expect_messages(page, "roses")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Go to").fill("/topic")
    page.keyboard.press("Enter")
    expect(field).to_have_value("/topic ")
    expect(field).to_be_focused()
    assert [message for _, message in stored(shared, "commands")][-1] == "/etc/hosts is a file"


def test_commands_about_members_change_them(browser: Browser, tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        people = People(cluster.start_ready())
        body = {"Name": "plans", "Visibility": "private", "Members": ["ann"]}
        room = people.request("ann", 1, "POST", "/rooms", body).json()["Name"]
        reader, page = newcomer(browser, cluster, f"/#/rooms/{room}")
        sign_in(page, "ann")
        expect(page.locator("#room-title")).to_have_text("plans")
        say(page, "/invite nobody-here")
        expect(page.locator("#message-error")).not_to_be_empty()
        say(page, "/invite @bob")
        expect(page.locator("#message")).to_have_value("")
        assert people.request("ann", 1, "GET", f"/rooms/{room}/members").json() == ["ann", "bob"]
        page.locator("#message").press_sequentially("@gu")
        expect(page.get_by_role("option", name="gus")).to_be_visible()  # of all users
        page.fill("#message", "")
        say(page, "/leave")
        expect(page.locator("#no-room")).to_be_visible()
        assert people.request("bob", 1, "GET", f"/rooms/{room}/members").json() == ["bob"]
        assert reader.complaints.pop().endswith("404 (Not Found)")  # of the user who does not exist
        leave(reader)


def test_files_are_refused_in_words_and_a_text_too_long_is_counted_before_it_is_sent(ann: Reader) -> None:
    page = ann.open("/#/rooms/files")
    page.fill("#message", "my text")
    for type, selector in (("paste", "#message"), ("drop", "#message"), ("drop", "#timeline"), ("drop", "#rooms")):
        page.evaluate("document.getElementById('message').dispatchEvent(new InputEvent('input'))")
        expect(page.locator("#message-error")).to_be_empty()
        assert page.evaluate(FILE_EVENT, [type, selector])  # the browser does not open it
        expect(page.locator("#message-error")).to_have_text("Files cannot be sent yet. Your text is still here.")
        expect(page.locator("#message")).to_have_value("my text")
    page.fill("#message", "x" * 8_002)
    expect(page.locator("#message-count")).to_contain_text("8,002 of 8,000. 2 characters too long.")
    page.press("#message", "Enter")
    expect(page.locator("#message")).to_have_value("x" * 8_002)
    expect(page.locator(".post")).to_have_count(0)


def test_on_a_touch_device_enter_breaks_the_line_and_a_tap_completes(browser: Browser, shared: Cluster) -> None:
    shared.post(1, "touch", "hello", user="bob")
    phone = browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    phone.add_init_script("localStorage.setItem('raft-chat.user', 'ann')")
    page = Reader(phone, shared.nodes[1].url).open("/#/rooms/touch")
    page.tap("#message")
    page.keyboard.type("one")
    page.keyboard.press("Enter")
    page.keyboard.type("@bo")
    page.get_by_role("option", name="bob").tap()
    expect(page.locator("#message")).to_have_value("one\n@bob ")
    page.get_by_role("button", name="Send").tap()
    expect_messages(page, "hello", "one\n@bob")
    phone.close()


def test_a_draft_that_a_killed_browser_kept_in_one_place_comes_back_and_a_sent_one_does_not(ann: Reader) -> None:
    page = ann.open("/#/rooms/drafts")
    page.fill("#message", "begun, and more")
    wait_kept(page, ["begun, and more"])
    page.evaluate(f"localStorage.removeItem('{DRAFT}')")  # the last seconds of localStorage are lost
    page.reload()
    expect(page.locator("#message")).to_have_value("begun, and more")
    before = page.evaluate(f"localStorage.getItem('{DRAFT}')")
    page.press("#message", "Enter")
    expect_messages(page, "begun, and more")
    wait_kept(page, [""])
    page.evaluate(f"text => localStorage.setItem('{DRAFT}', text)", before)
    page.reload()
    expect_messages(page, "begun, and more")
    expect(page.locator("#message")).to_have_value("")


def wait_kept(page: Page, texts: list[str]) -> None:
    wait_until(lambda: kept_drafts(page) == texts, 10, "the draft is on the disk")
