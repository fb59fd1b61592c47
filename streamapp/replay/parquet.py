"""The examples of a replay as one Parquet file, for training offline on what is learned from live.

`examples.parquet` has a row for each record of training.examples, in their order, and a column
for each thing that a record says:

======================  =====================================================================
the record's fields     under their names; `computed_at_ms`, which is no one's business, aside
the labels              clicked, actions, watched_ms, completed, watched_share
feature_NAME            a column for each that `streamapp.features.serving` declares, of its type
other_numbers, …_texts  maps of features that slates were served with and nobody declared, and
                        of declared ones that came with a value of another type
======================  =====================================================================

What is not known is null.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from streamapp.errors import ConfigurationError
from streamapp.features.serving import TYPES, Features
from streamapp.signals import Example

EXAMPLES = "training.examples"
NAME = "examples.parquet"
FEATURE = "feature_"
"""Before the name of a declared feature: a few are called like fields of the record."""

ROWS = 20_000
"""Rows written together, and held until then."""

_EXACT = 2**53
_ARROW = {int: pa.int64(), float: pa.float64(), str: pa.string()}

_FIELDS = {
    "example_id": pa.string(),
    "kind": pa.string(),
    "segment": pa.string(),
    "request_id": pa.string(),
    "viewer_id": pa.string(),
    "item_id": pa.string(),
    "surface": pa.string(),
    "position": pa.int32(),
    "propensity": pa.float64(),
    "weight": pa.float64(),
    "served_at_ms": pa.int64(),
    "labelled_at_ms": pa.int64(),
    "as_of_ms": pa.int64(),
}
_LABELS = {
    "clicked": pa.bool_(),
    "actions": pa.list_(pa.string()),
    "watched_ms": pa.int64(),
    "completed": pa.bool_(),
    "watched_share": pa.float64(),
}
SCHEMA = pa.schema(
    {
        **_FIELDS,
        **_LABELS,
        **{FEATURE + name: _ARROW[kind] for name, kind in TYPES.items()},
        "other_numbers": pa.map_(pa.string(), pa.float64()),
        "other_texts": pa.map_(pa.string(), pa.string()),
    }
)

_decode = msgspec.json.Decoder(Example).decode


class ExamplesFile:
    """Writes the examples; the file gets its name when all of it is written.

    Args:
        target: a directory that is empty or does not exist.

    Attributes:
        rows: taken so far.
    """

    def __init__(self, target: Path) -> None:
        self.rows = 0
        self._target = target
        self._unfinished = target / f"{NAME}.unfinished"
        self._waiting: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        target = self._target
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise ConfigurationError(f"{target} is no empty directory")
        target.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._unfinished, SCHEMA, compression="zstd")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file and give it its name, or remove it after a failure."""
        if error is None:
            self._flush()
            self._writer.close()
            self._unfinished.rename(self._target / NAME)
        else:
            with suppress(OSError):  # a full disk is told by the first error
                self._writer.close()
            self._unfinished.unlink(missing_ok=True)

    def write(self, topic: str, value: bytes | None) -> None:
        """Append a record if it is an example."""
        if topic == EXAMPLES and value is not None:
            self._waiting.append(row(_decode(value)))
            self.rows += 1
            if len(self._waiting) == ROWS:
                self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._writer.write_table(pa.Table.from_pylist(waiting, schema=SCHEMA))


def row(example: Example) -> dict[str, Any]:
    """Return an example as a row."""
    said = {name: getattr(example, name) for name in _FIELDS}
    labels = {name: getattr(example.labels, name) for name in _LABELS}
    return said | labels | _columns(example.features)


def _columns(features: Features) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    numbers: list[tuple[str, float]] = []
    texts: list[tuple[str, str]] = []
    for name, value in features.items():
        kind = TYPES.get(name)
        if isinstance(value, str):
            if kind is str:
                columns[FEATURE + name] = value
            else:
                texts.append((name, value))
        elif kind is float or (kind is int and abs(value) <= _EXACT and value == int(value)):
            columns[FEATURE + name] = kind(value)
        else:
            numbers.append((name, float(value)))
    return columns | {"other_numbers": numbers, "other_texts": texts}
