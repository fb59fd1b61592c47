"""Vowpal Wabbit on one file of examples, in its text format. Runs where its wheel is installed.

`python vowpal_learner.py EXAMPLES PREDICTIONS OPTIONS…` learns twice, each time from nothing: from
the file, as VW does it fastest, leaving the probabilities given before learning in PREDICTIONS, and
line by line from Python, as a stream would be learned. Prints {"file": …, "lines": …}: CPU seconds,
without those that VW takes to start and end with nothing to learn.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from time import process_time

from vowpalwabbit import Workspace

ROUNDS = 3
"""The best one counts."""


def from_file(examples: str, predictions: str, options: list[str]) -> float:
    """Learn the file; return CPU seconds, those of its parser's thread included."""
    begin = process_time()
    Workspace(" ".join([*options, "-d", examples, "-p", predictions])).finish()
    return process_time() - begin


def by_line(lines: list[str], options: list[str]) -> float:
    """Learn line by line; return CPU seconds."""
    workspace = Workspace(" ".join(options))
    begin = process_time()
    for line in lines:
        workspace.learn(line)
    spent = process_time() - begin
    workspace.finish()
    return spent


def main() -> None:
    """Run the command line."""
    examples, predictions, options = sys.argv[1], sys.argv[2], sys.argv[3:]
    lines = Path(examples).read_text("utf-8").splitlines()
    idle = min(from_file(os.devnull, os.devnull, options) for _ in range(ROUNDS))
    spent = {
        "file": min(from_file(examples, predictions, options) for _ in range(ROUNDS)) - idle,
        "lines": min(by_line(lines, options) for _ in range(ROUNDS)),
    }
    print(json.dumps(spent))


if __name__ == "__main__":
    main()
