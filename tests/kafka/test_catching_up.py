"""A worker that comes late to a backlog still takes its inputs in the order of event time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from streamapp.engine.records import Record
from tests.kafka.cluster import Sent, make_topics, read_until, send
from tests.kafka.events import now_ms, totals
from tests.kafka.workers import WorkerProcess

EACH = 20_000
STEP_MS = 20


def backlog() -> list[Sent]:
    """Impressions, clicks and watches by turns, each topic in order."""
    began_ms = now_ms() - 3 * EACH * STEP_MS
    sent = []
    for number in range(3 * EACH):
        viewer = f"v{number % 997}"
        event = {
            "event_id": f"e{number}",
            "occurred_at_ms": began_ms + number * STEP_MS,
            "viewer_id": viewer,
        }
        topic, fields = (
            ("events.impressions", {"request_id": f"r{number}", "surface": "home", "items": []}),
            ("events.clicks", {"item_id": "i1", "action": "like"}),
            ("events.watches", {"item_id": "i1", "state": "start", "watched_ms": 0}),
        )[number % 3]
        if topic == "events.watches":
            fields |= {"playback_id": f"p{number}"}
        sent.append(Sent(topic, viewer.encode(), msgspec.json.encode(event | fields)))
    return sent


async def test_a_backlog_is_processed_in_the_order_of_event_time(settings, tmp_path):
    # However long the records of one input wait among those of others that were read before.
    settings = replace(settings, partitions=12, max_idle_ms=100)
    await make_topics(settings)
    await send(settings, backlog())
    script = Path(__file__).with_name("altered_worker.py")

    def all_there(records: Sequence[Record]) -> bool:
        counted = totals(records)
        return counted["i1", "likes"] == counted["i1", "watches"] == EACH

    command = [str(script), "ordered"]
    with WorkerProcess("ingest", settings, tmp_path / "w", command=command) as worker:
        await read_until(settings, ["activity.items"], all_there, within=40.0)
        assert worker.stop() == 0
    assert "out of order" not in worker.log
