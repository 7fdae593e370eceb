"""Values of the commands' classes, drawn by hypothesis from the types of their fields."""

from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
_SIMPLE: dict[object, st.SearchStrategy[Any]] = {
    str: TEXTS, int: INTEGERS, bool: st.booleans(), bytes: st.binary(max_size=32), NoneType: st.none(),
}  # fmt: skip


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Of a class of commands, or of any type that a field of theirs has."""
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        names = [field.name for field in fields(kind)] if is_dataclass(kind) else kind._fields
        types = get_type_hints(kind)
        return st.builds(kind, **{name: values(types[name]) for name in names})
    if isinstance(kind, UnionType):
        return st.one_of([values(each) for each in get_args(kind)])
    if get_origin(kind) is frozenset:
        return st.frozensets(values(get_args(kind)[0]), max_size=4)
    if get_origin(kind) is tuple:
        each = get_args(kind)
        if each[-1] is ...:
            return st.lists(values(each[0]), max_size=4).map(tuple)
        return st.tuples(*map(values, each))
    return _SIMPLE[kind]
