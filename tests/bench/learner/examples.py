"""Examples like those of mixed traffic, with all features there are."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

import msgspec

from streamapp.learning.features import DEFAULT_SPEC
from streamapp.signals import Example, Labels

SLATE = 10
CATEGORIES = [f"category{number}" for number in range(20)]
KNOWN = ("viewer", "item", "surface", "position")
TEXTS = {
    "kind": ["short", "vod", "live", "product"],
    "category": CATEGORIES,
    "creator_id": [f"creator{number}" for number in range(2_000)],
    "last_category": CATEGORIES,
    "device": ["phone", "tv", "tablet", "desktop"],
    "country": ["br", "de", "id", "in", "jp", "us"],
}


class Shown:
    """A stream of labelled slates of ten, one every few milliseconds of stream time.

    Args:
        viewers, items: how many; both are drawn by Zipf's law with exponent 0.9.
        rate: examples a second of stream time.
        keep_rate: share of the examples without a click.
    """

    def __init__(
        self, seed: int, viewers: int, items: int, rate: float, keep_rate: float = 1.0
    ) -> None:
        self._random = random.Random(seed)
        self._rate, self._keep_rate = rate, keep_rate
        self._viewers = _zipf(viewers)
        self._items = _zipf(items)
        self._numbers = sorted(
            name for name in DEFAULT_SPEC.names if name not in KNOWN and name not in TEXTS
        )

    def records(self, count: int) -> list[bytes]:
        """Return examples as they are in training.examples, in order of `labelled_at_ms`."""
        return [msgspec.json.encode(one) for one in itertools.islice(self.examples(), count)]

    def examples(self) -> Iterator[Example]:
        """Yield examples in order of `labelled_at_ms`, for ever."""
        rng, made = self._random, 0
        for slate in itertools.count():
            [viewer] = rng.choices(range(len(self._viewers)), cum_weights=self._viewers)
            items = rng.choices(range(len(self._items)), cum_weights=self._items, k=SLATE)
            for position, item in enumerate(items, 1):
                taste = math.sin(viewer * 1.7 + item % len(CATEGORIES)) - 0.3 * (position - 1)
                clicked = rng.random() < 1 / (1 + math.exp(2.5 - taste))
                if clicked or rng.random() < self._keep_rate:
                    made += 1
                    at_ms = 1_700_000_000_000 + int(made * 1_000 / self._rate)
                    yield self._example(slate, viewer, item, position, at_ms, clicked=clicked)

    def _example(  # one argument a thing that an example is of
        self, slate: int, viewer: int, item: int, position: int, at_ms: int, *, clicked: bool
    ) -> Example:
        rng = self._random
        features: dict[str, float | str] = {
            name: values[
                (item if name in ("kind", "category", "creator_id") else viewer) % len(values)
            ]
            for name, values in TEXTS.items()
        }
        features |= {name: round(rng.expovariate(0.3), 3) for name in self._numbers}
        return Example(
            example_id=f"r{slate}:{position}",
            request_id=f"r{slate}",
            viewer_id=f"viewer{viewer}",
            item_id=f"item{item}",
            surface=("home", "search", "live")[viewer % 3],
            position=position,
            propensity=None,
            features=features,
            labels=Labels(clicked=clicked),
            weight=1.0 if clicked else 1.0 / self._keep_rate,
            served_at_ms=at_ms - 120_000,
            labelled_at_ms=at_ms,
            as_of_ms=at_ms,
            computed_at_ms=at_ms,
        )


def _zipf(count: int) -> list[float]:
    return list(itertools.accumulate(rank**-0.9 for rank in range(1, count + 1)))
