"""The changelog of a factor model: the rows that are all there is to restore it exactly.

===========================  ====================================================================
key                          value (a JSON array; its first entry is a version)
===========================  ====================================================================
`<model>`                    `Head`: counts, publication, metrics, what waits for publication
`<model>/open`               `OpenRequest`: the request whose labels are coming in, if any
`<model>/recent`             `Recent`: slots shown of late
`<model>/places`             `Places`: what places add to the log-odds
`<model>/pair/<slot>`        `Pair`: an earlier pair
`<model>/viewer/<id>`        `Held`: what learns, of a viewer
`<model>/item/<id>`          `Held`: of an item
`<model>/bias/<id>`          `Bias`: of an item, in the baseline
`<model>/told/<kind>/<id>`   `Told`: what readers hold
===========================  ====================================================================

A model id contains no "/". null deletes.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from streamapp.errors import ConfigurationError
from streamapp.learning.earlier_pairs import Pair
from streamapp.learning.factor_model import FactorModel
from streamapp.learning.factor_rows import Entry, FactorRows
from streamapp.learning.factor_table import Kind, Row
from streamapp.learning.item_bias import BiasState
from streamapp.learning.open_request import OpenRequest
from streamapp.learning.pair_quality import PairState
from streamapp.learning.pairs import Slot

VERSION = 1


class Head(msgspec.Struct, array_like=True):
    """The row of a model: all of it that is small.

    Attributes:
        requests: learned from; `published_requests` when the version was published.
        orders: of the newest event of viewers and items.
        alarms: times that staging went back to what was published.
        sampled_ms, waiting: of `EarlierPairs`.
        metrics: of the model and the baseline.
    """

    version: int
    dimensions: int
    examples: int
    requests: int
    as_of_ms: int
    epoch: int
    published_at_ms: int | None
    published_requests: int
    orders: tuple[int, int]
    alarms: int
    sampled_ms: int | None
    waiting: list[Pair]
    metrics: list[PairState]


class Held(msgspec.Struct, array_like=True):
    """The row of an id; `row` is bias and vector as 8-byte floats, None while it waits for one."""

    version: int
    order: int
    events: int
    row: bytes | None


class Told(msgspec.Struct, array_like=True):
    """What readers hold of an id: bias and vector as 8-byte floats."""

    version: int
    row: bytes


class Bias(msgspec.Struct, array_like=True):
    """The row of an item in the baseline."""

    version: int
    state: BiasState


class Recent(msgspec.Struct, array_like=True):
    """Of `RecentSlots`."""

    version: int
    next: int
    ring: list[Slot]


class Places(msgspec.Struct, array_like=True):
    """What places add to the log-odds, in the model and in the baseline."""

    version: int
    model: dict[str, float]
    baseline: dict[str, float]


_encode = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(Head).decode
_decode_held = msgspec.json.Decoder(Held).decode
_decode_told = msgspec.json.Decoder(Told).decode
_decode_bias = msgspec.json.Decoder(Bias).decode
_decode_recent = msgspec.json.Decoder(Recent).decode
_decode_places = msgspec.json.Decoder(Places).decode
_decode_pair = msgspec.json.Decoder(Pair).decode
_decode_open = msgspec.json.Decoder(OpenRequest).decode


class FactorChangelog:
    """Writes what changed in a model as rows, and brings a new model back to them."""

    def __init__(self, model: FactorModel) -> None:
        self._model = model
        self._tables: dict[str, FactorRows] = {
            "viewer": model.bpr.viewers,
            "item": model.bpr.items,
        }
        self._restored: dict[str, dict[str, Entry]] = {name: {} for name in self._tables}
        self._told: dict[str, Row] = {}
        self._biases: dict[str, BiasState] = {}

    def rows(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield the rows that changed since the last call: key, value."""
        model = self._model
        model.take_touched()
        changed, model.changed = model.changed, set()
        for name in sorted(changed):
            key = f"{model.id}/{name}" if name else model.id
            yield key.encode(), self._small(name)
        for table, dirty in model.dirty.items():
            for name in sorted(dirty):
                yield f"{model.id}/{table}/{name}".encode(), self._row(table, name)
            dirty.clear()
        for item, bias in model.baseline.changed():
            value = None if bias is None else _encode(Bias(VERSION, bias))
            yield f"{model.id}/bias/{item}".encode(), value
        for slot, pair in model.earlier.changed():
            yield f"{model.id}/pair/{slot}".encode(), None if pair is None else _encode(pair)

    def _small(self, name: str) -> bytes | None:
        model = self._model
        if name == "open":
            return None if model.open is None else _encode(model.open)
        if name == "recent":
            return _encode(Recent(VERSION, model.recent.next, model.recent.ring))
        if name == "places":
            return _encode(Places(VERSION, model.bpr.places.learned, model.baseline.places.learned))
        return _encode(self._head())

    def _row(self, table: str, name: str) -> bytes | None:
        if table == "told":
            row = self._model.publication.table.get(*_split(name))
            return None if row is None else _encode(Told(VERSION, _raw(row)))
        entry = self._tables[table].entry(name)
        if entry is None:
            return None
        raw = None if entry.row is None else _raw(entry.row)
        return _encode(Held(VERSION, entry.order, entry.events, raw))

    def _head(self) -> Head:
        model = self._model
        return Head(
            version=VERSION,
            dimensions=model.dimensions,
            examples=model.examples,
            requests=model.requests,
            as_of_ms=model.as_of_ms,
            epoch=model.publication.epoch,
            published_at_ms=model.publication.at_ms,
            published_requests=model.published,
            orders=(model.bpr.viewers.order, model.bpr.items.order),
            alarms=model.alarms,
            sampled_ms=model.earlier.sampled_ms,
            waiting=model.earlier.waiting,
            metrics=[one.state for one in model.qualities],
        )

    def restore(self, key: str, value: bytes | None) -> None:
        """Take a row, by what follows the id in its key; a later one replaces an earlier."""
        table, _, name = key.partition("/")
        if table == "told":
            self._told.pop(name, None)
            if value is not None:
                self._told[name] = _row_from(_decode_told(value).row)
        elif table in self._restored:
            self._restored[table].pop(name, None)
            if value is not None:
                held = _decode_held(value)
                row = None if held.row is None else _row_from(held.row)
                self._restored[table][name] = Entry(held.order, held.events, row)
        elif table == "bias":
            self._biases.pop(name, None)
            if value is not None:
                self._biases[name] = _decode_bias(value).state
        elif table == "pair":
            pair = None if value is None else _decode_pair(value)
            self._model.earlier.restore(int(name), pair)
        elif value is not None:
            self._restore_small(table, value)
        elif table == "open":
            self._model.open = None

    def _restore_small(self, name: str, value: bytes) -> None:
        model = self._model
        if name == "open":
            model.open = _decode_open(value)
        elif name == "recent":
            recent = _decode_recent(value)
            model.recent.next, model.recent.ring = recent.next, recent.ring
        elif name == "places":
            places = _decode_places(value)
            model.bpr.places.learned = places.model
            model.baseline.places.learned = places.baseline
        else:
            self._restore_head(_decode_head(value))

    def _restore_head(self, head: Head) -> None:
        model = self._model
        if head.dimensions != model.dimensions:
            raise ConfigurationError(
                f"model {model.id} has learned {head.dimensions} dimensions, now it is to have "
                f"{model.dimensions}: give the factors another name"
            )
        model.examples, model.requests = head.examples, head.requests
        model.as_of_ms = head.as_of_ms
        model.publication.epoch = head.epoch
        model.publication.at_ms = head.published_at_ms
        model.bpr.viewers.order, model.bpr.items.order = head.orders
        model.published, model.alarms = head.published_requests, head.alarms
        model.earlier.sampled_ms, model.earlier.waiting = head.sampled_ms, head.waiting
        for one, state in zip(model.qualities, head.metrics, strict=True):
            one.state = state

    def ready(self) -> None:
        """All rows are in."""
        for table, entries in self._restored.items():
            self._tables[table].restore(entries.items())
            entries.clear()
        for name, row in self._told.items():
            self._model.publication.restore(*_split(name), row)
        self._told.clear()
        self._model.publication.ready()
        self._model.baseline.restore(self._biases)
        self._biases = {}


def _split(name: str) -> tuple[Kind, str]:
    """Return kind and id of "kind/id"."""
    kind, _, rest = name.partition("/")
    return ("viewer" if kind == "viewer" else "item"), rest


def _raw(row: Row) -> bytes:
    return row.astype("<f8", copy=False).tobytes()


def _row_from(raw: bytes) -> Row:
    return np.frombuffer(raw, "<f8")
