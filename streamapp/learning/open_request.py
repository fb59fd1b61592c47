"""The request whose labels are coming in, and what its clicks are to be compared with.

The labels of a request come one after the other, its slots that were clicked and (of those that
were not, a share) the others. They are gathered, and make pairs when the request is complete: when
a label of another request comes, or a second of stream time after its last one. So all pairs of a
request can be predicted before any of them is learned from.

What was clicked is compared with what else was shown in the request, and with a few items shown to
others of late; which ones follows from a hash of the request. So a request in which all that is
known was clicked says something too, and so do slates nobody clicks in: their items are drawn as
often as they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from mmh3 import hash as hash32

from streamapp.learning.factor_rows import CATEGORY, CREATOR
from streamapp.learning.pairs import Slot, place
from streamapp.signals import Example

MAX_SLOTS = 50
"""Slots of a request that are learned from, the first that come."""

QUIET_MS = 1_000
"""A request is complete when stream time is this far beyond its last label."""

RECENT = 256
"""Slots shown of late that are held."""

DRAWN = 3
"""How many of them a request is compared with."""


class OpenRequest(msgspec.Struct, array_like=True):
    """A request whose labels are coming in.

    Attributes:
        due_ms: stream time at which it is complete.
        at_ms: when its labels became known.
        slots: by item.
        clicked: items.
    """

    version: int
    viewer: str
    request: str
    due_ms: int
    at_ms: int
    slots: dict[str, Slot]
    clicked: list[str]

    @property
    def taken_ms(self) -> int:
        """Stream time of the last label taken."""
        return self.due_ms - QUIET_MS

    def holds(self, example: Example) -> bool:
        """Return whether an example is of this request."""
        return example.request_id == self.request and example.viewer_id == self.viewer

    def update(self, example: Example, stream_time_ms: int) -> None:
        """Take the label of one slot; an item shown twice was clicked if it was in either place."""
        self.due_ms = stream_time_ms + QUIET_MS
        self.at_ms = max(self.at_ms, example.labelled_at_ms)
        item, slots = example.item_id, self.slots
        if item not in slots:
            if len(slots) >= MAX_SLOTS:
                return
            of, where = example.features.get, place(example.surface, example.position)
            slots[item] = Slot(item, where, (of(CATEGORY), of(CREATOR)))
        if example.labels.clicked and item not in self.clicked:
            self.clicked.append(item)


def opened(example: Example) -> OpenRequest:
    """Return the request of an example, yet without its label."""
    return OpenRequest(1, example.viewer_id, example.request_id, 0, 0, {}, [])


class Compared(NamedTuple):
    """What was preferred to what in a request; no item is in both, and neither is empty."""

    preferred: list[Slot]
    passed: list[Slot]


def compared(request: OpenRequest, recent: Sequence[Slot]) -> Compared | None:
    """Return what a complete request says; None when that is nothing.

    Args:
        recent: slots shown of late.
    """
    if not request.clicked:
        return None
    clicked = set(request.clicked)
    preferred = [slot for item, slot in request.slots.items() if item in clicked]
    passed = [slot for item, slot in request.slots.items() if item not in clicked]
    passed += _drawn(request, recent)
    return Compared(preferred, passed) if passed else None


def _drawn(request: OpenRequest, recent: Sequence[Slot]) -> list[Slot]:
    if not recent:
        return []
    name = f"{request.viewer}/{request.request}"
    tries = (recent[hash32(name, seed, signed=False) % len(recent)] for seed in range(2 * DRAWN))
    others = {slot.item: slot for slot in tries if slot.item not in request.slots}
    return list(others.values())[:DRAWN]


class RecentSlots:
    """The slots shown last; the oldest is replaced."""

    def __init__(self) -> None:
        self.ring: list[Slot] = []
        self.next = 0

    def update(self, slots: Iterable[Slot]) -> None:
        """Take the slots of one request."""
        for slot in slots:
            if len(self.ring) < RECENT:
                self.ring.append(slot)
            else:
                self.ring[self.next] = slot
                self.next = (self.next + 1) % RECENT
