"""What the pictures show, and how the page gets there."""

import re

from playwright.sync_api import BrowserContext, Page, expect

from tests.cluster.people import PASSWORD
from tests.page.pictures.camera import PHONE, Camera
from tests.page.pictures.day import CHLOE, DEV, GENERAL, MAREN, ONLINE
from tests.page.pictures.team import Team
from tests.page.reader import wait_connected

# The chart of the cluster view has a point every two seconds.
CHART_BEATS = 24
BEAT_MS = 400

NAMES = ("sign-in", "light", "emoji", "go-to", "settings", "dark", "phone", "phone-rooms", "cluster")


def take_all(camera: Camera, team: Team) -> None:
    """Take all pictures; the last one kills a node."""
    with team.online() as online:
        light = sign_in(camera, team)
        state = light.storage_state()
        page = open_room(light, team, "general")
        team.mention()
        expect(page.locator(".badge-mentions")).to_have_count(1)
        online[CHLOE].say(Action="typing", RoomName="general")
        expect(page.locator("#typing")).to_contain_text("typing")
        camera.take(page, "light")
        take_emoji(camera, page)
        take_go_to(camera, page)
        take_settings(camera, page)
        dark = open_room(camera.context(scheme="dark", signed_in=state), team, "on-call")
        dark.locator("article").nth(3).hover()
        expect(dark.get_by_role("toolbar", name="Message actions")).to_be_visible()
        camera.take(dark, "dark")
        take_phone(camera, camera.context(PHONE, signed_in=state), team)
    take_failover(camera, dark, team)


def sign_in(camera: Camera, team: Team) -> BrowserContext:
    context = camera.context()
    page = context.new_page()
    page.goto(team.cluster.nodes[1].url)
    page.get_by_role("textbox", name="Name", exact=True).fill(MAREN)
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    camera.take(page, "sign-in")
    page.get_by_role("button", name="Sign in", exact=True).click()
    wait_connected(page)
    page.close()
    return context


def open_room(context: BrowserContext, team: Team, room: str) -> Page:
    """Open a room, with all who are online, as it was left: at the first unread message."""
    page = context.new_page()
    page.goto(f"{team.cluster.nodes[1].url}/#/rooms/{room}")
    wait_connected(page)
    expect(page.locator("#room-title")).to_have_text(room)
    expect(page.locator("#online-users .avatar")).to_have_count(len(ONLINE))
    expect(page.locator("article").first).to_be_visible()
    return page


def take_emoji(camera: Camera, page: Page) -> None:
    page.locator("article").nth(-2).hover()
    page.get_by_role("button", name="React").click()
    expect(page.locator(".emoji-section").nth(2)).to_be_attached()
    camera.take(page, "emoji", page.locator(".emoji-picker"))
    page.keyboard.press("Escape")


def take_go_to(camera: Camera, page: Page) -> None:
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Go to")).to_be_focused()
    expect(page.get_by_role("option", name="releases")).to_be_visible()
    camera.take(page, "go-to", page.get_by_role("dialog"))
    page.keyboard.press("Escape")


def take_settings(camera: Camera, page: Page) -> None:
    page.get_by_role("button", name="Room settings").click()
    expect(page.get_by_role("dialog")).to_contain_text(re.compile("topic", re.IGNORECASE))
    camera.take(page, "settings", page.get_by_role("dialog"))
    page.keyboard.press("Escape")


def take_phone(camera: Camera, context: BrowserContext, team: Team) -> None:
    page = open_room(context, team, "general")
    expect(page.locator(".post-text").last).to_contain_text(GENERAL.said[-1].text[:20])
    camera.take(page, "phone")
    page.get_by_role("link", name="All rooms").click()
    expect(page.locator("#rooms a").first).to_be_visible()
    camera.take(page, "phone-rooms")


def take_failover(camera: Camera, page: Page, team: Team) -> None:
    """Kill the leader under the cluster view, while messages are posted.  The page's own node is not the one."""
    cluster = team.cluster
    leader = cluster.wait_leader()
    if leader == 1:
        leader = 2
        team.ask(MAREN, "POST", f"/raft/{leader}/lead")
    page.get_by_role("button", name="Cluster").click()
    view = page.get_by_role("dialog", name="Cluster")
    expect(view.locator(f'tr[data-node="{leader}"]')).to_have_attribute("data-state", "leader")
    for beat in range(CHART_BEATS):
        for number in range(2 + beat % 3):
            team.ask(DEV, "POST", "/rooms/lunch", {"Message": f"Table {number + 1}?"})
        page.wait_for_timeout(BEAT_MS)
    cluster.kill(leader)
    expect(view.locator(f'tr[data-node="{leader}"]')).to_have_attribute("data-state", "gone")
    expect(view.locator('tr[data-state="leader"]')).to_have_count(1)
    camera.take(page, "cluster")
