"""The golden scripts: what happens is what stands in them."""

from pathlib import Path

import pytest

from tests.raft.script import SCRIPTS, played


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_script_plays_as_written(path: Path) -> None:
    text = path.read_text()
    assert played(text).splitlines() == text.splitlines()
