"""Rows of a factor model, of viewers or of items: a bounded number, those learned from last.

Whoever is new waits: only after `admission` events is there a row. Most ids of a stream are seen
once, and would fill the memory with rows that say nothing. Those who wait are bounded too, apart
from the rows, so that a flood of new names pushes out none but its like.

A viewer's row begins at zero. An item's does not, two zero vectors would never move each other: it
is drawn from hashes, so that it is the same wherever and whenever it is made. From that of the id a
little, and more from those of its category and creator: items of one kind begin alike, what a
viewer showed for some of them counts for the others at once, and only where they differ has to be
learned.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import shake_128

import numpy as np

from streamapp.learning.factor_table import Kind, Row
from streamapp.learning.pairs import Traits

CATEGORY, CREATOR = TRAITS = ("category", "creator_id")
"""What items have in common with others, as features of examples name it."""


def hashed(text: str, dimensions: int) -> Row:
    """Return numbers that stand for a text, as if uniform, with mean 0 and standard deviation 1.

    Four bytes each of its SHAKE-128, little endian, scaled to ±√3.

    >>> hashed("item/i7", 2).round(4).tolist()
    [-1.1574, 0.0034]
    """
    drawn = np.frombuffer(shake_128(text.encode()).digest(4 * dimensions), "<u4")
    numbers: Row = (drawn / 2.0**31 - 1.0) * 3.0**0.5
    return numbers


@dataclass(frozen=True, slots=True)
class Beginning:
    """How rows of items begin.

    Attributes:
        dimensions: numbers in a vector.
        own: standard deviation of what the id brings to each.
        traits: of what each of the `TRAITS` brings.
    """

    dimensions: int
    own: float
    traits: Sequence[float]

    def of_item(self, name: str, traits: Traits) -> Row:
        """Return the first row of an item: bias 0, and a vector from the hashes.

        Hashed are "item/<id>", and of each trait that is known "<name of the trait>/<value>".
        """
        row = self.of_viewer(name, ())
        row[1:] = self.own * hashed(f"item/{name}", self.dimensions)
        for trait, value, spread in zip(TRAITS, traits, self.traits, strict=False):
            if value is not None:
                row[1:] += spread * hashed(f"{trait}/{value}", self.dimensions)
        return row

    def of_viewer(self, name: str, traits: Traits) -> Row:  # noqa: ARG002  # as of_item
        """Return the first row of a viewer: zeros."""
        return np.zeros(1 + self.dimensions)


@dataclass(slots=True)
class Entry:
    """What is held of an id.

    Attributes:
        order: grows with each event of the table; the smallest leaves first.
        events: of the id.
        row: None while it waits for one.
    """

    order: int = 0
    events: int = 0
    row: Row | None = None


class FactorRows:
    """The rows of one kind.

    Attributes:
        order: of the newest event; to be kept beside the entries for a restore.

    Args:
        first: makes the first row of an id.
        capacity: rows held, and ids that wait, each; the one used longest ago is forgotten first.
        admission: events after which an id gets a row; 1 is at once.
    """

    def __init__(
        self, kind: Kind, first: Callable[[str, Traits], Row], capacity: int, admission: int
    ) -> None:
        self.kind = kind
        self._first = first
        self._capacity = capacity
        self._admission = admission
        # In the order they were last used; a plain dict finds its first slowly after deletions.
        self._held: OrderedDict[str, Entry] = OrderedDict()
        self._waiting: OrderedDict[str, Entry] = OrderedDict()
        self.order = 0
        self._touched: set[str] = set()

    def __len__(self) -> int:
        """Rows."""
        return len(self._held)

    @property
    def size(self) -> int:
        """Ids held, of those that wait as well."""
        return len(self._held) + len(self._waiting)

    def get(self, name: str) -> Row | None:
        """Return the row of an id; None while it has none."""
        entry = self._held.get(name)
        return None if entry is None else entry.row

    def entry(self, name: str) -> Entry | None:
        """Return all that is held of an id, for a restore."""
        return self._held.get(name) or self._waiting.get(name)

    def use(self, name: str, traits: Traits = ()) -> Entry:
        """Count an event of an id; return its entry, for the caller to change the row if any.

        Args:
            traits: what its row begins from, besides the id, if it gets one now.
        """
        entry = self._held.pop(name, None) or self._waiting.pop(name, None) or Entry()
        self._touched.add(name)
        self.order += 1
        entry.order = self.order
        entry.events += 1
        if entry.row is None and entry.events >= self._admission:
            entry.row = self._first(name, traits)
        self._insert(name, entry)
        return entry

    def _insert(self, name: str, entry: Entry) -> None:
        entries = self._waiting if entry.row is None else self._held
        while len(entries) >= self._capacity:
            oldest, _ = entries.popitem(last=False)
            self._touched.add(oldest)
        entries[name] = entry

    def put_back(self, name: str, row: Row | None) -> None:
        """Give an id this row, or none."""
        self._touched.add(name)
        self.order += 1
        waited = self._waiting.pop(name, None)
        entry = self._held.pop(name, None) or waited or Entry(events=self._admission)
        if row is not None:
            entry.order, entry.row = self.order, row
            self._held[name] = entry

    def take_touched(self) -> set[str]:
        """Return the ids whose place changed since this was last called."""
        touched, self._touched = self._touched, set()
        return touched

    def names(self) -> Iterator[str]:
        """Yield the ids that have a row."""
        return iter(self._held)

    def restore(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """Go on exactly from what `entry` gave of each id."""
        for name, entry in sorted(entries, key=lambda named: named[1].order):
            (self._waiting if entry.row is None else self._held)[name] = entry
            self.order = max(self.order, entry.order)
