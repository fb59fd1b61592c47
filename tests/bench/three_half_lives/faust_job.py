"""The job on plain Faust: a table in memory with its changelog, at least once."""

from __future__ import annotations

import sys
from typing import Any

import faust
import orjson
from faust.tables.recovery import Recovery

from tests.bench.three_half_lives.job import (
    Wiring,
    fold,
    published,
    report,
    report_once,
    report_rows,
)


def build(wiring: Wiring) -> faust.App:
    """Wire the job."""
    app = faust.App(
        wiring.app_id,
        broker=f"kafka://{wiring.bootstrap_servers}",
        store="memory://",
        datadir=wiring.directory,
        topic_partitions=wiring.partitions,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        producer_compression_type="lz4",
        producer_linger_ms=50,
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
    )
    events = app.topic(wiring.input_topic, key_type=bytes, value_type=bytes)
    output = app.topic(wiring.output_topic, key_type=bytes, value_type=bytes)
    table: Any = app.Table("counters", partitions=wiring.partitions, key_type=bytes)

    @app.agent(events)
    async def count(stream: Any) -> None:
        async for item, value in stream.items():
            report_once("first")
            counters = fold(table.get(item), orjson.loads(value)["occurred_at_ms"])
            table[item] = counters
            await output.send(key=item, value=orjson.dumps(published(item.decode(), counters)))

    return app


def mark_recovery(app: faust.App) -> None:
    """Report the begin and the end of its recovery; it has no hook for the begin."""
    started, ended = Recovery._set_recovery_started, Recovery._set_recovery_ended

    def set_recovery_started(self: Recovery) -> None:
        report("restoring")
        table: Any = app.tables.data["counters"]
        report_rows(lambda: len(table.data.data))
        started(self)

    def set_recovery_ended(self: Recovery) -> None:
        ended(self)
        report("restored")

    Recovery._set_recovery_started = set_recovery_started  # type: ignore[method-assign]
    Recovery._set_recovery_ended = set_recovery_ended  # type: ignore[method-assign]


def main() -> None:
    """Run until the harness ends the process."""
    wiring = Wiring.from_argv()
    sys.argv[1:] = ["--datadir", wiring.directory, "worker", "-l", "info", "--without-web"]
    app = build(wiring)
    mark_recovery(app)
    app.main()


if __name__ == "__main__":
    main()
