"""Do factors tell which of two videos a viewer prefers, better than popularity? On KuaiRand's log.

`python -m tests.evaluation.factors` answers on real plays of short videos, in time order: ten
successive plays of a viewer stand for a request, what the viewer watched long (or liked) for a
click. Of each request with both kinds the pairs are predicted, then everything is learned from it:

===========  ===================================================================================
factors      item bias + vector of the viewer · vector of the item, as models.factors has them
item bias    learned from the same pairs, one number an item
popularity   (clicks + s·m)/(plays + s) of the item so far, s = 5, m the rate over everything so far
===========  ===================================================================================

The log names no categories, creators or positions, and has 3.6 plays an item: vectors have the ids
alone to learn from. It was selected on the outcome: only plays that were liked or hated are in it.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from streamapp.learning.factor_model import FactorModel, FactorSettings
from tests import logs
from tests.evaluation.scoring import Estimate, Vector
from tests.unit.learning.examples import example

PLAYS = 10
"""That stand for a request."""

STRENGTH = 5.0

Score = Callable[[str], float]


class Request(NamedTuple):
    """Successive plays of a viewer: items and whether they were clicked."""

    viewer: str
    clicked: dict[str, bool]


class Outcome(NamedTuple):
    """Share of right pairs by request, and whose request it was, by the way it is foretold."""

    viewers: list[str]
    right: dict[str, list[float]]


def requests(rows: Iterable[dict[str, str]], column: str) -> Iterator[Request]:
    """Yield requests in the order of their last play; a viewer's last ones may be shorter."""
    unique = {tuple(row.values()): row for row in rows}.values()
    plays: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for row in sorted(unique, key=lambda row: (int(row["time_ms"]), row["user_id"])):
        viewer = row["user_id"]
        plays[viewer][row["video_id"]] = row[column] == "1"
        if len(plays[viewer]) == PLAYS:
            yield Request(viewer, plays.pop(viewer))
    for viewer, clicked in plays.items():
        yield Request(viewer, clicked)


def evaluate(history: Iterable[Request]) -> Outcome:
    """Foretell the pairs of each request, then learn from it."""
    model = FactorModel("factors-all", FactorSettings(admission=1))
    counts: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    total, outcome = [0.0, 0.0], Outcome([], defaultdict(list))
    for number, request in enumerate(history):
        prior = total[0] / total[1] if total[1] else 0.5

        def popularity(item: str, prior: float = prior) -> float:
            return (counts[item][0] + STRENGTH * prior) / (counts[item][1] + STRENGTH)

        def factors(item: str, viewer: str = request.viewer) -> float:
            return model.bpr.predict_one(viewer, item)

        if len(set(request.clicked.values())) == 2:
            outcome.viewers.append(request.viewer)
            outcome.right["factors"].append(_right(factors, request))
            outcome.right["item bias"].append(_right(model.baseline.predict_one, request))
            outcome.right["popularity"].append(_right(popularity, request))
        _learn(model, request, number)
        for item, clicked in request.clicked.items():
            for count in (counts[item], total):
                count[0] += clicked
                count[1] += 1.0
    return outcome


def _learn(model: FactorModel, request: Request, number: int) -> None:
    for item, clicked in request.clicked.items():
        shown = example(
            number, clicked=clicked, viewer_id=request.viewer, item_id=item, request_id=f"{number}"
        )
        model.learn(shown, number)
    model.advance(number + 10_000)


def _right(score: Score, request: Request) -> float:
    """Return the share of pairs of which the clicked one scores higher, ties half."""
    liked = np.array([score(item) for item, clicked in request.clicked.items() if clicked])
    other = np.array([score(item) for item, clicked in request.clicked.items() if not clicked])
    return float(np.mean(np.sign(liked[:, None] - other[None, :]) / 2.0 + 0.5))


def means(outcome: Outcome, resamples: int, seed: int) -> dict[str, Vector]:
    """Return the mean share by the way it is foretold: of the data, then of draws of viewers."""
    names, of = np.unique(np.array(outcome.viewers), return_inverse=True)
    even = np.full(len(names), 1.0 / len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), even, size=resamples)
    times = np.concatenate((np.ones((1, len(names))), drawn.astype(float)))
    requests = times @ np.bincount(of, minlength=len(names))
    return {
        name: (times @ np.bincount(of, np.array(right), len(names))) / requests
        for name, right in outcome.right.items()
    }


def table(found: dict[str, Vector]) -> Table:
    """Return the shares as a person reads them."""
    shown = Table("foretold by", box=None, header_style="dim")
    for column in ("right pairs", "− popularity's", "− item bias'"):
        shown.add_column(column, justify="right")
    for name, drawn in found.items():
        cells = [f"{drawn[0]:.3f}"]
        for other in ("popularity", "item bias"):
            more = drawn - found[other]
            estimate = Estimate.of(float(more[0]), more[1:])
            cells.append("" if name == other else "{:+.3f} ({:+.3f} to {:+.3f})".format(*estimate))
        shown.add_row(name, *cells)
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.evaluation.factors")
    parser.add_argument("--resamples", type=int, default=2_000, help="draws of the viewers")
    parser.add_argument("--seed", type=int, default=1, help="of the draws")
    args = parser.parse_args(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if not logs.KUAIRAND.exists():
        console.print(f"the log is not at {logs.KUAIRAND}: see chongminggao/KuaiRand on GitHub")
        return 2
    rows = logs.kuairand()
    for column, what in (("long_view", "watched long"), ("label", "liked, not hated")):
        outcome = evaluate(requests(rows, column))
        viewers = len(set(outcome.viewers))
        console.print(f"{what}: {len(outcome.viewers):,} requests of {viewers} viewers")
        console.print(table(means(outcome, args.resamples, args.seed)))
    console.print(f"in brackets: 95 % of {args.resamples:,} draws of the viewers, seed {args.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
