"""What a viewer, an item and a plain counter take in memory, and what an event costs among many.

Each function runs in a process of its own, that holds nothing else, and tells how far it is.

**Bytes** are the growth of the resident set, garbage collected, divided by how many were added;
what is held once (caches, the catalog, what a commit leaves behind) is there before. The first
viewers do all of their events, by turns and with commits, as they come in production: their figure
is that of a worker as it runs. A million of these would take half an hour; the others are copies,
object by object, of what is held of the first ones, under names of their own. All are at rest, as
nearly all of those held are at any time; what one takes who is up is told too, field by field.

**Cost** is processor time an event, decoding and commits included, of events of viewers (items)
drawn at random. Few and many are measured by turns, in one process, and of some rounds the least
counts: what else the machine does only adds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from random import Random
from typing import NamedTuple

from streamapp.collecting import COLLECT_AFTER
from streamapp.features.catalog import Catalog
from streamapp.features.parameters import Parameters
from streamapp.features.viewer import Viewer
from streamapp.processors.base import Cut, Processor
from streamapp.processors.items import Items, ItemsSettings
from streamapp.processors.viewers import Viewers
from streamapp.processors.viewers_settings import ViewersSettings
from tests.bench.memory import histories
from tests.bench.memory.histories import BEGIN_MS, DAY_MS, EVENTS, HIDES, MINUTE_MS, Sent
from tests.bench.memory.sizes import Part, copied, parts, resident_bytes
from tests.bench.progress import Told
from tests.bench.three_half_lives.streamapp_job import HalfLives, nothing_due

FEW = 10_000
WARM = 3_000
"""Held before anything is measured."""

TOGETHER = 1_000
"""Viewers who act by turns, and items touched between two commits."""

CUT_EVERY = 2_000
PROBE_EVENTS, PROBE_ROUNDS = 20_000, 4
SAMPLE = 1_000
ITEM_VIEWERS = 40
"""Enough for a sketch of full size."""

KEEP_RATE = 0.001
"""Of examples without a click: what leaves at once takes no memory, only time."""


class Held(NamedTuple):
    """What one of a kind takes, and what an event costs.

    Attributes:
        number: how many are held.
        size: bytes of one, by the growth of the process over all of these.
        by_events: of one that came by its events, where the others are copies of such.
        few, few_us, many_us: cost of an event among `few`, and among all.
        parts: by field, averages of some; empty where nothing is to be seen.
        up: the same of viewers who are not at rest.
        also: other figures by name, bytes.
    """

    number: int
    size: float
    by_events: float | None
    few: int
    few_us: float
    many_us: float
    parts: list[Part]
    also: dict[str, float]
    up: list[Part]


class Driven:
    """A processor fed as a task feeds it."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.stream_time_ms = 0
        self._since_cut = 0

    def send(self, topic: str, value: bytes) -> None:
        """Decode and process a record; cut when there is enough."""
        event = self.processor.decoder(topic)(value)
        self.advance(event.occurred_at_ms)
        self.processor.process(topic, event)
        self._since_cut += 1
        if self._since_cut >= CUT_EVERY:
            self.cut()

    def advance(self, stream_time_ms: int) -> None:
        """Move stream time on, never back."""
        if stream_time_ms > self.stream_time_ms:
            self.stream_time_ms = stream_time_ms
            self.processor.advance(stream_time_ms)

    def cut(self) -> None:
        """Take a cut, of which nothing is kept."""
        self._since_cut = 0
        cut = Cut(self.stream_time_ms, self.stream_time_ms)
        for _ in self.processor.cut(cut):
            pass

    def settle(self) -> None:
        """Let two hours pass: playbacks and slates close, and nothing is owed."""
        for _ in range(2):
            self.advance(self.stream_time_ms + 60 * MINUTE_MS)
            self.cut()

    def cost_us(self, records: Iterable[Sent]) -> float:
        """Return processor time an event."""
        sent = list(records)
        began = time.process_time()
        for topic, value in sent:
            self.send(topic, value)
        self.cut()
        took = time.process_time() - began
        self.settle()
        return took / len(sent) * 1e6


Records = Callable[[int, int, int], Iterator[Sent]]
"""Number of the round, how many are held, stream time → events of some of these at random."""


def _costs(few: Driven, many: Driven, number: int, records: Records) -> tuple[float, float]:
    """Return what an event costs among few and among many, by turns, the least of some rounds."""
    rounds = [
        (
            few.cost_us(records(n, FEW, few.stream_time_ms)),
            many.cost_us(records(n, number, many.stream_time_ms)),
        )
        for n in range(PROBE_ROUNDS)
    ]
    return min(cost for cost, _ in rounds), min(cost for _, cost in rounds)


def _as_in_a_worker() -> None:
    gc.set_threshold(*COLLECT_AFTER)


