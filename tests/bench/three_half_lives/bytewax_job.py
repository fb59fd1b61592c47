"""The job on Bytewax: one worker, state snapshots in its SQLite recovery store.

At least once: its Kafka sink has no transactions. Decoding and encoding are done a batch at a
time, which is its fastest way; a snapshot is taken at each epoch of 10 s, its default.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from tests.bench.three_half_lives.job import State, Wiring, fold, published, report, report_once


def decode(batch: list[KafkaSourceMessage[bytes, bytes]]) -> list[tuple[str, int]]:
    """Give the item and the time of each event of a batch."""
    if batch:
        report_once("first")
    events = [orjson.loads(message.value) for message in batch]
    return [(event["item_id"], event["occurred_at_ms"]) for event in events]


def count(state: State | None, at_ms: int) -> tuple[State, State]:
    """Fold one event into its item's state; the state is also what goes on."""
    if state is not None:
        report_once("restored")  # it loads all state before the first event
    counters = fold(state, at_ms)
    return counters, counters


def encode(batch: list[tuple[str, State]]) -> list[KafkaSinkMessage[bytes, bytes]]:
    """Make the output records of a batch."""
    return [
        KafkaSinkMessage(item.encode(), orjson.dumps(published(item, state)))
        for item, state in batch
    ]


def flow(wiring: Wiring) -> Dataflow:
    """Wire the job."""
    brokers = [wiring.bootstrap_servers]
    dataflow = Dataflow("three_half_lives")
    source = KafkaSource(
        brokers,
        [wiring.input_topic],
        tail=not wiring.drain,
        batch_size=5_000,
        add_config={"fetch.min.bytes": "65536"},
    )
    sink = KafkaSink(
        brokers,
        wiring.output_topic,
        add_config={"compression.type": "lz4", "linger.ms": "5", "partitioner": "murmur2_random"},
    )
    events = op.flat_map_batch("decode", op.input("events", dataflow, source), decode)
    counters = op.stateful_map("count", events, count)
    op.output("counters", op.flat_map_batch("encode", counters, encode), sink)
    return dataflow


def main() -> None:
    """Run until the harness ends the process."""
    wiring = Wiring.from_argv()
    recovery = Path(wiring.directory) / "recovery"
    if not recovery.exists():
        recovery.mkdir(parents=True)
        init_db_dir(recovery, 1)
    report("restoring")
    cli_main(
        flow(wiring),
        workers_per_process=1,
        epoch_interval=timedelta(seconds=10),
        recovery_config=RecoveryConfig(recovery),
    )


if __name__ == "__main__":
    main()
