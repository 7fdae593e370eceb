"""Reading and writing on the page, while every node runs."""

import json
import re

from playwright.sync_api import Browser, expect

from tests.page.reader import Reader, Wire, expect_messages, say, stored
from tests.support.cluster import Cluster
from tests.support.curl import curl


def test_rooms_and_posts_from_curl_appear(cluster: Cluster, reader: Reader) -> None:
    url = cluster.nodes[1].url
    curl("-L", f"{url}/rooms/general", "-d", '{"Message": "hello", "User": "ann"}')
    curl("-L", f"{url}/rooms/general", "-d", '{"Message": "hello ann", "User": "bob"}')
    curl("-L", f"{url}/rooms/the%20kitchen", "-d", '{"Message": "coffee is ready", "User": "bob"}')
    page = reader.open()
    expect(page.locator("#rooms a")).to_have_text(["general", "the kitchen"])
    page.click("text=general")
    expect_messages(page, "hello", "hello ann")
    expect(page.locator(".post-author")).to_have_text(["ann", "bob"])
    page.click("text=the kitchen")
    expect_messages(page, "coffee is ready")
    assert page.url.endswith("#/rooms/the%20kitchen")
    expect(page).to_have_title("the kitchen · raft-chat")


def test_a_post_from_the_page_shows_once_and_can_be_read_by_rest(cluster: Cluster, reader: Reader) -> None:
    page = reader.open("/#/rooms/general")
    say(page, "first words")
    page.fill("#name", "Chloé")  # nobody is known yet, so the page asks
    page.press("#name", "Enter")
    expect_messages(page, "first words")
    say(page, "second words")
    expect_messages(page, "first words", "second words")
    assert stored(cluster, "general") == [("Chloé", "first words"), ("Chloé", "second words")]
    page.reload()
    expect_messages(page, "first words", "second words")
    expect(page.locator("#me")).to_contain_text("Chloé")


def test_a_post_by_curl_appears_live(cluster: Cluster, reader: Reader) -> None:
    cluster.post(1, "general", "before")
    page = reader.open("/#/rooms/general")
    expect_messages(page, "before")
    curl("-L", f"{cluster.nodes[1].url}/rooms/general", "-d", '{"Message": "after", "User": "bob"}')
    expect_messages(page, "before", "after")
    expect(page.locator("#announcer")).to_have_text("bob: after")


def test_imported_messages_say_so_on_their_time_and_stand_where_they_came_whatever_their_day(
    cluster: Cluster, reader: Reader
) -> None:
    cluster.post(1, "general", "before")
    page = reader.open("/#/rooms/general")
    expect_messages(page, "before")
    old = {"Id": 1, "User": "ann", "Message": "long ago", "PostedAt": "2020-05-05T12:00:00Z"}
    node = cluster.nodes[1]
    token = f"Authorization: Bearer {node.operator_token()}"
    curl(f"{node.url}/rooms/general/import?source=s", "-H", token, "-d", json.dumps(old))
    cluster.post(1, "general", "after")
    expect_messages(page, "before", "long ago", "after")
    expect(page.locator(".day")).to_have_count(3)
    expect(page.locator(".day").nth(1)).to_contain_text("2020")
    title = page.locator(".post-time").nth(1).get_attribute("title")
    assert title is not None
    assert re.search(r"2020.*, imported .*", title)
    expect(page.locator("#announcer")).to_have_text("ann: after")


def test_a_post_to_another_room_is_counted_as_unread_until_it_is_read(cluster: Cluster, reader: Reader) -> None:
    cluster.post(1, "general", "hello")
    page = reader.open("/#/rooms/general")
    expect_messages(page, "hello")
    cluster.post(1, "kitchen", "coffee", user="bob")
    cluster.post(1, "kitchen", "tea", user="bob")
    expect(page.locator("#rooms a")).to_have_text(["general", "kitchen2 unread"])
    expect(page).to_have_title("(2) general · raft-chat")
    page.click("text=kitchen")
    expect_messages(page, "coffee", "tea")
    expect(page.locator("#rooms a")).to_have_text(["general", "kitchen"])


