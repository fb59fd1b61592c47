"""`python -m tests.chaos --runs 10 --seed 1`: rounds in a row."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from deploy.kafka.kafka import KafkaBroker
from tests.chaos.crew import Storm
from tests.chaos.load import Audience
from tests.chaos.scenario import FRESH_SECONDS, Report, broker_crash, corner, network_cut, storm


def main() -> int:
    """Run the rounds; 1 when anything was wrong, or readers waited too long after a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--scenario", choices=("workers", "broker", "network"), default="workers")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=75.0)
    parser.add_argument("--rate", type=float, default=4_000.0)
    parser.add_argument("--kills", type=int, default=2, help="of each worker")
    parser.add_argument("--guests", type=int, default=1, help="of each role")
    parser.add_argument("--stops", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="where worker logs stay")
    args = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of each fault many times
    base = args.directory or Path(tempfile.mkdtemp(prefix="chaos-"))
    audience = Audience(rate=args.rate, seconds=args.seconds)
    bad = 0
    for seed in range(args.seed, args.seed + args.runs):
        began = time.monotonic()
        directory = base / f"seed-{seed}"
        report = _round(args, directory, seed, audience)
        print(report, f"\nround took {time.monotonic() - began:.0f} s\n", flush=True)
        slow = args.scenario == "workers" and report.recoveries[0].seconds > FRESH_SECONDS
        bad += bool(report.wrong) or slow
    print(f"{args.runs - bad} of {args.runs} rounds without anything wrong", flush=True)
    return bad > 0


def _round(args: argparse.Namespace, directory: Path, seed: int, audience: Audience) -> Report:
    if args.scenario == "network":
        return asyncio.run(network_cut(directory, seed, audience))
    with KafkaBroker(directory / "kafka") as broker:
        if args.scenario == "broker":
            return asyncio.run(broker_crash(broker, directory, seed, audience))
        faults = Storm(args.kills, args.stops, args.guests)
        settings = corner(broker.bootstrap_servers)
        return asyncio.run(storm(settings, directory, seed, audience, faults))


if __name__ == "__main__":
    sys.exit(main())
