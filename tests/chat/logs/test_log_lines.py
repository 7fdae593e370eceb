"""A line of the log is one line, whatever was sent by whom."""

import io
import json
import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from chat.logs import log_lines
from chat.logs.log_fields import fields
from chat.logs.log_lines import JsonFormatter, LineFormatter
from tests.support.cluster import Cluster

ROOT = Path(__file__).resolve().parents[3]


def logged(text: str, *, fails: bool = False, formatter: logging.Formatter | None = None, **given: object) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter or LineFormatter())
    # In no tree: else pytest takes the lines into its report, which cannot have a lone surrogate.
    logger = logging.Logger("test_log_lines")  # noqa: LOG001
    logger.addHandler(handler)
    try:
        raise ValueError(text)
    except ValueError:
        logger.error("said %s", text, exc_info=fails, extra=fields(**given))
    return stream.getvalue()


def test_what_is_not_printable_is_escaped() -> None:
    line = logged("a\n2026-11-30 INFO forged\r\x1b[2J\u2028\u202eb ä")
    assert line.count("\n") == 1
    assert r"said a\n2026-11-30 INFO forged\r\x1b[2J\u2028\u202eb ä" in line


def test_no_line_of_a_traceback_looks_like_one_of_its_own() -> None:
    first, *others = logged("a\n2026-11-30 INFO forged", fails=True).splitlines()
    assert first.endswith(r"a\n2026-11-30 INFO forged"), first
    assert others and all(line.startswith("    ") for line in others)


def test_a_line_in_json_has_its_time_its_place_and_its_fields() -> None:
    line = json.loads(logged("a", formatter=JsonFormatter(), status=503, message="no member of the line is replaced"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("time"))
    assert line == {
        "level": "ERROR",
        "logger": "test_log_lines",
        "thread": threading.current_thread().name,
        "message": "said a",
        "status": 503,
    }


def test_a_traceback_in_json_is_a_field_of_its_line() -> None:
    text = logged("a\nb", fails=True, formatter=JsonFormatter())
    assert text.count("\n") == 1
    line = json.loads(text)
    assert line["message"] == "said a\nb"
    assert line["traceback"].endswith("ValueError: a\nb")


@given(st.text(st.characters(categories=None, codec=None)))
def test_no_text_breaks_a_line_in_json(text: str) -> None:
    line = logged(text, fails=True, formatter=JsonFormatter(), given=text)
    assert line.splitlines(keepends=True) == [line]
    # JSON's escapes of two surrogates are those of one character.  No report of a failure may have a lone one.
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert ascii(json.loads(line)["message"]) == ascii(f"said {expected}")
    assert ascii(json.loads(line)["given"]) == ascii(expected)


def test_the_error_that_ends_a_thread_is_a_line_in_json() -> None:
    program = (
        "import threading, warnings; from chat.logs.log_lines import set_up; set_up('info', 'json'); "
        "thread = threading.Thread(target=lambda: 1 / 0, name='dividing'); thread.start(); thread.join(); "
        "warnings.warn('beware')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    ended, warned = map(json.loads, done.stderr.splitlines())
    assert ended["message"] == "thread dividing has ended by an error"
    assert "ZeroDivisionError" in ended["traceback"]
    assert (warned["level"], "beware" in warned["message"]) == ("WARNING", True)


def test_a_refused_start_is_a_line_of_the_chosen_format(tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.write_text("no directory")
    with Cluster(tmp_path, 1) as cluster:
        node = cluster.nodes[1]
        for form in log_lines.FORMATS:
            node.log_file.unlink(missing_ok=True)
            node.start("--data-dir", str(place), "--log-format", form)
            assert node.wait_exit() == 1
            (line,) = node.log().splitlines()
            if form == "json":
                line = json.loads(line)["message"]
            assert str(place) in line