def test_what_becomes_of_a_post_shows_at_once_and_still_after_coming_back(cluster: Cluster, reader: Reader) -> None:
    for text in ("helo", "too much", "thanks"):
        cluster.post(1, "general", text)
    page = reader.open("/#/rooms/general")
    expect_messages(page, "helo", "too much", "thanks")
    url = f"{cluster.nodes[1].url}/rooms/general/messages"
    curl("-X", "PATCH", f"{url}/1", "-d", '{"Message": "hello", "User": "ann"}')
    curl("-X", "DELETE", f"{url}/2?user=ann")
    for user in ("bob", "cleo"):
        curl("-X", "PUT", f"{url}/3/reactions/%E2%9D%A4?user={user}")
    for _ in range(2):
        expect_messages(page, "hello", "", "thanks")
        expect(page.locator(".post-note")).to_have_text(["Edited", "This message was deleted."])
        expect(page.locator(".reaction")).to_have_text(["\u2764\ufe0f 2"])
        expect(page.locator(".reaction")).to_have_attribute("title", "bob, cleo")
        page.reload()
    curl("-X", "DELETE", f"{url}/3/reactions/%E2%9D%A4?user=bob")
    expect(page.locator(".reaction")).to_have_text(["\u2764\ufe0f 1"])


def test_a_deleted_room_leaves_the_list_and_says_so_where_it_is_open(cluster: Cluster, reader: Reader) -> None:
    for room in ("general", "kitchen", "office"):
        cluster.post(1, room, f"hello {room}")
    page = reader.open("/#/rooms/general")
    expect_messages(page, "hello general")
    page.click("text=kitchen")
    expect_messages(page, "hello kitchen")
    assert cluster.request(1, "DELETE", "/rooms/general").status == 204
    expect(page.locator("#rooms a")).to_have_text(["kitchen", "office"])
    assert cluster.request(1, "DELETE", "/rooms/kitchen").status == 204
    expect(page.locator("#rooms a")).to_have_text(["office"])
    expect(page.locator("#timeline-tail")).to_have_text("This room was deleted. Your next message creates it again.")
    expect(page.locator("#announcer")).to_have_text("This room was deleted.")
    expect_messages(page)

    cluster.post(1, "kitchen", "coffee again", user="bob")
    expect_messages(page, "coffee again")
    expect(page.locator("#rooms a")).to_have_text(["kitchen", "office"])
    expect(page.locator("#timeline-tail")).to_have_text("")
    cluster.post(1, "general", "anybody?", user="bob")
    expect(page.locator("#rooms a")).to_have_text(["general1 unread", "kitchen", "office"])
    page.click("text=general")
    expect_messages(page, "anybody?")


def test_what_becomes_of_a_room_shows_at_once_and_still_after_coming_back(cluster: Cluster, reader: Reader) -> None:
    cluster.post(1, "general", "hello")
    page = reader.open("/#/rooms/general")
    expect_messages(page, "hello")
    page.fill("#message", "not said yet")
    url = f"{cluster.nodes[1].url}/rooms"
    curl("-X", "PATCH", f"{url}/general", "-d", '{"Name": "lobby", "Topic": "<b>Who is here</b>"}')
    curl("-X", "PUT", f"{url}/office")
    expect(page.locator("#rooms a")).to_have_text(["lobby", "office"])
    expect(page).to_have_url(re.compile("#/rooms/lobby$"))
    expect(page.locator("#message")).to_have_value("not said yet")
    for _ in range(2):
        expect(page.locator("#room-title")).to_have_text("lobby")
        expect(page.locator("#room-topic")).to_have_text("<b>Who is here</b>")
        expect(page.locator("#room-archived")).to_be_hidden()
        expect_messages(page, "hello")
        page.reload()
    expect(page.locator("#rooms a")).to_have_text(["lobby", "office"])
    for link in ("#/rooms/office", "#/rooms/general"):  # the second one from before it had another name
        page.evaluate("link => { location.hash = link; }", link)
        expect(page.locator("#room-title")).to_have_text("office" if "office" in link else "lobby")
    expect(page).to_have_url(re.compile("#/rooms/lobby$"))
    curl("-X", "PATCH", f"{url}/lobby", "-d", '{"Archived": true}')
    expect(page.locator("#room-archived")).to_be_visible()
    expect(page.locator("#composer")).to_be_hidden()
    curl("-X", "PATCH", f"{url}/lobby", "-d", '{"Archived": false}')
    expect(page.locator("#composer")).to_be_visible()


