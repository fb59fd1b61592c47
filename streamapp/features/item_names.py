"""Names of items and surfaces, each with a number: four bytes where a text would take twenty.

What viewers were shown and did is kept for a day, packed, and says of each item only its number.
Numbers are given in the order of first use and never given again. A name not used for so long that
nothing kept can mean it is forgotten, to the hour; it gets another number when it is back.

A number and its name are a changelog row of their own, written once.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from streamapp.features.decay import HOUR_MS
from streamapp.features.expiry import Expiry

KIND = b"n"
"""First byte of the changelog key of a name; its number follows."""

_Change = tuple[bytes, bytes | None]


class ItemNames:
    """The names in use.

    Args:
        unused_ms: how long after its last use a name may still be asked for.

    Attributes:
        hour: the present one, counted from the epoch: stream time in hours.
    """

    def __init__(self, unused_ms: int) -> None:
        self.hour = 0
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._used: dict[int, int] = {}
        self._next = 0
        self._changes: dict[bytes, bytes | None] = {}
        self._expiry = Expiry(unused_ms)

    def __len__(self) -> int:
        return len(self._names)

    def number(self, name: str) -> int:
        """Return the number of a name."""
        number = self._numbers.get(name)
        if number is None:
            number = self._add(name)
        self._used[number] = self.hour
        return number

    def numbers(self, names: list[str]) -> bytes:
        """Return the numbers of names, packed in four bytes each."""
        known = self._numbers
        try:
            numbers = [known[name] for name in names]
        except KeyError:
            return array("I", [self.number(name) for name in names]).tobytes()
        self._used.update(dict.fromkeys(numbers, self.hour))
        return array("I", numbers).tobytes()

    def name(self, number: int) -> str:
        """Return the name of a number in use."""
        return self._names[number]

    def names(self, packed: bytes) -> list[str]:
        """Return the names of packed numbers."""
        known = self._names
        return [known[number] for number in array("I", packed)]

    def _add(self, name: str) -> int:
        number = self._next
        self._put(number, name)
        self._changes[_key(number)] = name.encode()
        return number

    def _put(self, number: int, name: str) -> None:
        self._numbers[name], self._names[number] = number, name
        self._used[number] = self.hour
        self._next = max(self._next, number + 1)
        self._expiry.add(str(number), self.hour * HOUR_MS)

    def expires(self, stream_time_ms: int) -> bool:
        """Return whether `expire` has anything to look at; the hour is now that of this time."""
        self.hour = stream_time_ms // HOUR_MS
        return self._expiry.pending(stream_time_ms)

    def expire(self, stream_time_ms: int) -> None:
        """Forget the names that have not been used for long."""
        for key in self._expiry.take(stream_time_ms):
            number = int(key)
            if number not in self._names:
                continue  # restored, and deleted by a later row
            used_ms = self._used[number] * HOUR_MS
            if self._expiry.due_ms(used_ms) > stream_time_ms:
                self._expiry.add(key, used_ms)
                continue
            del self._numbers[self._names.pop(number)], self._used[number]
            self._changes[_key(number)] = None

    def take(self) -> Iterable[_Change]:
        """Return the rows written since the last call."""
        changes, self._changes = self._changes, {}
        return changes.items()

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take a row back from the changelog."""
        number = int.from_bytes(key[1:], "big")
        if value is not None:
            self._put(number, value.decode())
        elif number in self._names:
            del self._numbers[self._names.pop(number)], self._used[number]

    def ready(self, stream_time_ms: int) -> None:
        """All rows are in: none counts as unused for longer than since now."""
        self.hour = stream_time_ms // HOUR_MS
        self._used = dict.fromkeys(self._names, self.hour)


def _key(number: int) -> bytes:
    return KIND + number.to_bytes(4, "big")
