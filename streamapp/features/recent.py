r"""The last 50 actions of a viewer, newest first, by (occurred_at_ms, event_id).

They are kept as text that is nearly the JSON of signals.viewers already: for each action

    \x01 item_id  \x02…\x0b action  digits of occurred_at_ms

with the item id escaped as in JSON, where no control character is left to be confused with
these. A few replacements make it JSON (5 µs for 50 actions, against 8 µs from objects), and it
takes 1 KB where 50 objects take 10.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

import msgspec

MAX_RECENT = 50

ACTIONS = (
    "click",
    "like",
    "share",
    "follow",
    "add_to_cart",
    "purchase",
    "hide",
    "report",
    "watch",
    "complete",
)
"""Actions a viewer is remembered by. Of one event, `watch` comes before `complete`."""

_ITEM = b"\x01"
_CODES = {action: bytes([2 + index]) for index, action in enumerate(ACTIONS)}
_EXPANDED = {
    code: b'","action":"' + action.encode() + b'","occurred_at_ms":'
    for action, code in _CODES.items()
}
_ENTRY = re.compile(rb"\x01([^\x01-\x1f]*)([\x02-\x0b])([0-9]+)")
_FIRST_SLOT = ord("0")
_BYTES, _ALL_CODES = bytes(range(256)), b"".join(_CODES.values())
_SEPARATED = bytes.maketrans(_ALL_CODES, _ITEM * len(ACTIONS))
_INDEXED = bytes.maketrans(_ALL_CODES, _BYTES[: len(ACTIONS)])
_NO_CODES = _BYTES.translate(None, _ALL_CODES)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(str).decode


class Action(NamedTuple):
    """One action; the first three fields are its place in the order."""

    occurred_at_ms: int
    event_id: str
    action: int  # index in ACTIONS
    item_id: str


class RecentActions(msgspec.Struct, gc=False):
    """The recent actions of a viewer.

    Each has a slot, a number below 50 that names its row in the changelog: an action takes the
    slot of the one it pushes out, so a row is written and none is deleted.

    Attributes:
        held: how many there are.
        newest_ms: time of the newest one.
        actions: as above. ids: slot (a character), event id and a line end for each.
    """

    held: int = 0
    newest_ms: int = -1
    actions: bytes = b""
    ids: bytes = b""

    def add(self, entry: Action) -> int | None:
        """Take an action; return its slot, or None if 50 are newer."""
        slot = self.held
        if entry.occurred_at_ms <= self.newest_ms and not self._is_newest(entry):
            return self._add_late(entry)
        if slot == MAX_RECENT:
            slot = self.ids[self._last()] - _FIRST_SLOT
            self._drop_last()
        self._push(slot, entry)
        return slot

    def _is_newest(self, entry: Action) -> bool:
        """Compare an action with the newest one when both are of one time."""
        if entry.occurred_at_ms < self.newest_ms:
            return False
        newest, _ = next(self._read())
        return entry > newest

    def _add_late(self, entry: Action) -> int | None:
        entries = [*self._entries(), (entry, self.held)]
        entries.sort(reverse=True)
        if len(entries) > MAX_RECENT:
            oldest, slot = entries.pop()
            if oldest is entry:
                return None
            entries = [(known, slot if known is entry else at) for known, at in entries]
        self._pack(entries)
        return next(at for known, at in entries if known is entry)

    def put(self, slot: int, entry: Action) -> None:
        """Put an action into a slot; what was there goes."""
        mark = b"%c" % (_FIRST_SLOT + slot)
        if self.ids and self.ids[self._last()] == mark[0]:
            self._drop_last()
        elif b"\n" + mark in b"\n" + self.ids:
            self.remove(slot)
        if entry.occurred_at_ms > self.newest_ms:
            self._push(slot, entry)
        else:
            self._pack(sorted([*self._entries(), (entry, slot)], reverse=True))

    def remove(self, slot: int) -> None:
        """Drop the action in a slot."""
        self._pack([(known, at) for known, at in self._entries() if at != slot])

    def _push(self, slot: int, entry: Action) -> None:
        """Put an action before all others."""
        self.held += 1
        self.newest_ms = entry.occurred_at_ms
        item, code = _encode(entry.item_id)[1:-1], 2 + entry.action
        self.actions = b"\x01%b%c%d%b" % (item, code, entry.occurred_at_ms, self.actions)
        event_id = _encode(entry.event_id)[1:-1]
        self.ids = b"%c%b\n%b" % (_FIRST_SLOT + slot, event_id, self.ids)

    def _last(self) -> int:
        """Return where the oldest action begins in `ids`."""
        return self.ids.rfind(b"\n", 0, -1) + 1

    def _drop_last(self) -> None:
        self.held -= 1
        self.ids = self.ids[: self._last()]
        self.actions = self.actions[: self.actions.rfind(_ITEM)]

    def _entries(self) -> list[tuple[Action, int]]:
        """Return the actions and their slots, newest first."""
        return list(self._read())

    def _read(self) -> Iterator[tuple[Action, int]]:
        ids = BytesIO(self.ids)
        for match, line in zip(_ENTRY.finditer(self.actions), ids, strict=True):
            item, code, digits = match.groups()
            action = Action(int(digits), _text(line[1:-1]), code[0] - 2, _text(item))
            yield action, line[0] - _FIRST_SLOT

    def _pack(self, entries: list[tuple[Action, int]]) -> None:
        """Keep these, given newest first."""
        self.held, self.newest_ms, self.actions, self.ids = 0, -1, b"", b""
        for entry, slot in reversed(entries):
            self._push(slot, entry)

    def json(self) -> msgspec.Raw:
        """Return the list for signals.viewers, newest first, as JSON."""
        text = self.actions.replace(_ITEM, b'},{"item_id":"')
        for code, expanded in _EXPANDED.items():
            text = text.replace(code, expanded)
        return msgspec.Raw(b"[" + text[2:] + b"}]" if text else b"[]")

    def since(self, time_ms: int) -> list[tuple[int, int, bytes]]:
        """Return the actions from a time on, newest first: time, index in ACTIONS, item.

        The item is as it is kept: enough to tell whether two are the same; `item_of` reads it.
        """
        _, *parts = self.actions.translate(_SEPARATED).split(_ITEM)
        items, digits = parts[::2], parts[1::2]
        count = bisect_right(digits, -time_ms, key=_backwards)
        actions = self.actions.translate(_INDEXED, _NO_CODES)
        return list(zip(map(int, digits[:count]), actions, items, strict=False))

    def count(self, action: str) -> int:
        """Return how many of the recent actions are of a kind."""
        return self.actions.count(_CODES[action])

    def last_item(self, action: str) -> str | None:
        """Return the item of the newest action of a kind."""
        end = self.actions.find(_CODES[action])
        if end < 0:
            return None
        return _text(self.actions[self.actions.rfind(_ITEM, 0, end) + 1 : end])


def _backwards(digits: bytes) -> int:
    return -int(digits)


def item_of(kept: bytes) -> str:
    """Return the item id of an action as `RecentActions.since` gives it.

    >>> item_of(b"i1")
    'i1'
    """
    return _text(kept)


def _text(escaped: bytes) -> str:
    return _decode(b'"%b"' % escaped)
