"""`make bench`: the engine beside its peers, and the roles on mixed traffic.

engines   streamapp, Quix Streams, Bytewax and plain Faust do the same job on the same events from
          the same real Kafka: three decayed counters an item, kept as restorable state, and
          published. Runs are taken in turn, so that what else the machine does falls on all alike.
          Published counters are compared with the definition.
ingest    one worker of the ingest role, all features on, over a backlog of mixed traffic.
latency   all roles at a steady rate: how old what readers see is, and what an event costs each.
weights   the learn role and a reader, examples at a steady rate: how long it takes from a label
          to a reader that scores with what it taught.
memory    the processors by themselves, without Kafka: bytes a viewer and an item, field by field,
          and what an event costs among few and among many.
learner   the learner by itself, without Kafka: what an example costs.
ranking   the reader by itself, without Kafka: milliseconds to rank 200 items.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from deploy.kafka.kafka import KafkaBroker
from tests.bench.learner import bench as learner
from tests.bench.memory import bench as memory
from tests.bench.mixed_traffic import bench as roles
from tests.bench.ranking import bench as ranking
from tests.bench.three_half_lives import bench as engines
from tests.bench.three_half_lives.engines import ENGINES
from tests.bench.weights import bench as weights

PARTS = ("engines", "ingest", "latency", "weights", "memory", "learner", "ranking")
ALONE = {"memory", "learner", "ranking"}
"""Parts that need no Kafka."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 1 when an engine published a wrong number."""
    args = _arguments(argv)
    console = Console(width=None if sys.stdout.isatty() else 120)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or its Kafka would live on
    if set(args.parts) <= ALONE:
        _run_alone(args, console)
        return 0
    with tempfile.TemporaryDirectory(prefix="streamapp-bench-") as place:
        if args.bootstrap_servers:
            return _run(args, args.bootstrap_servers, None, console, Path(place))
        with KafkaBroker(Path(place) / "kafka") as broker:
            return _run(args, broker.bootstrap_servers, broker, console, Path(place))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="a list, of " + ",".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="some minutes, on small data")
    parser.add_argument("--rounds", type=int, help="runs of each engine")
    parser.add_argument("--engines", help="a list, of " + ",".join(e.name for e in ENGINES))
    parser.add_argument("--rate", type=int, help="events a second of latency; 10,000 by default")
    parser.add_argument("--partitions", type=int, help="of the topics in latency; 12 by default")
    parser.add_argument("--viewers", type=int, help="held in memory, from 20,000 up")
    parser.add_argument("--bootstrap-servers", help="a Kafka to use instead of one of its own")
    args = parser.parse_args(argv)
    args.parts = args.parts.split(",")
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"--parts: unknown {', '.join(sorted(unknown))}")
    return args


def _run(
    args: argparse.Namespace,
    servers: str,
    broker: KafkaBroker | None,
    console: Console,
    place: Path,
) -> int:
    right = True
    if "engines" in args.parts:
        plan = engines.QUICK if args.quick else engines.Plan()
        plan = replace(plan, rounds=args.rounds) if args.rounds else plan
        chosen = [e for e in ENGINES if not args.engines or e.name in args.engines.split(",")]
        right = engines.run(plan, chosen, servers, console, place)
    wanted = roles.QUICK if args.quick else roles.Plan()
    given = {"per_second": args.rate, "partitions": args.partitions}
    wanted = replace(wanted, **{name: value for name, value in given.items() if value})
    if "ingest" in args.parts:
        data = broker.run_dir / "data" if broker else None
        roles.run_ingest(wanted, servers, data, console, place)
    if "latency" in args.parts:
        roles.run_latency(wanted, servers, broker.pid if broker else None, console, place)
    if "weights" in args.parts:
        weights.run(weights.QUICK if args.quick else weights.Plan(), servers, console, place)
    _run_alone(args, console)
    return 0 if right else 1


def _run_alone(args: argparse.Namespace, console: Console) -> None:
    if "memory" in args.parts:
        _run_memory(args, console)
    if "learner" in args.parts:
        learner.run(learner.QUICK if args.quick else learner.Plan(), console)
    if "ranking" in args.parts:
        ranking.run(ranking.QUICK if args.quick else ranking.Plan(), console)


def _run_memory(args: argparse.Namespace, console: Console) -> None:
    plan = memory.QUICK if args.quick else memory.Plan()
    if args.viewers:
        plan = replace(plan, viewers=args.viewers)
    memory.run(plan, console)


if __name__ == "__main__":
    sys.exit(main())
