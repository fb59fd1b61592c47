"""Waiting until workers have consumed and committed all there is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

from aiokafka import TopicPartition

from streamapp.engine import clients
from streamapp.engine.roles import ROLES
from streamapp.processors.candidates import SETTLE_MS
from streamapp.settings import Settings
from tests.chaos.verdict import INPUTS
from tests.kafka.cluster import committed, ends, last_by_key, read_all, until

AHEAD_SECONDS = 3.0
"""How far in the future an event may be."""

REPORT_SECONDS = 20.0
"""Until stream time has gone on with the clock, and the first lists that are due are committed."""

Place = tuple[str, int]
"""A topic and a partition."""

STAGES = (("ingest", INPUTS), ("signals", ROLES["signals"].inputs))


async def settled(settings: Settings, within: float = 90.0) -> None:
    """Wait until each role has committed past the last record of its inputs.

    Raises:
        AssertionError: naming the partitions that stay behind.
    """
    deadline = asyncio.get_running_loop().time() + within
    for role, topics in STAGES:
        while behind := await _behind(settings, role, topics):
            late = asyncio.get_running_loop().time() > deadline
            assert not late, f"{role} stays behind: (topic, partition), committed, end: {behind}"
            await asyncio.sleep(0.5)


async def lists_are_made(settings: Settings) -> None:
    """Wait until the trending lists of a full minute are out that all that was sent came before.

    Raises:
        AssertionError: they do not come.
    """
    now = time.time()
    minute = ((now + AHEAD_SECONDS) // 60 + 1) * 60
    await asyncio.sleep(minute - now + SETTLE_MS / 1000 + REPORT_SECONDS)

    async def made() -> bool:
        last = last_by_key(await read_all(settings, ["candidates.trending"]))
        lists = [json.loads(value) for value in last.values() if value]
        return all(one["as_of_ms"] >= minute * 1000 for one in lists)

    await until(made, "trending lists of the last full minute", within=60.0)


async def _behind(
    settings: Settings, role: str, topics: Sequence[str]
) -> list[tuple[Place, int, int]]:
    done = await committed(settings, role, topics)
    end = await ends(settings, topics)
    short = {place: done.get(place, 0) for place in end if done.get(place, 0) < end[place]}
    if not short:
        return []
    return [
        (place, short[place], end[place]) for place in await _with_records(settings, short, end)
    ]


async def _with_records(
    settings: Settings, begins: dict[Place, int], end: dict[Place, int]
) -> list[Place]:
    """Return the partitions with a record from these offsets on: the end may be bare marks."""
    found: list[Place] = []
    async with clients.reader(settings) as consumer:
        places = {TopicPartition(settings.topic(t), p): (t, p) for t, p in begins}
        consumer.assign(list(places))
        for tp, place in places.items():
            consumer.seek(tp, begins[place])
        while places:
            fetched = await consumer.getmany(timeout_ms=100)
            for tp, place in list(places.items()):
                if fetched.get(tp):
                    found.append(place)
                if fetched.get(tp) or await consumer.position(tp) >= end[place]:
                    del places[tp]
    return found
