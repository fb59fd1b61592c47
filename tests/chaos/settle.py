"""Waiting until workers have consumed and committed all there is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka import TopicPartition

from streamapp.engine import clients
from streamapp.engine.roles import ROLES
from streamapp.processors.candidates import SETTLE_MS
from streamapp.settings import Settings
from tests.chaos.load import Audience, send_rush, send_ticks
from tests.chaos.verdict import INPUTS
from tests.kafka.cluster import committed, ends
from tests.oracles.items import MINUTE

MOMENT_MS = 100

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


async def lists_are_made(settings: Settings, audience: Audience, after_ms: int) -> int:
    """Let the trending lists of the first full minute after `after_ms` be made; until when.

    Stream time goes on by what happens: just before the minute, so that there is something to
    list; just after it, so that every partition reports of it; and, when the reports are there,
    once more when the lists are due.
    """
    minute_ms = (after_ms // MINUTE + 1) * MINUTE
    await send_rush(settings, audience, minute_ms - MOMENT_MS)
    await settled(settings)
    for at_ms in (minute_ms + MOMENT_MS, minute_ms + SETTLE_MS + MOMENT_MS):
        await send_ticks(settings, audience, at_ms)
        await settled(settings)
    return at_ms


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
