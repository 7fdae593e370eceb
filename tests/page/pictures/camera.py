"""Browsers that look at the page, and the files that they write.

A picture is a WebP of twice the page's pixels, encoded by Chromium itself.  Its fonts are those of the machine: the
pictures in docs/ were taken with Debian's fonts-noto-core, fonts-noto-color-emoji and fonts-droid-fallback.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, FloatRect, Locator, Page, StorageState, sync_playwright

from tests.page.conftest import CHROMIUM_FLAGS, chromium_path
from tests.page.pictures.day import NOW, TIME_ZONE
from tests.page.reader import DEADLINE_MS

DESKTOP = (1200, 780)
PHONE = (390, 844)
SCALE = 2
MARGIN = 40  # pixels around an element
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

    def take(self, page: Page, name: str, around: Locator | None = None) -> None:
        """Write the picture of a page, or of the part of it around an element."""
        png = page.screenshot(animations="disabled", clip=None if around is None else clip(page, around))
        blank = self.browser.new_page()
        encoded = blank.evaluate(ENCODE, [base64.b64encode(png).decode(), QUALITY])
        blank.close()
        (self.folder / f"{name}.webp").write_bytes(base64.b64decode(encoded))


def clip(page: Page, around: Locator) -> FloatRect:
    """The element with a margin, as far as the window has one."""
    box, window = around.bounding_box(), page.viewport_size
    assert box is not None and window is not None
    left, top = max(0, box["x"] - MARGIN), max(0, box["y"] - MARGIN)
    right = min(window["width"], box["x"] + box["width"] + MARGIN)
    bottom = min(window["height"], box["y"] + box["height"] + MARGIN)
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


@contextmanager
def opened(folder: Path) -> Iterator[Camera]:
    """Start Chromium, which writes its pictures into this folder."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_FLAGS)
        yield Camera(chromium, folder)
        chromium.close()
