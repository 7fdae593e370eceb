"""What the page's files keep to, whatever the browser would let pass."""

import re
from importlib.resources import files
from pathlib import Path


def test_no_script_makes_markup_out_of_text() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function")
    for name, text in page_files(".js"):
        assert not forbidden.search(text), name


def test_every_script_is_type_checked() -> None:
    for name, text in page_files(".js"):
        assert text.startswith("// @ts-check\n"), name


def test_no_file_names_another_host_or_carries_inline_code() -> None:
    inline = re.compile(r"\bstyle=|\bon[a-z]+=|<style|<script(?![^>]*\bsrc=)")
    for name, text in page_files(".html", ".css", ".js", ".svg"):
        urls = re.findall(r"https?://[^\s\"')]+", text)
        assert set(urls) <= {"http://www.w3.org/2000/svg"}, name
        assert not (name.endswith((".html", ".svg")) and inline.search(text)), name


def page_files(*suffixes: str) -> list[tuple[str, str]]:
    """(path, text) of the page's files."""
    root = Path(str(files("static")))
    found = [path for path in sorted(root.rglob("*")) if path.suffix in suffixes]
    assert found
    return [(str(path.relative_to(root)), path.read_text()) for path in found]
