"""How long it takes from a label to a reader that scores with what it taught.

```
 example sent ──▶ training.examples ──▶ learner: turn ends, weights change ──▶ reader: applied
 label closed     ten at a time         once a second, then a commit           in one step
 |◀──────────────────────────────── measured ──────────────────────────────────────────▶|
```

The learn role is a worker of its own, the reader is here, as in a ranking service; between them is
a real Kafka. A slate's ten examples get their labels and are sent together, at the moment they are
labelled; one of each slate is followed until the champion that the reader holds is as of its label
or later.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from re import search

import msgspec

from streamapp.reader import Reader
from streamapp.settings import Settings
from streamapp.signals import Example
from tests.bench.cluster import steady_producer
from tests.bench.learner.examples import SLATE, Shown
from tests.bench.process import cpu_s
from tests.bench.progress import Told
from tests.bench.weights.followed import Followed
from tests.kafka.cluster import make_topics, until
from tests.kafka.workers import WorkerProcess

TOPIC = "training.examples"
SEGMENT = "all"
LOOK_SECONDS = 0.005
"""From one look at the reader's champion to the next: what is measured may be too much by it."""

START_SECONDS = 60.0
SETTLE_SECONDS = 10.0
"""From the first champion until examples are followed: the guard has examples to judge by."""

LAST_SECONDS = 5.0
"""After the last example, for its weights to come."""

_UNDONE = r"examples undone at (\d+)"


@dataclass(frozen=True)
class Freshness:
    """What was measured.

    Attributes:
        seen_ms: from a label until the reader scores with its weights, of the examples followed.
        cut_ms: of these, until the learner's cut that took them out.
        undone: examples followed whose turn the guard undid.
        unseen: examples followed that no version came for.
        per_second: examples sent.
        versions: of the champion that the reader applied while examples were followed.
        weights: records of models.weights that it read for them.
        learner_us: processor time of the worker, by example.
    """

    seen_ms: list[int]
    cut_ms: list[int]
    undone: int
    unseen: int
    per_second: float
    versions: int
    weights: int
    learner_us: float


class Sender(threading.Thread):
    """Sends slates of examples at a steady rate, labelled now, and has one of each followed.

    Attributes:
        sent: examples so far.
    """

    def __init__(self, settings: Settings, shown: Shown, rate: float, followed: Followed) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.following = threading.Event()
        self._ended = threading.Event()
        self._followed = followed
        self._shown, self._rate = shown, rate
        self._topic = settings.topic(TOPIC)
        self._producer = steady_producer(settings.bootstrap_servers)

    def run(self) -> None:
        """Send until told to end."""
        began = time.monotonic()
        for slate in _slates(self._shown.examples()):
            ahead = began + self.sent / self._rate - time.monotonic()
            if self._ended.wait(max(ahead, 0.0)):
                break
            self._send(slate)
        self._producer.flush()

    def _send(self, slate: list[Example]) -> None:
        now_ms = _now_ms()
        if self.following.is_set():
            self._followed.follow(now_ms)
        for example in slate:
            value = msgspec.json.encode(_labelled(example, now_ms))
            self._producer.produce(self._topic, value, example.segment.encode())
        self._producer.poll(0)
        self.sent += len(slate)

    def end(self) -> None:
        """Send no more, and wait until all has been sent."""
        self._ended.set()
        self.join()


def _slates(examples: Iterator[Example]) -> Iterator[list[Example]]:
    while True:
        yield list(islice(examples, SLATE))


def _labelled(example: Example, now_ms: int) -> Example:
    ago = example.labelled_at_ms - example.served_at_ms
    return msgspec.structs.replace(
        example,
        served_at_ms=now_ms - ago,
        labelled_at_ms=now_ms,
        as_of_ms=now_ms,
        computed_at_ms=now_ms,
    )


class Watcher:
    """Looks at what the reader scores with."""

    def __init__(self, reader: Reader, followed: Followed) -> None:
        self._state = reader.state
        self._followed = followed

    async def has_champion(self) -> bool:
        """Tell whether the reader has a model to score with."""
        return "click" in self._state.champions(SEGMENT)

    def epoch(self) -> int:
        """Return the epoch of the champion."""
        return self._state.champions(SEGMENT)["click"].epoch

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        version = self._state.champions(SEGMENT)["click"].version
        copy = self._state.weights.get(version.model)
        assert copy is not None
        assert copy.close is not None
        self._followed.apply(copy.close.as_of_ms, copy.close.computed_at_ms, _now_ms())
        undone = search(_UNDONE, version.reason or "")
        if undone:
            self._followed.undo(int(undone[1]))


async def freshness(
    settings: Settings, shown: Shown, rate: float, seconds: float, place: Path, told: Told
) -> Freshness:
    """Run a learn worker and a reader, and follow examples for so many seconds."""
    await make_topics(settings)
    with WorkerProcess("learn", settings, place) as worker:
        await asyncio.to_thread(worker.until_running, settings.partitions, START_SECONDS)
        async with Reader(settings) as reader:
            await asyncio.wait_for(reader.ready(), START_SECONDS)
            followed = Followed()
            sender = Sender(settings, shown, rate, followed)
            sender.start()
            try:
                return await _follow(worker, reader, sender, followed, seconds, told)
            finally:
                await asyncio.to_thread(sender.end)


async def _follow(  # one argument each that takes part
    worker: WorkerProcess,
    reader: Reader,
    sender: Sender,
    followed: Followed,
    seconds: float,
    told: Told,
) -> Freshness:
    watcher = Watcher(reader, followed)
    await until(watcher.has_champion, "a champion", START_SECONDS)
    await asyncio.sleep(SETTLE_SECONDS)
    before = sender.sent, watcher.epoch(), _read(reader), cpu_s(worker.pid), time.monotonic()
    sender.following.set()
    watching = asyncio.create_task(watcher.watch())
    for second in range(int(seconds)):
        told(second / seconds)
        await asyncio.sleep(1.0)
    sender.following.clear()
    after = sender.sent, watcher.epoch(), _read(reader), cpu_s(worker.pid), time.monotonic()
    await asyncio.sleep(LAST_SECONDS)
    watching.cancel()
    sent, epochs, read, spent, took = (a - b for a, b in zip(after, before, strict=True))
    return Freshness(
        followed.seen_ms,
        followed.cut_ms,
        followed.undone,
        len(followed),
        sent / took,
        int(epochs),
        int(read),
        1e6 * spent / sent,
    )


def _read(reader: Reader) -> int:
    return reader.state.freshness(0)["models.weights"].records


def _now_ms() -> int:
    return int(time.time() * 1000)
