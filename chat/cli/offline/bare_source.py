"""Python sources without their comments and docstrings, which are a third of a bundle.

Each statement stays on its line, so a traceback names the lines of the full source.  A docstring becomes an empty one:
a body needs a statement, and `__doc__` stays a string.
"""

import ast
import io
import tokenize
from collections.abc import Iterator, Sequence
from typing import Final

_WITH_DOCSTRING: Final = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_PARTS: Final = ("body", "orelse", "finalbody", "handlers", "cases")  # of a statement, with statements in them
_EMPTY: Final = b'""'


def bare(source: bytes) -> bytes:
    """The source without comments and docstrings, in UTF-8.  Raises SyntaxError."""
    lines = [line.encode() for line in _without_comments(source)]
    for docstring in _docstrings(ast.parse(b"\n".join(lines)).body):
        assert docstring.end_lineno is not None
        first, last = docstring.lineno - 1, docstring.end_lineno - 1
        if lines[last][docstring.end_col_offset :]:  # a statement behind a semicolon, which nobody writes
            continue
        lines[first : last + 1] = [lines[first][: docstring.col_offset] + _EMPTY, *[b""] * (last - first)]
    return b"\n".join(lines)


def _without_comments(source: bytes) -> list[str]:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    text = source.decode(encoding).replace("\r\n", "\n")
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    return lines


def _docstrings(module: Sequence[ast.stmt]) -> Iterator[ast.Expr]:
    """The docstrings of a module, of its classes and of its functions, wherever they are in it."""
    bodies = [(True, module)]
    while bodies:
        may_begin, body = bodies.pop()
        match body:
            case [ast.Expr(ast.Constant(str())) as docstring, *_] if may_begin:
                yield docstring
        for statement in body:
            parts = [(name, getattr(statement, name, [])) for name in _PARTS]
            bodies += [(isinstance(statement, _WITH_DOCSTRING) and name == "body", part) for name, part in parts]
