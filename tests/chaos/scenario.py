"""One round: a load, faults meanwhile, and then the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from deploy.kafka.kafka import KafkaBroker, free_ports
from streamapp.settings import Settings
from tests.chaos.crew import Crew, Storm
from tests.chaos.freshness import Freshness, Recovery
from tests.chaos.load import Audience, Load, plan, send_catalog, send_one_more
from tests.chaos.network import How, ProxiedBroker, Proxy
from tests.chaos.settle import lists_are_made, settled
from tests.chaos.verdict import Verdict, judge
from tests.kafka.cluster import make_topics

ROLES = {"ingest": 2, "signals": 2}
OUTPUTS = ["signals.items", "signals.viewers"]
QUIET_SECONDS = 3.0
"""After which stream time has gone on and viewers' signals that were owed are out."""

FRESH_SECONDS = 15.0
"""Within which readers see fresh signals again after a fault to workers."""

ROOM_SECONDS = 30.0
"""Of load after the last time the broker is killed."""

AHEAD_MS = 3_000
"""How far in the future an event may be."""

CLICK_WINDOW_MS = 5_000
"""Short, so that examples come during the round."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a round did and found.

    Attributes:
        unwanted: ends of workers that nobody had asked for.
        seen: what readers saw in the end.
        kept: what they saw after other workers had gone on from the changelogs.
        recoveries: how long readers waited after each fault, worst first.
    """

    seed: int
    faults: list[str]
    unwanted: list[str]
    seen: Verdict
    kept: Verdict
    recoveries: list[Recovery]
    failed_commits: int
    sent: int

    @property
    def wrong(self) -> list[str]:
        """Everything that must not be."""
        return [*self.seen.wrong, *self.kept.wrong, *self.unwanted]

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {len(self.wrong)} wrong",
            f"{self.sent} records, {len(self.faults)} faults, {self.failed_commits} failed commits",
            *(f"  {fault}" for fault in self.faults),
            *(f"  UNWANTED {end}" for end in self.unwanted),
            "fresh again, worst first:",
            *(f"  {r.seconds:5.1f} s after {r.fault}: {r.place}" for r in self.recoveries[:4]),
            f"committed output: {self.seen}",
            f"after a restore from the changelogs: {self.kept}",
        ]
        return "\n".join(lines)


def corner(bootstrap_servers: str) -> Settings:
    """Settings whose topics and groups nobody else has."""
    own = f"c{uuid.uuid4().hex[:8]}"
    return Settings(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=f"{own}.",
        app_id=own,
        partitions=12,
        click_window_ms=CLICK_WINDOW_MS,
        keep_out_bots=False,  # the viewers live too fast to pass for humans
    )


async def storm(
    settings: Settings, directory: Path, seed: int, audience: Audience, faults: Storm
) -> Report:
    """Kill, stop and join workers under load."""

    async def suffer(crew: Crew) -> None:
        drawn = faults.faults(list(crew.workers), list(ROLES), audience.seconds, seed)
        await crew.suffer(drawn)

    return await round_of(settings, directory, seed, audience, suffer)


async def broker_crash(
    broker: KafkaBroker, directory: Path, seed: int, audience: Audience, times: int = 2
) -> Report:
    """Kill the broker under load, and start it again with its data; `times` times."""

    async def suffer(crew: Crew) -> None:
        draw = Random(seed)
        each = (audience.seconds - 10.0) / times
        for _ in range(times):
            if crew.elapsed > audience.seconds - ROOM_SECONDS:
                break  # it took long to come back: readers are to see what happens after this one
            pause = draw.uniform(5.0, each - 15.0)
            await asyncio.sleep(pause)
            crew.done.append(f"{crew.elapsed:5.1f} s kill the broker")
            await asyncio.to_thread(broker.kill)
            await asyncio.sleep(draw.uniform(0.0, 3.0))
            await asyncio.to_thread(broker.start)
            crew.hit("broker is back")
            await asyncio.sleep(each - pause)

    return await round_of(corner(broker.bootstrap_servers), directory, seed, audience, suffer)


