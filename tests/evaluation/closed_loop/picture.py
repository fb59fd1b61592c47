"""Lift against drift rate as a picture: SVG, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor
from typing import NamedTuple

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 60
COLOURS = ("#0b6e99", "#c2571a", "#4b8b3b")
TICKS = 6


class Point(NamedTuple):
    """One measurement: shares of 1, with its interval."""

    drift: float
    lift: float
    low: float
    high: float


Line = tuple[str, Sequence[Point]]
"""A name, and what was measured."""


def svg(title: str, lines: Sequence[Line]) -> str:
    """Return the picture; every line has points with their intervals."""
    scales = _Scales.of([point for _, points in lines for point in points])
    return "\n".join([*_frame(title, scales), *_lines(lines, scales), "</svg>", ""])


class _Scales(NamedTuple):
    most_drift: float
    low: int
    high: int
    every: int

    @classmethod
    def of(cls, points: Sequence[Point]) -> _Scales:
        low = min(0.0, *(100 * point.low for point in points))
        high = max(100 * point.high for point in points)
        every = next(step for step in (1, 2, 5, 10, 20, 50, 100) if (high - low) / step <= TICKS)
        drift = max(point.drift for point in points) or 1.0
        return cls(drift, floor(low / every) * every, ceil(high / every) * every, every)

    def x(self, drift: float) -> float:
        return LEFT + 15 + drift / self.most_drift * (WIDTH - LEFT - RIGHT - 30)

    def y(self, lift: float) -> float:
        share = (100 * lift - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _frame(title: str, scales: _Scales) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="13">'
    )
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    yield _text(LEFT, 24, title, "start", 'font-weight="bold"')
    for percent in range(scales.low, scales.high + 1, scales.every):
        y = scales.y(percent / 100)
        stroke = "#555" if percent == 0 else "#ddd"
        yield _stroke((LEFT, y), (WIDTH - RIGHT, y), stroke, 1)
        yield _text(LEFT - 8, y + 4, f"{percent:+d} %" if percent else "0 %", "end")
    what = "drift: standard deviation of what an hour changes in a taste, log-odds"
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, what, "middle")


def _lines(lines: Sequence[Line], scales: _Scales) -> Iterator[str]:
    for drift in sorted({point.drift for _, points in lines for point in points}):
        yield _text(scales.x(drift), HEIGHT - BOTTOM + 20, f"{drift:g}", "middle")
    for number, (name, points) in enumerate(lines):
        colour, aside = COLOURS[number], 6 * number - 3 * (len(lines) - 1)
        places = [(scales.x(p.drift) + aside, scales.y(p.lift)) for p in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for (x, y), point in zip(places, points, strict=True):
            yield _stroke((x, scales.y(point.low)), (x, scales.y(point.high)), colour, 1.5)
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
        yield _text(LEFT + 12, TOP + 4 + 18 * number, name, "start", f'fill="{colour}"')


def _stroke(start: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> str:
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{text}</text>'
