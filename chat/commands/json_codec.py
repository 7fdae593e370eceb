"""Flat dataclasses as JSON objects and back: the fields of a command decide its bytes.

Encoding
- A field is a member of the object, in the order of the fields, named in PascalCase; `room` is "RoomName" and `rooms`
  "RoomNames".
- A field with its default value is left out.  So a command that changes some of many settings names those alone.
- The fields of a NamedTuple (the actor) stand among the command's own; a dataclass (the post in an edit) is an object.
- Tuples are arrays, bytes are strings in hex.

Decoding is strict: an integer has 64 bits and is no bool.  A reader does not see an unknown member, another order or
white space; `chat.commands.decode` finds them by encoding the result again.
"""

import json
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
JsonObject = dict[str, object]
Check = Callable[[object], object]  # a JSON value as the field's; raises TypeError or ValueError

_INTEGERS = range(-(1 << 63), 1 << 63)
_NAMES = {"room": "RoomName", "rooms": "RoomNames"}
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=bytes.hex)


def to_json(type_name: str, command: object) -> bytes:
    """The one form of bytes of a command of this name.  Raises UnicodeEncodeError where a text has a lone surrogate."""
    return _encoder.encode({"Type": type_name, **_members(command)}).encode()


def reader(cls: type[T]) -> Callable[[JsonObject], T]:
    """Return a function from a JSON object to such a command; it raises KeyError, TypeError or ValueError."""
    plan = _plan(cls)

    def read(value: JsonObject) -> T:
        return cls(*[field.read(value) for field in plan])

    return read


def row_reader(cls: Callable[..., T]) -> Callable[[object], T]:
    """Return a function from a JSON array to such a NamedTuple; it raises TypeError or ValueError."""
    types = get_type_hints(cls)
    check = _array(tuple[tuple(types[name] for name in cls._fields)])  # type: ignore[attr-defined, misc]

    def read(value: object) -> T:
        return cls(*check(value))  # type: ignore[misc]

    return read


class _Field(NamedTuple):
    """A field of a class, and how to find it in a JSON object."""

    name: str
    member: str
    check: Check
    default: object  # MISSING where it has none
    inner: "list[_Field]"  # of a NamedTuple, whose fields stand among the others
    make: Callable[..., object]

    def read(self, value: JsonObject) -> object:
        if self.inner:
            return self.make(*[field.read(value) for field in self.inner])
        if self.default is not MISSING and self.member not in value:
            return self.default
        return self.check(value[self.member])


def _members(value: object) -> JsonObject:
    found: JsonObject = {}
    for field in _plan(type(value)):
        own = getattr(value, field.name)
        if field.inner:
            found.update(_members(own))
        elif field.default is MISSING or own != field.default:
            found[field.member] = _members(own) if is_dataclass(own) else own
    return found


_plans: dict[type, list[_Field]] = {}


def _plan(cls: type) -> list[_Field]:
    plan = _plans.get(cls)
    if plan is None:
        types = get_type_hints(cls)
        plan = _plans[cls] = [_field(name, types[name], default) for name, default in _defaults(cls).items()]
    return plan


def _defaults(cls: Any) -> dict[str, object]:
    """Yield each field in its order, with its default."""
    if is_dataclass(cls):
        return {field.name: field.default for field in fields(cls)}
    return {name: cls._field_defaults.get(name, MISSING) for name in cls._fields}


def _field(name: str, kind: Any, default: object) -> _Field:
    member = _NAMES.get(name) or "".join(word.capitalize() for word in name.split("_"))
    inner = _plan(kind) if hasattr(kind, "_fields") else []
    return _Field(name, member, _refused if inner else _check(kind), default, inner, kind)


def _check(kind: Any) -> Check:
    if isinstance(kind, type) and is_dataclass(kind):
        return _object(reader(kind))
    if isinstance(kind, UnionType):
        (some,) = [choice for choice in get_args(kind) if choice is not NoneType]
        return _or_null(_check(some))
    if get_origin(kind) is tuple:
        return _array(kind)
    if get_origin(kind) is frozenset:
        each = _array(tuple[get_args(kind)[0], ...])  # type: ignore[misc]
        return lambda value: frozenset(each(value))  # type: ignore[call-overload]
    return _SIMPLE[kind]


def _string(value: object) -> object:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def _integer(value: object) -> object:
    if type(value) is not int or value not in _INTEGERS:
        raise TypeError("not an integer of 64 bits")
    return value


def _bool(value: object) -> object:
    if value is not True and value is not False:
        raise TypeError("not a bool")
    return value


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return bytes.fromhex(value)


_SIMPLE: dict[object, Check] = {str: _string, int: _integer, bool: _bool, bytes: _bytes}


def _or_null(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _object(read: Callable[[JsonObject], object]) -> Check:
    def check(value: object) -> object:
        if not isinstance(value, dict):
            raise TypeError("not an object")
        return read(value)

    return check


def _array(kind: Any) -> Check:
    """tuple[X, ...]: any number of the same; tuple[X, Y]: these two."""
    kinds = get_args(kind)
    checks = [_check(each) for each in kinds if each is not ...]
    repeats = kinds[-1] is ...

    def check(value: object) -> object:
        if not isinstance(value, list) or not (repeats or len(value) == len(checks)):
            raise TypeError("not such an array")
        return tuple([each(item) for each, item in zip(checks * len(value) if repeats else checks, value, strict=True)])

    return check


def _refused(value: object) -> object:
    raise TypeError("not a member of its own")
