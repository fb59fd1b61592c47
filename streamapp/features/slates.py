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

from bisect import insort
from collections.abc import Iterable, Iterator
from typing import ClassVar

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
        item_id, slots = event.item_id, self.shown.event.items
        places = [index for index, slot in enumerate(slots) if slot.item_id == item_id]
        if len(places) > 1:
            position = event.position if isinstance(event, Click) else None
            places.sort(
                key=lambda index: (slots[index].position != position, slots[index].position)
            )
        return places[0] if places else None


class OpenSlates:
    """The slates of a viewer that are still needed, by request.

    Most viewers have one or two, and who looks for an item looks through them. Of a viewer with
    more than `FEW` it is also known which ones show an item, so that an event costs the same
    however many there are.
    """

    __slots__ = ("_by_item", "_by_request", "_held")

    FEW: ClassVar[int] = 3

    def __init__(self, slates: Iterable[Slate] = ()) -> None:
        self._by_request: dict[str, tuple[Slate, ...]] = {}
        self._by_item: dict[str, list[Slate]] | None = None
        self._held = 0
        for slate in slates:
            self.add(slate)

    def __len__(self) -> int:
        return self._held

    def __iter__(self) -> Iterator[Slate]:
        for slates in self._by_request.values():
            yield from slates

    def add(self, slate: Slate) -> None:
        """Keep a slate."""
        request_id = slate.shown.event.request_id
        self._by_request[request_id] = (*self._by_request.get(request_id, ()), slate)
        self._held += 1
        if self._by_item is not None:
            _index(self._by_item, slate)

    def drop(self, slate: Slate) -> None:
        """Forget a slate."""
        event = slate.shown.event
        others = tuple([each for each in self._by_request[event.request_id] if each is not slate])
        if others:
            self._by_request[event.request_id] = others
        else:
            del self._by_request[event.request_id]
        self._held -= 1
        by_item = self._by_item
        if by_item is None:
            return
        if self._held < self.FEW:
            self._by_item = None
            return
        for item_id in {slot.item_id for slot in event.items}:
            showing = by_item[item_id]
            if len(showing) > 1:
                showing.remove(slate)
            else:
                del by_item[item_id]

    def get(self, request_id: str, key: bytes) -> Slate | None:
        """Return a slate by its request and the digest of its event id."""
        for slate in self._by_request.get(request_id, ()):
            if slate.key == key:
                return slate
        return None

    def attribute(self, event: Click | Watch) -> tuple[Slate, int] | None:
        """Return the slate an event belongs to, and which of its slots."""
        request_id = event.request_id
        if request_id:
            return attribute(self._by_request.get(request_id, ()), event)
        if self._held <= self.FEW:
            return attribute(self, event)
        if self._by_item is None:
            self._by_item = {}
            for slate in self:
                _index(self._by_item, slate)
        for slate in reversed(self._by_item.get(event.item_id, ())):
            if slate.shown.event.occurred_at_ms <= event.occurred_at_ms:
                slot = slate.slot_of(event)  # what is older is out of reach if this is
                return None if slot is None else (slate, slot)
        return None


def _index(by_item: dict[str, list[Slate]], slate: Slate) -> None:
    """Add a slate to those that show each of its items, in order."""
    for item_id in {slot.item_id for slot in slate.shown.event.items}:
        showing = by_item.get(item_id)
        if showing is None:
            by_item[item_id] = [slate]
        elif _order(slate) > _order(showing[-1]):
            showing.append(slate)
        else:  # it came late
            insort(showing, slate, key=_order)


def _order(slate: Slate) -> tuple[int, bytes]:
    """Return what slates are ordered by: time, and the key for those of one time."""
    return slate.shown.event.occurred_at_ms, slate.key


def attribute(slates: Iterable[Slate], event: Click | Watch) -> tuple[Slate, int] | None:
    """Return the slate an event belongs to, and which of its slots.

    Args:
        slates: of the event's request, or all of the viewer if it names none.
    """
    best: tuple[Slate, int] | None = None
    latest = (-1, b"")
    for slate in slates:
        shown_at = _order(slate)
        if shown_at > latest:
            slot = slate.slot_of(event)
            if slot is not None:
                best, latest = (slate, slot), shown_at
    return best
