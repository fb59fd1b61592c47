"""Our FTRL beside Vowpal Wabbit's, on the same examples, features and settings.

`python -m tests.evaluation.vowpal` foretells KuaiRand's completions and likes (see `kuairand`) with
both, each outcome before it is learned from. VW is given our coordinates, numbered as they come
(its table stays small and in the cache), so nothing collides in one that does not in the other.
What differs: VW computes in 32 bits, and penalises its constant like any feature; ours never is.

VW runs from its wheel in the environment of the benchmarks (`make bench` makes it; else --python).
Times are CPU time of learning an example whose coordinates are known, the best of three rounds;
VW's include reading its text, and leave out its start.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from streamapp.learning.coordinate import sigmoid
from streamapp.learning.ftrl import FtrlLogistic
from tests import logs
from tests.evaluation.kuairand import OUTCOMES, SPEC, in_order, plays
from tests.evaluation.prequential import coordinates

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-bench" / "bin" / "python"
LEARNER = Path(__file__).with_name("vowpal_learner.py")
BITS = 18
"""Of VW's table, as shipped; there must be fewer coordinates."""
ROUNDS = 3


class Settings(NamedTuple):
    """Of both."""

    alpha: float
    beta: float
    l1: float
    l2: float


SETTINGS = (
    Settings(0.2, 1.0, 0.0, 1.0),
    Settings(0.2, 1.0, 0.0, 0.0),
    Settings(0.1, 1.0, 0.5, 0.1),
)


class Learned(NamedTuple):
    """What came of one way of learning: probabilities given before each, and µs an example."""

    probabilities: list[float]
    microseconds: float
    microseconds_by_line: float | None = None


class Compared(NamedTuple):
    """Both, on one outcome with one setting."""

    log_loss: float
    log_loss_of_vowpal: float
    furthest: float
    microseconds: float
    microseconds_of_vowpal: float
    microseconds_by_line: float

    @property
    def ratio(self) -> float:
        """Our log loss over VW's."""
        return self.log_loss / self.log_loss_of_vowpal


def ours(examples: Sequence[tuple[list[int], bool]], settings: Settings) -> Learned:
    """Learn with our estimator."""
    spent = float("inf")
    for _ in range(ROUNDS):
        model, begin = FtrlLogistic(*settings), process_time()
        scores = [model.learn_indices(indices, float(happened)) for indices, happened in examples]
        spent = min(spent, process_time() - begin)
    return Learned([sigmoid(score) for score in scores], spent / len(examples) * 1e6)


def vowpal(examples: Sequence[tuple[list[int], bool]], settings: Settings, python: Path) -> Learned:
    """Learn with Vowpal Wabbit, in the environment of that interpreter."""
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "examples"), Path(directory, "predictions")
        source.write_text("".join(map(_line, examples)), "utf-8")
        options = "--ftrl --ftrl_alpha {} --ftrl_beta {} --l1 {} --l2 {}".format(*settings).split()
        options += f"--loss_function logistic --link logistic -b {BITS} --quiet".split()
        command = [str(python), str(LEARNER), str(source), str(target), *options]
        spent = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        given = [float(line) for line in target.read_text("utf-8").split()]
    file, lines = (spent[name] / len(examples) * 1e6 for name in ("file", "lines"))
    return Learned(given, file, lines)


def _line(example: tuple[list[int], bool]) -> str:
    indices, happened = example
    return f"{'1' if happened else '-1'} | {' '.join(map(str, indices))}\n"


def compare(
    examples: Sequence[tuple[list[int], bool]], settings: Settings, python: Path
) -> Compared:
    """Learn the examples with both."""
    own, other = ours(examples, settings), vowpal(examples, settings, python)
    happened = np.array([outcome for _, outcome in examples])
    given = np.array(own.probabilities), np.array(other.probabilities)
    losses = [float(-np.log(np.where(happened, p, 1.0 - p)).mean()) for p in given]
    return Compared(
        losses[0],
        losses[1],
        float(np.abs(given[0] - given[1]).max()),
        own.microseconds,
        other.microseconds,
        other.microseconds_by_line or 0.0,
    )


def examples_of(outcome: str) -> list[tuple[list[int], bool]]:
    """Return coordinates and outcome of each play of KuaiRand."""
    of = list(plays(in_order(logs.kuairand()), outcome))
    numbers: defaultdict[int, int] = defaultdict(lambda: len(numbers))
    return [
        ([numbers[index] for index in indices], play.happened)
        for indices, play in zip(coordinates(of, SPEC), of, strict=True)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.evaluation.vowpal")
    parser.add_argument("--python", type=Path, default=PYTHON, help="that has vowpalwabbit")
    args = parser.parse_args(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    for needed, where in ((logs.KUAIRAND, "see kuairand"), (args.python, "make bench makes it")):
        if not needed.exists():
            console.print(f"there is no {needed}: {where}")
            return 2
    shown = Table("outcome", "α, β, λ1, λ2", box=None, header_style="dim")
    for column in ("log loss", "of VW", "ratio", "|Δp| ≤", "µs", "VW, file", "VW, by line"):
        shown.add_column(column, justify="right")
    for outcome in OUTCOMES:
        examples = examples_of(outcome)
        for settings in SETTINGS:
            found = compare(examples, settings, args.python)
            figures = [f"{found.log_loss:.5f}", f"{found.log_loss_of_vowpal:.5f}"]
            figures += [f"{found.ratio:.4f}", f"{found.furthest:.4f}"]
            figures += [f"{time:.1f}" for time in found[3:]]
            shown.add_row(outcome, ", ".join(f"{one:g}" for one in settings), *figures)
    console.print(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
