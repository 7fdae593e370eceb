"""The page's files as they are sent: joined, compressed, and at addresses that name their content.

The rules it keeps:
- `/static/<version>/…` is immutable: `version` is the hash of everything below it.  So a second visit asks for none of
  it again, and scripts name each other relative to themselves as they do in the checkout.
- A first visit waits for three requests: the page, one style sheet and one script.  Sixty modules would take ten round
  trips alone.  Beside them a second script, which nothing waits for, asks for the first messages.
- The files are read once, at the first request: there are few, a path is then no more than a key (nothing to climb out
  of), and a bundle, which is a zip, is as quick as a disk and may be replaced while its node runs.
"""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from chat.api.page_script import bare, join

PACKAGE = "static"
INDEX = "index.html"
MAIN = "js/main.js"
STYLES = "css/page.css"
LIST = "files.json"  # what the service worker keeps, so that the page opens without its node
ICON = "icon.svg"
AHEAD = "ahead.js"
WORKER = "sw.js"  # its address must stay the same, or a browser would take each version for another worker
VERSION_DIGITS = 16  # of a hash; two versions that differ must not meet in them
_TYPES = {  # what is not named here is no file of the page; the machine's own list of types is not asked
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "webmanifest": "application/manifest+json",
}
_COMPRESSED = frozenset(("html", "css", "js", "json", "svg", "webmanifest"))
_STYLE_LINKS = re.compile(r'(?:[ \t]*<link rel="stylesheet" href="static/[^"]+">\n)+')
_STYLE = re.compile(r'href="static/([^"]+)"')
_STYLE_NOISE = re.compile(rb"/\*.*?\*/|^\s+", re.MULTILINE | re.DOTALL)  # comments, indentation, empty lines


@dataclass(frozen=True, slots=True)
class File:
    """A file of the page, as it is sent.  `packed` is the body after gzip, b"" where that saves nothing."""

    body: bytes
    content_type: str
    etag: str  # without its quotes
    packed: bytes = b""


@dataclass(frozen=True, slots=True)
class Page:
    """The page: its document, and the files at `/static/<version>/…` by their paths."""

    index: File
    version: str
    files: Mapping[str, File]


@cache
def all_files() -> Mapping[str, File]:
    """The page's files as they lie in the package, by their paths; read once."""
    return dict(_walk(files(PACKAGE), ""))


@cache
def page() -> Page:
    """The page, made once from the files: 50 ms."""
    sources = all_files()
    index = sources[INDEX].body.decode()
    scripts = {path: file.body.decode() for path, file in sources.items() if path.startswith("js/")}
    made = {path: text.encode() for path, text in join(scripts, MAIN).items()}
    styles = b"\n".join(sources[path].body for path in _STYLE.findall(_style_links(index)))
    made[AHEAD] = bare(sources[AHEAD].body.decode()).encode()
    made[STYLES] = _STYLE_NOISE.sub(b"", styles)
    kept = {path: file.body for path, file in sources.items() if not path.startswith(("js/", INDEX, WORKER))}
    shell = [path for path in sorted({*kept, *made}) if path.startswith("js/") or path in (STYLES, ICON, AHEAD)]
    made[LIST] = json.dumps(shell).encode()
    own = {path: _packed(path, body) for path, body in sorted({**kept, **made}.items())}
    version = _hash(repr([(path, file.etag) for path, file in own.items()]).encode())[:VERSION_DIGITS]
    return Page(_packed(INDEX, _with_version(index, version).encode()), version, own)


def _style_links(index: str) -> str:
    found = _STYLE_LINKS.search(index)
    assert found, "index.html names no style sheet"
    return found[0]


def _with_version(index: str, version: str) -> str:
    """The document, naming the joined style sheet and the addresses of this version."""
    one = f'    <link rel="stylesheet" href="static/{STYLES}">\n'
    return index.replace(_style_links(index), one).replace('="static/', f'="static/{version}/')


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, File]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif content_type := _TYPES.get(_suffix(entry.name)):
            body = entry.read_bytes()
            yield prefix + entry.name, File(body, content_type, _hash(body))


def _packed(path: str, body: bytes) -> File:
    packed = gzip.compress(body, mtime=0) if _suffix(path) in _COMPRESSED else b""
    return File(body, _TYPES[_suffix(path)], _hash(body), packed if len(packed) < len(body) else b"")


def _suffix(path: str) -> str:
    return path.rpartition(".")[2]


def _hash(body: bytes) -> str:
    return sha256(body).hexdigest()[:32]
