"""The page's Markdown under node; `npm run check` has the cases of CommonMark and more random texts."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def test_every_text_has_a_result_in_linear_time_and_keeps_its_letters() -> None:
    subprocess.run(["node", HERE / "markdown_random.mjs", "3000"], check=True, timeout=60)
