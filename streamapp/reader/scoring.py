"""Probabilities of items by the models in use, as the learner would give them at position 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from streamapp.features.serving import ViewerFeatures
from streamapp.learning.coordinate import MAX_LOGIT
from streamapp.reader.eligible import Item
from streamapp.reader.item_parts import ItemParts
from streamapp.reader.state import Champion
from streamapp.reader.viewing import Rows, Viewing
from streamapp.reader.weights import Numbers
from streamapp.signals import FeatureSpec

SPECS_HELD = 4
"""Feature specs that parts of items are held for; models mostly have one in common."""


class Scorer:
    """Scores items; holds the parts of their coordinates for the next request.

    Args:
        parts_held: items that parts are held of.
    """

    def __init__(self, parts_held: int) -> None:
        self._parts_held = parts_held
        self._parts: dict[FeatureSpec, ItemParts] = {}

    def probabilities(
        self,
        champions: Mapping[str, Champion],
        items: Sequence[Item],
        viewer_id: str,
        surface: str,
        viewer: ViewerFeatures,
    ) -> dict[str, Numbers]:
        """Return the probability of each item, by objective."""
        rows: dict[FeatureSpec, Rows] = {}
        logits = np.zeros((len(champions), len(items)))
        for number, champion in enumerate(champions.values()):
            spec = champion.encoder.spec
            if spec not in rows:
                parts = self._parts_for(champion)
                viewing = Viewing(parts, viewer_id, surface, viewer)
                rows[spec] = viewing.rows(
                    [parts.get(item.item_id, item.known) for item in items],
                    [item.signal for item in items],
                )
            logits[number] = _logits(champion, rows[spec])
        chances = 1.0 / (1.0 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT)))
        return dict(zip(champions, chances, strict=True))

    def _parts_for(self, champion: Champion) -> ItemParts:
        spec = champion.encoder.spec
        parts = self._parts.get(spec)
        if parts is None:
            parts = self._parts[spec] = ItemParts(champion.encoder, self._parts_held)
            if len(self._parts) > SPECS_HELD:
                del self._parts[next(iter(self._parts))]
        return parts


def _logits(champion: Champion, rows: Rows) -> Numbers:
    take = champion.weights.take
    shared = champion.intercept + take(rows.shared).sum()
    logits: Numbers = shared + np.bincount(rows.items, take(rows.on), rows.among)
    return logits
