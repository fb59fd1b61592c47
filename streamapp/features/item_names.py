"""Names of items, and what else is said often, each with a number: four bytes for a long text.

What viewers were shown and did is kept for a day, packed, and says of each item only its number.
Numbers are given in the order of first use and never given again. A name that is not used for so
long that nothing kept can mean it is forgotten; it gets another number when it is back. For that,
names are of two generations, and a new one begins every so often: a name that is used again comes
into the new one, and the old one then goes.

A number and its name are a changelog row of their own, written once.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

from mypy_extensions import mypyc_attr

KIND: Final = b"n"
"""First byte of the changelog key of a name; its number follows."""

_Change = tuple[bytes, bytes | None]


@mypyc_attr(acyclic=True)
class Name:
    """A name with its number, and what the catalog says of the item that has it.

    Attributes:
        text: the one text for all who keep the name.
        said: the features of the item, which are a name of their own; None when they have not
            been looked up since the catalog changed, or since the name came into this generation.
        category, creator: of the item, as long as `said` is known.
    """

    __slots__ = ("category", "creator", "number", "said", "text")

    def __init__(self, number: int, text: str) -> None:
        self.number = number
        self.text = text
        self.said: Name | None = None
        self.category: str | None = None
        self.creator: str | None = None


class ItemNames:
    """The names in use.

    Args:
        unused_ms: how long after its last use a name may still be asked for.
    """

    def __init__(self, unused_ms: int) -> None:
        self._unused_ms = unused_ms
        self._young: dict[str, Name] = {}
        self._old: dict[str, Name] = {}
        self._names: dict[int, Name] = {}
        self._next = 0
        self._turn_ms = 0
        self._changes: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._names)

    def number(self, name: str) -> int:
        """Return the number of a name."""
        return self.named(name).number

    def numbers(self, names: list[str]) -> list[int]:
        """Return the numbers of names."""
        return [self.named(name).number for name in names]

    def named(self, text: str) -> Name:
        """Return a name, which is used by that."""
        name = self._young.get(text)
        return self._again(text) if name is None else name

    def known(self, text: str) -> Name | None:
        """Return a name if it has been used in the present generation."""
        return self._young.get(text)

    def name(self, number: int) -> str:
        """Return the name of a number; no text for one that is forgotten.

        Nobody asks for such a one but a step that is taken again, whose outcome is not read.
        """
        name = self._names.get(number)
        return "" if name is None else name.text

    def texts(self, numbers: list[int]) -> list[str]:
        """Return the names of numbers, each the one text for all who keep it."""
        return [self.name(number) for number in numbers]

    def shared(self, names: Iterable[str]) -> list[str]:
        """Return names as the texts held here, as far as they are: one for all who keep it."""
        known = self._young
        return [known[name].text if name in known else name for name in names]

    def _again(self, text: str) -> Name:
        """Take a name into the present generation."""
        name = self._old.pop(text, None)
        if name is None:
            name = Name(self._next, text)
            self._next += 1
            self._names[name.number] = name
            self._changes[_key(name.number)] = text.encode()
        name.said = None
        self._young[text] = name
        return name

    def expire(self, stream_time_ms: int) -> None:
        """Begin a new generation if one is due."""
        if stream_time_ms < self._turn_ms:
            return
        self._turn_ms = stream_time_ms + self._unused_ms
        for name in self._old.values():
            del self._names[name.number]
            self._changes[_key(name.number)] = None
        self._old, self._young = self._young, {}

    def take(self) -> list[_Change]:
        """Return the rows written since the last call."""
        changes, self._changes = self._changes, {}
        return list(changes.items())

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take a row back from the changelog."""
        number = int.from_bytes(key[1:], "big")
        if value is not None:
            text = value.decode()
            self._young[text] = self._names[number] = Name(number, text)
            self._next = max(self._next, number + 1)
            return
        name = self._names.pop(number, None)
        if name is not None and self._young.get(name.text) is name:
            del self._young[name.text]


def packed(numbers: list[int]) -> bytes:
    """Return numbers in four bytes each."""
    return array("I", numbers).tobytes()


def unpacked(packed: bytes) -> list[int]:
    """Return packed numbers."""
    return array("I", packed).tolist()


def _key(number: int) -> bytes:
    return KIND + number.to_bytes(4, "big")
