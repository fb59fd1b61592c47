"""How the board is shown: live in a terminal, as plain lines elsewhere, and at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streamapp.demo.board import EXAMPLES, ITEMS, TOPICS, VIEWERS, WEIGHTS, Board
from streamapp.demo.tally import Tally
from streamapp.signals import ItemSignal, ModelVersion

HOTTEST = 8
NOTHING = "–"


def live(board: Board, at: float, title: str) -> RenderableType:
    """Return what the terminal shows now.

    Args:
        at: now, monotonic seconds.
    """
    return Group(
        Panel(_numbers(board, at), title=title, title_align="left", border_style="cyan"),
        _compared(board),
        _hottest(board.hottest(HOTTEST)),
    )


def line(board: Board, at: float) -> str:
    """Return the same in one line."""
    parts = [
        f"{board.rate(at):.0f} events/s",
        f"fresh {_ms(board.age_ms)}",
        f"items {len(board.items)}",
        f"viewers {len(board.viewers)}",
        f"examples {board.received[EXAMPLES]}",
        _model(board.model) if board.model else "no model yet",
        f"rejected {board.rejected.total()}",
    ]
    return " | ".join(parts)


def summary(board: Board, seconds: float) -> Iterator[str]:
    """Yield the lines of the summary of a run that sent events for `seconds`."""
    total = board.sent.total() + board.broken
    by_topic = _listed({topic.removeprefix("events."): n for topic, n in board.sent.items()})
    yield f"events sent         {total:>9,}  {by_topic}, broken {board.broken:,}"
    yield f"                               {total / max(seconds, 1e-9):,.0f} a second"
    for topic in TOPICS:
        yield f"{topic:<20}{board.received[topic]:>9,}  {_about(board, topic)}".rstrip()
    fresh = board.freshness
    if fresh is not None:
        yield (
            f"freshness           {_ms(fresh.p50):>9}  at the median, "
            f"{_ms(fresh.p90)} at p90, {_ms(fresh.p99)} at p99"
        )
    for name, tally in board.arms.items():
        clicks, watched = _arm(tally)
        yield (
            f"ranked by {name.replace('_', '-'):<10}{tally.visits:>9,}  visits, "
            f"{clicks} clicks and {watched} watched in each"
        )
    if board.model is not None:
        yield f"model               {_model(board.model)}"
        yield from _losses(board, board.model)


def _about(board: Board, topic: str) -> str:
    if topic == ITEMS:
        return f"{len(board.items):,} items"
    if topic == VIEWERS:
        return f"{len(board.viewers):,} viewers"
    if topic == EXAMPLES:
        share = board.clicked / max(board.received[topic], 1)
        return f"{share:.1%} clicked"
    if topic == WEIGHTS:
        return f"{len(board.weights):,} weights in {board.epochs:,} versions"
    if topic == "events.rejected":
        return _listed(board.rejected)
    return ""


def _losses(board: Board, model: ModelVersion) -> Iterator[str]:
    own = model.metrics.log_loss
    for name, quality in sorted(model.metrics.baselines.items()):
        if own is None or not quality.log_loss:
            continue
        better = 1.0 - own / quality.log_loss
        yield (
            f"  against {name.replace('_', ' '):<12}{quality.log_loss:>7.4f}  "
            f"{abs(better):.1%} {'better' if better > 0 else 'worse'}"
        )
    if board.best_loss is not None:
        yield f"  the simulation's own {board.best_loss:.4f}  no model can do better on average"


def _numbers(board: Board, at: float) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_row("events/s", f"{board.rate(at):,.0f}", f"{board.sent.total():,} sent")
    grid.add_row("freshness", _age(board), "now − newest event in the signals")
    grid.add_row(
        "signals",
        f"{board.received[ITEMS] + board.received[VIEWERS]:,}",
        f"{len(board.items):,} items, {len(board.viewers):,} viewers",
    )
    grid.add_row("examples", f"{board.received[EXAMPLES]:,}", _about(board, EXAMPLES))
    grid.add_row("weights", f"{len(board.weights):,}", f"{board.epochs:,} versions published")
    grid.add_row("model", *_quality(board.model))
    grid.add_row("rejected", f"{board.rejected.total():,}", _listed(board.rejected))
    return grid


def _quality(model: ModelVersion | None) -> tuple[str, str]:
    if model is None or model.metrics.log_loss is None:
        return NOTHING, "waits for the first labels"
    item_rate = model.metrics.baselines.get("item_rate")
    against = item_rate.log_loss if item_rate else None
    return (
        f"{model.metrics.log_loss:.4f}",
        f"log loss, item rate {_number(against)}; AUC {_number(model.metrics.auc)}, {model.status}",
    )


def _compared(board: Board) -> Table:
    """Return what visits come to by arm; ± is the standard error of the mean."""
    table = Table(title="rankings compared", title_justify="left", expand=False)
    table.add_column("ranked by")
    for name in ("visits", "clicks a visit", "watched a visit"):
        table.add_column(name, justify="right")
    for name, tally in board.arms.items():
        table.add_row(name.replace("_", "-"), f"{tally.visits:,}", *_arm(tally))
    return table


def _arm(tally: Tally) -> tuple[str, str]:
    """Return clicks, with their standard error, and watch time by visit."""
    clicks = tally.clicks_a_visit
    if clicks is None:
        return NOTHING, NOTHING
    mean, error = clicks
    return f"{mean:.2f} ± {error:.2f}", f"{tally.watched_ms / tally.visits / 1_000:.2f} s"


def _hottest(signals: Iterable[ItemSignal]) -> Table:
    table = Table(title="hottest items", title_justify="left", expand=False)
    for name in ("item", "category"):
        table.add_column(name)
    for name in ("shown", "clicks", "ctr", "coec", "completion"):
        table.add_column(name, justify="right")
    for signal in signals:
        table.add_row(
            signal.item_id,
            signal.category or NOTHING,
            *(_total(signal, name) for name in ("impressions", "clicks")),
            f"{signal.ctr:.3f}",
            f"{signal.coec:.2f}",
            f"{signal.completion_rate:.2f}",
        )
    return table


def _total(signal: ItemSignal, name: str) -> str:
    counter = signal.counters.get(name)
    return f"{counter.total:,.0f}" if counter else "0"


def _age(board: Board) -> Text:
    age = board.age_ms
    style = "red" if age is not None and age > 5_000 else "green"  # noqa: PLR2004  # five seconds
    return Text(_ms(age), style=style)


def _model(model: ModelVersion) -> str:
    metrics = model.metrics
    return (
        f"{model.model} version {model.version} ({model.status}), {model.examples:,} examples: "
        f"log loss {_number(metrics.log_loss)}, AUC {_number(metrics.auc)}"
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def _ms(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,} ms"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"
