"""The systemd unit, by systemd's own tools.  test_ten_commands.py starts nodes with it."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.faults.tools import need
from tests.support.cluster import ROOT

UNIT = ROOT / "deploy" / "raft-chat.service"
EXPOSURE_MAX = 1.4  # of 10, by systemd-analyze: what is left is the network, for a server


def analyze(*arguments: str) -> str:
    """Run systemd-analyze, and return its output.  Raises AssertionError if it finds a fault."""
    need(("systemd-analyze",))
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    place = tmp_path / UNIT.name
    program = shutil.which("true")
    assert program is not None
    place.write_text(UNIT.read_text().replace("/opt/raft-chat/bin/raft-chat", program))
    assert analyze("verify", str(place)) == ""


def test_a_line_that_systemd_does_not_know_is_found(tmp_path: Path) -> None:
    place = tmp_path / UNIT.name
    place.write_text("[Service]\nExecStart=/bin/true\nProtectSytem=strict\n")
    assert "ProtectSytem" in analyze("verify", str(place))


def test_a_node_is_exposed_to_little() -> None:
    found = re.search(
        r"exposure level for raft-chat.service: ([\d.]+)", analyze("security", "--offline=true", str(UNIT))
    )
    assert found is not None
    assert float(found[1]) <= EXPOSURE_MAX
