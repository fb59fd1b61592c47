"""A small deployment to read from: a learner that publishes, and signals of items and viewers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from streamapp.learning.factor_table import FactorTable, row_of
from streamapp.learning.snapshots import Told
from streamapp.processors.base import Cut
from streamapp.reader.state import FACTORS, VERSIONS, WEIGHTS, State
from streamapp.signals import (
    Affinities,
    Counter,
    EpochClose,
    FactorsClose,
    FeatureSpec,
    Habits,
    Interest,
    ItemSignal,
    ModelFactor,
    ModelMetrics,
    ModelVersion,
    ModelWeight,
    RecentAction,
    ViewerSession,
    ViewerSignal,
)

NOW_MS = 1_700_000_000_000
SPEC = FeatureSpec(names=("item", "category", "surface"), bits=16)
NO_METRICS = ModelMetrics(log_loss=None, auc=None, calibration=None, baselines={})


class Sent(NamedTuple):
    """A record of a topic."""

    topic: str
    key: str
    value: bytes | None


def encoded(record: Any) -> bytes:
    return msgspec.json.encode(record)


def sent(taken: Cut) -> list[Sent]:
    """Return the records of a cut, in the order a transaction has them."""
    return [
        Sent(topic, key.decode(), value)
        for topic, outputs in taken.outputs.items()
        for key, value, _ in outputs
        if key is not None
    ]


def feed(state: State, records: Iterable[Sent]) -> State:
    for record in records:
        state.update(*record)
    return state


class Author:
    """Publishes versions of one model, as the learner does."""

    def __init__(self, model: str = "click-all", spec: FeatureSpec = SPEC) -> None:
        self.model = model
        self.spec = spec
        self.told = Told()
        self.weights: dict[int, float] = {}
        self.epoch = 0

    def publish(self, changes: dict[int, float], intercept: float = 0.0) -> list[Sent]:
        """Return the records of the next version; a weight of 0 is deleted."""
        self.epoch += 1
        records = []
        for index, weight in changes.items():
            self.told.change(index, self.weights.pop(index, 0.0), weight)
            if weight:
                self.weights[index] = weight
            record = ModelWeight(
                model=self.model,
                feature=str(index),
                weight=weight,
                as_of_ms=self.epoch,
                computed_at_ms=0,
            )
            value = encoded(record) if weight else None
            records.append(Sent(WEIGHTS, f"{self.model}/{index}", value))
        close = EpochClose(
            model=self.model,
            epoch=self.epoch,
            count=self.told.count,
            checksum=self.told.checksum,
            intercept=intercept,
            spec=self.spec,
            as_of_ms=self.epoch,
            computed_at_ms=0,
        )
        return [*records, Sent(WEIGHTS, f"{self.model}/@epoch", encoded(close))]

    def version(self, status: str = "champion", **fields: Any) -> Sent:
        """Return the record of models.versions of the last version."""
        return version(self.model, self.epoch, status, **fields)


def version(model: str, epoch: int, status: str = "champion", **fields: Any) -> Sent:
    known = {"as_of_ms": NOW_MS, "computed_at_ms": NOW_MS, "examples": 1, "metrics": NO_METRICS}
    record = msgspec.convert(
        {"model": model, "version": epoch, "status": status} | known | fields, ModelVersion
    )
    return Sent(VERSIONS, model, encoded(record))


class FactorAuthor:
    """Publishes versions of factors."""

    def __init__(self, model: str = "factors-all", dimensions: int = 2) -> None:
        self.model = model
        self.dimensions = dimensions
        self.table = FactorTable()
        self.rows: dict[tuple[str, str], list[float]] = {}
        self.epoch = 0

    def publish(self, changes: dict[tuple[str, str], list[float] | None]) -> list[Sent]:
        """Return the records of the next version: rows by kind and id, the bias first."""
        self.epoch += 1
        records = []
        for (kind, name), row in changes.items():
            self.rows.pop((kind, name), None)
            self.table.update(kind, name, None if row is None else row_of(row[0], row[1:]))  # type: ignore[arg-type]
            value = None
            if row is not None:
                self.rows[kind, name] = row
                value = encoded(
                    ModelFactor(
                        model=self.model,
                        kind=kind,  # type: ignore[arg-type]
                        id=name,
                        bias=row[0],
                        vector=row[1:],
                        as_of_ms=self.epoch,
                        computed_at_ms=0,
                    )
                )
            records.append(Sent(FACTORS, f"{self.model}/{kind}/{name}", value))
        close = FactorsClose(
            model=self.model,
            epoch=self.epoch,
            count=len(self.table),
            checksum=self.table.checksum,
            dimensions=self.dimensions,
            as_of_ms=self.epoch,
            computed_at_ms=0,
        )
        return [*records, Sent(FACTORS, f"{self.model}/@epoch", encoded(close))]


def item_signal(item_id: str, impressions: float = 1_000.0, **fields: Any) -> Sent:
    signal = ItemSignal(
        item_id=item_id,
        as_of_ms=fields.pop("as_of_ms", NOW_MS),
        computed_at_ms=NOW_MS,
        status=fields.pop("status", "active"),
        category=fields.pop("category", "drama"),
        creator_id=fields.pop("creator_id", "c1"),
        counters={"impressions": Counter(impressions, 1.0, 2.0, 3.0)},
        **{
            "ctr": 0.05,
            "coec": 1.25,
            "completion_rate": 0.3,
            "watch_ratio": 0.5,
            "velocity": 1.0,
            "viewers": 3,
        }
        | fields,
    )
    return Sent("signals.items", item_id, encoded(signal))


def catalog_item(item_id: str, **fields: Any) -> Sent:
    known = {"item_id": item_id, "category": "drama", "creator_id": "c1", "kind": "vod"}
    return Sent("catalog.items", item_id, encoded(known | fields))


def viewer_signal(
    viewer_id: str = "v1",
    recent: Sequence[tuple[str, str]] = (),
    seen: Sequence[str] = (),
    hidden: Sequence[str] = (),
    categories: dict[str, float] | None = None,
    creators: dict[str, float] | None = None,
    as_of_ms: int = NOW_MS,
    **changes: Any,
) -> Sent:
    def interests(by_name: dict[str, float] | None) -> dict[str, Interest]:
        return {name: Interest(value / 3, value) for name, value in (by_name or {}).items()}

    signal = ViewerSignal(
        viewer_id=viewer_id,
        as_of_ms=as_of_ms,
        computed_at_ms=as_of_ms,
        recent=[RecentAction(item, action, as_of_ms) for item, action in recent],
        affinity=Affinities(interests(categories), interests(creators)),
        session=ViewerSession(f"{viewer_id}:1", 1, 0, 0, 0, 0),
        seen=list(seen),
        hidden=list(hidden),
        habits=Habits({}, 0.5),
    )
    signal = msgspec.structs.replace(signal, **changes)
    return Sent("signals.viewers", viewer_id, encoded(signal))


def item_list(topic: str, key: str, *items: str) -> Sent:
    field = "item_id" if topic == "candidates.similar" else "name"
    scored = [{"item_id": item, "score": 1.0} for item in items]
    record = {field: key, "as_of_ms": NOW_MS, "computed_at_ms": NOW_MS, "items": scored}
    return Sent(topic, key, encoded(record))
