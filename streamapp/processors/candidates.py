"""candidates: what to show next; so far what is trending, overall, by category and live.

::

    activity.trending ──▶ newest report of each partition of the items ──▶ candidates.trending
    catalog.items     ──▶ what is not active is on no list ───────────────▶

A list is made as at the full minute, `SETTLE_MS` of stream time after it: what the partitions
reported of that minute has come by then. It is sent when a report has come since the last one, or
when silence or the catalog has changed what is on it; a list that becomes empty is deleted. An
item that is hidden, removed, deleted or moved to another category leaves at once, and the next
best takes its place.

Kept for each list: the newest report of each partition, and what was sent last. What is exact,
and the formula, say `streamapp.features.trending`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

import msgspec

from streamapp.events import decoder
from streamapp.features.catalog import Catalog
from streamapp.features.trending import EVERY_MS, LIST_ITEMS, Report, lists_of, score
from streamapp.processors.base import Cut, Row
from streamapp.signals import Candidate, TrendingItem, TrendingList, TrendingReport

REPORTS = "activity.trending"
TRENDING = "candidates.trending"
CATALOG = "catalog.items"

SETTLE_MS = 5_000
"""Stream time after a full minute in which its reports arrive."""

_ROW_VERSION = 1
_MINUTE = b"m"
"""Changelog key of the minute that lists were made of last."""

_encode = msgspec.json.Encoder().encode
_decode_report = decoder(TrendingReport, REPORTS)


class _ReportRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The newest report of one partition in the changelog."""

    version: int
    as_of_ms: int
    items: list[TrendingItem]


