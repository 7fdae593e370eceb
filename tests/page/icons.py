"""Write the icons of the installed page from static/icon.svg: `python -m tests.page.icons`.

A maskable icon is cut to any shape: its picture fills the middle four fifths, on a ground of its own.
"""

import sys
from base64 import b64encode
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.page.conftest import CHROMIUM_FLAGS, chromium_path
from tests.support.cluster import ROOT

STATIC = ROOT / "static"
GROUND = "#ecfdf5"
ICONS = {"icon-192.png": (192, False), "icon-512.png": (512, False), "icon-maskable-512.png": (512, True)}


def write(browser: Browser, folder: Path) -> None:
    """Write all icons into the folder."""
    svg = b64encode((STATIC / "icon.svg").read_bytes()).decode()
    for name, (size, is_maskable) in ICONS.items():
        inner = size * 3 // 5 if is_maskable else size
        ground = GROUND if is_maskable else "transparent"
        page = browser.new_page(viewport={"width": size, "height": size})
        page.set_content(
            f'<body style="margin:0;display:grid;place-items:center;height:100vh;background:{ground}">'
            f'<img src="data:image/svg+xml;base64,{svg}" width="{inner}" height="{inner}">'
        )
        page.screenshot(path=folder / name, omit_background=True)
        page.close()


def main() -> int:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_FLAGS)
        write(chromium, STATIC)
        chromium.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
