"""Does a ranking layer rank better because what it reads is fresh? Three arms, in a closed loop.

`python -m tests.evaluation.closed_loop` lets simulated viewers of known taste use the whole
system, once for each arm: what they do goes through all three roles, and what is published ranks
the slates that they are shown next. An arm learns from its own viewers only.

`streamapp.demo.arms` says what the arms are. They log the features they ranked by, so each model
learns from what its arm knew.

Tastes and items drift at the stated rates, and the sweep gives the lift at others from fewer seeds.
Written are the table, the runs it is made of, and a picture of the lift against the drift rate. A
run takes half a minute or so; `--processes` makes several at a time, and `--go-on` goes on where an
interrupted command was.

The control is `--seeds 20 --drifts 0 --sweep '' --warm-up 24 --to deploy/evaluation/control`: no
drift, and a warm-up that leaves nothing to learn while it counts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from streamapp.demo.arms import ARMS
from tests.evaluation.closed_loop.picture import Line, Point, svg
from tests.evaluation.closed_loop.results import Results, Run, markdown
from tests.evaluation.closed_loop.runs import Asked, runs
from tests.evaluation.closed_loop.scenario import Scenario

RUNS, TABLE, PICTURE = "closed_loop.json", "closed_loop.md", "lift_by_drift.svg"
SHOWN = (("clicks", "clicks a visit"), ("watched_s", "watch time a visit"))


def read(path: Path, scenario: Scenario) -> list[Run]:
    """Return the runs of a file, if they are of this scenario."""
    if not path.exists():
        return []
    said = json.loads(path.read_text(encoding="utf-8"))
    if said["scenario"] != asdict(scenario):
        raise SystemExit(f"{path} holds runs of another scenario")
    return [Run(*one) for one in said["runs"]]


def write(directory: Path, command: str, scenario: Scenario, done: Iterable[Run]) -> None:
    """Write the runs, and table and picture of those that can be compared."""
    in_order = sorted(done, key=lambda one: (one.drift, one.seed, ARMS.index(one.arm)))
    about = {"command": command, "scenario": asdict(scenario), "fields": Run._fields}
    rows = ",\n    ".join(json.dumps(one) for one in in_order)
    text = json.dumps(about, indent=2).removesuffix("\n}")
    (directory / RUNS).write_text(f'{text},\n  "runs": [\n    {rows}\n  ]\n}}\n', encoding="utf-8")
    results = Results(in_order)
    if results.drifts:
        table = "\n".join([f"`{command}`", "", *markdown(results), ""])
        (directory / TABLE).write_text(table, encoding="utf-8")
        title = "Fresh against hour-old signals and model"
        (directory / PICTURE).write_text(svg(title, list(lines(results))), encoding="utf-8")


def lines(results: Results) -> Iterator[Line]:
    """Yield what the picture shows: by how much fresh is ahead of hour-old."""
    for measure, name in SHOWN:
        found = (results.difference(d, "fresh", "hour_old", measure).lift for d in results.drifts)
        yield name, [Point(d, *lift) for d, lift in zip(results.drifts, found, strict=True)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.evaluation.closed_loop")
    parser.add_argument("--seeds", type=int, default=40, metavar="N", help="1 to N (40)")
    parser.add_argument("--drifts", default="0.9", metavar="D,…", help="rates an hour (0.9)")
    parser.add_argument("--sweep-seeds", type=int, default=8, metavar="N", help="1 to N (8)")
    parser.add_argument(
        "--sweep", default="0,0.3,0.6,1.2", metavar="D,…", help="other rates (0,0.3,0.6,1.2)"
    )
    parser.add_argument(
        "--warm-up", type=float, default=6.0, metavar="H", help="hours before it counts (6)"
    )
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="at a time (1)")
    parser.add_argument("--to", type=Path, default=Path("deploy/evaluation"), metavar="DIR")
    parser.add_argument("--go-on", action="store_true", help="keep the runs that DIR holds")
    args = parser.parse_args(argv)
    scenario = Scenario.after(args.warm_up)
    args.to.mkdir(parents=True, exist_ok=True)
    done = read(args.to / RUNS, scenario) if args.go_on else []
    known = {(one.drift, one.seed, one.arm) for one in done}
    asked = [
        Asked(scenario, drift, seed, arm)
        for seeds, drifts in ((args.seeds, args.drifts), (args.sweep_seeds, args.sweep))
        for seed in range(1, seeds + 1)
        for drift in map(float, drifts.split(",") if drifts else ())
        for arm in ARMS
        if (drift, seed, arm) not in known
    ]
    command = (
        f"python -m tests.evaluation.closed_loop --seeds {args.seeds} --drifts {args.drifts} "
        f"--sweep-seeds {args.sweep_seeds} --sweep '{args.sweep}' --warm-up {args.warm_up:g}"
    )
    for one in runs(asked, args.processes):
        done.append(one)
        write(args.to, command, scenario, done)
        clicks, watched = one.a_visit("clicks"), one.a_visit("watched_s")
        about = f"drift {one.drift:g} seed {one.seed:>2} {one.arm:<10}"
        print(f"{about} {clicks:.3f} clicks, {watched:.1f} s a visit", flush=True)
    print("\n".join(markdown(Results(done))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
