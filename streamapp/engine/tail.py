"""`streamapp tail`: the committed records of a topic, as JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from typing import Any, TextIO

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streamapp.engine import clients
from streamapp.errors import BrokersUnavailable, ConfigurationError
from streamapp.settings import Settings
from streamapp.topics import catalogue


def run(
    topic: str,
    settings: Settings,
    key: str | None = None,
    *,
    from_beginning: bool = False,
    limit: int | None = None,
) -> int:
    """Print records until interrupted, or until `limit` were printed; return the exit code.

    Raises:
        ConfigurationError: there is no such topic.
        BrokersUnavailable: the brokers cannot be reached or do not answer.
    """
    # Ctrl-C is how it ends, not a failure.
    with contextlib.suppress(KeyboardInterrupt):
        records = _records(topic, settings, from_beginning=from_beginning)
        asyncio.run(_print(records, key, limit, sys.stdout))
    return 0


async def _print(
    records: AsyncGenerator[Any, None], key: str | None, limit: int | None, out: TextIO
) -> None:
    wanted = None if key is None else key.encode()
    printed = 0
    async with contextlib.aclosing(records):
        async for record in records:
            if wanted is None or record.key == wanted:
                print(line(record), file=out, flush=True)
                printed += 1
            if printed == limit:
                return


def line(record: Any) -> str:
    """Return a record as one line of JSON; a value that is no JSON is given as a string."""
    shown = {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "key": _text(record.key),
        "value": _json(record.value),
    }
    return msgspec.json.encode(shown).decode()


def _json(value: bytes | None) -> Any:
    try:
        return value and msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _text(value)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="replace")


async def _records(
    topic: str, settings: Settings, *, from_beginning: bool
) -> AsyncGenerator[Any, None]:
    name = settings.topic(topic) if topic in catalogue() else topic
    consumer = clients.reader(settings, from_start=from_beginning)
    try:
        await consumer.start()
        await _assign(consumer, await _partitions(name, settings), from_beginning=from_beginning)
        async for record in consumer:
            yield record
    except KafkaError as error:
        raise BrokersUnavailable(f"brokers at {settings.bootstrap_servers}: {error}") from error
    finally:
        await consumer.stop()


async def _partitions(topic: str, settings: Settings) -> list[TopicPartition]:
    try:
        counts = await clients.partition_counts(settings, [topic])
    except ConfigurationError:
        raise ConfigurationError(
            f"the brokers have no topic {topic}; `streamapp topics list` shows the topics of"
            " streamapp, `streamapp topics apply` creates them"
        ) from None
    return [TopicPartition(topic, number) for number in range(counts[topic])]


async def _assign(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], *, from_beginning: bool
) -> None:
    consumer.assign(partitions)
    if not from_beginning:
        # Now, not with the first fetch: what is written from here on is to be seen.
        await consumer.seek_to_end(*partitions)
