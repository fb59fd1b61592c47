"""Kafka clients, made from the settings in one place."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer

from streamapp.kafka import admin, client_options, partition_counts, patient, reader
from streamapp.settings import Settings

__all__ = ["abandon", "admin", "partition_counts", "producer", "reader"]

COMPRESSION = "zstd"
"""aiokafka writes lz4 at its slowest level: seven times the time of zstd for larger batches."""

BATCH_BYTES = 512 * 1024
"""Uncompressed bytes of a record batch: well under the broker's `message.max.bytes`. A record that
is larger is a batch of its own, which only its topic's `max.message.bytes` bounds, compressed."""

REQUEST_BYTES = 4 * 1024 * 1024
"""aiokafka refuses a larger record in `send`; what comes in batches, as all of a cut does, it does
not look at."""

RETRY_BACKOFF_MS = 10
"""A broker answers the first produce close behind the last transaction with a retriable
error; the clients' default of 100 ms would be most of a commit."""

ABANDON_SECONDS = 0.1


def producer(settings: Settings, transactional_id: str | None = None) -> AIOKafkaProducer:
    """An idempotent producer, or a transactional one."""
    options: dict[str, Any] = {}
    if transactional_id is not None:
        options["transactional_id"] = transactional_id
        options["transaction_timeout_ms"] = settings.transaction_timeout_ms
    made = AIOKafkaProducer(
        **client_options(settings),
        **options,
        enable_idempotence=True,
        compression_type=COMPRESSION,
        max_batch_size=BATCH_BYTES,
        max_request_size=REQUEST_BYTES,
        retry_backoff_ms=RETRY_BACKOFF_MS,
    )
    patient(made.client)
    return made


async def abandon(producer: AIOKafkaProducer) -> None:
    """End a producer at once.

    Its own `stop` first delivers what is pending, for ever if the brokers are away; of a
    transaction that nobody waits for any more nothing is to be delivered.
    """
    producer._closed = True
    sender = producer._sender.sender_task
    while sender is not None and not sender.done():
        sender.cancel()  # again if need be: it waits for its own tasks, which may never end
        await asyncio.wait([sender], timeout=ABANDON_SECONDS)
    await producer.client.close()
