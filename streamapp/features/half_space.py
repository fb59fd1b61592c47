"""Half-space trees as they are published, and the score of a vector by them.

Each tree halves the unit cube again and again, by one coordinate at a time; the mass of a node is
how many of a window's vectors fell into it. Where there were few the score is high: Tan, Ting and
Liu, "Fast anomaly detection for streaming data" (2011), as in river's `HalfSpaceTrees`.

`anomaly/session` of control.parameters is a list of numbers:

    layout (1), trees T, height H, coordinates F, window W, threshold

and then for each tree 2^H − 1 pairs (coordinate, split) of its inner nodes and 2^(H+1) − 1 masses
of all nodes, both by level from the root, left to right. Of a node of number k (the root is 0) the
children are 2k + 1, where the coordinate is less than the split, and 2k + 2.

The path of a vector ends at the first node of a mass under W/10, or else at a leaf. With the nodes
of all T paths, each of depth δ (the root's is 0) and mass m:

    score = 1 − Σ m·2^δ / (T·W·(2^(H+1) − 1))

and it is an anomaly when score ≥ threshold. Worked example: one tree of height 1 that splits
coordinate 0 at 0.5, a window of 10 with 9 to the left: to the left the score is
1 − (10 + 2·9)/(10·3) ≈ 0.067, to the right 1 − (10 + 2·1)/30 = 0.6:

>>> published = (1, 1, 1, 1, 10, 0.6, 0, 0.5, 10, 9, 1)
>>> round(score(published, (0.2,)), 3), round(score(published, (0.7,)), 3)
(0.067, 0.6)
>>> is_anomaly(published, (0.2,)), is_anomaly(published, (0.7,))
(False, True)
"""

from __future__ import annotations

from collections.abc import Sequence

PARAMETER = "anomaly/session"
LAYOUT = 1
SMALL_SHARE = 10
"""A node of less than the window's n-th part ends the path."""

_HEADER = 6
_MOST_TREES, _MOST_HEIGHT = 1_000, 12

Published = Sequence[float]


def flaw(value: Published, features: int) -> str | None:
    """Say what is wrong with a published value, None if vectors can be scored by it."""
    if len(value) < _HEADER or value[0] != LAYOUT:
        return f"it does not begin with layout {LAYOUT} and five numbers more"
    _, trees, height, coordinates, window, _ = value[:_HEADER]
    whole = all(number == int(number) for number in value[: _HEADER - 1])
    if not whole or not (1 <= trees <= _MOST_TREES and 1 <= height <= _MOST_HEIGHT and window >= 1):
        return "trees, height or window are out of range"
    if coordinates != features:
        return f"it is of {coordinates:g} coordinates, not {features}"
    inner, nodes = _sizes(int(height))
    size = 2 * inner + nodes
    if len(value) != _HEADER + int(trees) * size:
        return f"{len(value)} numbers are not what {trees:g} trees of height {height:g} take"
    for start in range(_HEADER, len(value), size):
        split_by = value[start : start + 2 * inner : 2]
        if any(number != int(number) or not 0 <= number < features for number in split_by):
            return "a coordinate to split by does not exist"
    return None


def _sizes(height: int) -> tuple[int, int]:
    """Return how many inner nodes a tree has, and how many in all."""
    return (1 << height) - 1, (2 << height) - 1


def score(published: Published, vector: Sequence[float]) -> float:
    """Return how unlike those of the window a vector is."""
    _, trees, height, _, window, _ = published[:_HEADER]
    depths, few = range(int(height)), window / SMALL_SHARE
    inner, nodes = _sizes(int(height))
    total, start = 0.0, _HEADER
    for _ in range(int(trees)):
        node, weight, masses = 0, 1.0, start + 2 * inner
        mass = published[masses]
        for _ in depths:
            total += mass * weight
            if mass < few:
                break
            at = start + 2 * node
            left = vector[int(published[at])] < published[at + 1]
            node, weight = 2 * node + (1 if left else 2), 2.0 * weight
            mass = published[masses + node]
        else:
            total += mass * weight
        start += 2 * inner + nodes
    return 1.0 - total / (trees * window * nodes)


def is_anomaly(published: Published, vector: Sequence[float]) -> bool:
    """Return whether a vector is as unlike as the threshold says."""
    return score(published, vector) >= published[_HEADER - 1]
