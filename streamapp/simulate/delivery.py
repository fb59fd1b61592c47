"""How events reach Kafka: some late, so out of order, some twice, some spoiled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import msgspec

from streamapp.simulate.behaviour import CLICKS, Happening

_encode = msgspec.json.Encoder().encode


class Sent(NamedTuple):
    """A record as a producer would send it.

    Attributes:
        event: the record before it was encoded; empty for a spoiled one.
        timestamp_ms: when it reaches Kafka; streams are in this order.
    """

    topic: str
    key: str
    value: bytes
    timestamp_ms: int
    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """The way from a device to Kafka. Heartbeats of one playback keep their order.

    Attributes:
        late_rate: share of the events that are held up, by up to `late_ms` (uniform), while
            all others arrive at once.
        duplicate_rate: share of the events that arrive a second time, up to `late_ms` later.
    """

    late_rate: float = 0.02
    late_ms: int = 5_000
    duplicate_rate: float = 0.01

    def deliver(self, happenings: Iterable[Happening], draw: Random) -> list[Sent]:
        """Return the records of these events, each event's own delivery decided by `draw`."""
        sent: list[Sent] = []
        reached: dict[str, int] = {}
        for topic, event, chain in happenings:
            arrives = event["occurred_at_ms"]
            if draw.random() < self.late_rate:
                arrives += draw.randint(1, self.late_ms)
            if chain is not None:
                arrives = reached[chain] = max(arrives, reached.get(chain, arrives))
            record = Sent(topic, event["viewer_id"], _encode(event), arrives, event)
            sent.append(record)
            if draw.random() < self.duplicate_rate:
                again = arrives + draw.randint(0, self.late_ms)
                sent.append(record._replace(timestamp_ms=again))
        return sent


def spoiled(stream: Iterable[Sent], rate: float, seed: int) -> Iterator[Sent]:
    """Put a broken record after a share of the good ones: nothing good is lost.

    The kinds are bytes that are no JSON, a missing field, an unknown action and a key that is
    not the viewer.
    """
    draw = Random(f"{seed}:spoiled")
    for sent in stream:
        yield sent
        if draw.random() < rate:
            yield _broken(sent, draw.randrange(4))


def _broken(sent: Sent, kind: int) -> Sent:
    if kind == 0:
        return sent._replace(value=sent.value[: len(sent.value) // 2], event={})
    if kind == 1:
        partial = {name: v for name, v in sent.event.items() if name != "occurred_at_ms"}
        return sent._replace(value=_encode(partial), event={})
    if kind == 2:  # noqa: PLR2004  # one of the four kinds
        action = {**sent.event, "item_id": "i0", "action": "stare"}
        return sent._replace(topic=CLICKS, value=_encode(action), event={})
    return sent._replace(key=f"{sent.key}-other", event={})
