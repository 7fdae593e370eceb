"""How a fault gets into a running program: some words of one function are others while the fault is in.

Rules.  Nothing on the disk changes.  The function object stays the same one and gets other code, so that whoever
holds it, by whatever name, runs the fault.  Words that are not there, or there twice, are an error: a fault whose
place has changed must not turn into none.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any


@dataclass(frozen=True, slots=True)
class Edit:
    """In `function`, `new` stands in the place of `old`, which is there exactly once (its lines as if not indented)."""

    function: Callable[..., Any]
    old: str
    new: str


@contextmanager
def edited(edits: Sequence[Edit]) -> Iterator[None]:
    """The edits hold within.  Raises LookupError where one has no place any more.  Not for two threads at a time."""
    changed = [(edited_function(edit), _code(edit)) for edit in edits]
    before = [(function, function.__code__) for function, _ in changed]
    try:
        for function, code in changed:
            function.__code__ = code
        yield
    finally:
        for function, code in before:
            function.__code__ = code


def edited_function(edit: Edit) -> FunctionType:
    """The function as it was defined, below whatever decorates it; a property's getter."""
    function = inspect.unwrap(edit.function.fget if isinstance(edit.function, property) else edit.function)
    assert isinstance(function, FunctionType)
    return function


def changed_source(edit: Edit) -> str:
    """The function's source with the edit in it, as if not indented.  Raises LookupError where it has no place."""
    function = edited_function(edit)
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(edit.old) != 1:
        raise LookupError(f"{function.__qualname__} has {edit.old!r} {source.count(edit.old)} times")
    return source.replace(edit.old, edit.new)


def _code(edit: Edit) -> CodeType:
    function = edited_function(edit)
    module = compile(changed_source(edit), f"<{function.__qualname__}, changed>", "exec", dont_inherit=True)
    return next(c for c in module.co_consts if isinstance(c, CodeType) and c.co_name == function.__name__)
