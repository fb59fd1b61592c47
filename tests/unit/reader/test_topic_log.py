"""How topics are read: to the end, on from there, and again where versions do not fit."""

from __future__ import annotations

from collections import defaultdict
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition

from streamapp import kafka
from streamapp.errors import BrokersUnavailable
from streamapp.reader import topic_log
from streamapp.reader.state import WEIGHTS, State
from streamapp.reader.topic_log import TopicLog
from streamapp.settings import Settings
from tests.unit.reader.worlds import Author, Sent, catalog_item, item_signal

SETTINGS = Settings(topic_prefix="p.")


class Stored(NamedTuple):
    offset: int
    key: bytes
    value: bytes | None


class Broker:
    """Topics of one partition each, as a consumer sees them; offsets below `gone` were cleaned."""

    def __init__(self) -> None:
        self.logs: defaultdict[str, list[Stored]] = defaultdict(list)
        self.now_ms = 1_000_000
        self.answered_ms = self.now_ms
        self.failing = False

    def write(self, *records: Sent) -> None:
        for record in records:
            log = self.logs["p." + record.topic]
            log.append(Stored(len(log), record.key.encode(), record.value))

    def clean(self, topic: str, offset: int) -> None:
        log = self.logs["p." + topic]
        log[:] = [record for record in log if record.offset != offset]


class Consumer:
    """Stands for aiokafka's: one that gives a record at a time."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.at: dict[TopicPartition, int] = {}

    def assign(self, tps: list[TopicPartition]) -> None:
        self.at = dict.fromkeys(tps, -1)

    def assignment(self) -> set[TopicPartition]:
        return set(self.at)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.at[tp] = offset

    async def seek_to_beginning(self, *tps: TopicPartition) -> None:
        self.at.update(dict.fromkeys(tps, 0))

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._end(tp) for tp in tps}

    def _end(self, tp: TopicPartition) -> int:
        log = self.broker.logs[tp.topic]
        return log[-1].offset + 1 if log else 0

    async def position(self, tp: TopicPartition) -> int:
        return self.at[tp]

    def last_stable_offset(self, tp: TopicPartition) -> int:
        return self._end(tp)

    def last_poll_timestamp(self, tp: TopicPartition) -> int:
        assert tp in self.at
        return self.broker.answered_ms

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        assert timeout_ms > 0 < max_records
        if self.broker.failing:
            raise BrokersUnavailable("away")
        for tp, offset in self.at.items():
            for record in self.broker.logs[tp.topic]:
                if record.offset >= offset:
                    self.at[tp] = record.offset + 1
                    return {tp: [record]}
        return {}


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()

    @asynccontextmanager
    async def reader(settings: Settings) -> Any:
        assert settings is SETTINGS
        yield Consumer(made)

    async def partition_counts(settings: Settings, topics: list[str]) -> dict[str, int]:
        assert settings is SETTINGS
        return dict.fromkeys(topics, 1)

    monkeypatch.setattr(kafka, "reader", reader)
    monkeypatch.setattr(kafka, "partition_counts", partition_counts)
    monkeypatch.setattr(topic_log, "_now_ms", lambda: made.now_ms)
    monkeypatch.setattr(topic_log, "LOOK_SECONDS", 0.0)
    return made


async def steps(following: Any, count: int) -> None:
    for _ in range(count):
        await anext(following)


async def test_it_is_ready_when_it_has_read_what_was_there_at_the_beginning(broker):
    broker.write(item_signal("a"), item_signal("b"), catalog_item("a"))
    state = State()
    log = TopicLog(SETTINGS, state)
    following = log.follow()
    await steps(following, 2)
    assert not log.ready.is_set()
    await steps(following, 1)
    assert log.ready.is_set()
    assert len(state.items) == 2
    broker.write(item_signal("c"), item_signal("d"))
    await steps(following, 1)
    assert log.behind()["signals.items"] == 1
    await steps(following, 1)
    assert log.behind()["signals.items"] == 0
    assert len(state.items) == 4
    await following.aclose()


@pytest.mark.usefixtures("broker")
async def test_topics_without_a_record_need_no_reading():
    log = TopicLog(SETTINGS, State())
    following = log.follow()
    await steps(following, 1)
    assert log.ready.is_set()
    await following.aclose()


async def test_after_a_failure_it_goes_on_where_it_was(broker):
    broker.write(item_signal("a"), item_signal("b"))
    state = State()
    log = TopicLog(SETTINGS, state)
    following = log.follow()
    await steps(following, 1)
    broker.failing = True
    with pytest.raises(BrokersUnavailable):
        await steps(following, 1)
    broker.failing = False
    following = log.follow()
    await steps(following, 2)
    assert log.connections == 2
    assert log.ready.is_set()
    assert state.freshness(0)["signals.items"].records == 2
    await following.aclose()


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(broker):
    broker.write(item_signal("a"), item_signal("b"), catalog_item("a"))
    state = State()
    log = TopicLog(SETTINGS, state)
    following = log.follow()
    await steps(following, 3)
    await following.aclose()
    broker.logs.pop("p.signals.items")
    broker.write(item_signal("z"))
    following = log.follow()
    await steps(following, 2)
    assert state.items.signal("z") is not None
    assert state.freshness(0)["catalog.items"].records == 1
    await following.aclose()


async def test_brokers_that_do_not_answer_are_connected_to_anew(broker):
    following = TopicLog(SETTINGS, State()).follow()
    await steps(following, 1)
    broker.now_ms += 29_000
    await steps(following, 1)
    broker.now_ms += 2_000
    with pytest.raises(BrokersUnavailable, match="30 s"):
        await steps(following, 1)


async def test_a_topic_whose_versions_do_not_fit_is_read_again(broker):
    author, state = Author(), State()
    broker.write(*author.publish({1: 0.5}), author.version())
    log = TopicLog(SETTINGS, state)
    following = log.follow()
    await steps(following, 3)
    # The deletion of weight 1 is cleaned away before the reader comes to it.
    broker.write(*author.publish({1: 0.0}))
    broker.clean(WEIGHTS, 0)
    broker.clean(WEIGHTS, 2)
    await steps(following, 1)
    assert log.read_again == {WEIGHTS: 1}
    assert state.champions("all")["click"].epoch == 1
    await steps(following, 3)
    assert state.champions("all")["click"].epoch == 2
    assert list(state.champions("all")["click"].weights.items()) == []
    await following.aclose()


async def test_a_topic_that_never_fits_is_not_read_again_all_the_time(broker):
    author, state = Author(), State()
    author.told.change(9, 0.0, 1.0)  # the author counts a weight that it never sent
    broker.write(*author.publish({1: 0.5}))
    log = TopicLog(SETTINGS, state)
    following = log.follow()
    await steps(following, 20)
    assert log.read_again == {WEIGHTS: 1}
    await following.aclose()
