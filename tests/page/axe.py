"""axe-core, the checker of accessibility, run in a page.  npm installs it (package.json has the version)."""

import os
from functools import cache

import pytest
from playwright.sync_api import Page

from tests.support.cluster import ROOT

SOURCE = ROOT / "node_modules" / "axe-core" / "axe.min.js"

# Every rule that axe-core has, of any weight, also those that it leaves off unless they are asked for.  Not here: its
# rules for WCAG's level AAA, whose contrast of 7 to 1 and whose text of links no page of this kind keeps.
ALL = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
    "preload": False,
}
# What another colour scheme can change.
COLOURS = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "resultTypes": ["violations"],
    "preload": False,
}

# Of the thousands of emoji, those of the first two headings are enough.
RUN = """async ([options, place]) => {
  const context = { include: place === "" ? [["html"]] : [[place]], exclude: [".emoji-section:nth-child(n + 3)"] };
  const { violations } = await axe.run(context, options);
  return violations.flatMap(({ id, impact, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} (${impact}): ${target.join(" ")}: ${failureSummary}`));
}"""


@cache
def _source() -> str:
    return SOURCE.read_text(encoding="utf-8")


def need_axe() -> None:
    """Skip the test where npm did not install the development packages; in CI that is a failure."""
    if not SOURCE.exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("this needs `npm install`")


def findings(page: Page, options: object = ALL, place: str = "") -> list[str]:
    """Each finding of axe-core on the page as it is now, on a line: the rule, its weight, the element, what to mend.

    `place`: a selector of the part to look at; "" for the whole page, with the rules about pages as a whole.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(_source())
    found: list[str] = page.evaluate(RUN, [options, place])
    return found
