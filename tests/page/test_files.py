"""Rules for the page's files that no browser enforces: safety, tokens, layers."""

import posixpath
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path, PurePosixPath

import pytest

from tests.test_layout import FILES_MAX


def test_no_script_makes_markup_out_of_text() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function")
    for name, text in page_files(".js"):
        assert not forbidden.search(text), name


def test_every_script_is_type_checked() -> None:
    unchecked = re.compile(r"@ts-(ignore|nocheck|expect-error)|@\w+ \{[^}\n]*\b(any|Function|Object)\b")
    for name, text in page_files(".js"):
        assert text.startswith("// @ts-check\n"), name
        assert not unchecked.search(text), name


def test_only_the_tokens_name_colours_sizes_weights_and_durations() -> None:
    for name, text in page_files(".css"):
        if name != "css/tokens.css":
            assert raw_values(text) == [], name


@pytest.mark.parametrize(
    "declaration",
    [
        "color: #fff", "border: 1px solid red", "background: rgb(0 0 0 / 45%)", "margin: 0 12px", "gap: .5em",
        "top: -2rem", "width: 12%", "transition: color 300ms", "line-height: 1.3",
        "font-weight: 600", "font-weight: bold",
    ],
)  # fmt: skip
def test_a_raw_value_is_found(declaration: str) -> None:
    assert len(raw_values(f"@media print {{ a {{ height: var(--space-2); {declaration}; }} }}")) == 1


TEXT_ON_SURFACES = [
    *((text, f"surface{place}") for text in ("text", "text-soft") for place in ("", "-side", "-hover", "-side-hover")),
    *(("on-hue", f"hue-{number}") for number in range(10)),
    ("text", "surface-current"), ("on-accent", "accent"), ("on-accent", "accent-hover"), ("accent", "surface"),
    ("warn-text", "warn-surface"), ("error-text", "surface"), ("error-text", "surface-side"),
    ("on-danger", "danger"), ("on-danger", "danger-hover"), ("text-soft", "surface-current"),
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_a_contrast_of_at_least_4_5_to_1(scheme: str) -> None:
    tokens = dict(page_files(".css"))["css/tokens.css"]
    pairs = re.findall(r"--([\w-]+): light-dark\(#([0-9a-f]{6}), #([0-9a-f]{6})\);", tokens)
    colours = {name: dark if scheme == "dark" else light for name, light, dark in pairs}
    for text, surface in TEXT_ON_SURFACES:
        assert contrast(colours[text], colours[surface]) >= 4.5, (text, surface)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (byte / 255 for byte in bytes.fromhex(colour))
    )
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


def test_all_style_sheets_and_scripts_agree_on_the_width_of_a_phone() -> None:
    """Media queries cannot use tokens."""
    queries = re.compile(r"\((?:width|height|min-width|max-width)\b[^)]*\)")
    found = {query for _, text in page_files(".css", ".js") for query in queries.findall(text)}
    assert found == {"(width <= 45rem)", "(width > 45rem)", "(height <= 22rem)"}


# From the ground up; a folder stands for the files in it.  Types may be named from any layer.
LAYERS = (
    ("dialog_strings", "local_storage", "room_notices", "strings", "text", "validation"),
    ("emoji_data", "links"),
    ("database",),
    ("kept",),
    ("server", "store"),
    ("auth", "message_actions", "outbox_sender", "read_marks", "room_loader"),
    ("session",),
    ("views",),
    ("main",),
)


def test_a_script_imports_only_from_its_own_folder_and_the_layers_below() -> None:
    height = {name: level for level, names in enumerate(LAYERS) for name in names}
    for name, text in page_files(".js"):
        if name == "js/types.js" or not name.startswith("js/"):
            continue
        folder, here = PurePosixPath(name).parent, layer(name)
        for imported in re.findall(r'^import .* from "(.*)";$', text, flags=re.MULTILINE):
            there = layer(posixpath.normpath(folder / imported))
            assert there == here or height[there] < height[here], (name, imported)


def layer(path: str) -> str:
    return PurePosixPath(path).parts[1].removesuffix(".js")


def test_no_folder_of_the_page_has_too_many_files() -> None:
    counts = Counter(PurePosixPath(name).parent for name, _ in page_files(".js", ".css", ".html", ".svg"))
    assert max(counts.values()) <= FILES_MAX, counts


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


RAW = re.compile(
    r"""
    (?<![\w-]) -? (?: \d*\.\d+ [a-z%]* | \d+ (?: [a-z]+ | %) )  # 12px, .5em, 1.3
    | \#[0-9a-f]{3,8}\b | \b (?: rgb | hsl | hwb | lab | lch | oklab | oklch ) a? \(
    | \b (?: white | black | gr[ae]y | silver | red | green | blue | yellow | orange | purple ) \b
    | (?<=^weight:) \d+ | \b bold \b
    """,
    re.VERBOSE,
)
# A hairline, an equal share, half, all and the whole window have no better name.
NEUTRAL = {"1px", "1fr", "50%", "-50%", "100%", "100vh", "100dvh", "100vw"}


def raw_values(css: str) -> list[str]:
    """The declarations of a style sheet with a colour, size, weight or duration that is not a token."""
    code = re.sub(r"/\*.*?\*/|var\(--[\w-]+\)", "", css, flags=re.DOTALL)
    found = []
    for name, value in re.findall(r"(?<=[{;])\s*([\w-]+):([^{};]+)(?=[;}])", code):
        raw = RAW.findall("weight:" + value.strip() if name == "font-weight" else value)
        if set(raw) - NEUTRAL:
            found.append(f"{name}:{value}")
    return found
