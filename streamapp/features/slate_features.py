"""The features of a slate's slots as JSON, from what was kept when it was shown.

The same as `streamapp.features.serving` says of the published records, to the last digit; a test
holds the two together. Here they are written from parts that are each encoded once: what is the
same for a slate, what the catalog says of an item, and an item's signals. That they are written
only when examples are given, and of those given only, is why a slate costs so little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec

from streamapp.features import item_signals, serving
from streamapp.features.affinities import Affinities
from streamapp.features.slates import Slate
from streamapp.features.steps import UNTITLED, ShownStep

_encode = msgspec.json.Encoder().encode


class _Shared(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Features all slots of a slate have in common, unless they were served with their own."""

    recent_clicks: int
    recent_watches: int
    recent_completes: int
    device: str | None = None
    country: str | None = None
    last_category: str | None = None
    viewer_watch_ratio: float | None = None
    session_ctr: float | None = None


class _Said(msgspec.Struct, frozen=True, gc=False):
    category: str | None = None
    creator_id: str | None = None


class _Known(NamedTuple):
    """What the catalog says of an item.

    Attributes:
        members: of a JSON object, after a comma each.
    """

    members: bytes
    category: str | None
    creator: str | None


_Taste = Callable[[str], bytes]
"""Says how the viewer feels about a category or creator, as members of a JSON object."""

_CATEGORY = b',"affinity_category_6h":%b,"affinity_category":%.3g'
_CREATOR = b',"affinity_creator_6h":%b,"affinity_creator":%.3g'

_decode = msgspec.json.Decoder(_Said).decode


class SlateFeatures:
    """Features by slot.

    Args:
        said: for each slot, what the catalog said of its item when it was shown, as JSON; none
            if all slots were served with their features.
        many: whether many slots will be asked for; it only decides how that is made fast.
    """

    def __init__(self, slate: Slate, said: list[str], *, many: bool) -> None:
        shown = slate.shown
        self._slate = slate
        self._said = said
        self._start = _shared(shown)
        self._last = shown.last_category
        self._signals = item_signals.as_json(shown.signals) if shown.signals else None
        self._category = _tastes(slate.categories, slate, _CATEGORY, many=many)
        self._creator = _tastes(slate.creators, slate, _CREATOR, many=many)
        self._words = len(serving.words(shown.event.query)) if shown.matches else 0

    def json(self, index: int) -> bytes:
        """Return the features of a slot."""
        shown = self._slate.shown
        served = shown.event.items[index].features
        if served is not None:
            return _served(served)
        known = _known(self._said[index])
        parts = [self._start, known.members]
        if self._signals is not None and self._signals[index]:
            parts.append(self._signals[index])
        if known.category is not None:
            if self._last is not None:
                parts.append(b',"same_category":%d' % (known.category == self._last))
            parts.append(self._category(known.category))
        if known.creator is not None:
            parts.append(self._creator(known.creator))
        if self._words and (found := shown.matches[index]) != UNTITLED:
            parts.append(b',"query_match":%b' % _encode(serving.share(found, self._words)))
        parts.append(b"}")
        return b"".join(parts)


def _tastes(affinities: Affinities | None, slate: Slate, form: bytes, *, many: bool) -> _Taste:
    """Return what says how much is left of an affinity when the slate was shown.

    First as of the viewer's newest event, as it is published, and then from there on. Items of one
    slate are often of one category: a name is put into its form, for both half-lives, only once.
    """
    if affinities is None or not affinities.names:
        return _none
    as_of_ms = slate.as_of_ms
    a, b = affinities.factors(as_of_ms)
    left_a, left_b = serving.decay(as_of_ms, slate.shown.event.occurred_at_ms)
    kept = affinities.all_kept().get if many else affinities.kept
    told: dict[str, bytes] = {}

    def taste(name: str) -> bytes:
        members = told.get(name)
        if members is None:
            sums = kept(name)
            if sums is None:
                return b""
            short, long = sums
            of_late = _quotient(serving.sixteenths(short * a * left_a))
            members = told[name] = form % (of_late, long * b * left_b)
        return members

    return taste


@lru_cache(maxsize=1 << 12)
def _quotient(sixteenths: int) -> bytes:
    return _encode(sixteenths / 16.0)


def _none(_: str) -> bytes:
    return b""


def _shared(shown: ShownStep) -> bytes:
    """Return the features all slots have in common, but for the end."""
    event = shown.event
    counts = shown.clicks, shown.watches, shown.completes
    texts = event.device, event.country, shown.last_category
    shared = _Shared(*counts, *texts, shown.watch_ratio, shown.session_ctr)
    return _encode(shared)[:-1]


@lru_cache(maxsize=1 << 14)
def _known(said: str) -> _Known:
    if len(said) <= len("{}"):
        return _Known(b"", None, None)
    item = _decode(said)
    return _Known(b"," + said[1:-1].encode(), item.category, item.creator_id)


def _served(features: Mapping[str, float | str | bool | None]) -> bytes:
    """Return features as they were served, as numbers and strings."""
    return _encode(
        {
            name: float(value) if isinstance(value, bool) else value
            for name, value in features.items()
            if value is not None
        }
    )
