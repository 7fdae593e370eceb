"""The cluster, live on the page."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.reader import Reader
from tests.support.cluster import Cluster


def node_row(page: Page, id: int) -> Locator:
    return page.locator(f'.cluster-nodes tr[data-node="{id}"]')


def confirm(page: Page, action: str, button: str) -> None:
    page.get_by_role("button", name=action).click()
    page.get_by_role("dialog", name=action).get_by_role("button", name=button, exact=True).click()


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_the_nodes_are_shown_live_and_changed_by_who_may(cluster: Cluster, reader_of_outage: Reader) -> None:
    leader = cluster.wait_leader()
    page = reader_of_outage.open("/#/rooms/general")
    expect(page.get_by_role("status", name="Connection")).to_contain_text(str(cluster.nodes[1].port))
    page.get_by_role("button", name="Cluster").click()
    view = page.get_by_role("dialog", name="Cluster")
    expect(view.locator("tbody tr")).to_have_count(3)
    expect(node_row(page, leader)).to_have_attribute("data-state", "leader")
    expect(view.get_by_role("status")).to_have_text(re.compile(f"^Node {leader} leads, term .*All nodes answer.$"))
    new = 2 if leader != 2 else 3
    confirm(page, f"Make node {new} the leader", "Make leader")
    expect(node_row(page, new)).to_have_attribute("data-state", "leader")
    cluster.kill(new)
    expect(node_row(page, new)).to_have_attribute("data-state", "gone")
    expect(node_row(page, new)).to_contain_text("Does not answer")
    confirm(page, f"Remove node {new}", "Remove")
    expect(view.locator("tbody tr")).to_have_count(2)
    expect(view.get_by_role("status")).to_contain_text("All nodes answer.")
    expect(view.locator("figcaption").first).to_have_text(re.compile(r"^Messages per second: 0\.0$"))
    page.get_by_role("button", name="Add a node").click()
    form = page.get_by_role("dialog", name="Add a node")
    form.get_by_label("Id").fill("none")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(form).to_contain_text("The id is a number from 1 on")
    form.get_by_role("button", name="Cancel").click()
    view.get_by_role("button", name="Close").click()
    expect(view).to_have_count(0)
