"""The reader on a real broker: beside workers that publish, and through a broker's death.

test     │ catalog, traffic ─▶ ingest ─▶ signals, learn
reader   │      reads from the beginning ──▶ ready ──▶ follows; a look every 20 ms at what it holds
the end  │ every look is one of the versions that the log has, number by number
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec
import pytest

from streamapp.learning.features import Encoder
from streamapp.reader import Context, Options, Reader
from streamapp.settings import Settings
from streamapp.simulate import World, catalog, traffic
from tests.kafka.cluster import Sent, make_topics, read_all, send, until
from tests.kafka.workers import WorkerProcess

START_MS = 1_700_000_000_000
WEIGHTS = "models.weights"


def encoded(record: Any) -> bytes:
    return msgspec.json.encode(record)


def traffic_of(world: World, events: int) -> list[Sent]:
    stream = traffic(world, start_ms=START_MS, rate=5.0, seed=4)
    return [
        Sent(sent.topic, sent.key.encode(), encoded(sent.event)) for sent in islice(stream, events)
    ]


async def versions_in_the_log(settings: Settings) -> dict[tuple[str, int], dict[int, float]]:
    """All versions of all models that were ever published."""
    versions: dict[tuple[str, int], dict[int, float]] = {}
    now: dict[str, dict[int, float]] = {}
    for record in await read_all(settings, [WEIGHTS]):
        assert record.key is not None
        model, feature = record.key.decode().split("/")
        told = {} if record.value is None else msgspec.json.decode(record.value)
        weights = now.setdefault(model, {})
        if feature == "@epoch":
            versions[model, told["epoch"]] = dict(weights)
        else:
            weights.pop(int(feature), None)
            if told:
                weights[int(feature)] = told["weight"]
    return versions


async def looks_while(
    reader: Reader, looks: dict[tuple[str, int], dict[int, float]], done: asyncio.Event
) -> None:
    while not done.is_set():
        for champion in reader.state.champions("all").values():
            held = dict(champion.weights.items())
            assert looks.setdefault((champion.version.model, champion.epoch), held) == held
        await asyncio.sleep(0.02)


async def ranks_like_the_log(reader: Reader, settings: Settings) -> None:
    """One ranking, its probabilities from what the log says of the model's epoch."""
    versions = await versions_in_the_log(settings)
    champion = reader.state.champions("all")["click"]
    context = Context(
        request_id="r1", at_ms=START_MS + 10**7, surface="home", limit=5, temperature=0.5
    )
    viewer = "v1"
    ranking = reader.rank(viewer, reader.candidates(viewer, context), context)
    assert len(ranking.items) == 5
    assert ranking.models["click-all"] == champion.epoch
    weights = versions["click-all", champion.epoch]
    encoder = Encoder(champion.encoder.spec)
    for one in ranking.items:
        assert one.features is not None
        on = encoder.indices(
            one.features, viewer=viewer, item=one.item_id, surface="home", position=1
        )
        logit = champion.intercept + sum(weights.get(index, 0.0) for index in on)
        p = one.probabilities["click"]
        assert msgspec.json.decode(encoded(p)) == pytest.approx(1 / (1 + 2.718281828459045**-logit))


