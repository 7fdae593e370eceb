"""nginx and HAProxy in front of real nodes, on the ports 443 and 444, with and without a path, and the page behind."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.cluster.proxies import AS_CAME, NAME, OF_NODE, Backends, address, check, nodes, running
from tests.page.conftest import CHROMIUM_FLAGS

TOOLS = ("nginx", "haproxy", "openssl", "chromium")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None] + (["root, for port 443"] if os.geteuid() else [])
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"this needs {', '.join(missing)}")
    return tmp_path_factory.mktemp("proxies")


@pytest.fixture(scope="module")
def backends(place: Path) -> Iterator[Backends]:
    with nodes(place) as backends:
        yield backends


@pytest.mark.parametrize("proxy", ["nginx", "haproxy"])
def test_a_page_behind_a_proxy_works_where_the_docs_say_so(proxy: str, place: Path, backends: Backends) -> None:
    with running(proxy, place, backends):
        assert check(proxy) == []
        with opened(address(proxy, AS_CAME), f"https://{NAME}:444/team/#/rooms/{proxy}") as page:
            page.fill("#message", "hello from behind")
            page.click(".send")
            expect(page.locator(".post-text")).to_have_text("hello from behind")
            expect(page.locator(".post-pending")).to_have_count(0)
        with opened(address(proxy, OF_NODE), f"https://{NAME}/chat/") as page:
            expect(page.locator("#connection-words")).to_have_text("Refused")
            expect(page.locator("#offline-words")).to_contain_text("--advertise")


@contextmanager
def opened(at: str, url: str) -> Iterator[Page]:
    """A page in a browser that finds NAME at the address `at`."""
    flags = [*CHROMIUM_FLAGS, f"--host-resolver-rules=MAP {NAME} {at}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        context = browser.new_context(ignore_https_errors=True)
        context.add_init_script("localStorage.setItem('raft-chat.user', 'ann')")
        page = context.new_page()
        page.goto(url)
        yield page
        browser.close()
