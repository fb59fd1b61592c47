r"""The items something happened to last: those shown to a viewer, those the viewer hid.

An item counts at the newest time it happened. Kept are the `limit` items with the newest times,
newest first, of one time by item id:

    shown at 10 s: a b     at 20 s: c a     →  a c (20 s), b (10 s)

Which items these are is a function of the set of events, in whatever order they arrive: an item's
time only grows, so one that was pushed out by `limit` newer ones stays out until it happens anew.

They are kept as text that is nearly the JSON list of signals.viewers: for each time

    \x02 and 12 control characters, the time; then `,"item_id"` for each item

with the ids escaped as in JSON, where neither a control character nor `,"` is left. Taking the
control characters out makes it JSON. A hundred items in slates of ten are 1.7 KB, with a checksum
of two bytes for each beside the text: a search through these says fast that an item is new.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar
from zlib import crc32

import msgspec

Change = tuple[bytes, bytes | None]
"""What has changed in the changelog: kind and part of a row's key, and the row, None to delete."""

_ROW_VERSION = 1
_MARK = 2
_NEXT = b',"'
_QUOTE = ord('"')
_HEADER = 13
_DIGITS = b"0123456789abcdef"
_TIMES = bytes(range(16, 32))
_TO_TIME = bytes.maketrans(_DIGITS, _TIMES)
_FROM_TIME = bytes.maketrans(_TIMES, _DIGITS)
_CONTROLS = bytes(range(32))
PART_BYTES = 8

_encode = msgspec.json.Encoder().encode


class _GroupRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The items of one time; the time is in the row's key."""

    version: int
    items: tuple[str, ...]


_decode_row = msgspec.json.Decoder(_GroupRow).decode
_decode_items = msgspec.json.Decoder(list[str]).decode


class LatestItems(msgspec.Struct, gc=False):
    """The latest items of one kind; a subclass says how many.

    Attributes:
        held: how many there are.
        newest_ms: the newest time.
        text: as above.
        sums: a checksum of each item, one character, in the order of the text.
    """

    KIND: ClassVar[bytes]  # of the rows
    LIMIT: ClassVar[int]

    held: int = 0
    newest_ms: int = -1
    text: bytes = b""
    sums: str = ""

    def add(self, time_ms: int, item_ids: Iterable[str]) -> list[Change]:
        """Take items it happened to at a time; return what changes by it in the changelog."""
        items = sorted(set(item_ids))[: self.LIMIT]
        if not items:
            return []
        if time_ms <= self.newest_ms:
            return self._add_late(time_ms, items)
        raw = b"," + _encode(items)[1:-1]
        changes: list[Change] = [(self._key(time_ms), _row(items))]
        sums = ""
        for entry in raw.split(_NEXT)[1:]:
            checksum = _checksum(entry)
            if checksum in self.sums:
                self._take_out(_NEXT + entry, changes)
            sums += checksum
        self.sums = sums + self.sums
        self.text = _header(time_ms) + raw + self.text
        self.newest_ms = time_ms
        self.held += len(items)
        if self.held > self.LIMIT:
            self._trim(changes)
        return changes

    def _take_out(self, entry: bytes, changes: list[Change]) -> None:
        """Drop an item if it is there, and its time if it was the last one of it."""
        text = self.text
        at = text.find(entry)
        if at < 0:
            return
        index, end = text.count(_NEXT, 0, at), at + len(entry)
        if text[at - 1] != _QUOTE and (end == len(text) or text[end] == _MARK):
            at -= _HEADER
            changes.append((self._key(_time_of(text[at : at + _HEADER])), None))
        self.held -= 1
        self.text = text[:at] + text[end:]
        self.sums = self.sums[:index] + self.sums[index + 1 :]

    def _trim(self, changes: list[Change]) -> None:
        """Drop the oldest items that are too many."""
        text = self.text
        at = len(text)
        for _ in range(self.held - self.LIMIT):
            at = text.rfind(_NEXT, 0, at)
        if text[at - 1] != _QUOTE:  # a time goes with all its items
            at -= _HEADER
        gone = text[at:].split(b"\x02")[1:]
        changes += [(self._key(_time_of(b"\x02" + group)), None) for group in gone]
        self.text, self.held = text[:at], self.LIMIT
        self.sums = self.sums[: self.LIMIT]

    def _key(self, time_ms: int) -> bytes:
        return self.KIND + time_ms.to_bytes(PART_BYTES, "big")

    def _add_late(self, time_ms: int, items: list[str]) -> list[Change]:
        before = self._groups()
        groups = dict(before)
        groups[time_ms] = [*groups.get(time_ms, []), *items]
        self._keep(groups)
        after = self._groups()
        changes: list[Change] = [(self._key(t), None) for t in before if t not in after]
        if after.get(time_ms) != before.get(time_ms):
            changes.append((self._key(time_ms), _row(after[time_ms])))
        return changes

    def _groups(self) -> dict[int, list[str]]:
        """Return the items by time, newest first."""
        groups = (part for part in self.text.split(b"\x02") if part)
        return {
            _time_of(b"\x02" + group): _decode_items(b"[%b]" % group[_HEADER:]) for group in groups
        }

    def _keep(self, groups: dict[int, list[str]]) -> None:
        """Keep of these what belongs here."""
        newest: dict[str, int] = {}
        for time_ms, items in groups.items():
            for item in items:
                newest[item] = max(time_ms, newest.get(item, time_ms))
        kept = sorted(newest, key=lambda item: (-newest[item], item))[: self.LIMIT]
        by_time: dict[int, list[str]] = {}
        for item in kept:
            by_time.setdefault(newest[item], []).append(item)
        self.held, self.newest_ms = len(kept), max(by_time, default=-1)
        self.text = b"".join(
            [_header(at) + b"," + _encode(items)[1:-1] for at, items in by_time.items()]
        )
        self.sums = "".join([_checksum(_encode(item)[1:]) for item in kept])

    def restore(self, part: bytes, row: bytes | None) -> None:
        """Take a row back from the changelog.

        A row may still name items that have gone since: they go again when all rows are in.
        """
        time_ms = int.from_bytes(part, "big")
        if _header(time_ms) in self.text:
            groups = self._groups()
            del groups[time_ms]
            self._keep(groups)
        if row is not None:
            self.add(time_ms, _decode_row(row).items)

    def keys(self) -> list[bytes]:
        """Return kind and part of the keys of all rows."""
        return [self._key(time_ms) for time_ms in self._groups()]

    def json(self) -> msgspec.Raw:
        """Return the list for signals.viewers, newest first, as JSON."""
        return msgspec.Raw(b"[%b]" % self.text.translate(None, _CONTROLS)[1:])


class SeenItems(LatestItems, gc=False):
    """Items shown to a viewer of late."""

    KIND = b"v"
    LIMIT = 100


class HiddenItems(LatestItems, gc=False):
    """Items a viewer hid or reported."""

    KIND = b"x"
    LIMIT = 50


def _header(time_ms: int) -> bytes:
    return b"\x02" + (b"%012x" % time_ms).translate(_TO_TIME)


def _time_of(header: bytes) -> int:
    return int(header[1:_HEADER].translate(_FROM_TIME), 16)


def _checksum(entry: bytes) -> str:
    """Return one character for an item, given as it is in the text, without its first quote."""
    return chr(crc32(entry) & 0xFFFF)


def _row(items: Iterable[str]) -> bytes:
    return _encode(_GroupRow(_ROW_VERSION, tuple(items)))
