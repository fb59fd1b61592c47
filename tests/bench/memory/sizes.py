"""How many bytes what is kept takes: of the process, and of one object field by field."""

from __future__ import annotations

import gc
import os
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
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
    elif hasattr(value, "__slots__") or hasattr(value, "__dict__"):
        names = [*getattr(value, "__slots__", ()), *getattr(value, "__dict__", ())]
        yield from ((name, getattr(value, name)) for name in names if hasattr(value, name))


def _allocated(value: Any) -> int:
    size = -(-sys.getsizeof(value) // 16) * 16
    return size + 16 if size > _SMALL else size


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
    raise TypeError(f"cannot copy {type(value)}")


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
