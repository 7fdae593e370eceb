"""Browsers that look at the page, and the files that they write.

A picture is a WebP of twice the page's pixels, encoded by Chromium itself.
"""

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, StorageState, sync_playwright

from tests.page.conftest import CHROMIUM_FLAGS, chromium_path
from tests.page.pictures.day import NOW, TIME_ZONE
from tests.page.reader import DEADLINE_MS

DESKTOP = (1200, 780)
PHONE = (390, 844)
SCALE = 2
# Of 1: text has no visible traces, and the file is a third of one without loss.
QUALITY = 0.82

# The page's clock shows the hour at which the day is looked at, and goes on from there.
CLOCK = f"""
(() => {{
  const shift = Date.parse("{NOW}") - Date.now();
  const Real = Date;
  globalThis.Date = class extends Real {{
    constructor(...parts) {{ parts.length === 0 ? super(Real.now() + shift) : super(...parts); }}
    static now() {{ return Real.now() + shift; }}
  }};
}})();
"""

ENCODE = """async ([png, quality]) => {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").drawImage(image, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/webp", quality });
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}"""

# Debian's fonts-inter and fonts-noto-color-emoji, where they are installed: the pictures look as on most desktops.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <match><test name="family"><string>system-ui</string></test>
    <edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>
</fontconfig>
"""


@dataclass(frozen=True, slots=True)
class Camera:
    """A browser, and where its pictures go."""

    browser: Browser
    folder: Path

    def context(
        self, size: tuple[int, int] = DESKTOP, scheme: str = "light", signed_in: StorageState | None = None
    ) -> BrowserContext:
        """A browser window of this size; on a phone one that is touched.  `signed_in`: the storage of one that is."""
        context = self.browser.new_context(
            locale="en-GB",
            timezone_id=TIME_ZONE,
            viewport={"width": size[0], "height": size[1]},
            device_scale_factor=SCALE,
            color_scheme="dark" if scheme == "dark" else "light",
            has_touch=size == PHONE,
            is_mobile=size == PHONE,
            reduced_motion="reduce",
            service_workers="block",
            storage_state=signed_in,
        )
        context.set_default_timeout(DEADLINE_MS)
        context.add_init_script(CLOCK)
        return context

    def take(self, page: Page, name: str) -> None:
        """Write the picture of a page."""
        png = page.screenshot(animations="disabled")
        blank = self.browser.new_page()
        encoded = blank.evaluate(ENCODE, [base64.b64encode(png).decode(), QUALITY])
        blank.close()
        (self.folder / f"{name}.webp").write_bytes(base64.b64decode(encoded))


@contextmanager
def opened(folder: Path, scratch: Path) -> Iterator[Camera]:
    """Start Chromium.  `scratch`: a directory for what it needs meanwhile."""
    fonts = scratch / "fonts.conf"
    fonts.write_text(FONTS)
    environment = {"FONTCONFIG_FILE": str(fonts), **os.environ}
    with sync_playwright() as playwright:
        path = chromium_path() or shutil.which("chromium")
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS, env=dict(environment))
        yield Camera(chromium, folder)
        chromium.close()
