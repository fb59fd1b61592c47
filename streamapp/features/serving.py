"""Serving features: what is known when an item is shown to a viewer.

This is the place where the features are declared, and where they are computed: for the examples
that models learn from, and for the items that a ranking layer scores. Both say the same of the
same state, to the last digit::

    signals.viewers ─┐ once a slate
    the request     ─┴▶ viewer_features ─┐
    catalog.items   ─┐ once an item      ├▶ features ─▶ {"category": "drama", "ctr": 0.0312, …}
    signals.items   ─┴▶ item_features   ─┘

Signals are taken as they were published. Only affinities go on decaying until the item is shown,
each with its half-life h: S·2^(−age/h), the age being that of the record's `as_of_ms`. So of an
affinity to drama of 5.0 a week before, 2.5 is left of what lasts 7 days. What lasts 6 h is rounded
to 16ths: the click of a day ago is the least it tells, and 0 follows. It would otherwise go through
another half octave, and so another token, every three hours for as long as a viewer stays away.

How eager a viewer is are rates that lie close together, given as odds: p/(1 − p), at most 99. Half
octaves of p tell 0.5 from 0.71, then from 1; those of the odds tell 0.5 from 0.59, 0.67, 0.74, 0.8.
`viewer_watch_ratio` is that of habits.watch_ratio, and of a mean above 0.99 no more is told.
`session_ctr` is of the session that goes on when the item is shown, drawn towards 0.03 as rates
are: after 1 click on 10 items (1 + 20·0.03)/(10 + 20) = 0.0533, as odds 0.0563. When 30 min have
gone since the viewer's newest event that session is over, and there is none.

Other numbers that are not counts are rounded to three significant digits (0.031249 is 0.0312): many
of them are kept and sent, and a model tells them apart by half octaves. What is not known is left
out.

**To add a feature**: declare it in `GROUPS`, compute it in `viewer_features` or below it, for the
ranking layer, and write it in `streamapp.features.slate_features`, which makes the examples of
what was kept of a slate and must say the same; `tests/unit/features/test_serving_parity.py` fails
until it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import exp2
from typing import NamedTuple

from streamapp.events import CatalogItem
from streamapp.features.affinities import HALF_LIVES
from streamapp.features.parameters import SHIPPED_PRIORS
from streamapp.features.queries import normalised
from streamapp.features.rates import shrunk
from streamapp.features.sessions import GAP_MS
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
        "How the viewer feels about the item's category and creator: over days, and over the last"
        " hours; below 0 is dislike.",
        {
            "affinity_category": float,
            "affinity_creator": float,
            "affinity_category_6h": float,
            "affinity_creator_6h": float,
        },
    ),
    "eagerness": Group(
        "How much of a playback the viewer watches, and how often they click in this session, as"
        " odds.",
        {"viewer_watch_ratio": float, "session_ctr": float},
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

_PER_MS = tuple(1.0 / half_life for half_life in HALF_LIVES)
_CERTAIN = 0.99
_CTR = SHIPPED_PRIORS["ctr"]  # not the one in force: it would add nothing but a thing to look up
_WORD = re.compile(r"\w+")


class ViewerFeatures(NamedTuple):
    """What is the same for all items that a viewer is shown at once.

    Attributes:
        shared: features of every item.
        categories, creators: features of the items of each, by its name: the viewer's affinity.
        words: of the query, none without one.
    """

    shared: Features
    categories: dict[str, Features]
    creators: dict[str, Features]
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
    as_of_ms, session, affinity = signal.as_of_ms, signal.session, signal.affinity
    shared["viewer_watch_ratio"] = odds(signal.habits.watch_ratio)
    rate = session_ctr(session.clicks, session.impressions, as_of_ms, at_ms)
    if rate is not None:
        shared["session_ctr"] = rate
    left = decay(as_of_ms, at_ms)
    categories = _left("affinity_category", affinity.category, left)
    creators = _left("affinity_creator", affinity.creator, left)
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
        known |= rate_features({name: getattr(signal, name) for name in ITEM_SIGNALS})
    return known


def rate_features(rates: Mapping[str, float]) -> Features:
    """Return what `item_features` gives of an item's rates, by name."""
    return {name: three_digits(rate) for name, rate in rates.items()}


