"""Serving features: what is known when an item is shown to a viewer.

This is the place where the features are declared, and where they are computed: for the examples
that models learn from, and for the items that a ranking layer scores. Both say the same of the
same state, to the last digit::

    signals.viewers ─┐ once a slate
    the request     ─┴▶ viewer_features ─┐
    catalog.items   ─┐ once an item      ├▶ features ─▶ {"category": "drama", "ctr": 0.0312, …}
    signals.items   ─┴▶ item_features   ─┘

Signals are taken as they were published. Only affinities go on decaying until the item is shown:
the one with the half-life of 7 days, S·2^(−age/7 d) with its age in the record's `as_of_ms`. So
of an affinity to drama of 5.0 a week before, 2.5 is left.

Numbers that are not counts are rounded to three significant digits (0.031249 is 0.0312): many of
them are kept and sent, and a model tells them apart by half octaves. What is not known is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import exp2
from typing import NamedTuple

from streamapp.events import CatalogItem
from streamapp.features.decay import DAY_MS
from streamapp.features.queries import normalised
from streamapp.signals import Interest, ItemSignal, ViewerSignal

Features = dict[str, float | str]
"""By name: a number is a magnitude, a text a category."""


class Group(NamedTuple):
    """Features that belong together: what they say, and the type of each."""

    about: str
    features: Mapping[str, type[int | float | str]]


GROUPS: dict[str, Group] = {
    "place": Group(
        "Where the item was shown. To score items that have no place yet, position 1.",
        {"surface": str, "position": int},
    ),
    "identity": Group(
        "Who it was shown to, and which item it is.",
        {"viewer": str, "item": str},
    ),
    "catalog": Group(
        "The item as the catalog knew it.",
        {"kind": str, "category": str, "creator_id": str, "duration_ms": int},
    ),
    "item signals": Group(
        "The item's rates of signals.items, as last published before it was shown.",
        {
            "ctr": float,
            "coec": float,
            "completion_rate": float,
            "watch_ratio": float,
            "velocity": float,
        },
    ),
    "of late": Group(
        "The viewer's last 50 actions: how many of a kind, the category of the item clicked last,"
        " and whether this item has the same (1 or 0).",
        {
            "recent_clicks": int,
            "recent_watches": int,
            "recent_completes": int,
            "last_category": str,
            "same_category": int,
        },
    ),
    "affinity": Group(
        "How the viewer feels about the item's category and creator; below 0 is dislike.",
        {"affinity_category": float, "affinity_creator": float},
    ),
    "device": Group(
        "What the viewer looks at it with, and where.",
        {"device": str, "country": str},
    ),
    "query": Group(
        "In a search: the share of the query's words that are in the item's title.",
        {"query_match": float},
    ),
}
"""What models learn from, group by group. A feature that is added here is computed below."""

OUTSIDE = ("surface", "position", "viewer", "item")
"""Declared features that are fields of an example, not among its `features`."""

TYPES = {
    name: kind
    for group in GROUPS.values()
    for name, kind in group.features.items()
    if name not in OUTSIDE
}
"""Type of each declared feature in an example's `features`."""

ITEM_SIGNALS = tuple(GROUPS["item signals"].features)

_PER_MS = 1.0 / (7 * DAY_MS)
_WORD = re.compile(r"\w+")


class ViewerFeatures(NamedTuple):
    """What is the same for all items that a viewer is shown at once.

    Attributes:
        shared: features of every item.
        categories, creators: the viewer's affinities to them.
        words: of the query, none without one.
    """

    shared: Features
    categories: dict[str, float]
    creators: dict[str, float]
    words: frozenset[str]


def last_clicked(signal: ViewerSignal) -> str | None:
    """Return the item a viewer clicked last, of which `viewer_features` needs the category."""
    clicks = (action.item_id for action in signal.recent if action.action == "click")
    return next(clicks, None)


def viewer_features(
    signal: ViewerSignal | None,
    at_ms: int,
    *,
    last_category: str | None = None,
    device: str | None = None,
    country: str | None = None,
    query: str | None = None,
) -> ViewerFeatures:
    """Return what is the same for all items shown to a viewer at a time.

    Args:
        signal: of the viewer; None if there is none.
        at_ms: when the items are shown.
        last_category: of the item that `last_clicked` names, as the catalog knows it.
        query: that the items answer, as it was typed.
    """
    actions = [] if signal is None else [action.action for action in signal.recent]
    texts = {"device": device, "country": country, "last_category": last_category}
    shared: Features = {
        "recent_clicks": actions.count("click"),
        "recent_watches": actions.count("watch"),
        "recent_completes": actions.count("complete"),
        **{name: text for name, text in texts.items() if text is not None},
    }
    if signal is None:
        return ViewerFeatures(shared, {}, {}, words(query))
    left = decay(signal.as_of_ms, at_ms)
    affinity = signal.affinity
    categories, creators = _left(affinity.category, left), _left(affinity.creator, left)
    return ViewerFeatures(shared, categories, creators, words(query))


def item_features(item: CatalogItem | None, signal: ItemSignal | None) -> Features:
    """Return what is the same for all viewers an item is shown to, and changes with either."""
    known: Features = {}
    if item is not None:
        known = {
            name: value
            for name in GROUPS["catalog"].features
            if (value := getattr(item, name)) is not None
        }
        if not item.duration_ms:
            known.pop("duration_ms", None)
    if signal is not None:
        known.update({name: three_digits(getattr(signal, name)) for name in ITEM_SIGNALS})
    return known


def features(viewer: ViewerFeatures, item: Features, title: str | None = None) -> Features:
    """Return the features of an item shown to a viewer.

    Args:
        item: from `item_features`.
        title: of the item, if it answers a query.
    """
    return viewer.shared | item | features_of_both(viewer, item, title)


def features_of_both(viewer: ViewerFeatures, item: Features, title: str | None = None) -> Features:
    """Return those features that neither the viewer nor the item has alone."""
    known: Features = {}
    category, creator = item.get("category"), item.get("creator_id")
    if category is not None:
        if "last_category" in viewer.shared:
            known["same_category"] = int(category == viewer.shared["last_category"])
        if category in viewer.categories:
            known["affinity_category"] = viewer.categories[category]
    if creator in viewer.creators:
        known["affinity_creator"] = viewer.creators[creator]
    if viewer.words and title:
        known["query_match"] = share(matches(viewer.words, title), len(viewer.words))
    return known


def three_digits(value: float) -> float:
    """Return a number rounded to three significant digits.

    >>> three_digits(0.031249), three_digits(-12_345.0)
    (0.0312, -12300.0)
    """
    return float(f"{value:.3g}")


def decay(as_of_ms: int, at_ms: int) -> float:
    """Return what is left of an affinity after a time."""
    return exp2(min(as_of_ms - at_ms, 0) * _PER_MS)


def _left(interests: Mapping[str, Interest], left: float) -> dict[str, float]:
    return {name: three_digits(interest.d7 * left) for name, interest in interests.items()}


@lru_cache(maxsize=1 << 14)
def words(text: str | None) -> frozenset[str]:
    """Return the words of a query or title: its runs of letters and digits once normalised.

    >>> sorted(words("Kim-Chi  STEW!"))
    ['chi', 'kim', 'stew']
    """
    return frozenset(_WORD.findall(normalised(text)))


def matches(wanted: Iterable[str], title: str) -> int:
    """Return how many words of a query are in a title."""
    return len(words(title).intersection(wanted))


def share(found: int, wanted: int) -> float:
    """Return the share of so many words of a query.

    >>> share(2, 3)
    0.667
    """
    return three_digits(found / wanted)
