"""What items are doing: of the newest record of signals.items for each, what examples say of it.

Every worker of ingest holds this of every item, so it is little: the five rates as text, in 27
bytes or so, ready to be kept with each slate that shows the item. The text of a record is

    A ctr B coec C completion_rate D watch_ratio E velocity         A0.0312B1.12C0.3D0.556E1.7

each number rounded to three significant digits, as `streamapp.features.serving` has it; a capital
occurs in no name and no number, so a few replacements make JSON of a whole slate's at once.

**No record from the future.** While a backlog is worked off, signals.items is ahead of the slates:
it tells of what came after them. So a record that is as of more than a minute later than a slate
was shown is not used for it; a minute, because a slate takes time to arrive, and clocks differ.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streamapp.errors import Rejection
from streamapp.events import decoder
from streamapp.features.decay import MINUTE_MS
from streamapp.features.serving import ITEM_SIGNALS

AHEAD_MS = MINUTE_MS
"""How much later than a slate a record may be as of."""

BETWEEN = ";"
"""Between the texts of two slots of a slate."""

_UNKNOWN = (0, "")
_LETTERS = "ABCDE"
_FORM = "".join([letter + "%.3g" for letter in _LETTERS])
_EXPANDED = [
    (letter.encode(), b',"%b":' % name.encode())
    for letter, name in zip(_LETTERS, ITEM_SIGNALS, strict=True)
]


class _Part(msgspec.Struct, gc=False):
    """The fields of an `ItemSignal` that are needed; the others are not even read."""

    item_id: str
    as_of_ms: int
    ctr: float
    coec: float
    completion_rate: float
    watch_ratio: float
    velocity: float


_decode = decoder(_Part, "signals.items")


class ItemSignals:
    """A view of signals.items, shared by all tasks of a worker."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, str]] = {}
        self._newest_ms = -1

    def __len__(self) -> int:
        return len(self._known)

    def update(self, key: str, value: bytes | None) -> None:
        """Take one record; None deletes.

        Raises:
            Rejection: the record cannot be used; what was known before stays.
        """
        if value is None:
            self._known.pop(key, None)
            return
        part = _decode(value)
        if part.item_id != key:
            raise Rejection("key_mismatch", f"record key {key!r}, item_id {part.item_id!r}")
        rates = part.ctr, part.coec, part.completion_rate, part.watch_ratio, part.velocity
        self._known[key] = (part.as_of_ms, _FORM % rates)
        self._newest_ms = max(self._newest_ms, part.as_of_ms)

    def texts(self, item_ids: Iterable[str], shown_ms: int) -> str:
        """Return the texts of a slate's items, `;` between; nothing if none is known of any."""
        if not self._known:
            return ""
        get, until_ms = self._known.get, shown_ms + AHEAD_MS
        if self._newest_ms <= until_ms:
            joined = BETWEEN.join([get(item_id, _UNKNOWN)[1] for item_id in item_ids])
        else:
            found = [get(item_id, _UNKNOWN) for item_id in item_ids]
            joined = BETWEEN.join(
                [text if as_of_ms <= until_ms else "" for as_of_ms, text in found]
            )
        return joined if joined.strip(BETWEEN) else ""


def as_json(texts: str) -> list[bytes]:
    """Return the texts of a slate's items as members of JSON objects, after a comma each.

    >>> as_json(";A0.0312B1C0.3D0.5E1.7")
    [b'', b',"ctr":0.0312,"coec":1,"completion_rate":0.3,"watch_ratio":0.5,"velocity":1.7']
    """
    members = texts.encode()
    for letter, name in _EXPANDED:
        members = members.replace(letter, name)
    return members.split(BETWEEN.encode())
