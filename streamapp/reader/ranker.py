"""Ranking: candidates in, a slate out.

1. What must not be shown is left out: hidden, seen, inactive items (`Options`).
2. Each item is scored by the champions of all objectives, at position 1, on the features that
   `streamapp.features.serving` gives of the raw signals (`streamapp.reader.value`).
3. Places are filled by score, by chance as far as the request says, within the limits
   (`streamapp.reader.slate`).

What is missing is done without. An item without a signal is scored by what the catalog says of it,
as the models learned to; a viewer without a signal likewise. Without a model of clicks the rate of
the item's signal stands for the probability, or else the prior of its category, so that the order
is that of popularity. Signals older than `Options` allow count as missing. The ranking says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from streamapp.features.serving import (
    Features,
    ViewerFeatures,
    features,
    item_features,
    last_clicked,
    rate_features,
    viewer_features,
)
from streamapp.reader.eligible import Item, eligible
from streamapp.reader.request import Context, Options, Ranked, Ranking
from streamapp.reader.scoring import Scorer
from streamapp.reader.slate import Chance, Limit, Slate
from streamapp.reader.state import Champion, State
from streamapp.reader.value import CLICK, values
from streamapp.reader.weights import Numbers
from streamapp.signals import ViewerSignal

SIGNALS = ("signals.items", "signals.viewers")
"""What a ranking is no better than."""


class Ranker:
    """Ranks by what a state holds at the moment.

    Args:
        state: fed by somebody else, between two rankings.
    """

    def __init__(self, state: State, options: Options | None = None) -> None:
        self.state = state
        self.options = options or Options()
        self._scorer = Scorer(self.options.parts_held)

    def rank(self, viewer_id: str, candidates: Iterable[str], context: Context) -> Ranking:
        """Return the best of the candidates, each at most once, in the order to show them."""
        notes = self._stale_topics(context.at_ms)
        signal = self.state.viewer(viewer_id)
        fresh = self._fresh(signal, context.at_ms, notes)
        items, left_out = eligible(
            candidates, self.state.items, signal, self.options, context.at_ms
        )
        champions = self._champions(context.segment)
        if CLICK not in champions:
            notes.append(f"no_model:{CLICK}")
        viewer = self._features(fresh, context)
        chances = self._scorer.probabilities(champions, items, viewer_id, context.surface, viewer)
        clicks = chances[CLICK] if CLICK in chances else self._popularity(items, context.at_ms)
        weights = {name: one.version.objective_weight for name, one in champions.items()}
        scores = values(clicks, chances, weights)
        slate = self._slate(items, scores, context)
        listed = {name: found.tolist() for name, found in chances.items()}
        ranked = [
            Ranked(
                items[index].item_id,
                position,
                float(scores[index]),
                {name: found[index] for name, found in listed.items()},
                propensity,
                self._flags(items[index]),
                _features(viewer, items[index]) if self.options.log_features else None,
            )
            for position, (index, propensity) in enumerate(slate.fill(context.limit), 1)
        ]
        if slate.lifted:
            notes.append("limits_lifted")
        models = {one.version.model: one.epoch for one in champions.values()}
        return Ranking(
            context.request_id, viewer_id, tuple(ranked), models, dict(left_out), tuple(notes)
        )

    def _champions(self, segment: str) -> dict[str, Champion]:
        """Return the champions by objective, that of clicks first."""
        if not self.options.with_models:
            return {}
        found = self.state.champions(segment)
        return dict(sorted(found.items(), key=lambda entry: (entry[0] != CLICK, entry[0])))

    def _stale_topics(self, at_ms: int) -> list[str]:
        newest = ((topic, self.state.newest_ms(topic)) for topic in SIGNALS)
        bound = at_ms - self.options.stale_topic_ms
        return [f"stale:{topic}" for topic, ms in newest if ms is None or ms < bound]

    def _fresh(
        self, signal: ViewerSignal | None, at_ms: int, notes: list[str]
    ) -> ViewerSignal | None:
        """Return a viewer's signal if it is fresh enough to rank by; note it if not."""
        if signal is None:
            notes.append("unseen_viewer")
        elif signal.as_of_ms < at_ms - self.options.stale_viewer_ms:
            notes.append("stale_viewer")
            return None
        return signal

    def _features(self, signal: ViewerSignal | None, context: Context) -> ViewerFeatures:
        clicked = None if signal is None else last_clicked(signal)
        known = None if clicked is None else self.state.items.catalog.get(clicked)
        return viewer_features(
            signal,
            context.at_ms,
            last_category=None if known is None else known.category,
            device=context.device,
            country=context.country,
            query=context.query,
        )

    def _popularity(self, items: Sequence[Item], at_ms: int) -> Numbers:
        """Return the click rate of each item, or else what its category's mostly is."""
        prior = self.state.parameters.prior
        return np.array(
            [
                prior("ctr", item.category, at_ms)
                if item.signal is None
                else item.signal.rates["ctr"]
                for item in items
            ]
        )

    def _slate(self, items: Sequence[Item], scores: Numbers, context: Context) -> Slate:
        limits = []
        if self.options.per_creator is not None:
            limits.append(Limit([item.creator_id for item in items], self.options.per_creator))
        if self.options.per_category is not None:
            limits.append(Limit([item.category for item in items], self.options.per_category))
        new = [self.state.items.is_new(item.item_id) for item in items]
        chance = Chance(context.request_id, context.temperature, context.new_share)
        return Slate(scores, new, limits, chance)

    def _flags(self, item: Item) -> tuple[str, ...]:
        flags = []
        if self.state.items.is_new(item.item_id):
            flags.append("new")
        if item.stale:
            flags.append("stale")
        elif item.signal is None:
            flags.append("unseen")
        return tuple(flags)


def _features(viewer: ViewerFeatures, item: Item) -> Features:
    """Return what the models were given of an item."""
    title = None if item.known is None else item.known.title
    rates = {} if item.signal is None else rate_features(item.signal.rates)
    return features(viewer, item_features(item.known, None) | rates, title)
