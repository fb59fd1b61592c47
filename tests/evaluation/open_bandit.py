"""Do position-corrected item rates foretell clicks better than raw ones? On Open Bandit's logs.

`python -m tests.evaluation.open_bandit` answers on real impressions: fashion items in three places
side by side, shown by a policy that draws them at random (ZOZOTOWN, two campaigns, seven days).
From the earlier part of the week the project's own roles learn, by a replay, what each place is
clicked and how each item does in the places it had; what was shown later is foretold:

============  ==================================================================================
constant      prior/ctr, for every impression
place         position_ctr of the place
raw           (clicks + s·prior)/(impressions + s), as `ctr` of signals.items
corrected     the same with expected clicks/prior for impressions, as `rate` of signals.queries
coec          prior · (clicks + 1)/(expected clicks + 1), as signals.items has it
… and place   the rate times position_ctr of the place / prior
============  ==================================================================================

Rates are over all of the earlier part, not the last hours: of the few clicks a half-life of 6 h
would leave none. The places are estimated first, and expected clicks then counted with what was
found, as if that had been known from the start.

Last, the learner foretells all of the logs in time order, against the baselines of `prequential`.
The logs name no viewers: four features stand for one. What is known of a slot: campaign, place,
item, the viewer's features. With 207 clicks in 40,000 impressions this can show that
it runs and stays calibrated; it decides nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from streamapp import replay
from streamapp.features import rates
from streamapp.features.queries import corrected_rate
from streamapp.settings import Settings
from streamapp.signals import FeatureSpec
from tests import logs
from tests.evaluation import prequential
from tests.evaluation.prequential import Play
from tests.evaluation.scoring import Draws, Estimate, Shown, Vector

Row = dict[str, str]
COMPARED_WITH = "raw"
PRIOR = 0.005
SPEC = FeatureSpec(
    names=("surface", "position", "viewer", "item", *(f"user_feature_{n}" for n in range(4))),
    crosses=(("user_feature_0", "item"), ("user_feature_2", "item")),
)


class Counts(NamedTuple):
    """What happened to an item in the earlier part."""

    impressions: float = 0.0
    clicks: float = 0.0
    expected_clicks: float = 0.0


class Learnt(NamedTuple):
    """What the earlier part taught.

    Attributes:
        prior: click rate over everything.
        places: click rate by position, of each campaign.
        items: by item.
    """

    prior: float
    places: dict[str, list[float]]
    items: dict[str, Counts]


class Scores(NamedTuple):
    """How well one way of predicting did, and how much better than the raw rate."""

    name: str
    log_loss: float
    auc: float
    log_loss_over_raw: Estimate
    auc_over_raw: Estimate


class Evaluation(NamedTuple):
    """The outcome; counts are impressions and clicks."""

    learnt_from: tuple[int, int]
    foretold: tuple[int, int]
    viewers: int
    places: dict[str, list[float]]
    scores: list[Scores]


def evaluate(rows: Iterable[Row], share: float, resamples: int, seed: int) -> Evaluation:
    """Learn from the earlier share of the impressions, and score what is foretold of the rest."""
    in_order = sorted(rows, key=lambda row: (logs.time_of(row), row["id"]))
    split = round(len(in_order) * share)
    earlier, later = in_order[:split], in_order[split:]
    learnt = learn(earlier)
    shown = Shown(
        [row["click"] == "1" for row in later],
        [logs.viewer_of(row) for row in later],
        [row["campaign"] for row in later],
    )
    draws = Draws(shown, resamples, seed)
    predicted = {name: np.array(p) for name, p in predictions(learnt, later).items()}
    raw = draws.log_loss(predicted[COMPARED_WITH]), draws.auc(predicted[COMPARED_WITH])
    return Evaluation(
        (len(earlier), sum(row["click"] == "1" for row in earlier)),
        (len(later), sum(shown.clicked)),
        len(set(shown.viewer)),
        learnt.places,
        [_score(name, draws, p, raw) for name, p in predicted.items()],
    )


def _score(name: str, draws: Draws, predicted: Vector, raw: tuple[Vector, Vector]) -> Scores:
    loss, auc = draws.log_loss(predicted), draws.auc(predicted)
    less, more = loss - raw[0], auc - raw[1]
    return Scores(
        name,
        float(loss[0]),
        float(auc[0]),
        Estimate.of(float(less[0]), less[1:]),
        Estimate.of(float(more[0]), more[1:]),
    )


def learn(rows: Sequence[Row]) -> Learnt:
    """Replay impressions and clicks: once for the places, once more for the items in them."""
    events = list(logs.events_of_open_bandit(rows))
    parameters: dict[str, Any] = {}
    for key, parameter in _replayed(events, "control.parameters"):
        parameters[key] = {**parameter, "valid_from_ms": 0}
    known = [logs.Logged("control.parameters", parameter) for parameter in parameters.values()]
    items = {
        key: Counts(*(signal["counters"][name]["total"] for name in Counts._fields))
        for key, signal in _replayed([*known, *events], "signals.items")
    }
    places = {
        name.removeprefix("position_ctr/"): list(parameter["value"])
        for name, parameter in parameters.items()
        if name.startswith("position_ctr/")
    }
    return Learnt(parameters["prior/ctr"]["value"], places, items)


def _replayed(events: list[logs.Logged], topic: str) -> list[tuple[str, Any]]:
    """Return what a replay writes to a topic, key and value."""
    with tempfile.TemporaryDirectory() as directory:
        source = logs.write_files(Path(directory, "in"), events)
        target = Path(directory, "out")
        with redirect_stdout(StringIO()):  # its summary
            replay.run(source, target, sort=False, settings=Settings())
        with (target / f"{topic}.jsonl").open(encoding="utf-8") as file:
            return [(record["key"], record["value"]) for record in map(json.loads, file)]


def predictions(learnt: Learnt, rows: Iterable[Row]) -> dict[str, list[float]]:
    """Return the probability of a click of each impression, by the way it is foretold."""
    prior, found = learnt.prior, defaultdict[str, list[float]](list)
    for row in rows:
        places = learnt.places[row["campaign"]]
        place = places[min(int(row["position"]), len(places)) - 1]
        item = learnt.items.get(logs.item_of(row), Counts())
        of_item = {
            "raw": rates.shrunk(item.clicks, item.impressions, prior),
            "corrected": corrected_rate(item.clicks, item.expected_clicks, prior),
            "coec": prior * rates.coec(item.clicks, item.expected_clicks),
        }
        found["constant"].append(prior)
        found["place"].append(place)
        for name, rate in of_item.items():
            found[name].append(rate)
            found[f"{name} and place"].append(min(rate * place / prior, 1.0))
    return found


def plays(rows: Iterable[Row]) -> list[Play]:
    """Return the slots in time order, as the learner takes them."""
    return [
        Play(
            logs.viewer_of(row),
            logs.item_of(row),
            logs.time_of(row),
            {f"user_feature_{n}": row[f"user_feature_{n}"] for n in range(4)},
            row["click"] == "1",
            surface=row["campaign"],
            position=int(row["position"]),
            among=row["campaign"],
        )
        for row in sorted(rows, key=lambda row: (logs.time_of(row), row["id"]))
    ]


def table(evaluation: Evaluation) -> Table:
    """Return the scores as a person reads them."""
    shown = Table("foretold by", box=None, header_style="dim")
    for column in ("log loss", "AUC", "log loss − raw's", "AUC − raw's"):
        shown.add_column(column, justify="right")
    for one in evaluation.scores:
        cells = [f"{one.log_loss:.5f}", f"{one.auc:.3f}"]
        if one.name != COMPARED_WITH:
            cells.append("{:+.5f} ({:+.5f} to {:+.5f})".format(*one.log_loss_over_raw))
            cells.append("{:+.3f} ({:+.3f} to {:+.3f})".format(*one.auc_over_raw))
        shown.add_row(one.name, *cells)
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.evaluation.open_bandit")
    parser.add_argument("--share", type=float, default=0.5, help="of the week learnt from")
    parser.add_argument("--resamples", type=int, default=2_000, help="draws of the viewers")
    parser.add_argument("--seed", type=int, default=1, help="of the draws")
    parser.add_argument("--policy", default="random", choices=logs.POLICIES)
    args = parser.parse_args(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if not logs.OPEN_BANDIT.exists():
        console.print(f"the logs are not at {logs.OPEN_BANDIT}: see zr-obp on GitHub, obd/")
        return 2
    everything = logs.open_bandit()
    rows = [row for row in everything if row["id"].startswith(args.policy)]
    found = evaluate(rows, args.share, args.resamples, args.seed)
    console.print(
        f"learnt from {found.learnt_from[0]:,} impressions with {found.learnt_from[1]} clicks, "
        f"foretold {found.foretold[0]:,} with {found.foretold[1]}, of {found.viewers} viewers"
    )
    for campaign, places in found.places.items():
        console.print(f"{campaign}: clicked by place {', '.join(f'{p:.4f}' for p in places)}")
    console.print(table(found))
    slots = plays(everything)
    of = prequential.scores(
        slots, prequential.foretell(slots, SPEC, PRIOR), args.resamples, args.seed
    )
    clicks = sum(slot.happened for slot in slots)
    title = f"the learner: {len(slots):,} impressions of both policies, {clicks} clicks"
    console.print("", prequential.table(of, title), sep="\n")
    console.print(f"{prequential.microseconds(slots, SPEC, PRIOR):.1f} µs of CPU time an example\n")
    console.print(f"in brackets: 95 % of {args.resamples:,} draws of the viewers, seed {args.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
