"""How many bytes what is kept takes: of the process, and of one object field by field."""

from __future__ import annotations

import gc
import os
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from inspect import Parameter, signature
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SMALL = 512
"""Larger objects have an allocation of their own, with a header."""

_SHARED = frozenset(map(id, (None, True, False, b"", "", (), *range(-5, 257))))
"""What takes no memory of its own."""


def resident_bytes() -> int:
    """Return what the process holds in memory, garbage left out."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class Part(NamedTuple):
    """A field, with all below it: bytes and objects of one holder, on average."""

    field: str
    size: float
    objects: float


def parts(holders: Iterable[Any]) -> list[Part]:
    """Return the fields of some objects, largest first; of parts their own fields too."""
    sizes, counts, number = Counter[str](), Counter[str](), 0
    for number, holder in enumerate(holders, 1):  # noqa: B007  # the last one is how many
        for path, size in _walk(holder, "", set()):
            sizes[path] += size
            counts[path] += 1
    return [
        Part(path or "itself", size / number, counts[path] / number)
        for path, size in sizes.most_common()
    ]


def _walk(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Yield the bytes of each object held, once, with the field that holds it.

    Texts in a list or tuple are ids and names, of which all who hold them share one.
    """
    if id(value) in _SHARED or id(value) in seen:
        return
    seen.add(id(value))
    yield path, _allocated(value)
    for name, held in _held(value):
        yield from _walk(held, f"{path}.{name}".strip(".") if name else path, seen)


def _held(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, msgspec.Struct):
        yield from ((name, getattr(value, name)) for name in value.__struct_fields__)
    elif isinstance(value, dict):
        yield from (("", each) for pair in value.items() for each in pair)
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from (("", each) for each in value if not isinstance(each, str))
    else:
        held = [(name, getattr(value, name)) for name in _names(value) if hasattr(value, name)]
        compiled = hasattr(type(value), "__mypyc_attrs__")
        yield from (pair for pair in held if not (compiled and _is_number(pair[1])))


def _names(value: Any) -> list[str]:
    """Return the attributes of an object: those of its class, compiled or not, and others."""
    kinds = [vars(kind) for kind in type(value).__mro__]
    slots = [kind.get("__mypyc_attrs__", kind.get("__slots__", ())) for kind in kinds]
    return list(dict.fromkeys([*chain.from_iterable(slots), *getattr(value, "__dict__", ())]))


def _allocated(value: Any) -> int:
    size = -(-sys.getsizeof(value) // 16) * 16
    return size + 16 if size > _SMALL else size


def _is_number(value: Any) -> bool:
    """Return whether a value is no object of its own where a compiled class has it."""
    if isinstance(value, tuple):
        return bool(value) and all(isinstance(each, float) for each in value)
    return isinstance(value, (int, float))


def copied(value: Any) -> Any:
    """Return a copy that shares no memory with the original, but for what all objects share.

    Raises:
        TypeError: there is an object of a kind that is not known here.
    """
    if id(value) in _SHARED:
        return value
    copy = _COPIES.get(type(value))
    if copy is not None:
        return copy(value)
    if isinstance(value, msgspec.Struct):
        fields = {name: copied(getattr(value, name)) for name in value.__struct_fields__}
        return type(value)(**fields)
    if type(value).__module__.startswith("streamapp."):
        kind: Any = type(value)
        copy = kind(*[copied(getattr(value, name)) for name in _needed(kind)])
        for name in _names(value):
            if hasattr(value, name):
                setattr(copy, name, copied(getattr(value, name)))
            else:  # of a viewer at rest
                delattr(copy, name)
        return copy
    raise TypeError(f"cannot copy {type(value)}")


@lru_cache
def _needed(kind: type) -> list[str]:
    """Return what is to be said when an object is made, attributes by their names."""
    said = signature(kind).parameters.values()
    return [parameter.name for parameter in said if parameter.default is Parameter.empty]


def _copied_unless_text(value: Any) -> Any:
    """Copy what a list or tuple holds: one text serves all who hold it."""
    return value if isinstance(value, str) else copied(value)


def _grown(value: bytearray) -> bytearray:
    """Copy a bytearray with the room to grow it got when it grew last."""
    copy = bytearray(memoryview(value)[:-1])
    copy += value[-1:]
    return copy


_COPIES: dict[type, Any] = {
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: _grown,
    str: lambda value: value.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass"),
    int: lambda value: value + 0,
    float: lambda value: value + 0.0,
    array: lambda value: array(value.typecode, value),
    tuple: lambda value: tuple([_copied_unless_text(each) for each in value]),
    list: lambda value: [_copied_unless_text(each) for each in value],
    dict: lambda value: {copied(key): copied(each) for key, each in value.items()},
}