def test_who_leaves_a_deleted_room_and_comes_back_finds_an_empty_one(cluster: Cluster, reader: Reader) -> None:
    for room in ("general", "kitchen"):
        cluster.post(1, room, f"hello {room}")
    page = reader.open("/#/rooms/general")
    expect_messages(page, "hello general")
    assert cluster.request(1, "DELETE", "/rooms/general").status == 204
    expect(page.locator("#timeline-tail")).to_contain_text("This room was deleted.")
    page.click("text=kitchen")
    expect_messages(page, "hello kitchen")
    page.go_back()
    expect(page.locator("#timeline-tail")).to_have_text("No messages yet. Write the first one.")
    expect(page.locator("#rooms a")).to_have_text(["generalnew", "kitchen"])


def test_markup_in_names_and_messages_is_shown_as_text(cluster: Cluster, reader: Reader) -> None:
    markup = "<img src=x onerror=\"document.title='broken'\"> <b>bold</b> &amp;"
    cluster.post(1, "%3Ci%3Eroom", markup, user="<u>ann</u>")
    page = reader.open("/#/rooms/%3Ci%3Eroom")
    expect_messages(page, markup)
    expect(page.locator(".post-author")).to_have_text("<u>ann</u>")
    expect(page.locator("#rooms a")).to_have_text("<i>room")
    expect(page.locator("#posts img, #posts b, #posts u, #rooms i")).to_have_count(0)
    expect(page).to_have_title("<i>room · raft-chat")


def test_a_new_room_is_opened_by_its_name(cluster: Cluster, reader: Reader) -> None:
    cluster.post(1, "general", "hello")
    page = reader.open("/#/rooms")
    page.click("#new-room-toggle")
    name = page.get_by_role("textbox", name="Room name")
    name.fill("..")
    name.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("alert").first).not_to_be_empty()
    name.fill("50% off / more")
    name.press("Enter")
    expect(page.locator("#room-title")).to_have_text("50% off / more")
    say(page, "anybody here?")
    page.fill("#name", "ann")
    page.press("#name", "Enter")
    expect_messages(page, "anybody here?")
    assert cluster.request(1, "GET", "/rooms").json() == ["50% off / more", "general"]


def test_posts_of_one_author_are_grouped(cluster: Cluster, reader: Reader) -> None:
    for user, message in [("ann", "one"), ("ann", "two"), ("bob", "three"), ("ann", "four")]:
        cluster.post(1, "general", message, user=user)
    page = reader.open("/#/rooms/general")
    expect_messages(page, "one", "two", "three", "four")
    expect(page.locator(".post .avatar")).to_have_text(["A", "B", "A"])
    expect(page.locator(".day")).to_have_text("Today")


def test_on_a_touch_screen_enter_begins_a_line_and_the_button_sends(cluster: Cluster, browser: Browser) -> None:
    context = browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    context.add_init_script("localStorage.setItem('raft-chat.user', 'ann')")
    page = Reader(context, cluster.nodes[1].url).open("/#/rooms/general")
    page.fill("#message", "one")
    page.press("#message", "Enter")
    page.locator("#message").press_sequentially("two")
    expect(page.locator(".post")).to_have_count(0)
    page.tap(".send")
    expect_messages(page, "one\ntwo")
    context.close()


def test_at_400_percent_zoom_the_rooms_can_be_seen_and_written_in(cluster: Cluster, reader: Reader) -> None:
    for room in ("general", "kitchen", "random"):
        cluster.post(1, room, "hello")
    page = reader.open("/")
    page.set_viewport_size({"width": 320, "height": 200})  # 1280 by 800 at 400 %
    page.get_by_role("link", name="random").click()
    expect(page.locator(".post-text")).to_have_text("hello")
    height = page.locator(".timeline").bounding_box()
    assert height is not None
    assert height["height"] > 100
    page.locator("#message").scroll_into_view_if_needed()
    expect(page.locator("#message")).to_be_in_viewport()


