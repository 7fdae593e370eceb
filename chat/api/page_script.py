"""The page's scripts joined into one, so that a first visit waits for one request instead of sixty.

The scripts stay ES modules: a browser can also load them one by one, and the type checker reads them as they are.
`join` makes one script of a module and of all that it imports.  Each module becomes a function of its own, so that
names of two modules never meet.  A module that is imported by `import("…")` only stays a file of its own; its imports
of joined modules lead to the joined script, since a module must not run twice.

Rules for a module.  `join` raises ValueError where one is broken:
- `import { a, b as c } from "./other.js";` or `import "./other.js";` begins a line.  There is no default import.
- `export` stands before a `const`, `function` or `class`: a value that never changes, so that it may be copied.
- Modules do not import each other in a circle.
- The argument of `import()` is a literal.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_IMPORT = re.compile(r'^import (?:\{([^{}]*)\} from )?"(\.[^"\n]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|(?:async )?function\*?|class) ([\w$]+))", re.MULTILINE)
_LATER = re.compile(r'\bimport\(\s*"(\.[^"\n]+)"\s*\)')
_LATER_BY_NAME = re.compile(r"\bimport\((?!\s*\"\.)")
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_OWN_URL = "import.meta.url"
# Comments that have lines of their own, and types.  Others stay: what follows code could be a part of a text.
_LINE_COMMENT = re.compile(r"^[ \t]*//[^\n]*\n", re.MULTILINE)
_BLOCK_COMMENT = re.compile(r"^[ \t]*/\*(?:(?!\*/).)*\*/[ \t]*\n", re.MULTILINE | re.DOTALL)
_TYPE = re.compile(r"/\*\* @(?:(?!\*/)[^\n])*\*/ ?")
_INDENTATION = re.compile(r"^[ \t]+|^\n", re.MULTILINE)
_LIST_END = re.compile(r",\s*$")


@dataclass(frozen=True, slots=True)
class _Module:
    """A module without its comments."""

    path: str
    code: str

    @property
    def imports(self) -> list[str]:
        """The modules that it imports at its top, in their order."""
        return [_beside(self.path, found[2]) for found in _IMPORT.finditer(self.code)]


def join(scripts: Mapping[str, str], main: str) -> dict[str, str]:
    """The scripts to serve, by their paths: `main` with all that it imports, and each that is imported later.

    Raises ValueError where a module does not keep the rules above, and KeyError where a module does not exist.
    """
    modules = {path: _Module(path, bare(text)) for path, text in scripts.items()}
    joined = _in_order(modules, main)
    parts = [_as_function(modules[path], main, joined) for path in joined]
    names = ", ".join(_name(path) for path in joined)
    later = {path: _alone(modules[path], main, joined) for path in _imported_later(modules, joined)}
    return {main: "".join(parts) + f"export {{ {names} }};\n", **later}


def bare(text: str) -> str:
    """A script without its types, its indentation, and the comments that have lines of their own.

    A text of several lines keeps its indentation, and so does the rest of its script.
    """
    code = _TYPE.sub("", _LINE_COMMENT.sub("", _BLOCK_COMMENT.sub("", text)))
    has_long_texts = any(line.count("`") % 2 for line in code.splitlines())
    return code if has_long_texts else _INDENTATION.sub("", code)


def _in_order(modules: Mapping[str, _Module], main: str) -> list[str]:
    """`main` and all that it imports, each after what it imports itself: the order in which modules run."""
    done: dict[str, bool] = {}

    def visit(path: str, importer: str) -> Iterator[str]:
        if done.get(path) is False:
            raise ValueError(f"{importer}: imports {path}, which imports it too")
        if path in done:
            return
        done[path] = False
        for other in modules[path].imports:
            yield from visit(other, path)
        done[path] = True
        yield path

    return list(visit(main, main))


def _imported_later(modules: Mapping[str, _Module], joined: list[str]) -> list[str]:
    """The modules that `import()` in a joined module loads, with all that those import themselves."""
    found = dict.fromkeys(joined)
    waiting = [*joined]
    while waiting:
        module = modules[waiting.pop()]
        more = [_beside(module.path, later[1]) for later in _LATER.finditer(module.code)] + module.imports
        waiting += [path for path in more if path not in found]
        found.update(dict.fromkeys(more))
    return sorted(found.keys() - set(joined))


def _as_function(module: _Module, main: str, joined: list[str]) -> str:
    """A joined module: a function that runs at once, and returns what the module exports."""
    code = _IMPORT.sub(lambda found: _constants(module.path, found), module.code)
    exports = ", ".join(found[1] for found in _EXPORT.finditer(code))
    code = _EXPORT.sub("", code)
    _check(module.path, code)
    here = posixpath.relpath(module.path, posixpath.dirname(main))
    code = code.replace(_OWN_URL, f'new URL("./{here}", {_OWN_URL}).href')
    code = _LATER.sub(lambda found: _import_later(module.path, found, main, joined, main), code)
    return f"const {_name(module.path)} = (() => {{\n{code}return {{ {exports} }};\n}})();\n"


def _alone(module: _Module, main: str, joined: list[str]) -> str:
    """A module that stays a file of its own."""

    def imported(found: re.Match[str]) -> str:
        path = _beside(module.path, found[2])
        if path not in joined:
            return found[0]
        return f'import {{ {_name(path)} }} from "{_reference(module.path, main)}";\n{_constants(module.path, found)}'

    _check(module.path, _EXPORT.sub("", _IMPORT.sub("", module.code)))
    code = _IMPORT.sub(imported, module.code)
    return _LATER.sub(lambda found: _import_later(module.path, found, main, joined, module.path), code)


def _constants(path: str, found: re.Match[str]) -> str:
    """The names that an import gives, as constants."""
    if found[1] is None:
        return ""
    names = _LIST_END.sub("", found[1]).replace(" as ", ": ").strip()
    return f"const {{ {names} }} = {_name(_beside(path, found[2]))};\n"


def _import_later(path: str, found: re.Match[str], main: str, joined: list[str], here: str) -> str:
    """The `import("…")` of the module `path`, as it must be in the script `here`."""
    other = _beside(path, found[1])
    if other not in joined:
        return f'import("{_reference(here, other)}")'
    if here == main:
        return f"Promise.resolve({_name(other)})"
    return f'import("{_reference(here, main)}").then((joined) => joined.{_name(other)})'


def _check(path: str, code: str) -> None:
    """Raise ValueError for an import or an export that was not understood."""
    for rule in (_OTHER, _LATER_BY_NAME):
        if found := rule.search(code):
            raise ValueError(f"{path}: {found[0]!r} is a form that chat/api/page_script.py cannot join")


def _beside(path: str, reference: str) -> str:
    """The path of what a script names relative to itself."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), reference))


def _reference(path: str, other: str) -> str:
    """Another script's path, relative to this one."""
    relative = posixpath.relpath(other, posixpath.dirname(path))
    return relative if relative.startswith(".") else f"./{relative}"


def _name(path: str) -> str:
    """The name of a module's exports in the joined script."""
    return "$" + re.sub(r"\W", "_", path.removesuffix(".js"))
