"""What a reader knows of items: a few numbers of each signal, and the catalog."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

from streamapp.errors import Rejection
from streamapp.events import CatalogItem, decoder
from streamapp.features.catalog import Catalog
from streamapp.reader.held_signal import HeldSignal, Published, held

_decode = decoder(Published, "signals.items")


class Items:
    """Signals of items without their counters, and the catalog.

    An item is *new* while it is active in the catalog and was shown less than `new_below` times.

    Args:
        capacity: signals held; of too many those updated the longest ago are forgotten.

    Attributes:
        catalog: what is known of items besides.
        forgotten: signals dropped because there were too many.
    """

    def __init__(self, capacity: int, new_below: float) -> None:
        self.catalog = Catalog()
        self.forgotten = 0
        self._capacity = capacity
        self._new_below = new_below
        # Oldest first; a plain dict finds its first slowly after deletions.
        self._signals: OrderedDict[str, HeldSignal] = OrderedDict()
        self._shown_enough: set[str] = set()
        self._new: dict[str, None] = {}

    def update(self, key: str, value: bytes | None) -> int | None:
        """Take a record of signals.items; None deletes. Return its `as_of_ms`.

        Raises:
            Rejection: the record cannot be used.
        """
        if value is None:
            self._drop(key)
            return None
        published = _decode(value)
        if published.item_id != key:
            raise Rejection("key_mismatch", f"record key {key!r}, item_id {published.item_id!r}")
        self._signals.pop(key, None)  # so that it comes last
        self._signals[key] = held(published)
        if published.counters.impressions.total >= self._new_below:
            self._shown_enough.add(key)
        self._note(key)
        if len(self._signals) > self._capacity:
            self._forget(next(iter(self._signals)))
        return published.as_of_ms

    def update_catalog(self, key: str, value: bytes | None) -> None:
        """Take a record of catalog.items; None deletes.

        Raises:
            Rejection: the record cannot be used.
        """
        self.catalog.update(key, value)
        if value is None and key not in self._signals:
            self._shown_enough.discard(key)
        self._note(key)

    def signal(self, item_id: str) -> HeldSignal | None:
        """Return the signal of an item, its counters left out."""
        return self._signals.get(item_id)

    def is_new(self, item_id: str) -> bool:
        """Tell whether an item is new."""
        return item_id in self._new

    def new(self, limit: int) -> list[str]:
        """Return items that are new, those that became so last first."""
        return list(islice(reversed(self._new), limit))

    def __len__(self) -> int:
        return len(self._signals)

    def _forget(self, key: str) -> None:
        """Forget a signal, but not that an item of the catalog has been shown enough."""
        if self.catalog.get(key) is None:
            self._drop(key)
        else:
            del self._signals[key]
        self.forgotten += 1

    def _drop(self, key: str) -> None:
        self._signals.pop(key, None)
        self._shown_enough.discard(key)
        self._note(key)

    def _note(self, key: str) -> None:
        """Put an item among the new ones, or take it away."""
        known = self.catalog.get(key)
        if known is None or known.status != "active" or key in self._shown_enough:
            self._new.pop(key, None)
        else:
            self._new.setdefault(key)


def is_active(item: CatalogItem | None, signal: HeldSignal | None, at_ms: int) -> bool:
    """Tell whether an item may be shown: neither hidden nor removed, and a stream while it runs.

    What neither the catalog nor a signal knows may be: it may be newer than both.
    """
    if item is None:
        return signal is None or signal.status in (None, "active")
    begun = item.starts_at_ms is None or item.starts_at_ms <= at_ms
    over = item.ends_at_ms is not None and item.ends_at_ms <= at_ms
    return item.status == "active" and begun and not over