def test_enter_that_accepts_a_word_of_an_input_method_sends_nothing(cluster: Cluster, reader: Reader) -> None:
    page = reader.open("/#/rooms/general")
    page.fill("#message", "にほん")
    page.evaluate(
        "document.getElementById('message').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"
    )
    page.press("#message", "Shift+Enter")
    expect(page.locator("#message")).to_have_value("にほん\n")
    expect(page.locator(".post, #name-dialog[open]")).to_have_count(0)


def test_the_keyboard_alone_reads_and_writes(cluster: Cluster, reader: Reader) -> None:
    cluster.post(1, "general", "hello")
    cluster.post(1, "kitchen", "coffee")
    page = reader.open("/#/rooms/general")
    expect_messages(page, "hello")
    page.focus("#rooms a >> nth=1")
    page.keyboard.press("Enter")
    expect_messages(page, "coffee")
    page.focus("#skip-link")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.type("thanks")
    page.keyboard.press("Enter")
    page.keyboard.type("ann")  # the dialog has the focus
    page.keyboard.press("Enter")
    expect_messages(page, "coffee", "thanks")
    expect(page.locator("#message")).to_be_focused()


def test_older_posts_are_loaded_by_scrolling_up(cluster: Cluster, reader: Reader) -> None:
    messages = [f"message {number}" for number in range(1, 251)]
    for message in messages:
        cluster.post(1, "general", message)
    page = reader.open("/#/rooms/general")
    expect(page.locator(".post-text")).to_have_text(messages[-100:])
    for shown in (200, 250):  # one page at a time: the place that was read stays in view, the first post far above it
        page.eval_on_selector("#timeline", "timeline => timeline.scrollTo(0, 0)")
        expect(page.locator(".post-text")).to_have_text(messages[-shown:])
    expect(page.locator("#timeline-head")).to_have_text("This is the beginning of the room.")


def test_who_reads_older_posts_is_not_moved_by_new_ones(cluster: Cluster, reader: Reader) -> None:
    for number in range(80):
        cluster.post(1, "general", f"message {number}")
    page = reader.open("/#/rooms/general")
    expect(page.locator("text='message 79'")).to_be_in_viewport()
    page.eval_on_selector("#timeline", "timeline => timeline.scrollTo(0, 300)")
    expect(page.locator("#latest")).to_have_text("Latest")
    cluster.post(1, "general", "news", user="bob")
    expect(page.locator("#latest")).to_have_text("1 new")
    assert page.eval_on_selector("#timeline", "timeline => timeline.scrollTop") == 300
    page.click("#latest")
    expect(page.locator("text='news'")).to_be_in_viewport()
    cluster.post(1, "general", "more news", user="bob")
    expect(page.locator("text='more news'")).to_be_in_viewport()
    expect(page.locator("#latest")).to_be_hidden()


def test_a_phone_shows_the_list_or_a_room(cluster: Cluster, reader: Reader) -> None:
    cluster.post(1, "general", "hello")
    page = reader.open()
    page.set_viewport_size({"width": 390, "height": 780})
    expect(page.locator("#room")).to_be_hidden()
    page.click("text=general")
    expect(page.locator("#rooms")).to_be_hidden()
    expect_messages(page, "hello")
    page.click("[aria-label='All rooms']")
    expect(page.locator("#rooms")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_first_visit_reads_rooms_and_messages_once_and_misses_nothing_of_what_comes_meanwhile(
    cluster: Cluster, reader: Reader
) -> None:
    cluster.post(1, "general", "before")
    page = reader.context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(f"{reader.url}/")))

    class LateWire(Wire):
        """What is posted while the page subscribes is in no answer that the page has read."""

        def _from_page(self, text: str | bytes) -> None:
            if json.loads(text)["Action"] == "subscribe":
                self.cursor = json.loads(text).get("Cursor")
                cluster.post(1, "general", "meanwhile")
                cluster.post(1, "kitchen", "coffee")
            super()._from_page(text)

    wire = LateWire(page)
    reader.open("/#/rooms/general", page)
    expect_messages(page, "before", "meanwhile")
    expect(page.locator("#rooms a")).to_have_text(["general", "kitchen1 unread"])
    reads = [path for path in asked if path.startswith("rooms?") or "limit=" in path]
    if wire.cursor is not None:  # else the first answers came late, and all is read again
        assert sorted(reads) == ["rooms/general?limit=100", "rooms?limit=1000&details=true"]
