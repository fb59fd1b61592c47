"""`streamapp tail`: the committed records of a topic, as JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from itertools import islice
from typing import Any, TextIO

import msgspec
from aiokafka.errors import KafkaError

from streamapp.engine.records import Record, follow
from streamapp.errors import BrokersUnavailable
from streamapp.settings import Settings


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
    batches = follow(settings, [topic], from_start=from_beginning)
    # Ctrl-C is how it ends, not a failure.
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(_print(batches, key, limit, sys.stdout))
        except KafkaError as error:
            raise BrokersUnavailable(f"brokers at {settings.bootstrap_servers}: {error}") from error
    return 0


async def _print(
    batches: AsyncGenerator[list[Record], None], key: str | None, limit: int | None, out: TextIO
) -> None:
    wanted = None if key is None else key.encode()
    left = limit
    async with contextlib.aclosing(batches):
        async for batch in batches:
            matching = (record for record in batch if wanted is None or record.key == wanted)
            for record in islice(matching, left):
                print(line(record), file=out, flush=True)
                left = None if left is None else left - 1
            if left == 0:
                return


def line(record: Record) -> str:
    """Return a record as one line of JSON; a value that is no JSON is given as a string."""
    shown = {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": _text(record.key),
        "value": _json(record.value),
    }
    return msgspec.json.encode(shown).decode()


def _json(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _text(value)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="replace")
