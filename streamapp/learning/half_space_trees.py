"""Half-space trees that learn: how many vectors fell where, window by window.

As river's `HalfSpaceTrees` with a padding of 0.15: after each window of W vectors the masses
counted in it are what the next vectors are scored by. The splits follow from a seed. What is
published of it, and how a vector is scored by that, is in `streamapp.features.half_space`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from streamapp.features import half_space

PADDING = 0.15
"""A split leaves at least this share of its side's width to either half."""

Split = tuple[int, float]
"""A coordinate, and below which value of it lies the left half."""


def random_splits(features: int, height: int, draw: Random) -> list[Split]:
    """Return the splits of one tree by level; each halves a random side of the box it lies in."""
    splits: list[Split] = []
    boxes = [[(0.0, 1.0)] * features]
    for _ in range(height):
        halves = []
        for box in boxes:
            on = draw.choices(range(features), [high - low for low, high in box])[0]
            low, high = box[on]
            padding = PADDING * (high - low)
            at = round(draw.uniform(low + padding, high - padding), 6)
            splits.append((on, at))
            halves += [[*box[:on], side, *box[on + 1 :]] for side in ((low, at), (at, high))]
        boxes = halves
    return splits


class HalfSpaceTrees:
    """Trees over vectors of numbers in [0, 1].

    Args:
        splits: of each tree, by level; 2^height − 1 of them.
        window: vectors in a window.

    Attributes:
        learnt: vectors of the window under way.
        counted: masses of that window, tree after tree, by level.
        masses: of the last whole window; empty before there is one.
    """

    def __init__(self, splits: Sequence[Sequence[Split]], features: int, window: int) -> None:
        self.learnt = 0
        self.window = window
        self._splits = splits
        self._features = features
        self._height = (len(splits[0]) + 1).bit_length() - 1
        self._nodes = (2 << self._height) - 1
        self.counted = self._zeros()
        self.masses: Sequence[int] = ()
        self._scored_by: tuple[Sequence[int], tuple[float, ...]] = self.masses, ()

    @classmethod
    def seeded(
        cls, seed: int, *, trees: int, height: int, features: int, window: int
    ) -> HalfSpaceTrees:
        """Return trees with random splits, the same ones for the same arguments."""
        draw = Random(seed)
        return cls([random_splits(features, height, draw) for _ in range(trees)], features, window)

    def _zeros(self) -> list[int]:
        return [0] * (self._nodes * len(self._splits))

    def learn_one(self, vector: Sequence[float]) -> bool:
        """Count a vector; return whether a window is full with it."""
        counted = self.counted
        for root, splits in zip(range(0, len(counted), self._nodes), self._splits, strict=True):
            node = 0
            counted[root] += 1
            for _ in range(self._height):
                on, at = splits[node]
                node = 2 * node + (1 if vector[on] < at else 2)
                counted[root + node] += 1
        self.learnt += 1
        if self.learnt < self.window:
            return False
        self.learnt = 0
        self.masses, self.counted = counted, self._zeros()
        return True

    def score_one(self, vector: Sequence[float]) -> float | None:
        """Return how unlike the last window's a vector is, in [0, 1]; None before there is one."""
        if not self.masses:
            return None
        if self._scored_by[0] is not self.masses:
            self._scored_by = self.masses, self.published(0.0)
        return half_space.score(self._scored_by[1], vector)

    def published(self, threshold: float) -> tuple[float, ...]:
        """Return the numbers to score by; there must have been a window."""
        return tuple(self._numbers(threshold))

    def _numbers(self, threshold: float) -> Iterator[float]:
        yield from (half_space.LAYOUT, len(self._splits), self._height, self._features)
        yield from (self.window, threshold)
        for tree, splits in enumerate(self._splits):
            for split in splits:
                yield from split
            yield from self.masses[tree * self._nodes : (tree + 1) * self._nodes]
