r"""The last 50 actions of a viewer, newest first, by (occurred_at_ms, event_id).

They are kept as text that is nearly the JSON of signals.viewers already: for each action

    \x01 item_id  \x02…\x0b action  digits of occurred_at_ms

with the item id escaped as in JSON, where no control character is left to be confused with
these. A few replacements make it JSON (5 µs for 50 actions, against 8 µs from objects), and it
takes 1 KB where 50 objects take 10.
"""

from __future__ import annotations

import re
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

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(str).decode


class Action(NamedTuple):
    """One action; the first three fields are its place in the order."""

    occurred_at_ms: int
    event_id: str
    action: int  # index in ACTIONS
    item_id: str


class RecentActions(msgspec.Struct, gc=False, array_like=True):
    """The recent actions of a viewer.

    Attributes:
        held: how many there are.
        newest_ms: time of the newest one.
        actions: as above. ids: event id, escaped as in JSON, and a line end for each.
    """

    held: int = 0
    newest_ms: int = -1
    actions: bytes = b""
    ids: bytes = b""

    def add(self, entry: Action) -> None:
        """Take an action, unless 50 are newer."""
        if entry.occurred_at_ms <= self.newest_ms and not self._is_newest(entry):
            self._pack(sorted([*self.entries(), entry], reverse=True)[:MAX_RECENT])
            return
        self._push(entry)
        if self.held > MAX_RECENT:
            self.held = MAX_RECENT
            self.ids = self.ids[: self.ids.rfind(b"\n", 0, -1) + 1]
            self.actions = self.actions[: self.actions.rfind(_ITEM)]

    def _is_newest(self, entry: Action) -> bool:
        """Compare an action with the newest one when both are of one time."""
        return entry.occurred_at_ms == self.newest_ms and entry > next(self.entries())

    def _push(self, entry: Action) -> None:
        """Put an action before all others."""
        self.held += 1
        time_ms, event_id, action, item_id = entry
        self.newest_ms = time_ms
        item = _encode(item_id)[1:-1]
        self.actions = b"\x01%b%c%d%b" % (item, 2 + action, time_ms, self.actions)
        self.ids = b"%b\n%b" % (_encode(event_id)[1:-1], self.ids)

    def entries(self) -> Iterator[Action]:
        """Yield the actions, newest first."""
        ids = BytesIO(self.ids)
        for match, line in zip(_ENTRY.finditer(self.actions), ids, strict=True):
            item, code, digits = match.groups()
            yield Action(int(digits), _text(line[:-1]), code[0] - 2, _text(item))

    def _pack(self, entries: list[Action]) -> None:
        """Keep these, given newest first."""
        self.held, self.newest_ms, self.actions, self.ids = 0, -1, b"", b""
        for entry in reversed(entries):
            self._push(entry)

    def json(self) -> msgspec.Raw:
        """Return the list for signals.viewers, newest first, as JSON."""
        text = self.actions.replace(_ITEM, b'},{"item_id":"')
        for code, expanded in _EXPANDED.items():
            text = text.replace(code, expanded)
        return msgspec.Raw(b"[" + text[2:] + b"}]" if text else b"[]")

    def count(self, action: str) -> int:
        """Return how many of the recent actions are of a kind."""
        return self.actions.count(_CODES[action])

    def last_item(self, action: str) -> str | None:
        """Return the item of the newest action of a kind."""
        end = self.actions.find(_CODES[action])
        if end < 0:
            return None
        return _text(self.actions[self.actions.rfind(_ITEM, 0, end) + 1 : end])


def _text(escaped: bytes) -> str:
    return _decode(b'"%b"' % escaped)
