"""A room of any size: permalinks, jumps, and scrolling both ways with a bounded number of rows.

RAFT_CHAT_ROOM_SIZE=100000 makes it as large as the page promises to stand.
"""

import json
import os
from collections.abc import Callable, Iterator
from time import monotonic

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.reader import Reader, new_context
from tests.support.cluster import Cluster
from tests.support.curl import curl

SIZE = int(os.environ.get("RAFT_CHAT_ROOM_SIZE", "2500"))
ROWS_MAX = 1_500
FAR = 700  # more than a page of the room holds on one side
DEADLINE_S = 30
PIECE = 400  # messages of one request
HELD = "() => [...document.querySelectorAll('#posts article')].map(row => Number(row.dataset.id))"
SCROLL = """(by) => new Promise(done => {
  const log = document.getElementById('timeline');
  log.scrollTop += by;
  requestAnimationFrame(() => requestAnimationFrame(() => done(log.scrollTop)));
})"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Import one message an hour, from 2010 on: 100,000 of them end in 2022, and none is of the future."""
    with Cluster(tmp_path_factory.mktemp("large"), 1) as cluster:
        cluster.start_ready()
        node = cluster.nodes[1]
        cluster.request(1, "PUT", "/rooms/large")
        token = f"Authorization: Bearer {node.operator_token()}"
        for first in range(1, SIZE + 1, PIECE):
            lines = [
                json.dumps({"Id": id, "User": f"u{id // 3 % 4}", "Message": f"message {id}", "PostedAt": posted_at(id)})
                for id in range(first, min(first + PIECE, SIZE + 1))
            ]
            curl(f"{node.url}/rooms/large/import?source=s", "-H", token, "--data-binary", "\n".join(lines))
        yield cluster


def posted_at(id: int) -> str:
    day, hour = divmod(id - 1, 24)
    return f"20{10 + day // 336:02d}-{day // 28 % 12 + 1:02d}-{day % 28 + 1:02d}T{hour:02d}:00:00Z"


def scroll_until(page: Page, by: int, is_there: Callable[[list[int]], bool]) -> None:
    """Scroll in steps, a look at the rows after each, as far as where rows are dropped at the other end."""
    deadline = monotonic() + DEADLINE_S
    while not is_there(held(page)):
        assert monotonic() < deadline
        page.evaluate(SCROLL, by)


def held(page: Page) -> list[int]:
    ids = page.evaluate(HELD)
    assert isinstance(ids, list)
    assert ids == list(range(ids[0], ids[0] + len(ids)))  # without a hole
    assert len(ids) <= ROWS_MAX
    return ids


def test_a_link_the_first_message_and_a_date_are_jumped_to_and_both_ways_are_scrolled(
    large: Cluster, browser: Browser
) -> None:
    reader = Reader(new_context(browser, user="ann"), large.nodes[1].url)
    middle = SIZE // 2
    page = reader.open(f"/#/rooms/large/{middle}")
    target = page.locator(f'article[data-id="{middle}"]')
    expect(target).to_be_in_viewport()
    expect(target).to_be_focused()
    scroll_until(page, -2_000, lambda ids: ids[0] <= middle - FAR)
    scroll_until(page, 2_000, lambda ids: ids[-1] >= middle + FAR)

    page.get_by_role("button", name="Jump to a date").click()
    page.get_by_role("button", name="First message").click()
    expect(page.locator('article[data-id="1"]')).to_be_in_viewport()
    expect(page.locator("#timeline-head")).to_have_text("This is the beginning of the room.")

    page.get_by_role("button", name="Jump to a date").click()
    page.get_by_role("dialog", name="Jump to a date").get_by_label("Jump to a date").fill(posted_at(241)[:10])
    page.get_by_role("button", name="Go").click()
    expect(page.locator('article[data-id="241"]')).to_be_in_viewport()
    page.locator("#latest").click()
    expect(page.locator(f'article[data-id="{SIZE}"]')).to_be_in_viewport()
    assert reader.complaints == []
    reader.context.close()


def test_the_message_in_view_stays_where_it_is_while_older_ones_come(large: Cluster, browser: Browser) -> None:
    reader = Reader(new_context(browser, user="ann"), large.nodes[1].url)
    page = reader.open("/#/rooms/large")
    expect(page.locator(f'article[data-id="{SIZE}"]')).to_be_in_viewport()
    first = held(page)[0]
    page.evaluate("() => { document.getElementById('timeline').scrollTop = 200; }")
    top = f"""() => document.querySelector('article[data-id="{first + 12}"]').getBoundingClientRect().top"""
    before = page.evaluate(top)
    expect(page.locator(f'article[data-id="{first - 1}"]')).to_be_attached()
    assert abs(page.evaluate(top) - before) < 1
    assert reader.complaints == []
    reader.context.close()
