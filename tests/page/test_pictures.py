"""The pictures of the README and the guide."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.page.pictures.camera import DESKTOP, SCALE, Camera
from tests.page.pictures.day import GENERAL
from tests.page.pictures.team import team_of
from tests.page.pictures.views import NAMES, open_room, sign_in
from tests.support.cluster import ROOT

PICTURES_MAX_BYTES = 1_000_000  # every clone has them


def test_each_picture_is_shown_in_the_docs_and_all_are_small() -> None:
    pictures = sorted((ROOT / "docs" / "pictures").iterdir())
    assert {picture.stem for picture in pictures} == set(NAMES)
    shown = (ROOT / "README.md").read_text() + (ROOT / "docs" / "guide.md").read_text().replace("](", "](docs/")
    for picture in pictures:
        assert f"](docs/pictures/{picture.name})" in shown, picture.name
    assert sum(picture.stat().st_size for picture in pictures) < PICTURES_MAX_BYTES


def test_a_picture_shows_the_day_at_its_own_hours(browser: Browser, tmp_path: Path) -> None:
    camera = Camera(browser, tmp_path)
    with team_of(tmp_path, nodes=1) as team, team.online():
        team.live_through((GENERAL,))
        context = sign_in(camera, team)
        page = open_room(context, team, GENERAL.name)
        expect(page.locator(".post-time").last).to_have_text(GENERAL.said[-1].time)
        expect(page.locator(".day-name").last).to_have_text("Today")
        camera.take(page, "light")
        context.close()
    assert width_and_height((tmp_path / "light.webp").read_bytes()) == tuple(SCALE * pixels for pixels in DESKTOP)


def width_and_height(webp: bytes) -> tuple[int, int]:
    """The size of the canvas in an extended WebP file (RFC 9649 §2.7): two numbers of three bytes, each one less."""
    assert webp[:4] == b"RIFF" and webp[8:16] == b"WEBPVP8X"
    return int.from_bytes(webp[24:27], "little") + 1, int.from_bytes(webp[27:30], "little") + 1
