"""The job on Quix Streams: RocksDB state, its changelog, and one transaction a checkpoint.

Defaults are kept where they favour it: a checkpoint every 5 s (a shorter one costs it more),
JSON by orjson, 10,000 records buffered a partition.
"""

from __future__ import annotations

from typing import Any

from quixstreams import Application, State
from quixstreams.state.recovery import RecoveryManager

from tests.bench.three_half_lives.job import Wiring, fold, published, report_once


def count(event: dict[str, Any], state: State) -> dict[str, Any]:
    """Fold one event into its item's state and give the counters as they are now."""
    report_once("first")
    counters = fold(state.get("counters"), event["occurred_at_ms"])
    state.set("counters", counters)
    return published(event["item_id"], counters)


def mark_recovery() -> None:
    """Report the begin and the end of its recovery; it has no hook for that."""
    recover = RecoveryManager.do_recovery

    def do_recovery(self: RecoveryManager) -> None:
        report_once("restoring")
        recover(self)
        report_once("restored")

    RecoveryManager.do_recovery = do_recovery


def main() -> None:
    """Run until the harness ends the process."""
    wiring = Wiring.from_argv()
    mark_recovery()
    app = Application(
        broker_address=wiring.bootstrap_servers,
        consumer_group=wiring.app_id,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=wiring.directory,
        producer_extra_config={"compression.type": "lz4", "linger.ms": 50},
        consumer_extra_config={"fetch.min.bytes": 65_536},
        loglevel="WARNING",
    )
    events = app.topic(wiring.input_topic, key_deserializer="str", value_deserializer="json")
    counters = app.topic(wiring.output_topic, key_serializer="str", value_serializer="json")
    app.dataframe(events).apply(count, stateful=True).to_topic(counters)
    app.run()


if __name__ == "__main__":
    main()
