"""A line of the log is one line, whatever was sent by whom."""

import io
import logging

from chat.cli.log_lines import LineFormatter


def logged(text: str, *, fails: bool = False) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logger = logging.getLogger("test_log_lines")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        raise ValueError(text)
    except ValueError:
        logger.error("said %s", text, exc_info=fails)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


def test_what_is_not_printable_is_escaped() -> None:
    line = logged("a\n2026-11-30 INFO forged\r\x1b[2J\u2028\u202eb ä")
    assert line.count("\n") == 1
    assert r"said a\n2026-11-30 INFO forged\r\x1b[2J\u2028\u202eb ä" in line


def test_no_line_of_a_traceback_looks_like_one_of_its_own() -> None:
    first, *others = logged("a\n2026-11-30 INFO forged", fails=True).splitlines()
    assert first.endswith(r"a\n2026-11-30 INFO forged"), first
    assert others and all(line.startswith("    ") for line in others)
