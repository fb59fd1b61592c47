"""The topics: what topics/ says of each, and the JSON Schemas of what they hold.

A YAML file describes a topic by its logical name; on the brokers it has the prefix of the
settings before it. `changelog.yaml` is the pattern of every processor's changelog.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from streamapp import events, signals
from streamapp.errors import ConfigurationError
from streamapp.settings import Settings

RECORDS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "events.impressions": (events.Impression,),
    "events.clicks": (events.Click,),
    "events.watches": (events.Watch,),
    "catalog.items": (events.CatalogItem,),
    "control.parameters": (events.Parameter,),
    "privacy.erasures": (events.Erasure,),
    "activity.items": (signals.ItemDelta,),
    "activity.trending": (signals.TrendingReport,),
    "activity.queries": (signals.QueryDelta,),
    "activity.pairs": (signals.PairDelta,),
    "activity.sessions": (signals.SessionVector,),
    "signals.items": (signals.ItemSignal,),
    "signals.queries": (signals.QuerySignal,),
    "signals.viewers": (signals.ViewerSignal,),
    "candidates.trending": (signals.TrendingList,),
    "candidates.similar": (signals.SimilarList,),
    "training.examples": (signals.Example,),
    "models.versions": (signals.ModelVersion,),
    "models.weights": (signals.ModelWeight, signals.EpochClose),
    "models.factors": (signals.ModelFactor, signals.FactorsClose),
    "events.rejected": (signals.RejectedRecord,),
}
"""Which types of record a topic holds."""

CHANGELOG = "changelog.yaml"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Topic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A topic as its YAML file describes it.

    Attributes:
        name: logical, without prefix.
        what: one sentence for a person.
        key: what a record's key is.
        cleanup: `delete` drops what is older than `retention_ms`, `compact` keeps the last
            record of each key.
        retention_ms: −1 is for ever; None with `compact`.
        config: further settings of the topic, by Kafka's names.
        schema: file in topics/schemas; None for what is nobody else's to read.
    """

    name: str
    what: str
    key: str
    partitions: int
    cleanup: str
    retention_ms: int | None
    config: dict[str, bool | int | float | str]
    schema: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it has to be on the brokers.

    Attributes:
        name: with the prefix.
        what: one sentence for a person.
        config: values as Kafka writes them.
    """

    name: str
    what: str
    partitions: int
    replication: int
    config: Mapping[str, str]


def directory() -> Path:
    """Return where the topic files are: in the package if installed, else in the checkout."""
    package = Path(__file__).parent
    installed = package / "_topics"
    return installed if installed.is_dir() else package.parent / "topics"


@cache
def catalogue() -> dict[str, Topic]:
    """Return every topic by logical name, in the order of the names; changelogs are not in it."""
    found = (read(path) for path in sorted(directory().glob("*.yaml")) if path.name != CHANGELOG)
    return {topic.name: topic for topic in found}


def read(path: Path) -> Topic:
    """Read one topic file.

    Raises:
        ConfigurationError: the file is not as `Topic` says.
    """
    try:
        topic = msgspec.convert(yaml.safe_load(path.read_text("utf-8")), Topic)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{path.name}: {error}") from None
    if (topic.cleanup, topic.retention_ms is None) not in (("delete", False), ("compact", True)):
        raise ConfigurationError(
            f"{path.name}: cleanup is delete, with retention_ms, or compact, without"
        )
    return topic


def wanted(settings: Settings, changelogs: Sequence[str]) -> list[Wanted]:
    """Return what has to be on the brokers: the catalogue, and the changelogs so named."""
    pattern = read(directory() / CHANGELOG)
    named = [(settings.topic(name), topic) for name, topic in catalogue().items()]
    named += [(name, pattern) for name in changelogs]
    return [
        Wanted(
            name=name,
            what=topic.what,
            partitions=settings.partitions or topic.partitions,
            replication=settings.replication,
            config=_config(topic),
        )
        for name, topic in named
    ]


def _config(topic: Topic) -> dict[str, str]:
    own: dict[str, Any] = {"cleanup.policy": topic.cleanup}
    if topic.retention_ms is not None:
        own["retention.ms"] = topic.retention_ms
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in {**own, **topic.config}.items()
    }


def schema(name: str) -> bytes:
    """Return the JSON Schema of what a topic holds, as its file has it."""
    kinds = RECORDS[name]
    alternatives, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    body = {"anyOf": list(alternatives)} if len(kinds) > 1 else alternatives[0]
    whole = {"$schema": DIALECT, "title": name, **body, "$defs": definitions}
    _tidy(whole)
    return json.dumps(whole, indent=2, ensure_ascii=False).encode() + b"\n"


def _tidy(node: Any) -> None:
    """Take the indentation of the source out of the descriptions, which are docstrings."""
    children = node.values() if isinstance(node, dict) else node
    for child in children:
        if isinstance(child, dict | list):
            _tidy(child)
    if isinstance(node, dict) and isinstance(node.get("description"), str):
        node["description"] = inspect.cleandoc(node["description"])


def stale_schemas(schemas: Path) -> dict[Path, bytes]:
    """Return the schema files that are not as the record types are, with what they should say."""
    made = {schemas / f"{name}.json": schema(name) for name in RECORDS}
    return {
        path: text for path, text in made.items() if not path.exists() or path.read_bytes() != text
    }