async def test_beside_workers_it_always_holds_a_published_version_and_ranks_by_it(
    settings, tmp_path
):
    settings = replace(settings, click_window_ms=5_000)
    world = World(seed=3, viewers=30, items=60)
    await make_topics(settings)
    await send(
        settings, [Sent(s.topic, s.key.encode(), encoded(s.event)) for s in catalog(world, 0)]
    )
    events = traffic_of(world, 6_000)
    looks: dict[tuple[str, int], dict[int, float]] = {}
    done = asyncio.Event()
    options = Options(log_features=True, show_seen=True)
    with (
        WorkerProcess("ingest", settings, tmp_path / "ingest"),
        WorkerProcess("signals", settings, tmp_path / "signals"),
        WorkerProcess("learn", settings, tmp_path / "learn"),
    ):
        async with Reader(settings, options=options) as reader:
            await asyncio.wait_for(reader.ready(), 60)
            looking = asyncio.create_task(looks_while(reader, looks, done))
            for part in range(0, len(events), 500):
                await send(settings, events[part : part + 500])
                await asyncio.sleep(0.5)
            await until(lambda: is_champion(reader, 5), "a champion of five versions", 90)
            await until(lambda: is_quiet(reader), "what was sent to be taken", 60)
            done.set()
            await looking
            await ranks_like_the_log(reader, settings)
            assert reader.trouble is None
            assert reader.gauges()["rejected"] == 0
            assert reader.gauges()["topics_read_again"] == 0
            assert reader.freshness()["signals.items"].as_of_ms is not None
            # One that begins now, in a log with many versions, comes to the same.
            async with Reader(settings, options=options) as late:
                await asyncio.wait_for(late.ready(), 60)
                await until(lambda: same(reader, late), "the same version in both", 30)
    published = await versions_in_the_log(settings)
    assert len(looks) >= 2
    for version, held in looks.items():
        assert held == published[version]


async def is_champion(reader: Reader, epoch: int) -> bool:
    champion = reader.state.champions("all").get("click")
    return champion is not None and champion.epoch >= epoch


async def is_quiet(reader: Reader) -> bool:
    before = {topic: fresh.records for topic, fresh in reader.freshness(0).items()}
    await asyncio.sleep(3)
    after = reader.freshness(0)
    return all(after[topic].records == records for topic, records in before.items())


async def same(one: Reader, other: Reader) -> bool:
    mine, its = (reader.state.champions("all")["click"] for reader in (one, other))
    if mine.epoch != its.epoch:
        return False
    assert dict(mine.weights.items()) == dict(its.weights.items())
    return True


# --- a broker that dies -------------------------------------------------------------------------


@pytest.fixture
def own_settings(own_kafka) -> Settings:
    own = f"t{uuid.uuid4().hex[:8]}"
    return Settings(
        bootstrap_servers=own_kafka.bootstrap_servers,
        topic_prefix=f"{own}.",
        app_id=own,
        partitions=3,
    )


def items(numbers: Iterable[int]) -> list[Sent]:
    known = {"kind": "vod", "category": "drama"}
    return [
        Sent("catalog.items", f"i{n}".encode(), encoded({"item_id": f"i{n}"} | known))
        for n in numbers
    ]


async def held(reader: Reader, count: int) -> None:
    async def has() -> bool:
        return len(reader.state.items.catalog) == count

    await until(has, f"{count} items", 60)


async def test_it_waits_for_a_broker_that_is_away_and_goes_on_after_one_was_killed(
    own_kafka, own_settings
):
    settings = own_settings
    context = Context(request_id="r", at_ms=START_MS, surface="home")
    await make_topics(settings)
    await send(settings, items(range(50)))
    await asyncio.to_thread(own_kafka.kill)
    async with Reader(settings) as reader:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.ready(), 2)
        assert await trouble_of(reader)()
        await asyncio.to_thread(own_kafka.start)
        await asyncio.wait_for(reader.ready(), 60)
        await held(reader, 50)
        assert reader.trouble is None

        await asyncio.to_thread(own_kafka.kill)
        await asyncio.sleep(3)
        assert len(reader.rank("v1", ["i1", "i2"], context).items) == 2
        await asyncio.to_thread(own_kafka.start)
        await send(settings, items(range(50, 80)))
        await held(reader, 80)
        # Nothing was read twice.
        assert reader.freshness()["catalog.items"].records == 80


async def test_topics_that_are_missing_are_named_and_waited_for(settings):
    async with Reader(settings) as reader:
        await until(trouble_of(reader), "to hear of the topics", 30)
        assert "topics apply" in str(reader.trouble)
        await make_topics(settings)
        await asyncio.wait_for(reader.ready(), 60)


def trouble_of(reader: Reader) -> Callable[[], Awaitable[object]]:
    async def trouble() -> object:
        return reader.trouble

    return trouble
