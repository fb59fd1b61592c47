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

from streamapp.events import Click
from streamapp.features.decay import MINUTE_MS
from streamapp.features.steps import ShownStep

ATTRIBUTION_MS = 30 * MINUTE_MS
"""How far back a click without a request_id looks for its impression."""


class Slate(msgspec.Struct, gc=False, array_like=True):
    """A slate whose window is open, or that an older one of the viewer still needs.

    Attributes:
        key: digest of the impression's event id.
        clicked: slots that were clicked, by index.
        labelled: its examples have been given, or it gives none.
    """

    key: bytes
    shown: ShownStep
    clicked: tuple[int, ...] = ()
    labelled: bool = False

    def slot_of(self, click: Click) -> int | None:
        """Return which slot a click is on, None if it cannot be on this slate.

        An item shown twice is clicked at the position the click names, else at the top one.
        """
        age_ms = click.occurred_at_ms - self.shown.event.occurred_at_ms
        if age_ms < 0 or (click.request_id is None and age_ms > ATTRIBUTION_MS):
            return None
        places = [
            (slot.position != click.position, slot.position, index)
            for index, slot in enumerate(self.shown.event.items)
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
        shown_at = (slate.shown.event.occurred_at_ms, slate.key)  # the key, for slates of one time
        if shown_at > latest:
            slot = slate.slot_of(click)
            if slot is not None:
                best, latest = (slate, slot), shown_at
    return best
