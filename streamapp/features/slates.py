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

from typing import Final

from mypy_extensions import mypyc_attr

from streamapp.features.affinities import Affinities
from streamapp.features.decay import MINUTE_MS
from streamapp.features.steps import ShownStep

ATTRIBUTION_MS: Final = 30 * MINUTE_MS
"""How far back an event without a request_id looks for its impression."""

MAX_OPEN: Final = 500
"""Slates kept of a viewer, so that the row does not outgrow what brokers take. Nobody looks at
four a second for as long as a click is waited for."""

FEW: Final = 3
"""Slates that are looked through one by one."""


@mypyc_attr(acyclic=True)
class Slate:
    """A slate whose window is open, or that an older one of the viewer still needs.

    Attributes:
        key: digest of the impression's event id.
        item_ids: of its slots.
        time_ms, request_id: of the impression; `due_ms`: when its window closes.
        said: for each slot, what the catalog said of its item, as JSON; None if only the numbers of
            these texts are at hand.
        clicked: slots that were clicked, by index.
        labelled: its examples have been given, or it gives none.
        actions: other actions on slots: index of the slot, index of the action in `ACTIONS`.
        begun: slots of which a playback was begun, by index, with the key of the first one.
        as_of_ms: the viewer's newest event before it was shown, −1 if it was the first.
        categories, creators: the viewer's affinities as they were; None if features were served.
    """

    __slots__ = (
        "actions",
        "as_of_ms",
        "begun",
        "categories",
        "clicked",
        "creators",
        "due_ms",
        "item_ids",
        "key",
        "labelled",
        "request_id",
        "said",
        "shown",
        "time_ms",
    )

    def __init__(self, key: bytes, shown: ShownStep, item_ids: list[str]) -> None:
        event = shown.event
        self.key = key
        self.shown = shown
        self.item_ids = item_ids
        self.time_ms = event.occurred_at_ms
        self.request_id = event.request_id
        self.due_ms = shown.due_ms
        self.said: list[str] | None = None
        self.clicked: tuple[int, ...] = ()
        self.labelled = False
        self.actions: tuple[tuple[int, int], ...] = ()
        self.begun: tuple[tuple[int, bytes], ...] = ()
        self.as_of_ms = -1
        self.categories: Affinities | None = None
        self.creators: Affinities | None = None

    def slot_of(self, aim: Aim) -> int:
        """Return which slot an event is on, −1 if it cannot be on this slate.

        An item shown twice is clicked at the position the click names, else at the top one.
        """
        age_ms = aim.time_ms - self.time_ms
        if age_ms < 0 or (aim.request_id is None and age_ms > ATTRIBUTION_MS):
            return -1
        item_id, item_ids = aim.item_id, self.item_ids
        if item_id not in item_ids:
            return -1
        first = item_ids.index(item_id)
        if item_ids.count(item_id) == 1:
            return first
        slots, position = self.shown.event.items, aim.position
        ranked = [
            (slots[index].position != position, slots[index].position, index)
            for index in range(first, len(item_ids))
            if item_ids[index] == item_id
        ]
        return min(ranked)[2]

    def is_before(self, other: Slate) -> bool:
        """Return whether it comes before another: by time, by key if they are of one time."""
        if self.time_ms != other.time_ms:
            return self.time_ms < other.time_ms
        return self.key < other.key


@mypyc_attr(acyclic=True)
class Aim:
    """What an event says of the slate it belongs to; `position` is that of a click."""

    __slots__ = ("item_id", "position", "request_id", "time_ms")

    def __init__(
        self, item_id: str, time_ms: int, request_id: str | None, position: int | None = None
    ) -> None:
        self.item_id = item_id
        self.time_ms = time_ms
        self.request_id = request_id
        self.position = position


@mypyc_attr(acyclic=True)
class OpenSlates:
    """The slates of a viewer that are still needed, by request.

    Most viewers have one or two, and who looks for an item looks through them. Of a viewer with
    more than `FEW` it is also known which ones show an item, so that an event costs the same
    however many there are.
    """

    __slots__ = ("_by_item", "_by_request", "_held")

    def __init__(self) -> None:
        self._by_request: dict[str, list[Slate]] = {}
        self._by_item: dict[str, list[Slate]] | None = None
        self._held = 0

    def __len__(self) -> int:
        return self._held

    def all(self) -> list[Slate]:
        """Return the slates."""
        return [slate for slates in self._by_request.values() for slate in slates]

    def add(self, slate: Slate) -> None:
        """Keep a slate."""
        slates = self._by_request.get(slate.request_id)
        if slates is None:
            self._by_request[slate.request_id] = [slate]
        else:
            slates.append(slate)
        self._held += 1
        if self._by_item is not None:
            _index(self._by_item, slate)

    def drop(self, slate: Slate) -> None:
        """Forget a slate."""
        slates = self._by_request[slate.request_id]
        if len(slates) > 1:
            slates.remove(slate)
        else:
            del self._by_request[slate.request_id]
        self._held -= 1
        by_item = self._by_item
        if by_item is None:
            return
        if self._held < FEW:
            self._by_item = None
            return
        for item_id in slate.item_ids:
            showing = by_item.get(item_id)
            if showing is None or slate not in showing:
                continue  # it is shown twice
            if len(showing) > 1:
                showing.remove(slate)
            else:
                del by_item[item_id]

    def get(self, request_id: str, key: bytes) -> Slate | None:
        """Return a slate by its request and the digest of its event id."""
        slates = self._by_request.get(request_id)
        if slates is not None:
            for slate in slates:
                if slate.key == key:
                    return slate
        return None

    def attribute(self, aim: Aim) -> tuple[Slate, int] | None:
        """Return the slate an event belongs to, and which of its slots."""
        request_id = aim.request_id
        if request_id:
            slates = self._by_request.get(request_id)
            return None if slates is None else attribute(slates, aim)
        if self._held <= FEW:
            return attribute(self.all(), aim)
        by_item = self._by_item
        if by_item is None:
            by_item = self._by_item = {}
            for slate in self.all():
                _index(by_item, slate)
        showing = by_item.get(aim.item_id)
        if showing is None:
            return None
        for place in range(len(showing) - 1, -1, -1):
            slate = showing[place]
            if slate.time_ms <= aim.time_ms:
                slot = slate.slot_of(aim)  # what is older is out of reach if this is
                return None if slot < 0 else (slate, slot)
        return None


def _index(by_item: dict[str, list[Slate]], slate: Slate) -> None:
    """Add a slate to those that show each of its items, in order."""
    for item_id in slate.item_ids:
        showing = by_item.get(item_id)
        if showing is None:
            by_item[item_id] = [slate]
            continue
        place = len(showing)
        while place > 0 and slate.is_before(showing[place - 1]):
            place -= 1
        if place == 0 or showing[place - 1] is not slate:  # else it is shown twice
            showing.insert(place, slate)


def attribute(slates: list[Slate], aim: Aim) -> tuple[Slate, int] | None:
    """Return the slate an event belongs to, and which of its slots.

    Args:
        slates: of the event's request, or all of the viewer if it names none.
    """
    best: Slate | None = None
    best_slot = -1
    for slate in slates:
        if best is None or best.is_before(slate):
            slot = slate.slot_of(aim)
            if slot >= 0:
                best, best_slot = slate, slot
    return None if best is None else (best, best_slot)
