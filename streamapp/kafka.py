"""Kafka clients as the engine and the ranking layer's reader both need them.

What of aiokafka's own ways would hurt is put right here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.helpers import create_ssl_context

from streamapp.errors import ConfigurationError
from streamapp.settings import Settings

RECONNECT_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Waits after connections that could not be made, one after the other; the last one repeats."""


def client_options(settings: Settings) -> dict[str, Any]:
    """Options every client takes: where the brokers are and how to be let in."""
    security = settings.security
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": security.security_protocol,
    }
    if security.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = security.sasl_mechanism
        options["sasl_plain_username"] = security.sasl_username
        options["sasl_plain_password"] = security.sasl_password
    if security.security_protocol.endswith("SSL"):
        options["ssl_context"] = create_ssl_context(
            cafile=security.ssl_cafile or None,
            certfile=security.ssl_certfile or None,
            keyfile=security.ssl_keyfile or None,
            password=security.ssl_key_password or None,
        )
    return options


def patient(client: AIOKafkaClient) -> None:
    """Let a client wait, longer each time, after a connection that could not be made.

    aiokafka tries again at once, in several loops of every client, and logs each: while the
    brokers are away a worker would burn the cores they need to come back.
    """
    connect = client._get_conn
    failures = 0

    async def get_conn(*args: Any, **kwargs: Any) -> Any:
        nonlocal failures
        connection = await connect(*args, **kwargs)
        if connection is not None:
            failures = 0
            return connection
        wait = RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)]
        failures += 1
        await asyncio.sleep(wait)
        return None

    client._get_conn = get_conn


class KafkaConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's consumer, patient, and always closed in the end.

    Its own `stop` raises CancelledError, and leaves the rest open, when a fetch has just failed:
    whoever stops it would seem to be cancelled. Its own `start` leaves everything open.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        patient(self._client)

    async def start(self) -> None:
        """Connect; what cannot be started is closed."""
        try:
            await super().start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close; raises CancelledError only when the caller has been cancelled."""
        try:
            await super().stop()
        except asyncio.CancelledError:
            await self._abandon()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise

    async def _abandon(self) -> None:
        if self._fetcher is not None:
            for task in (self._fetcher._fetch_task, *self._fetcher._pending_tasks):
                task.cancel()
        await self._client.close()


def reader(settings: Settings, *, from_start: bool = True) -> KafkaConsumer:
    """A read-committed consumer without a group; partitions are assigned by the caller."""
    return KafkaConsumer(
        **client_options(settings),
        isolation_level="read_committed",
        check_crcs=settings.check_crcs,
        enable_auto_commit=False,
        auto_offset_reset="earliest" if from_start else "latest",
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, connected."""
    client = AIOKafkaAdminClient(**client_options(settings))
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def partition_counts(settings: Settings, topics: Sequence[str]) -> dict[str, int]:
    """Number of partitions by topic, in the order asked for.

    Raises:
        ConfigurationError: naming the topics that do not exist.
    """
    async with admin(settings) as client:
        described = await client.describe_topics(list(topics)) if topics else []
    counts = {d["topic"]: len(d["partitions"]) for d in described if not d["error_code"]}
    missing = [topic for topic in topics if not counts.get(topic)]
    if missing:
        raise ConfigurationError(
            f"missing topics: {', '.join(missing)}; run `streamapp topics apply`"
        )
    return {topic: counts[topic] for topic in topics}
