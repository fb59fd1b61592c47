"""A Kafka for one run, inside this process: librdkafka's mock cluster.

For `streamapp demo` and quick tests. It speaks Kafka's protocol on a loopback port and keeps
everything in memory, and it is no Kafka: see `LIMITS`. What claims durability or exactly-once
is tested on Apache Kafka.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException, Producer

from streamapp.errors import StreamappError

PARTITIONS = 4
"""Of every topic; a topic comes into being when it is first asked for."""

LIMITS = (
    f"embedded broker: in memory, {PARTITIONS} partitions a topic, keeps about 5 MB a partition,"
    " one worker a role, transactions without isolation or stored offsets"
)
"""One line for people: what not to expect of it."""

START_SECONDS = 10.0


class EmbeddedBroker:
    """Runs while the context does, on threads of librdkafka's own.

    Attributes:
        bootstrap_servers: where it listens, as host:port.

    Raises:
        StreamappError: it did not start.
    """

    bootstrap_servers: str

    def __enter__(self) -> Self:
        # Logged from level 5 on is only that it is no real cluster.
        self._owner: Producer | None = Producer({"test.mock.num.brokers": 1, "log_level": 3})
        try:
            brokers = self._owner.list_topics(timeout=START_SECONDS).brokers.values()
        except KafkaException as exc:
            raise StreamappError(f"the embedded broker did not start: {exc}") from exc
        self.bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owner = None  # librdkafka ends the cluster with its owner
