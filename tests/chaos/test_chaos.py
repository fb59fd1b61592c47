"""One short round of what `python -m tests.chaos` does at length."""

from __future__ import annotations

from pathlib import Path

from deploy.kafka.kafka import KafkaBroker
from tests.chaos.crew import Storm
from tests.chaos.load import Audience
from tests.chaos.scenario import FRESH_SECONDS, corner, storm

AUDIENCE = Audience(rate=2_000.0, seconds=45.0, viewers=1_000)


async def test_workers_killed_stopped_joining_and_leaving_change_nothing(
    own_kafka: KafkaBroker, tmp_path: Path
) -> None:
    settings = corner(own_kafka.bootstrap_servers)
    report = await storm(settings, tmp_path, 1, AUDIENCE, Storm(kills=1, stops=1, guests=1))
    assert not report.wrong, str(report)
    assert len(report.faults) >= 9, "four kills, a stop, and two guests who come and leave"
    # Of a machine that is busy with other tests twice the time is taken.
    assert report.recoveries[0].seconds <= 2 * FRESH_SECONDS, str(report)
