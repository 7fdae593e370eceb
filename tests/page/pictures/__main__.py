import argparse
import sys
import tempfile
from pathlib import Path

from tests.page.pictures import camera
from tests.page.pictures.team import team_of
from tests.page.pictures.views import take_all
from tests.support.cluster import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.page.pictures", description="Take the pictures of the page.")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "pictures", help="the folder that they are put into")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, team_of(Path(scratch)) as team:
        team.live_through()
        with camera.opened(folder) as opened:
            take_all(opened, team)
    return 0


if __name__ == "__main__":
    sys.exit(main())
