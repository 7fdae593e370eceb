"""A browser, a cluster and a reader between them.

Every test ends with a look at the browser's console: no error, no warning, nothing that the content security policy
had to stop.  Only a test that takes a node away may see connections fail.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from tests.page.reader import Reader, Wire, new_context
from tests.support.cluster import Cluster

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# How the console tells of connections that failed: nobody there, or a node that has just started and is not ready.
OUTAGE = re.compile(r"net::ERR_|^WebSocket connection to .* failed|status of 503")


def chromium_path() -> str | None:
    """Chromium without the windows of a browser, where there is one: those are pages too, which nobody looks at."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    chromium = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_FLAGS)
    yield chromium
    chromium.close()


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One node, or as many as the test asks for."""
    with Cluster(tmp_path, getattr(request, "param", 1)) as cluster:
        yield cluster.start_ready()


@pytest.fixture
def reader(browser: Browser, cluster: Cluster) -> Iterator[Reader]:
    """Somebody who has never been here; nothing may be wrong in their console."""
    reader = Reader(new_context(browser), cluster.nodes[1].url)
    yield reader
    reader.context.close()
    assert reader.complaints == []


@pytest.fixture
def reader_of_outage(browser: Browser, cluster: Cluster) -> Iterator[Reader]:
    """Somebody called ann, who sees connections fail and nothing worse."""
    reader = Reader(new_context(browser, user="ann"), cluster.nodes[1].url)
    yield reader
    reader.context.close()
    assert [complaint for complaint in reader.complaints if not OUTAGE.search(complaint)] == []


@pytest.fixture
def wired(reader: Reader) -> tuple[Page, Wire]:
    """A page in the room "general", read by ann, and its wire."""
    reader.context.add_init_script("localStorage.setItem('raft-chat.user', 'ann')")
    page = reader.context.new_page()
    wire = Wire(page)
    return reader.open("/#/rooms/general", page), wire
