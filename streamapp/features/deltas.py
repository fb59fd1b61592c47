"""What the events since the last cut add to the counters of items, aggregated by item.

What an event adds is only noted when it comes, in columns; a cut adds it all up at once, with
numpy, which is several times faster than to touch the sums of ten items for each slate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import count

import msgspec
import numpy as np
import numpy.typing as npt

from streamapp.features.decay import HALF_LIVES
from streamapp.features.digest import DIGEST_BYTES
from streamapp.features.distinct import pack
from streamapp.features.rates import COUNTERS
from streamapp.signals import SCHEMA

MAX_VIEWERS = 1_000
"""Viewers in one delta, so that no record grows with the length of a backlog."""

_CODES = {counter: code for code, counter in enumerate(COUNTERS)}
_IMPRESSIONS, _EXPECTED_CLICKS = _CODES["impressions"], _CODES["expected_clicks"]
_KINDS = len(COUNTERS)

_encode = msgspec.json.Encoder().encode


class _Delta(msgspec.Struct, gc=False):
    """An `ItemDelta` in the making."""

    item_id: str
    as_of_ms: int
    first_ms: int
    deltas: dict[str, tuple[float, ...]]
    viewers: bytes | msgspec.UnsetType = msgspec.UNSET
    schema: int = SCHEMA


class ItemDeltas:
    """Adds up what is counted between two cuts."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._items: defaultdict[str, int] = defaultdict(count().__next__)
        self._viewers: dict[str, dict[str, None]] = {}
        # One entry an amount: item, counter, time, amount.
        self._counted: list[tuple[int, int, int, float]] = []
        # One entry a total with its sums by half-life: item, counter, time, total, sums.
        self._summed: list[tuple[int | float, ...]] = []
        # One entry a slate: time, number of slots; one entry a slot: item, expected clicks.
        self._slates: list[tuple[int, int]] = []
        self._slots: list[int] = []
        self._rates: list[float] = []

    def add(
        self,
        item_id: str,
        time_ms: int,
        amounts: Iterable[tuple[str, float]],
        viewer_id: str | None = None,
    ) -> None:
        """Count amounts by counter for an item, all at one event time.

        Args:
            viewer_id: whoever acted on it, if that makes them one of its viewers.
        """
        item = self._items[item_id]
        if viewer_id is not None:
            self._viewers.setdefault(item_id, {})[viewer_id] = None
        for name, amount in amounts:
            self._counted.append((item, _CODES[name], time_ms, amount))

    def add_sums(
        self, item_id: str, time_ms: int, counter: str, total: float, sums: Iterable[float]
    ) -> None:
        """Count a total of a counter, and its sums by half-life as at a time."""
        self._summed.append((self._items[item_id], _CODES[counter], time_ms, total, *sums))

    def add_slate(self, time_ms: int, item_ids: list[str], rates: list[float]) -> None:
        """Count an impression, and the clicks expected of its position, for each slot."""
        items = self._items
        self._slates.append((time_ms, len(item_ids)))
        self._slots += [items[item_id] for item_id in item_ids]
        self._rates += rates

    def take(self) -> Iterator[tuple[str, bytes]]:
        """Yield the deltas since the last call: item id and encoded `ItemDelta`."""
        if not self._items:
            return
        deltas, viewers = self._added_up(), self._viewers
        self._begin()
        for delta in deltas:
            acted = viewers.get(delta.item_id)
            if acted is not None:
                for before in _crowd(delta, pack(acted)):
                    yield before.item_id, _encode(before)
            yield delta.item_id, _encode(delta)

    def _added_up(self) -> list[_Delta]:
        """Return what was noted, by item, each as of its own newest time."""
        items, counters, times, amounts = self._columns()
        summed = np.array(self._summed, np.float64).reshape(-1, 4 + len(HALF_LIVES))
        items, counters, times = (
            np.concatenate([column, summed[:, n].astype(np.int64)])
            for n, column in enumerate((items, counters, times))
        )
        held = len(self._items)
        as_of = np.full(held, np.iinfo(np.int64).min)
        np.maximum.at(as_of, items, times)
        first = np.full(held, np.iinfo(np.int64).max)
        np.minimum.at(first, items, times)
        keys, ages = items * _KINDS + counters, times - as_of[items]
        found = np.flatnonzero(np.bincount(keys, minlength=1))
        factors = [1.0, *[np.exp2(ages / half_life) for half_life in HALF_LIVES]]
        weighed = [
            np.concatenate([amounts, summed[:, 3 + n]]) * factor for n, factor in enumerate(factors)
        ]
        sums = zip(*[np.bincount(keys, each)[found].tolist() for each in weighed], strict=True)
        deltas = [
            _Delta(item_id, as_of_ms, first_ms, {})
            for item_id, as_of_ms, first_ms in zip(
                self._items, as_of.tolist(), first.tolist(), strict=True
            )
        ]
        for key, of_key in zip(found.tolist(), sums, strict=True):
            deltas[key // _KINDS].deltas[COUNTERS[key % _KINDS]] = of_key
        return deltas

    def _columns(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Return item, counter, time and amount of all that was noted."""
        slots = np.array(self._slots, np.int64)
        shown = np.array(self._slates, np.int64).reshape(-1, 2)
        at = np.repeat(shown[:, 0], shown[:, 1])
        items, codes, times, amounts = (
            zip(*self._counted, strict=True) if self._counted else [()] * 4
        )
        impressions = np.full(len(slots), _IMPRESSIONS), np.ones(len(slots))
        expected = np.full(len(slots), _EXPECTED_CLICKS), np.array(self._rates)
        return (
            np.concatenate([slots, slots, np.array(items, np.int64)]),
            np.concatenate([impressions[0], expected[0], np.array(codes, np.int64)]),
            np.concatenate([at, at, np.array(times, np.int64)]),
            np.concatenate([impressions[1], expected[1], np.array(amounts, np.float64)]),
        )


def _crowd(delta: _Delta, viewers: bytes) -> Iterator[_Delta]:
    """Put viewers into a delta; yield others to go before it for those it cannot take."""
    most = MAX_VIEWERS * DIGEST_BYTES
    while len(viewers) > most:
        yield _Delta(delta.item_id, delta.as_of_ms, delta.first_ms, {}, viewers[:most])
        viewers = viewers[most:]
    delta.viewers = viewers