def features(viewer: ViewerFeatures, item: Features, title: str | None = None) -> Features:
    """Return the features of an item shown to a viewer.

    Args:
        item: from `item_features`.
        title: of the item, if it answers a query.
    """
    return viewer.shared | item | features_of_both(viewer, item, title)


def features_of_both(viewer: ViewerFeatures, item: Features, title: str | None = None) -> Features:
    """Return those features that neither the viewer nor the item has alone."""
    category, creator = _text(item, "category"), _text(item, "creator_id")
    return of_category(viewer, category) | of_creator(viewer, creator) | of_title(viewer, title)


def of_category(viewer: ViewerFeatures, category: str | None) -> Features:
    """Return the features that a viewer and any item of a category make together."""
    known: Features = {}
    if category is not None:
        if "last_category" in viewer.shared:
            known["same_category"] = int(category == viewer.shared["last_category"])
        if category in viewer.categories:
            known |= viewer.categories[category]
    return known


def of_creator(viewer: ViewerFeatures, creator_id: str | None) -> Features:
    """Return the features that a viewer and any item of a creator make together."""
    return {} if creator_id is None else viewer.creators.get(creator_id, {})


def of_title(viewer: ViewerFeatures, title: str | None) -> Features:
    """Return the features that a query and an item's title make together."""
    if not (viewer.words and title):
        return {}
    return {"query_match": share(matches(viewer.words, title), len(viewer.words))}


def three_digits(value: float) -> float:
    """Return a number rounded to three significant digits.

    >>> three_digits(0.031249), three_digits(-12_345.0)
    (0.0312, -12300.0)
    """
    return float(f"{value:.3g}")


def odds(share: float) -> float:
    """Return p/(1 − p), of a p above 0.99 as of that.

    >>> odds(0.5), odds(0.6), odds(1.7)
    (1.0, 1.5, 99.0)
    """
    p = min(share, _CERTAIN)
    return three_digits(p / (1.0 - p))


def session_ctr(clicks: int, impressions: int, as_of_ms: int, at_ms: int) -> float | None:
    """Return the odds of a click in a viewer's newest session; None if it is over.

    Args:
        as_of_ms: of the viewer's newest event, which is the session's last.

    >>> session_ctr(1, 10, 0, 1_799_999), session_ctr(1, 10, 0, 1_800_000)
    (0.0563, None)
    """
    return _click_odds(clicks, impressions) if at_ms - as_of_ms < GAP_MS else None


@lru_cache(maxsize=1 << 12)
def _click_odds(clicks: int, impressions: int) -> float:
    return odds(shrunk(clicks, impressions, _CTR))


def decay(as_of_ms: int, at_ms: int) -> tuple[float, float]:
    """Return what is left of affinities after a time: of what lasts 6 h, and 7 d."""
    age_ms = min(as_of_ms - at_ms, 0)
    short, long = _PER_MS
    return exp2(age_ms * short), exp2(age_ms * long)


def sixteenths(affinity: float) -> int:
    """Return an affinity of the last hours in 16ths: few values, so that they are quickly told.

    >>> [sixteenths(2.0 ** -half_lives) for half_lives in (0, 1, 4, 5)]
    [16, 8, 1, 0]
    """
    return round(affinity * 16.0)


def _text(item: Features, name: str) -> str | None:
    value = item.get(name)
    return None if value is None else str(value)


def _left(
    feature: str, interests: Mapping[str, Interest], left: tuple[float, float]
) -> dict[str, Features]:
    short, long = left
    return {
        name: {
            feature: three_digits(interest.d7 * long),
            feature + "_6h": sixteenths(interest.h6 * short) / 16.0,
        }
        for name, interest in interests.items()
    }


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
