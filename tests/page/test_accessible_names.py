"""The names by which screen readers, and other people's tests, find the parts of the page."""

from playwright.sync_api import expect

from tests.page.reader import Reader

ON_THE_PAGE = (
    ("navigation", "Rooms"),
    ("textbox", "Filter rooms"),
    ("button", "New room"),
    ("textbox", "Message"),
    ("button", "Send"),
    ("log", "Messages"),
    ("status", "Connection"),
    ("button", "Cluster"),
    ("button", "Account"),
)
ON_OWN_MESSAGES = ["React", "Reply", "Edit", "Delete", "Pin", "Copy link"]


def test_the_parts_of_the_page_have_their_names(reader: Reader) -> None:
    page = reader.open("/#/rooms/general")
    for role, name in ON_THE_PAGE:
        expect(page.get_by_role(role, name=name, exact=True)).to_have_count(1)  # type: ignore[arg-type]
    page.get_by_role("textbox", name="Message").fill("hello")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("textbox", name="Your name", exact=True).fill("ann")
    page.keyboard.press("Enter")
    message = page.get_by_role("log", name="Messages").get_by_role("article")
    expect(message).to_have_count(1)
    expect(page.get_by_role("button", name="Account", exact=True)).to_have_accessible_description(
        "You are ann. Change your name."
    )
    message.hover()
    actions = page.get_by_role("toolbar", name="Message actions", exact=True)
    for name in ON_OWN_MESSAGES:
        expect(actions.get_by_role("button", name=name, exact=True)).to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Go to", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    message.focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts", exact=True)).to_be_visible()
