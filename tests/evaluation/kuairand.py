"""Does the learner foretell real plays better than rates do? On KuaiRand's short videos.

`python -m tests.evaluation.kuairand` takes the plays in time order and foretells two outcomes of
each before it learns them: whether it was completed (watched to 95 % of its duration, as everywhere
here; plays of unknown duration are left out) and whether it was liked, and not hated. The log holds
only plays that were liked or hated, so how often either comes is no rate of the platform. Rows that
are exact duplicates are one play sent twice, and count once.

The model knows of a play who and what, the duration, and from what came before it: how often item
and viewer did either (as odds, of rates that decay by 7 days and are shrunk as in signals.items;
a half octave of odds is a third of a unit of log-odds), and the viewer's last three outcomes.
Its settings are those that are shipped; nothing was tuned on this log but the choice of features.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console

from streamapp.features.decay import DAY_MS
from streamapp.learning.baselines import RateBaselines
from streamapp.signals import FeatureSpec
from tests import logs
from tests.evaluation.prequential import Play, foretell, microseconds, scores, table

Row = dict[str, str]

PRIOR = 0.5
COMPLETE = 0.95
OUTCOMES = ("completion", "like")
SPEC = FeatureSpec(
    names=(
        "viewer",
        "item",
        "duration_ms",
        *(f"{who}_{outcome}_odds" for outcome in OUTCOMES for who in ("item", "viewer")),
        *(f"last_{outcome}" for outcome in OUTCOMES),
    ),
    crosses=(),
)


def happened(row: Row, outcome: str) -> bool | None:
    """Say whether it happened; None where that cannot be known."""
    if outcome == "like":
        return row["label"] == "1"
    duration = int(row["duration_ms"])
    return int(row["play_time_ms"]) / duration >= COMPLETE if duration > 0 else None


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Return the plays by time, each once."""
    each = {tuple(row.values()): row for row in rows}.values()
    return sorted(each, key=lambda row: (int(row["time_ms"]), row["user_id"], row["video_id"]))


def plays(rows: Sequence[Row], outcome: str) -> Iterator[Play]:
    """Yield the plays of which the outcome is known, with what was known before each."""
    before = {name: RateBaselines(7.0 * DAY_MS, PRIOR, 100_000) for name in OUTCOMES}
    last: defaultdict[tuple[str, str], str] = defaultdict(str)
    for row in rows:
        viewer, item, at_ms = row["user_id"], row["video_id"], int(row["time_ms"])
        features: dict[str, float | str] = {"duration_ms": float(row["duration_ms"])}
        for name, rates in before.items():
            known = happened(row, name)
            if known is not None:
                found = rates.update(item, viewer, at_ms, 1.0, clicked=known)
                features[f"item_{name}_odds"] = found.item_rate / (1.0 - found.item_rate)
                features[f"viewer_{name}_odds"] = found.viewer_rate / (1.0 - found.viewer_rate)
                features[f"last_{name}"] = last[viewer, name]
                last[viewer, name] = f"{int(known)}{last[viewer, name]}"[:3]
        known = happened(row, outcome)
        if known is not None:
            yield Play(viewer, item, at_ms, features, known)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.evaluation.kuairand")
    parser.add_argument("--resamples", type=int, default=1_000, help="draws of the viewers")
    parser.add_argument("--seed", type=int, default=1, help="of the draws")
    args = parser.parse_args(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if not logs.KUAIRAND.exists():
        console.print(f"the log is not at {logs.KUAIRAND}: see chongminggao/KuaiRand on GitHub")
        return 2
    rows = in_order(logs.kuairand())
    for outcome in OUTCOMES:
        of = list(plays(rows, outcome))
        found = scores(of, foretell(of, SPEC, PRIOR), args.resamples, args.seed)
        share = sum(play.happened for play in of) / len(of)
        viewers = len({play.viewer for play in of})
        console.print(table(found, f"{outcome}: {len(of):,} plays, {share:.0%}, {viewers} viewers"))
        console.print(f"{microseconds(of, SPEC, PRIOR):.1f} µs of CPU time an example\n")
    console.print(f"in brackets: 95 % of {args.resamples:,} draws of the viewers, seed {args.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
