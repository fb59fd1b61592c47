"""Candidates to rank: items like those of late, rising ones, near ones, found ones, new ones.

====================  =============================================================
source                items
====================  =============================================================
query                 of signals.queries, best first; for a request with a query
similar               to each of the last `RECENT` items the viewer did something to
factors               whose vectors suit the viewer's best
trending              in the categories the viewer cares for most, then anywhere
new                   that have hardly been shown yet
====================  =============================================================

They are taken in turn, one of each source, until there are enough; what is in several counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice, zip_longest

from streamapp.features.queries import normalised
from streamapp.reader.request import Context
from streamapp.reader.state import State
from streamapp.signals import Candidate, ViewerSignal

RECENT = 10
"""Items of late whose likes are candidates."""

CATEGORIES = 3
"""Categories whose trending lists are read."""

DISLIKED = frozenset({"hide", "report"})


def candidates(state: State, viewer_id: str, context: Context, count: int = 200) -> list[str]:
    """Return so many items to rank for a viewer, fewer if there are fewer."""
    viewer = state.viewer(viewer_id)
    sources = (
        _found(state, context),
        _similar(state, viewer),
        _near(state, viewer_id, count),
        _trending(state, viewer),
        state.items.new(count),
    )
    return list(islice(_in_turn(sources), count))


def _in_turn(sources: Iterable[Iterable[str]]) -> Iterator[str]:
    given: set[str] = set()
    for row in zip_longest(*(dict.fromkeys(source) for source in sources)):
        for item_id in row:
            if item_id is not None and item_id not in given:
                given.add(item_id)
                yield item_id


def _ids(items: Iterable[Candidate]) -> list[str]:
    return [item.item_id for item in items]


def _found(state: State, context: Context) -> list[str]:
    query = state.query(normalised(context.query)) if context.query else None
    return [] if query is None else [item.item_id for item in query.items]


def _similar(state: State, viewer: ViewerSignal | None) -> Iterator[str]:
    """Yield the most similar item of each, then the second of each, and so on."""
    if viewer is None:
        return iter(())
    liked = (action.item_id for action in viewer.recent if action.action not in DISLIKED)
    found = (state.similar_to(item_id) for item_id in islice(dict.fromkeys(liked), RECENT))
    lists = [_ids(similar.items) for similar in found if similar is not None]
    return _in_turn(lists)


def _near(state: State, viewer_id: str, count: int) -> Iterator[str]:
    return _in_turn([copy.nearest(viewer_id, count) for _, copy in state.factors.models()])


def _trending(state: State, viewer: ViewerSignal | None) -> Iterator[str]:
    liked = {} if viewer is None else viewer.affinity.category
    best = sorted(liked, key=lambda name: (-liked[name].h6, name))[:CATEGORIES]
    names = [*(f"category:{name}" for name in best if liked[name].h6 > 0.0), "all"]
    found = (state.trending_in(name) for name in names)
    return chain.from_iterable(_ids(trending.items) for trending in found if trending is not None)