def viewers(number: int, told: Told) -> Held:
    """Measure viewers with a full history."""
    _as_in_a_worker()
    catalog = Catalog()
    for item in range(histories.CATALOG_ITEMS):
        catalog.update(histories.item_id(item), histories.catalog_record(item))
    settings = ViewersSettings(negative_keep_rate=KEEP_RATE, keep_out_bots=False)
    first, others = (Viewers(catalog, Parameters(), settings) for _ in range(2))
    few, many = Driven(first), Driven(others)
    _play(few, 0, WARM)
    told(0.05)
    before = resident_bytes()
    _play(few, WARM, FEW)
    told(0.25)
    by_events = (resident_bytes() - before) / (FEW - WARM)
    fields = parts(_sample(first))
    before = resident_bytes()
    _copy(first, others, number, told)
    size = (resident_bytes() - before) / number
    up = parts(_sample_up(first))
    few.settle()
    many.advance(few.stream_time_ms)
    few_us, many_us = _costs(few, many, number, _later)
    _fill_hidden(few)
    more = _hidden(parts(_sample_up(first))) - _hidden(up)
    also = {f"{HIDES} more items hidden, by their fields": more}
    return Held(number, size, by_events, FEW, few_us, many_us, fields, also, up)


def _play(driven: Driven, first: int, end: int) -> None:
    """Let viewers do their events, a thousand of them by turns in a day of their own."""
    for start in range(first, end, TOGETHER):
        begin_ms = driven.stream_time_ms or BEGIN_MS
        for step in range(EVENTS):
            for viewer in range(start, min(start + TOGETHER, end)):
                driven.send(*histories.event_of(viewer, step, begin_ms))
        driven.settle()


def _later(round_: int, number: int, now_ms: int) -> Iterator[Sent]:
    """Yield new events, later than all others, of viewers at random."""
    draw = Random(round_)
    for n in range(PROBE_EVENTS):
        viewer = draw.randrange(number)
        yield histories.later_event(viewer, round_ * PROBE_EVENTS + n, now_ms + n)


def _sample(processor: Viewers) -> list[Viewer]:
    return list(islice(processor._viewers, SAMPLE))


def _sample_up(processor: Viewers) -> list[Viewer]:
    sample = _sample(processor)
    for viewer in sample:
        processor._viewers.get(viewer.viewer_id)  # gets up by that
    return sample


def _copy(source: Viewers, target: Viewers, number: int, told: Told) -> None:
    """Hold copies of viewers, so many."""
    store, originals = target._viewers, list(source._viewers)
    for n in range(number):
        copy = copied(originals[n % len(originals)])
        copy.viewer_id = histories.viewer_id(n)
        store._viewers[copy.viewer_id] = copy
        store._expiry.add(copy.viewer_id, copy.newest_ms)
        if n % 10_000 == 0:
            told(0.25 + 0.7 * n / number)


def _fill_hidden(driven: Driven) -> None:
    """Fill the lists of hidden items of those that are looked at."""
    for hidden in range(HIDES):
        at_ms = driven.stream_time_ms + MINUTE_MS
        for viewer in range(SAMPLE):
            driven.send(*histories.hide_of(viewer, hidden, at_ms))
    driven.settle()


def _hidden(fields: list[Part]) -> float:
    return sum(part.size for part in fields if "hidden" in part.field)


def items(number: int, told: Told) -> Held:
    """Measure items, each with all of its counters and a full sketch of its viewers."""
    _as_in_a_worker()
    catalog = Catalog()
    before = resident_bytes()
    for item in range(number):
        catalog.update(histories.item_id(item), histories.catalog_record(item))
    of_catalog = (resident_bytes() - before) / number
    first, others = (Items(catalog, Parameters(), ItemsSettings()) for _ in range(2))
    few, many = Driven(first), Driven(others)

    def fill(driven: Driven, end: int) -> None:
        for item in range(end):
            at_ms = BEGIN_MS + DAY_MS * item // number
            driven.send("activity.items", histories.deltas(item, at_ms, ITEM_VIEWERS))
            if item % 10_000 == 0:
                told(0.05 + 0.9 * item / number)
        driven.settle()

    def later(round_: int, held: int, now_ms: int) -> Iterator[Sent]:
        draw = Random(round_)
        for n in range(PROBE_EVENTS):
            yield "activity.items", histories.deltas(draw.randrange(held), now_ms + n, viewers=3)

    fill(few, FEW)
    before = resident_bytes()
    fill(many, number)
    size = (resident_bytes() - before) / number
    fields = parts(islice(others._items.values(), SAMPLE))
    few_us, many_us = _costs(few, many, number, later)
    also = {"its record in the catalog, held once in a worker": of_catalog}
    return Held(number, size, None, FEW, few_us, many_us, fields, also, [])


def counters(number: int, told: Told) -> Held:
    """Measure the state of the job the engines are compared with: three counters an item."""
    _as_in_a_worker()
    jobs = HalfLives(), HalfLives()
    for job in jobs:
        job.advance = nothing_due  # nobody waits for its marks
    few, many = map(Driven, jobs)

    def sent(item: int, at_ms: int) -> Sent:
        return "", b'{"occurred_at_ms":%d,"item_id":"item-%07d"}' % (at_ms, item)

    def fill(driven: Driven, end: int) -> None:
        for item in range(end):
            driven.send(*sent(item, BEGIN_MS + item))
            if item % 50_000 == 0:
                told(item / number)
        driven.settle()

    def later(round_: int, held: int, now_ms: int) -> Iterator[Sent]:
        draw = Random(round_)
        return (sent(draw.randrange(held), now_ms + n) for n in range(PROBE_EVENTS))

    fill(few, FEW)
    before = resident_bytes()
    fill(many, number)
    size = (resident_bytes() - before) / number
    few_us, many_us = _costs(few, many, number, later)
    return Held(number, size, None, FEW, few_us, many_us, [], {}, [])