async def network_cut(
    directory: Path, seed: int, audience: Audience, seconds: float = 12.0
) -> Report:
    """Cut one worker of each role off its brokers, in each way a network can be cut."""
    (behind,) = free_ports(1)
    proxy = Proxy(behind)
    broker = ProxiedBroker(directory / "kafka", proxy.port, behind)

    async def suffer(crew: Crew) -> None:
        ways: list[How] = ["refuse", "swallow", "delay"]
        draw = Random(seed)
        draw.shuffle(ways)
        each = (audience.seconds - 8.0) / len(ways)
        for how in ways:
            pause = draw.uniform(1.0, 3.0)
            await asyncio.sleep(pause)
            crew.hit(f"{how} for {seconds:.0f} s")
            await proxy.cut(how, seconds)
            crew.hit(f"end of {how}")
            await asyncio.sleep(max(each - pause - seconds, 0.0))

    try:
        await asyncio.to_thread(broker.start)
        settings = corner(broker.bootstrap_servers)
        through = replace(settings, bootstrap_servers=f"127.0.0.1:{proxy.port}")
        cut_off = {f"{role}-0": through for role in ROLES}
        return await round_of(settings, directory, seed, audience, suffer, cut_off)
    finally:
        await asyncio.to_thread(proxy.stop)
        await asyncio.to_thread(broker.remove)


async def round_of(
    settings: Settings,
    directory: Path,
    seed: int,
    audience: Audience,
    suffer: Callable[[Crew], Awaitable[None]],
    other_settings: Mapping[str, Settings] | None = None,
) -> Report:
    """Run a load with faults and compare what came out.

    Args:
        other_settings: of workers that connect in another way than the test itself.
    """
    plan(audience)
    await make_topics(settings)
    await send_catalog(settings, audience)
    crew = Crew(settings, directory, ROLES, other_settings or {})
    load, freshness = Load(settings, audience), Freshness(settings, OUTPUTS)
    try:
        crew.start()
        await asyncio.to_thread(crew.until_running, settings.partitions)
        async with _running(freshness.run()), _running(crew.watch()):
            sending = asyncio.create_task(load.run())
            await suffer(crew)
            await sending
            await settled(settings)
            await asyncio.sleep(CLICK_WINDOW_MS / 1000)
            now_ms = time.time_ns() // 1_000_000
            ended_ms = await lists_are_made(settings, audience, now_ms + AHEAD_MS)
            await asyncio.sleep(QUIET_SECONDS)
        await crew.stop()
        seen = await judge(settings, ended_ms)
        kept = await _continued(settings, directory, audience, crew, ended_ms)
    finally:
        crew.kill()
    return Report(
        seed=seed,
        faults=crew.done,
        unwanted=crew.unwanted,
        seen=seen,
        kept=kept,
        recoveries=freshness.recoveries(crew.hits, load.ended),
        failed_commits=sum(w.log.count("dropping the task") for w in crew.workers.values()),
        sent=load.sent,
    )


async def _continued(
    settings: Settings, directory: Path, audience: Audience, crew: Crew, at_ms: int
) -> Verdict:
    """Let new workers go on from the changelogs, and every viewer do one thing more at `at_ms`."""
    heirs = Crew(settings, directory / "heirs", dict.fromkeys(ROLES, 1), {})
    try:
        heirs.start()
        await asyncio.to_thread(heirs.until_running, settings.partitions)
        last_ms = await send_one_more(settings, audience, at_ms)
        await settled(settings)
        ended_ms = await lists_are_made(settings, audience, last_ms)
        await asyncio.sleep(QUIET_SECONDS)
        await heirs.stop()
    finally:
        heirs.kill()
    crew.unwanted += heirs.unwanted
    return await judge(settings, ended_ms)


@asynccontextmanager
async def _running(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
