"""The demo on a real Kafka takes its topics and groups with it."""

import asyncio
import subprocess
import sys

from streamapp.engine import clients
from streamapp.settings import Settings
from streamapp.supervisor import environment


async def names(settings: Settings) -> tuple[set[str], set[str]]:
    async with clients.admin(settings) as client:
        topics = set(await client.list_topics())
        groups = {name for name, *_ in await client.list_consumer_groups()}
    own = (settings.topic_prefix, settings.app_id)
    return {t for t in topics if t.startswith(own)}, {g for g in groups if g.startswith(own)}


def test_the_demo_runs_on_a_real_kafka_and_leaves_nothing_there(settings):
    run = subprocess.run(
        [
            *(sys.executable, "-m", "streamapp", "demo", "--seconds", "10", "--rate", "200"),
            *("--bootstrap-servers", settings.bootstrap_servers),
        ],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"in topics {settings.topic_prefix}demo-" in run.stdout
    assert asyncio.run(names(settings)) == (set(), set())
