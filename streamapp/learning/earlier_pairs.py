"""Earlier pairs, which what has been learned since must not contradict.

A burst of labels that say nothing, or the contrary, moves a model within a second. So before a
version is published, what was learned (staging) and what readers hold are both asked about pairs
of earlier versions: if the mean log loss of staging is above that of the published rows by more
than `BOUND`, staging goes back to what is published.

At most one pair a second of stream time is kept, so that a burst is few of them; it takes the place
of another, by a hash of its request, once it has been published without alarm. Those older than
`MAX_AGE_MS` are not asked: where tastes have in truth changed over night, the pairs of before
hold learning up for an hour at most. Below `LEAST` pairs nothing is held up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from mmh3 import hash as hash32

from streamapp.features.decay import HOUR_MS
from streamapp.learning.factor_table import Get, Kind, Row

CAPACITY = 512
SPACING_MS = 1_000
MAX_AGE_MS = HOUR_MS
LEAST = 100
BOUND = 0.02
"""Log loss; what a second of honest labels changes is some thousandths."""


class Pair(msgspec.Struct, array_like=True):
    """What a viewer preferred to what.

    Attributes:
        offset: what the two places made of it.
    """

    version: int
    slot: int
    at_ms: int
    viewer: str
    preferred: str
    passed: str
    offset: float


class EarlierPairs:
    """A bounded number of pairs.

    Args:
        dimensions: numbers in a vector.

    Attributes:
        waiting: pairs of what is not published yet.
        sampled_ms: when the newest of them was kept.
    """

    def __init__(self, dimensions: int) -> None:
        self._zeros = np.zeros(1 + dimensions)
        self.waiting: list[Pair] = []
        self.sampled_ms: int | None = None
        self._pairs: dict[int, Pair] = {}
        self._touched: set[int] = set()

    def __len__(self) -> int:
        """Pairs to be asked about."""
        return len(self._pairs)

    def wants(self, at_ms: int) -> bool:
        """Return whether a pair of this time is to be kept."""
        return self.sampled_ms is None or at_ms - self.sampled_ms >= SPACING_MS

    def add(self, name: str, pair: Pair) -> None:
        """Keep a pair that waits to be published; `name` is that of its request."""
        pair.slot = hash32(name, signed=False) % CAPACITY
        self.sampled_ms = pair.at_ms
        self.waiting.append(pair)
        del self.waiting[:-CAPACITY]

    def contradicted(self, staging: Get, published: Get, now_ms: int) -> bool:
        """Return whether staging does worse on the earlier pairs than is allowed."""
        asked = [p for _, p in sorted(self._pairs.items()) if now_ms - p.at_ms <= MAX_AGE_MS]
        if len(asked) < LEAST:
            return False
        return self._loss(staging, asked) - self._loss(published, asked) > BOUND

    def _loss(self, get: Get, pairs: Sequence[Pair]) -> float:
        """Return the mean log loss: of ln(1 + e⁻ˣ), x by how much the preferred item is ahead."""

        def rows(kind: Kind, names: Iterator[str]) -> Row:
            found = [get(kind, name) for name in names]
            held = [self._zeros if row is None else row for row in found]
            return np.concatenate(held).reshape(len(held), -1)

        tastes = rows("viewer", (pair.viewer for pair in pairs))
        tastes[:, 0] = 1.0  # so that taste · item is a score, bias and all
        ahead = rows("item", (pair.preferred for pair in pairs))
        ahead -= rows("item", (pair.passed for pair in pairs))
        x = np.einsum("ij,ij->i", tastes, ahead) + [pair.offset for pair in pairs]
        return float(np.logaddexp(0.0, -x).mean())

    def accept(self) -> None:
        """What waited has been published."""
        for pair in self.waiting:
            self._pairs[pair.slot] = pair
            self._touched.add(pair.slot)
        self.waiting = []

    def refuse(self) -> None:
        """What waited is not to be published."""
        self.waiting = []

    def forget(self, viewer: str) -> bool:
        """Forget the pairs of a viewer; return whether one of them waited."""
        slots = [slot for slot, pair in self._pairs.items() if pair.viewer == viewer]
        for slot in slots:
            del self._pairs[slot]
        self._touched.update(slots)
        waited = len(self.waiting)
        self.waiting = [pair for pair in self.waiting if pair.viewer != viewer]
        return len(self.waiting) < waited

    def changed(self) -> Iterator[tuple[int, Pair | None]]:
        """Yield the pairs that changed or went (None) since the last call, with their slots."""
        touched, self._touched = self._touched, set()
        for slot in sorted(touched):
            yield slot, self._pairs.get(slot)

    def restore(self, slot: int, pair: Pair | None) -> None:
        """Take what `changed` gave."""
        self._pairs.pop(slot, None)
        if pair is not None:
            self._pairs[slot] = pair
