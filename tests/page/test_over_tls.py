"""The page over TLS, in a cluster that loses a node."""

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.page.conftest import OUTAGE
from tests.page.reader import Reader, expect_messages, new_context, say, stored
from tests.support.cluster import Cluster


def test_the_page_goes_on_over_tls_at_another_node(browser: Browser, tmp_path: Path) -> None:
    with Cluster(tmp_path, is_tls=True) as cluster:
        cluster.start_ready()
        reader = Reader(new_context(browser, user="ann", believes_all=True), cluster.nodes[1].url)
        page = reader.open("/#/rooms/general")
        assert page.evaluate("isSecureContext && location.protocol") == "https:"
        say(page, "one")
        expect_messages(page, "one")
        cluster.kill(1)
        say(page, "two")
        expect_messages(page, "one", "two")
        others = "|".join(str(cluster.nodes[id].port) for id in (2, 3))
        expect(page.locator("#connection-text")).to_have_text(re.compile(f":({others})$"))
        cluster.post(3, "general", "three", user="bob")
        expect_messages(page, "one", "two", "three")
        assert stored(cluster, "general", node=2) == [("ann", "one"), ("ann", "two"), ("bob", "three")]
        reader.context.close()
        assert [complaint for complaint in reader.complaints if not OUTAGE.search(complaint)] == []
