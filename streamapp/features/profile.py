"""The profile of a viewer: what signals.viewers says besides the recent actions.

=========== ======================================================================================
session     the newest one, see `streamapp.features.sessions`
seen        the last 100 items shown, by the newest time each was shown
hidden      the last 50 items hidden or reported, by the newest time
affinity    to categories and creators: decayed sums (6 h, 7 d) of the weights below
habits      when and how far the viewer watches, decayed with half-life 7 d
=========== ======================================================================================

**Affinity.** What a viewer does with an item counts for its category and its creator as the
catalog knows them when the event is processed; an item it does not know adds nothing. A playback
watched to the end counts once, at the time of its first heartbeat, when that becomes known.
Worked example: a click on drama 6 h ago and a like of it now are 6h: 1·2^(−1) + 3 = 3.5 and
7d: 1·2^(−1/28) + 3 ≈ 3.976. At most 20 categories and 20 creators are kept, see
`streamapp.features.named_sums` for which and what that costs.

**Habits.** `watched_ms_by_hour`: Σ of the growth of watched_ms, each at the event that brought it
and in its hour of the day (UTC); hours without any are left out. `watch_ratio`: (ratio_sum +
20·m)/(ratio_n + 20) over the viewer's closed playbacks of known duration, each min(watched /
duration, 3) and 1 at the time of the playback's first heartbeat; m from control.parameters
`prior/watch_ratio`, shipped 0.5. Worked example: 90 s watched at 20:59 seven days ago and 60 s at
20:10 today are {"20": 105000}; one closed playback, watched to 0.8 seven days ago, gives (0.4 +
10)/(0.5 + 20) ≈ 0.507.

All of it is a function of the set of events, whatever their order, and bounded in size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from streamapp.features.catalog import Catalog
from streamapp.features.decay import HOUR_MS
from streamapp.features.latest import Change, HiddenItems, LatestItems, SeenItems
from streamapp.features.named_sums import Categories, Creators, Hours, NamedSums, Ratios
from streamapp.features.playbacks import Amounts
from streamapp.features.rates import shrunk

WEIGHTS = {
    "click": 1.0,
    "like": 3.0,
    "follow": 3.0,
    "share": 4.0,
    "add_to_cart": 4.0,
    "purchase": 6.0,
    "complete": 2.0,
    "hide": -4.0,
    "report": -6.0,
}
"""What an action, or a playback watched to the end (`complete`), adds to affinities."""

_HIDES = ("hide", "report")

_Part = LatestItems | NamedSums


class Profile(msgspec.Struct, gc=False):
    """One viewer's profile; what there is nothing of yet takes no memory.

    Attributes:
        sessions: packed, see `streamapp.features.sessions`; kept in the viewer's head row.
    """

    sessions: bytes = b""
    seen: SeenItems | None = None
    hidden: HiddenItems | None = None
    categories: Categories | None = None
    creators: Creators | None = None
    hours: Hours | None = None
    ratios: Ratios | None = None

    def show(self, time_ms: int, item_ids: Iterable[str]) -> list[Change]:
        """Take items that were shown; return what changes by it in the changelog."""
        if self.seen is None:
            self.seen = SeenItems()
        return self.seen.add(time_ms, item_ids)

    def act(self, action: str, item_id: str, time_ms: int, catalog: Catalog) -> list[Change]:
        """Take what was done with an item: a key of `WEIGHTS`."""
        changes: list[Change] = []
        if action in _HIDES:
            if self.hidden is None:
                self.hidden = HiddenItems()
            changes += self.hidden.add(time_ms, (item_id,))
        item = catalog.get(item_id)
        if item is None:
            return changes
        weight = WEIGHTS[action]
        if item.category is not None:
            if self.categories is None:
                self.categories = Categories()
            changes += self.categories.add(item.category, time_ms, weight)
        if item.creator_id is not None:
            if self.creators is None:
                self.creators = Creators()
            changes += self.creators.add(item.creator_id, time_ms, weight)
        return changes

    def watch(self, time_ms: int, grown_ms: int) -> list[Change]:
        """Take time watched, at the event that brought it."""
        if self.hours is None:
            self.hours = Hours()
        return self.hours.add(str(time_ms // HOUR_MS % 24), time_ms, float(grown_ms))

    def close(self, start_ms: int, amounts: Amounts) -> list[Change]:
        """Take what a playback counts for at its start: of this, ratio_sum and ratio_n."""
        changes: list[Change] = []
        for counter, amount in amounts:
            if counter in ("ratio_sum", "ratio_n"):
                if self.ratios is None:
                    self.ratios = Ratios()
                changes += self.ratios.add(counter, start_ms, amount)
        return changes

    def restore(self, kind: bytes, part: bytes, value: bytes | None) -> None:
        """Take one row back."""
        name, make = _PARTS[kind]
        known = getattr(self, name)
        if known is None:
            if value is None:
                return
            known = make()
            setattr(self, name, known)
        known.restore(part, value)

    def row_keys(self) -> Iterator[bytes]:
        """Yield kind and part of the keys of all rows."""
        for name, _ in _PARTS.values():
            known: _Part | None = getattr(self, name)
            if known is not None:
                yield from known.keys()

    def affinity_json(self, time_ms: int) -> msgspec.Raw:
        """Return the affinities at a time, for signals.viewers."""
        categories, creators = self.categories, self.creators
        return msgspec.Raw(
            b'{"category":%b,"creator":%b}'
            % (
                b"{}" if categories is None else categories.json(time_ms),
                b"{}" if creators is None else creators.json(time_ms),
            )
        )

    def hours_json(self, time_ms: int) -> msgspec.Raw:
        """Return the time watched by hour of the day at a time, for signals.viewers."""
        return msgspec.Raw(b"{}" if self.hours is None else self.hours.json(time_ms))

    def watch_ratio(self, time_ms: int, prior: float) -> float:
        """Return how much of a playback the viewer watches on average, at a time."""
        if self.ratios is None:
            return prior
        ratios = self.ratios
        return shrunk(ratios.get("ratio_sum", time_ms), ratios.get("ratio_n", time_ms), prior)

    def seen_json(self) -> msgspec.Raw:
        """Return the items seen, for signals.viewers."""
        return _NONE if self.seen is None else self.seen.json()

    def hidden_json(self) -> msgspec.Raw:
        """Return the items hidden, for signals.viewers."""
        return _NONE if self.hidden is None else self.hidden.json()


_NONE = msgspec.Raw(b"[]")
_PARTS: dict[bytes, tuple[str, type[_Part]]] = {
    SeenItems.KIND: ("seen", SeenItems),
    HiddenItems.KIND: ("hidden", HiddenItems),
    Categories.KIND: ("categories", Categories),
    Creators.KIND: ("creators", Creators),
    Hours.KIND: ("hours", Hours),
    Ratios.KIND: ("ratios", Ratios),
}

PART_BYTES = dict.fromkeys(_PARTS, 8)
"""Kinds of rows a profile is kept in, and the bytes of the part in their keys."""
