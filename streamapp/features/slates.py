"""Slates shown to a viewer, and the clicks that belong to them.

::

    served            click                    served + window
      │─────────────────│────────────────────────────┊──▶ stream time
      features frozen   label of its slot          all examples of the slate at once,
      (point in time)   is set                     clicked and not

A click belongs to the viewer's latest slate that showed the item before it: with a request_id
among the slates of that request, without one among those of the last 30 min. It labels the
example unless stream time, and so the click, is past the slate's window. A slate is therefore
kept as long as an older one might still be open: for the longest window of any surface.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streamapp.events import Click, Impression
from streamapp.features.catalog import Catalog
from streamapp.features.decay import MINUTE_MS
from streamapp.features.recent import RecentActions

ATTRIBUTION_MS = 30 * MINUTE_MS
"""How far back a click without a request_id looks for its impression."""

_ROW_VERSION = 1

_encode = msgspec.json.Encoder().encode


class Shown(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A slate as it was shown, and what was known then; also its row in the changelog.

    Attributes:
        due_ms: when its window closes.
        last_category: of the item the viewer had clicked last.
        clicks, watches, completes: among the viewer's last 50 actions.
        features: for each slot, what the catalog said of its item, as a JSON object.
    """

    version: int
    impression: Impression
    due_ms: int
    last_category: str | None
    clicks: int
    watches: int
    completes: int
    features: tuple[msgspec.Raw, ...]

    @property
    def request_id(self) -> str:
        """Which request the slate answered."""
        return self.impression.request_id

    @property
    def served_ms(self) -> int:
        """When it was shown."""
        return self.impression.occurred_at_ms

    def row(self) -> bytes:
        """Return the changelog row."""
        return _encode(self)


class _StateRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What may change about a slate, in the changelog."""

    version: int
    clicked: tuple[int, ...]
    labelled: bool


_decode = msgspec.json.Decoder(Shown).decode
_decode_state = msgspec.json.Decoder(_StateRow).decode


class Slate(msgspec.Struct, gc=False):
    """A slate whose window is open, or that an older one of the viewer still needs.

    Attributes:
        key: digest of the impression's event id.
        clicked: slots that were clicked, by index.
        labelled: its examples have been given, or it gives none.
    """

    key: bytes
    shown: Shown
    clicked: tuple[int, ...] = ()
    labelled: bool = False

    @classmethod
    def from_row(cls, key: bytes, row: bytes) -> Slate:
        """Return the slate of a changelog row."""
        return cls(key, _decode(row))

    def state(self) -> bytes:
        """Return what may change, as a changelog row."""
        return _encode(_StateRow(_ROW_VERSION, self.clicked, self.labelled))

    def restore(self, state: bytes) -> None:
        """Take back what `state` returned."""
        row = _decode_state(state)
        self.clicked, self.labelled = row.clicked, row.labelled

    def slot_of(self, click: Click) -> int | None:
        """Return which slot a click is on, None if it cannot be on this slate.

        An item shown twice is clicked at the position the click names, else at the top one.
        """
        age_ms = click.occurred_at_ms - self.shown.served_ms
        if age_ms < 0 or (click.request_id is None and age_ms > ATTRIBUTION_MS):
            return None
        places = [
            (slot.position != click.position, slot.position, index)
            for index, slot in enumerate(self.shown.impression.items)
            if slot.item_id == click.item_id
        ]
        return min(places)[-1] if places else None


def attribute(slates: Iterable[Slate], click: Click) -> tuple[Slate, int] | None:
    """Return the slate a click belongs to, and which of its slots.

    Args:
        slates: of the click's request, or all of the viewer if it names none.
    """
    best: tuple[Slate, int] | None = None
    latest = (-1, b"")
    for slate in slates:
        shown_at = (slate.shown.served_ms, slate.key)  # the key, for slates of one time
        if shown_at > latest:
            slot = slate.slot_of(click)
            if slot is not None:
                best, latest = (slate, slot), shown_at
    return best


def open_slate(
    key: bytes, impression: Impression, window_ms: int, recent: RecentActions, catalog: Catalog
) -> Slate:
    """Freeze what is known now of an impression, its viewer and its items."""
    shown = Shown(
        _ROW_VERSION,
        impression,
        impression.occurred_at_ms + window_ms,
        _last_category(recent, catalog),
        recent.count("click"),
        recent.count("watch"),
        recent.count("complete"),
        catalog.features([slot.item_id for slot in impression.items]),
    )
    return Slate(key, shown)


def _last_category(recent: RecentActions, catalog: Catalog) -> str | None:
    item_id = recent.last_item("click")
    item = None if item_id is None else catalog.get(item_id)
    return None if item is None else item.category
