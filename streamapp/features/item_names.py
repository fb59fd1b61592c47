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

KIND = b"n"
"""First byte of the changelog key of a name; its number follows."""

_Change = tuple[bytes, bytes | None]


class ItemNames:
    """The names in use.

    Args:
        unused_ms: how long after its last use a name may still be asked for.
    """

    def __init__(self, unused_ms: int) -> None:
        self._unused_ms = unused_ms
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._next = 0
        self._turn_ms = 0
        self._changes: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._names)

    def number(self, name: str) -> int:
        """Return the number of a name."""
        number = self._young.get(name)
        return self._again(name) if number is None else number

    def numbers(self, names: list[str]) -> list[int]:
        """Return the numbers of names."""
        known = self._young
        try:
            return [known[name] for name in names]
        except KeyError:
            again = self._again
            return [known[name] if name in known else again(name) for name in names]

    def name(self, number: int) -> str:
        """Return the name of a number; no text for one that is forgotten.

        Nobody asks for such a one but a step that is taken again, whose outcome is not read.
        """
        return self._names.get(number, "")

    def texts(self, numbers: list[int]) -> list[str]:
        """Return the names of numbers, each the one text for all who keep it."""
        name = self._names.get
        return [name(number, "") for number in numbers]

    def shared(self, names: Iterable[str]) -> list[str]:
        """Return names as the texts held here, as far as they are: one for all who keep it."""
        known, held = self._young, self._names
        return [held[known[name]] if name in known else name for name in names]

    def _again(self, name: str) -> int:
        """Take a name into the present generation."""
        number = self._old.pop(name, None)
        if number is None:
            number, self._next = self._next, self._next + 1
            self._names[number] = name
            self._changes[_key(number)] = name.encode()
        self._young[name] = number
        return number

    def expire(self, stream_time_ms: int) -> None:
        """Begin a new generation if one is due."""
        if stream_time_ms < self._turn_ms:
            return
        self._turn_ms = stream_time_ms + self._unused_ms
        for number in self._old.values():
            del self._names[number]
            self._changes[_key(number)] = None
        self._old, self._young = self._young, {}

    def take(self) -> list[_Change]:
        """Return the rows written since the last call."""
        changes, self._changes = self._changes, {}
        return list(changes.items())

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take a row back from the changelog."""
        number = int.from_bytes(key[1:], "big")
        if value is not None:
            name = self._names[number] = value.decode()
            self._young[name] = number
            self._next = max(self._next, number + 1)
        else:
            name = self._names.pop(number, "")
            if self._young.get(name) == number:
                del self._young[name]


def packed(numbers: list[int]) -> bytes:
    """Return numbers in four bytes each."""
    return array("I", numbers).tobytes()


def unpacked(packed: bytes) -> list[int]:
    """Return packed numbers."""
    return array("I", packed).tolist()


def _key(number: int) -> bytes:
    return KIND + number.to_bytes(4, "big")
