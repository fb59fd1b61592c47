"""Slates shown to a viewer, and the actions and playbacks that belong to them.

::

    served            click                    served + window
      │─────────────────│────────────────────────────┊──▶ stream time
      features frozen   label of its slot          all examples of the slate at once,
      (point in time)   is set                     clicked and not

An action belongs to the viewer's latest slate that showed the item before it: with a request_id
among the slates of that request, without one among those of the last 30 min. It labels the
example unless stream time, and so the action, is past the slate's window. A slate is therefore
kept as long as an older one might still be open: for the longest window of any surface.

The beginning of a playback belongs to a slate just so. What comes of it is another example, see
`streamapp.features.completions`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streamapp.events import Click, Watch
from streamapp.features.affinities import Affinities
from streamapp.features.decay import MINUTE_MS
from streamapp.features.steps import ShownStep

ATTRIBUTION_MS = 30 * MINUTE_MS
"""How far back an event without a request_id looks for its impression."""


class Slate(msgspec.Struct, gc=False, array_like=True):
    """A slate whose window is open, or that an older one of the viewer still needs.

    Attributes:
        key: digest of the impression's event id.
        clicked: slots that were clicked, by index.
        labelled: its examples have been given, or it gives none.
        actions: other actions on slots: index of the slot, index of the action in `ACTIONS`.
        begun: slots of which a playback was begun, by index, with the key of the first one.
        as_of_ms: the viewer's newest event before it was shown, −1 if it was the first.
        categories, creators: the viewer's affinities as they were; None if features were served.
    """

    key: bytes
    shown: ShownStep
    clicked: tuple[int, ...] = ()
    labelled: bool = False
    actions: tuple[tuple[int, int], ...] = ()
    begun: tuple[tuple[int, bytes], ...] = ()
    as_of_ms: int = -1
    categories: Affinities | None = None
    creators: Affinities | None = None

    def slot_of(self, event: Click | Watch) -> int | None:
        """Return which slot an event is on, None if it cannot be on this slate.

        An item shown twice is clicked at the position the click names, else at the top one.
        """
        age_ms = event.occurred_at_ms - self.shown.event.occurred_at_ms
        if age_ms < 0 or (event.request_id is None and age_ms > ATTRIBUTION_MS):
            return None
        position = event.position if isinstance(event, Click) else None
        places = [
            (slot.position != position, slot.position, index)
            for index, slot in enumerate(self.shown.event.items)
            if slot.item_id == event.item_id
        ]
        return min(places)[-1] if places else None


def attribute(slates: Iterable[Slate], event: Click | Watch) -> tuple[Slate, int] | None:
    """Return the slate an event belongs to, and which of its slots.

    Args:
        slates: of the event's request, or all of the viewer if it names none.
    """
    best: tuple[Slate, int] | None = None
    latest = (-1, b"")
    for slate in slates:
        shown_at = (slate.shown.event.occurred_at_ms, slate.key)  # the key, for slates of one time
        if shown_at > latest:
            slot = slate.slot_of(event)
            if slot is not None:
                best, latest = (slate, slot), shown_at
    return best
