"""anomalies: how sessions usually look, and from when on one is unusual.

In: activity.sessions, with every 16th deliberate action of a viewer the vector of their session
(`streamapp.features.session_vector`); one task has all of them. Bots teach nothing: the sessions
of a viewer whose trust is `bot` are not in it.

Kept: half-space trees (`streamapp.learning.half_space_trees`), and how many vectors had which
score.

Out: `anomaly/session` of control.parameters (`streamapp.features.half_space`): the trees, and the
threshold.

**Threshold.** Each vector is scored before it is learnt, and the scores are counted in 1,024 equal
bins of [0, 1]; when a million have been counted all counts are halved. The threshold is the
smallest edge of a bin at or above which there are at most 0.1 % of the scores counted.

**When.** With the last vector of a window, when at least 1,000 have been scored and either twice
as many have been learnt as at the last publication or a day has passed since: often at first, then
daily, so that the history stays small. When of a window more than 2 % are anomalies by what was
last published, viewers in general have come to do something else: then an hour after it will do,
lest they all be suspects for a day. In force from stream time + 1 min on, as what the
estimators publish (`streamapp.processors.estimators` says why).

Worked example, with windows of 250: the 251st vector is the first to be scored, 1,000 are with the
1,250th: it is published then, and with the 2,500th, the 5,000th, … or the first window that ends a
day later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from streamapp.errors import Rejection
from streamapp.events import Parameter
from streamapp.features.decay import DAY_MS, HOUR_MS
from streamapp.features.half_space import PARAMETER, is_anomaly
from streamapp.features.session_vector import FEATURES
from streamapp.learning.half_space_trees import HalfSpaceTrees
from streamapp.processors.base import Cut, Row
from streamapp.processors.estimators import LEAD_MS, PARAMETERS
from streamapp.signals import SessionVector

BINS = 1_024
MOST_SCORES = 1_000_000

_HEAD, _COUNTED, _MASSES, _PUBLISHED = b"head", b"counted", b"masses", b"published"
_encode = msgspec.json.Encoder().encode


class _Head(msgspec.Struct, array_like=True):
    """The processor's own row; times are epoch ms.

    Attributes:
        learnt: vectors of the window under way; `vectors`: of all windows.
        unusual: how many of the window under way are anomalies by what was last published.
        published: vectors at the last publication; `published_ms`: its time.
        bins: scores counted, by bin.
    """

    version: int = 1
    newest_ms: int = 0
    learnt: int = 0
    vectors: int = 0
    unusual: int = 0
    published: int = 0
    published_ms: int = 0
    bins: dict[int, int] = {}


_decode_vector = msgspec.json.Decoder(SessionVector).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_masses = msgspec.json.Decoder(tuple[int, list[int]]).decode
_decode_published = msgspec.json.Decoder(tuple[int, tuple[float, ...]]).decode


@dataclass(frozen=True, slots=True)
class AnomaliesSettings:
    """What can be configured.

    Attributes:
        trees, height, seed: of the half-space trees.
        window: vectors in a window.
        least_scored: vectors scored before anything is published.
        share: of the scores, that are at or above the threshold, at most.
        lead_ms: how long after it was made what is published is in force.
        every_ms: stream time after which it is published anew.
        drifted_share: of a window, that are anomalies when viewers do something else than before.
        drifted_ms: stream time after which it is published anew then.
    """

    trees: int = 15
    height: int = 5
    seed: int = 7
    window: int = 250
    least_scored: int = 1_000
    share: float = 0.001
    lead_ms: int = LEAD_MS
    every_ms: int = DAY_MS
    drifted_share: float = 0.02
    drifted_ms: int = HOUR_MS


def decode_session(value: bytes) -> SessionVector:
    """Decode one record of activity.sessions."""
    try:
        session = _decode_vector(value)
    except msgspec.ValidationError as error:
        raise Rejection("invalid_field", str(error)) from None
    except msgspec.DecodeError as error:
        raise Rejection("invalid_json", str(error)) from None
    if len(session.vector) != len(FEATURES):
        raise Rejection("invalid_field", f"vector: {len(session.vector)} numbers")
    return session


class Anomalies:
    """The trees of one partition; it has any if it holds the sessions."""

    name: ClassVar[str] = "anomalies"
    inputs: ClassVar[tuple[str, ...]] = ("activity.sessions",)

    def __init__(self, settings: AnomaliesSettings) -> None:
        self._settings = settings
        self._head = _Head()
        self._trees = HalfSpaceTrees.seeded(
            settings.seed,
            trees=settings.trees,
            height=settings.height,
            features=len(FEATURES),
            window=settings.window,
        )
        self._published: tuple[float, ...] = ()
        self._changed = self._pivoted = False
        self._due: list[Parameter] = []

    def decoder(self, topic: str) -> Callable[[bytes], SessionVector]:  # noqa: ARG002  # one input
        """Return what decodes one vector."""
        return decode_session

    def process(self, topic: str, event: SessionVector) -> None:  # noqa: ARG002  # one input
        """Score a vector, then learn it."""
        head = self._head
        head.newest_ms = max(head.newest_ms, event.as_of_ms)
        score = self._trees.score_one(event.vector)
        if score is not None:
            self._count(score)
        if self._published and is_anomaly(self._published, event.vector):
            head.unusual += 1
        self._changed = True
        full = self._trees.learn_one(event.vector)
        head.learnt = self._trees.learnt
        if full:
            head.vectors += self._settings.window
            self._pivoted = True
            if self._is_time():
                self._publish()
            head.unusual = 0

    def _count(self, score: float) -> None:
        bins = self._head.bins
        at = min(int(score * BINS), BINS - 1)
        bins[at] = bins.get(at, 0) + 1
        if sum(bins.values()) >= MOST_SCORES:
            self._head.bins = {at: count // 2 for at, count in bins.items() if count > 1}

    def _is_time(self) -> bool:
        """Return whether to publish what there is at a window's end."""
        head, settings = self._head, self._settings
        if sum(head.bins.values()) < settings.least_scored:
            return False
        drifted = head.unusual > settings.drifted_share * settings.window
        wait_ms = settings.drifted_ms if drifted else settings.every_ms
        return head.vectors >= 2 * head.published or head.newest_ms >= head.published_ms + wait_ms

    def _publish(self) -> None:
        """Publish with the next cut."""
        head = self._head
        head.published, head.published_ms = head.vectors, head.newest_ms
        self._published = self._trees.published(self._threshold())
        valid_from_ms = head.newest_ms + self._settings.lead_ms
        self._due.append(
            Parameter(name=PARAMETER, valid_from_ms=valid_from_ms, value=self._published)
        )

    def _threshold(self) -> float:
        """Return the smallest edge of a bin with few enough scores at or above it."""
        bins = self._head.bins
        left = self._settings.share * sum(bins.values())
        for at in range(BINS - 1, -1, -1):
            left -= bins.get(at, 0)
            if left < 0:
                return (at + 1) / BINS
        return 0.0

    def advance(self, stream_time_ms: int) -> None:
        """Nothing is due when time passes."""

    def follow(self, topic: str, key: str) -> None:
        """No broadcast topic is read."""

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Emit what is to be published; return what changed."""
        if not self._changed:
            return []
        for parameter in self._due:
            cut.emit(PARAMETERS, parameter.name, _encode(parameter))
        rows = [(_HEAD, _encode(self._head)), (_COUNTED, _row(self._trees.counted))]
        if self._pivoted:
            rows.append((_MASSES, _row(self._trees.masses)))
        if self._due:
            rows.append((_PUBLISHED, _row(self._published)))
        self._due.clear()
        self._changed = self._pivoted = False
        return rows

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog."""
        for key, value in rows:
            if value is None:
                continue  # none is ever deleted
            if key == _HEAD:
                self._head = _decode_head(value)
            elif key == _COUNTED:
                self._trees.counted = _decode_masses(value)[1]
            elif key == _PUBLISHED:
                self._published = _decode_published(value)[1]
            else:
                self._trees.masses = _decode_masses(value)[1]

    def ready(self) -> None:
        """All rows are in."""
        self._trees.learnt = self._head.learnt

    @property
    def rows(self) -> int:
        """Rows held."""
        held = 2 + bool(self._trees.masses) + bool(self._published)
        return held if self._head.newest_ms else 0


def _row(numbers: Sequence[float]) -> bytes:
    return _encode((1, numbers))
