"""How old a published signal is: all roles running, events sent at a steady rate.

Every so many events one is followed: from the moment it was handed to the producer until a
committed record of its item, and one of its viewer, is as of its time or later. Meanwhile the
processor time of each worker, of the broker and of the benchmark itself is measured: they share
the machine, and a rate it does not bear is bound by the sum of them.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from streamapp.engine.roles import ROLES
from streamapp.settings import Settings
from tests.bench.cluster import Cluster, steady_producer
from tests.bench.mixed_traffic.ingest import EVENT_TOPICS, START_SECONDS
from tests.bench.mixed_traffic.meter import Meter
from tests.bench.mixed_traffic.traffic import BEGIN_MS, Mixed
from tests.bench.progress import Told
from tests.kafka.cluster import make_topics
from tests.kafka.workers import WorkerProcess

BENCH, BROKER = "this benchmark", "the broker"
SIGNALS = {"signals.items": b"item_id", "signals.viewers": b"viewer_id"}
EACH = 50
"""Of so many events one is followed."""


Prepared = tuple[int, str, bytes, bytes, bytes]
"""An event: ms after the start, topic, key, and the value before and after its time."""

PAUSE_SECONDS = 0.005
"""Events are sent together that would be less apart: each pause takes processor time."""

LAST_SECONDS = 5.0
"""After the last event, for its signals to come."""

_TIME = re.compile(rb'"occurred_at_ms":(\d+)')
_AS_OF = re.compile(rb'"as_of_ms":(\d+)')


@dataclass(frozen=True)
class Latency:
    """Milliseconds from an event to its signal, by topic; and events a second as sent.

    Attributes:
        unseen: followed events whose signal did not come.
        cpu_us: processor time an event, by process.
    """

    per_second: float
    samples: dict[str, list[float]]
    unseen: int
    cpu_us: dict[str, float]


class Watcher:
    """Reads the signals as they are committed and ends the waits of the events followed."""

    def __init__(self, settings: Settings) -> None:
        self.samples: dict[str, list[float]] = {topic: [] for topic in SIGNALS}
        self._waits: dict[tuple[str, bytes], list[tuple[int, float]]] = defaultdict(list)
        self._named = {settings.topic(topic): topic for topic in SIGNALS}
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "group.id": f"{settings.app_id}-watcher",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        # Without a group: to join one takes a busy broker longer than what is measured.
        self._consumer.assign(
            [TopicPartition(name, p, 0) for name in self._named for p in range(settings.partitions)]
        )
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def follow(self, topic: str, key: bytes, event_ms: int, sent: float) -> None:
        """Wait for a signal of this key that is as of `event_ms` or later."""
        with self._lock:
            self._waits[topic, key].append((event_ms, sent))

    @property
    def waiting(self) -> int:
        """Events whose signal has not come."""
        return sum(map(len, self._waits.values()))

    def end(self) -> None:
        """Stop reading."""
        self._ended.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            for message in self._consumer.consume(2_000, 0.02):
                topic = self._named[message.topic() or ""]
                key, value = message.key(), message.value()
                if key and value and (topic, key) in self._waits:
                    self._seen(topic, key, int(_AS_OF.search(value)[1]))  # type: ignore[index]

    def _seen(self, topic: str, key: bytes, as_of_ms: int) -> None:
        now = time.monotonic()
        with self._lock:
            waits = self._waits.pop((topic, key))
            self.samples[topic] += [1000 * (now - sent) for at, sent in waits if at <= as_of_ms]
            left = [wait for wait in waits if wait[0] > as_of_ms]
            if left:
                self._waits[topic, key] = left


def latency(  # one argument a thing to know
    settings: Settings,
    mixed: Mixed,
    settle: float,
    seconds: float,
    place: Path,
    broker: int | None,
    told: Told,
) -> Latency:
    """Run all roles, one worker each, and send the traffic at its rate for so long.

    Args:
        settle: seconds from the start of the load until it is followed: caches are warm then, the
            broker has compiled its code, groups have settled.
        seconds: for which it is followed.
        broker: process id of the broker, where it is on this machine.
    """
    prepared = list(_prepared(mixed))
    pids = {BENCH: os.getpid()} | ({BROKER: broker} if broker else {})
    asyncio.run(make_topics(settings))
    with ExitStack() as stack:
        cluster = Cluster(settings.bootstrap_servers, settings.partitions)
        cluster.send_all((settings.topic(t), key, value) for t, key, value in mixed.catalog())
        workers = [WorkerProcess(role, settings, place / role) for role in ROLES]
        for worker in workers:
            stack.enter_context(worker)
        for worker in workers:
            worker.until_running(settings.partitions, START_SECONDS)
            pids[worker.role] = worker.pid
        watcher = Watcher(settings)
        stack.callback(watcher.end)
        meter = Meter(pids)
        load = Load(settings, settle, settle + seconds, watcher, meter)
        sent, took = load.send(prepared, told)
        cpu_us = meter.stop(sent)
        time.sleep(LAST_SECONDS)
        return Latency(sent / took, watcher.samples, watcher.waiting, cpu_us)


@dataclass(frozen=True)
class Load:
    """How traffic is sent: followed from one second after the start to another.

    It was prepared before, so that sending it takes little of the machine that is measured.
    """

    settings: Settings
    begin: float
    end: float
    watcher: Watcher
    meter: Meter

    def send(self, prepared: Sequence[Prepared], told: Told) -> tuple[int, float]:
        """Send each event at its time, as of now; return how many in how many seconds."""
        producer = steady_producer(self.settings.bootstrap_servers)
        named = {topic: self.settings.topic(topic) for topic in EVENT_TOPICS}
        began, began_ms, number = time.monotonic(), int(time.time() * 1000), 0
        for number, (after_ms, topic, key, head, tail) in enumerate(prepared):
            at_s = after_ms / 1000
            ahead = at_s - (time.monotonic() - began)
            if ahead > PAUSE_SECONDS:
                producer.poll(0)
                told(at_s / self.end)
                time.sleep(ahead)
            if at_s >= self.end:
                break
            if at_s > self.begin and not self.meter.running:
                self.meter.start(number)
            event_ms = began_ms + after_ms
            value = b"%b%d%b" % (head, event_ms, tail)
            if number % EACH == 0 and self.meter.running:
                _follow(self.watcher, topic, key, value, event_ms)
            _hand_over(producer, named[topic], key, value)
        producer.flush()
        return number, time.monotonic() - began


def _hand_over(producer: Producer, topic: str, key: bytes, value: bytes) -> None:
    """Give an event to the producer; wait where the brokers are too busy to take more."""
    while True:
        try:
            producer.produce(topic, value, key)
        except BufferError:
            producer.poll(0.05)
        else:
            return


def _follow(watcher: Watcher, topic: str, key: bytes, value: bytes, event_ms: int) -> None:
    sent = time.monotonic()
    watcher.follow("signals.viewers", key, event_ms, sent)
    if topic != "events.impressions":
        item = value.partition(b'"item_id":"')[2].partition(b'"')[0]
        watcher.follow("signals.items", item, event_ms, sent)


def _prepared(mixed: Mixed) -> Iterator[Prepared]:
    for topic, key, value in mixed.records():
        found = _TIME.search(value)
        assert found is not None
        yield (
            int(found[1]) - BEGIN_MS,
            topic,
            key,
            value[: found.start(1)],
            value[found.end(1) :],
        )