class _ListRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A list in the changelog, as it was sent last."""

    version: int
    as_of_ms: int
    news: bool
    sent: list[str]


_read_report = msgspec.json.Decoder(_ReportRow).decode
_read_list = msgspec.json.Decoder(_ListRow).decode
_read_minute = msgspec.json.Decoder(tuple[int, int]).decode


class _List:
    """One list.

    Attributes:
        as_of_ms: of the newest report, and of what was sent last if that is later.
        sent: the items of what was sent last.
        news: a report has come since.
        reports: by partition of the items.
    """

    __slots__ = ("as_of_ms", "news", "reports", "sent")

    def __init__(self) -> None:
        self.as_of_ms = 0
        self.news = False
        self.sent: list[str] = []
        self.reports: dict[int, Report] = {}


class Candidates:
    """The processor of the lists that one partition owns.

    Args:
        size: items in a list.
    """

    name: ClassVar[str] = "candidates"
    inputs: ClassVar[tuple[str, ...]] = (REPORTS,)

    def __init__(self, catalog: Catalog, size: int = LIST_ITEMS) -> None:
        self._catalog = catalog
        self._size = size
        self._lists: dict[str, _List] = {}
        self._stream_time_ms = 0
        self._minute: int | None = None
        self._minute_kept: int | None = None
        self._made: list[tuple[str, int, list[Candidate]]] = []
        self._changed: dict[str, None] = {}
        self._reported: dict[tuple[str, int], None] = {}

    def decoder(self, topic: str) -> Callable[[bytes], TrendingReport]:  # noqa: ARG002  # one input
        """Return what decodes one report."""
        return _decode_report

    def process(self, topic: str, event: TrendingReport) -> None:  # noqa: ARG002  # one input
        """Put a report in the place of the former one of its partition."""
        name = event.name
        known = self._lists.get(name)
        if known is None:
            if not event.items:
                return
            known = self._lists[name] = _List()
        if event.items:
            known.reports[event.source] = Report(name, event.as_of_ms, event.items)
        else:
            known.reports.pop(event.source, None)
        known.news = True
        known.as_of_ms = max(known.as_of_ms, event.as_of_ms)
        self._changed[name] = self._reported[name, event.source] = None

    def advance(self, stream_time_ms: int) -> None:
        """Make the lists of the newest full minute whose reports have come.

        That is told by the stream time before this one: where it leaps ahead, what is reported
        on the way has not come yet.
        """
        if not self._stream_time_ms < stream_time_ms:
            return
        minute = (self._stream_time_ms - SETTLE_MS) // EVERY_MS
        if self._stream_time_ms and self._minute != minute:
            self._minute = minute
            for name in sorted(self._lists):
                self._remake(name, minute * EVERY_MS)
        self._stream_time_ms = stream_time_ms

    def _remake(self, name: str, mark_ms: int) -> None:
        """Make a list as at a mark, and drop the reports that silence has emptied."""
        known = self._lists[name]
        self._make(name, known, mark_ms)
        for source, report in list(known.reports.items()):
            if all(score(item, report.as_of_ms, mark_ms) <= 1.0 for item in report.items):
                del known.reports[source]
                self._reported[name, source] = None
        if not known.reports:
            del self._lists[name]
            self._changed[name] = None

    def _make(self, name: str, known: _List, at_ms: int) -> None:
        """Send a list if it has changed."""
        at_ms = max(at_ms, known.as_of_ms)
        best = self._best(name, known, at_ms)
        sent = [candidate.item_id for candidate in best]
        if sent != known.sent or (known.news and sent):
            known.as_of_ms, known.sent = at_ms, sent
            self._made.append((name, at_ms, best))
            self._changed[name] = None
        if known.news:
            known.news = False
            self._changed[name] = None

    def _best(self, name: str, known: _List, at_ms: int) -> list[Candidate]:
        scored = [
            (-reached, item.item_id)
            for report in known.reports.values()
            for item in report.items
            if (reached := score(item, report.as_of_ms, at_ms)) > 1.0
            and name in lists_of(self._catalog.get(item.item_id))
        ]
        return [Candidate(item_id, -lost) for lost, item_id in sorted(scored)[: self._size]]

    def follow(self, topic: str, key: str) -> None:
        """Take an item off the lists it may be on no more."""
        if topic == CATALOG:
            allowed = lists_of(self._catalog.get(key))
            on = [name for name, known in self._lists.items() if key in known.sent]
            for name in sorted(on):
                if name not in allowed:
                    self._make(name, self._lists[name], self._lists[name].as_of_ms)

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Send the lists that were made, and write the rows that changed."""
        made, self._made = self._made, []
        for name, as_of_ms, items in made:
            value = _encode(TrendingList(name, as_of_ms, cut.computed_at_ms, items))
            cut.emit(TRENDING, name, value if items else None)
        changed, self._changed = self._changed, {}
        reported, self._reported = self._reported, {}
        rows = [(b"l%b" % name.encode(), self._list_row(name)) for name in changed]
        rows += [
            (b"r%d:%b" % (source, name.encode()), self._report_row(name, source))
            for name, source in reported
        ]
        if (rows or self._lists) and self._minute_kept != self._minute:
            rows.append((_MINUTE, _encode((_ROW_VERSION, self._minute))))
            self._minute_kept = self._minute
        return rows

    def _list_row(self, name: str) -> bytes | None:
        known = self._lists.get(name)
        if known is None:
            return None
        return _encode(_ListRow(_ROW_VERSION, known.as_of_ms, known.news, known.sent))

    def _report_row(self, name: str, source: int) -> bytes | None:
        known = self._lists.get(name)
        report = known.reports.get(source) if known else None
        if report is None:
            return None
        return _encode(_ReportRow(_ROW_VERSION, report.as_of_ms, report.items))

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog."""
        for key, value in rows:
            if key == _MINUTE:
                self._minute = self._minute_kept = _read_minute(value)[1] if value else None
            elif key[:1] == b"l":
                self._restore_list(key[1:].decode(), value)
            else:
                source, _, name = key[1:].decode().partition(":")
                self._restore_report(name, int(source), value)

    def _restore_list(self, name: str, value: bytes | None) -> None:
        known = self._lists.setdefault(name, _List())
        row = _ListRow(_ROW_VERSION, 0, news=False, sent=[]) if value is None else _read_list(value)
        known.as_of_ms, known.news, known.sent = row.as_of_ms, row.news, row.sent

    def _restore_report(self, name: str, source: int, value: bytes | None) -> None:
        known = self._lists.setdefault(name, _List())
        if value is None:
            known.reports.pop(source, None)
        else:
            row = _read_report(value)
            known.reports[source] = Report(name, row.as_of_ms, row.items)

    def ready(self) -> None:
        """Take off what the catalog took away while this partition was down."""
        self._lists = {
            name: known
            for name, known in sorted(self._lists.items())
            if known.reports or known.sent or known.news
        }
        for name, known in self._lists.items():
            catalog = self._catalog
            if any(name not in lists_of(catalog.get(item_id)) for item_id in known.sent):
                self._make(name, known, known.as_of_ms)

    @property
    def rows(self) -> int:
        """Lists held."""
        return len(self._lists)
