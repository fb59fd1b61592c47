"""Plays events through viewers, items and queries without Kafka: any cuts, any kills.

A kill loses what was not cut: the processor is restored from its changelog rows and takes the
events since the last cut again, as the engine would do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from streamapp.features.catalog import Catalog
from streamapp.features.item_signals import ItemSignals
from streamapp.features.parameters import Parameters
from streamapp.processors.base import Cut, Processor, Row
from streamapp.processors.items import Items, ItemsSettings
from streamapp.processors.queries import Queries, QueriesSettings
from streamapp.processors.viewers import Viewers
from streamapp.processors.viewers_settings import ViewersSettings
from tests.oracles.items import Event

Compact = Callable[[list[Row]], Iterable[Row]]

CUT_AT = 1_800_000_000_000


def whole(rows: list[Row]) -> Iterable[Row]:
    """Return a changelog as it was written."""
    return rows


def compacted(rows: list[Row]) -> Iterable[Row]:
    """Return a changelog with the last row of each key, in order, deletions gone."""
    last = {key: i for i, (key, _) in enumerate(rows)}
    return [row for i, row in enumerate(rows) if last[row[0]] == i and row[1] is not None]


def half_compacted(rows: list[Row]) -> Iterable[Row]:
    """Return a changelog whose first half has been compacted, its deletions kept."""
    half = rows[: len(rows) // 2]
    last = {key: i for i, (key, _) in enumerate(half)}
    return [row for i, row in enumerate(half) if last[row[0]] == i] + rows[len(half) :]


class Stage:
    """One processor with its changelog and its stream time."""

    def __init__(self, build: Callable[[], Processor], partition: int = 0) -> None:
        self.partition = partition
        self.build = build
        self.processor = build()
        self.log: list[Row] = []
        self.stream_time_ms = 0
        self.cut_time_ms = 0
        self.since_cut: list[tuple[str, bytes]] = []

    def send(self, topic: str, value: bytes) -> None:
        """Process one record."""
        self.since_cut.append((topic, value))
        event = self.processor.decoder(topic)(value)
        if event.occurred_at_ms > self.stream_time_ms:
            self.stream_time_ms = event.occurred_at_ms
            self.processor.advance(self.stream_time_ms)
        self.processor.process(topic, event)

    def advance(self, stream_time_ms: int) -> None:
        """Move stream time on, as when all inputs are quiet."""
        self.stream_time_ms = stream_time_ms
        self.processor.advance(stream_time_ms)

    def cut(self) -> Cut:
        """Take a cut and keep its rows."""
        cut = Cut(self.stream_time_ms, CUT_AT, partition=self.partition)
        self.log += self.processor.cut(cut)
        self.cut_time_ms = self.stream_time_ms
        self.since_cut.clear()
        return cut

    def kill(self, compact: Compact = whole) -> None:
        """Lose what is in memory, restore it, and take again what was not cut."""
        lost = list(self.since_cut)
        self.since_cut.clear()
        self.processor = self.build()
        self.stream_time_ms = self.cut_time_ms
        self.processor.restore(compact(self.log))
        self.processor.ready()
        self.processor.advance(self.stream_time_ms)
        for topic, value in lost:
            self.send(topic, value)


class Pipeline:
    """viewers → items and queries, with everything they emit; viewers know signals.items.

    Attributes:
        emitted: records by topic, in order: key and value.
    """

    def __init__(
        self,
        viewers: ViewersSettings | None = None,
        items: ItemsSettings | None = None,
        queries: QueriesSettings | None = None,
    ) -> None:
        self.catalog = Catalog()
        self.parameters = Parameters()
        self.item_signals = ItemSignals()
        viewers = viewers or ViewersSettings()
        items = items or ItemsSettings()
        self.viewers = Stage(
            lambda: Viewers(self.catalog, self.parameters, viewers, self.item_signals)
        )
        self.items = Stage(lambda: Items(self.catalog, self.parameters, items))
        searched = queries or QueriesSettings()
        self.queries = Stage(lambda: Queries(self.parameters, searched))
        self.emitted: dict[str, list[tuple[str, bytes | None]]] = {}

    def catalog_item(self, item_id: str, **fields: Any) -> None:
        """Write a record of catalog.items."""
        self.broadcast("catalog.items", item_id, {"item_id": item_id, **fields})

    def parameter(self, name: str, valid_from_ms: int, value: Any) -> None:
        """Write a record of control.parameters."""
        record = {"name": name, "valid_from_ms": valid_from_ms, "value": value}
        self.broadcast("control.parameters", name, record)

    def broadcast(self, topic: str, key: str, record: dict[str, Any] | None) -> None:
        """Write a broadcast record; None deletes."""
        value = None if record is None else msgspec.json.encode(record)
        view = self.catalog if topic == "catalog.items" else self.parameters
        if view.update(key, value):
            self.viewers.processor.follow(topic, key)
            self.items.processor.follow(topic, key)
            self.queries.processor.follow(topic, key)

    def play(self, events: Iterable[Event], cuts: Sequence[int] = ()) -> None:
        """Process events, with a cut after those of the given numbers, and one at the end."""
        for number, (topic, event) in enumerate(events):
            self.viewers.send(topic, msgspec.json.encode(event))
            if number in cuts:
                self.cut()
        self.cut()

    def advance(self, stream_time_ms: int) -> None:
        """Move stream time of all processors on, and cut."""
        self.viewers.advance(stream_time_ms)
        self.items.advance(stream_time_ms)
        self.queries.advance(stream_time_ms)
        self.cut()

    def cut(self) -> None:
        """Cut the viewers, hand their deltas on, and cut those who take them."""
        for topic, records in self.viewers.cut().outputs.items():
            for key, value, _ in records:
                self._emit(topic, key, value)
                if topic == "activity.items":
                    assert value is not None
                    self.items.send(topic, value)
                elif topic == "activity.queries":
                    assert value is not None
                    self.queries.send(topic, value)
        for stage in (self.items, self.queries):
            for topic, records in stage.cut().outputs.items():
                for key, value, _ in records:
                    self._emit(topic, key, value)

    def _emit(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        assert key is not None
        self.emitted.setdefault(topic, []).append((key.decode(), value))
        if topic == "signals.items":
            self.item_signals.update(key.decode(), value)

    def records(self, topic: str) -> list[Any]:
        """Return all records of an output topic as parsed JSON, None for a deletion."""
        return [
            None if value is None else msgspec.json.decode(value)
            for _, value in self.emitted.get(topic, [])
        ]

    def last(self, topic: str) -> dict[str, Any]:
        """Return the last record of each key; a deleted key is gone."""
        last = dict(self.emitted.get(topic, []))
        return {k: msgspec.json.decode(v) for k, v in last.items() if v is not None}
