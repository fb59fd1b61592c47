"""What a person sees of a long step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Told = Callable[[float], None]
"""Given the share that is done, 0 to 1."""


@contextmanager
def step(console: Console, what: str) -> Iterator[Told]:
    """Show a step while it is under way."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=1.0)

        def told(share: float) -> None:
            progress.update(task, completed=share, description=f"{what}  {share:4.0%}")

        yield told
