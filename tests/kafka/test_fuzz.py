"""Ten thousand broken records among good ones: each is told with its reason and its bytes.

Everything that a producer, a network or a person can get wrong, sent to a real worker; the good
ones among them all count. Seeded: a failure comes again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from streamapp.engine.partitioner import by_murmur2
from streamapp.engine.records import Record
from streamapp.events import REASONS
from tests.kafka.cluster import Sent, last_by_key, make_topics, read_all, read_until, send
from tests.kafka.events import now_ms
from tests.kafka.workers import WorkerProcess
from tests.oracles.items import ACTIONS

BROKEN = 10_000
GOOD = 10_000
PARTITIONS = 3
KEPT = 64 * 1024
HOUR_MS = 3_600_000
TOPICS = ("events.impressions", "events.clicks", "events.watches")
REQUIRED = {
    "events.impressions": ("request_id", "surface", "items"),
    "events.clicks": ("item_id", "action"),
    "events.watches": ("item_id", "playback_id", "state", "watched_ms"),
}


class Broken(NamedTuple):
    """A record that cannot be used, and why."""

    sent: Sent
    reason: str


class Traffic:
    """Makes events, and whatever can be wrong with one."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_ms = now_ms()
        self.number = 0

    def event(self, topic: str, viewer: str | None = None) -> dict[str, Any]:
        """A good event."""
        self.number += 1
        draw = self.random
        event = {
            "event_id": f"e{self.number}",
            "occurred_at_ms": self.now_ms - draw.randrange(HOUR_MS // 2),
            "viewer_id": viewer or f"v{draw.randrange(300)}",
        }
        item = f"i{draw.randrange(50)}"
        if topic == "events.impressions":
            slots = [{"item_id": f"i{draw.randrange(50)}", "position": n + 1} for n in range(3)]
            return event | {"request_id": f"r{self.number}", "surface": "home", "items": slots}
        if topic == "events.clicks":
            return event | {"item_id": item, "action": draw.choice([*ACTIONS, "follow"])}
        playback = {"playback_id": f"p{self.number}", "state": "start", "watched_ms": 0}
        return event | {"item_id": item} | playback

    def good(self, topic: str, viewer: str | None = None) -> Sent:
        """A good record; some look odd and are none the worse for it."""
        event = self.event(topic, viewer)
        odd = self.random.randrange(12)
        if odd == 0:
            event |= {"not_of_ours": [1, {"deep": [None]}], "device": None, "huge": 10**400}
        elif odd == 1:
            event["country"] = "\N{GRINNING FACE}"  # a pair of surrogates in JSON
        value = encoded(event)
        if odd == 2:
            value = value[:-1] + b',"event_id":' + encoded(event["event_id"]) + b"}"
        elif odd == 3:
            value = b" \n" + value + b"\t"
        return Sent(topic, event["viewer_id"].encode(), value)

    # --- what can be wrong ----------------------------------------------------------------------

    def invalid_json(self, topic: str) -> Sent:
        event = self.event(topic)
        good = encoded(event)
        value: bytes | None = self.random.choice(
            [
                None,
                b"",
                b" ",
                b"not JSON",
                good[: self.random.randrange(1, len(good) - 1)],
                good + b"}",
                b"\xef\xbb\xbf" + good,
                good.decode().encode("utf-16"),
                good.replace(b'"', b"'"),
                with_viewer(good, b"\xff\xfe"),
                with_viewer(good, b"\xc0\xaf"),  # an overlong slash
                with_viewer(good, b"\xed\xa0\x80"),  # a surrogate as UTF-8
                with_viewer(good, rb"\ud800"),
                with_viewer(good, rb"\udc00x"),
                with_viewer(good, b"\x00"),
                good[:-1] + b',"price":NaN}',
                good[:-1] + b',"watched_ms":Infinity}',
                good[:-1] + b',"deep":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
                good[:-1] + b',"deep":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
                bytes(self.random.randrange(128, 256) for _ in range(60)),
            ]
        )
        return Sent(topic, event["viewer_id"].encode(), value)

    def missing_field(self, topic: str) -> Sent:
        event = self.event(topic)
        common = ("event_id", "occurred_at_ms", "viewer_id")
        key = event["viewer_id"].encode()
        del event[self.random.choice([*common, *REQUIRED[topic]])]
        return Sent(topic, key, encoded(event))

    def invalid_field(self, topic: str) -> Sent:
        event = self.event(topic)
        key = event["viewer_id"].encode()
        if self.random.randrange(8) == 0:
            value = self.random.choice([b"null", b"[]", b'"text"', b"7", b"true", b"[" * 60_000])
            return Sent(topic, key, value)
        wrong: list[dict[str, Any]] = [
            {"event_id": 7},
            {"event_id": ""},
            {"event_id": None},
            {"event_id": "x" * 257},
            {"occurred_at_ms": "1700000000000"},
            {"occurred_at_ms": 1.7e12},
            {"occurred_at_ms": -1},
            {"occurred_at_ms": True},
            {"occurred_at_ms": 10**30},
            {"occurred_at_ms": 10**400},
            {"viewer_id": ["v1"]},
            {"session_id": 5},
            {"experiments": ["a"]},
            {"experiments": {"a": 1}},
        ]
        of_topic: dict[str, list[dict[str, Any]]] = {
            "events.impressions": [
                {"items": {}},
                {"items": [{"item_id": "i1", "position": 1}] * 501},
                {"items": [{"item_id": "i1", "position": 0}]},
                {"items": [{"item_id": "i1", "position": "1"}]},
                {"items": [{"item_id": "i1", "position": 1, "propensity": 0}]},
                {"items": [{"item_id": "i1", "position": 1, "propensity": 1.5}]},
                {"items": [{"item_id": "i1", "position": 1, "features": {"a": []}}]},
                {"surface": None},
            ],
            "events.clicks": [
                {"action": "CLICK"},
                {"action": "dance"},
                {"action": None},
                {"item_id": {"id": "i1"}},
                {"position": -1},
                {"price": "9.99"},
            ],
            "events.watches": [
                {"state": "paused"},
                {"state": 1},
                {"watched_ms": -1},
                {"watched_ms": None},
                {"watched_ms": 10**25},
                {"duration_ms": "60"},
                {"live": "yes"},
            ],
        }
        value = encoded(event | self.random.choice(wrong + of_topic[topic]))
        if topic == "events.clicks" and self.random.randrange(6) == 0:
            value = encoded(event)[:-1] + self.random.choice([b',"price":1e999}', b',"action":7}'])
        return Sent(topic, key, value)

    def key_mismatch(self, topic: str) -> Sent:
        event = self.event(topic)
        value, key = encoded(event), event["viewer_id"].encode()
        partition = by_murmur2(key, PARTITIONS)
        wrong = self.random.choice([b"somebody else", b"\xff\xfe", b"", key + b" ", None, "twice"])
        if wrong == "twice":  # of a field given twice the last one counts
            return Sent(topic, key, value[:-1] + b',"viewer_id":"v-other"}')
        assert wrong is None or isinstance(wrong, bytes)
        return Sent(topic, wrong, value, partition)

    def misrouted(self, topic: str) -> Sent:
        sent = self.good(topic)
        belongs = by_murmur2(sent.key or b"", PARTITIONS)
        return sent._replace(partition=(belongs + self.random.randrange(1, 3)) % PARTITIONS)

    def too_late(self, topic: str) -> Sent:
        event = self.event(topic)
        event["occurred_at_ms"] = self.random.choice([0, 1, self.now_ms - 26 * HOUR_MS])
        return Sent(topic, event["viewer_id"].encode(), encoded(event))

    def in_future(self, topic: str) -> Sent:
        event = self.event(topic)
        event["occurred_at_ms"] = self.random.choice([self.now_ms + HOUR_MS, 253_402_300_799_999])
        return Sent(topic, event["viewer_id"].encode(), encoded(event))

    def oversized(self, topic: str, size: int = 300_000) -> Sent:
        event = self.event(topic)
        noise = self.random.randbytes(size // 2).hex()
        return Sent(topic, event["viewer_id"].encode(), encoded(event | {"note": noise}))


def encoded(event: object) -> bytes:
    return json.dumps(event).encode()


def with_viewer(value: bytes, raw: bytes) -> bytes:
    """The value with other bytes in the place of the viewer's id."""
    before, _, after = value.partition(b'"viewer_id": "')
    return before + b'"viewer_id": "' + raw + after[after.index(b'"') :]


def first_of_each_partition(traffic: Traffic) -> Iterator[Sent]:
    """A good record each: what is late is so against the stream time of its partition."""
    for partition in range(PARTITIONS):
        viewer = next(f"v{n}" for n in range(99) if by_murmur2(b"v%d" % n, PARTITIONS) == partition)
        for topic in TOPICS:
            yield traffic.good(topic, viewer)


def made(traffic: Traffic) -> tuple[list[Sent], list[Broken]]:
    """All good records and all broken ones; every kind of broken comes on every topic."""
    good = list(first_of_each_partition(traffic))
    good += [traffic.good(traffic.random.choice(TOPICS)) for _ in range(GOOD - len(good))]
    broken = [Broken(traffic.oversized(topic, 900_000), "oversized") for topic in TOPICS[:1]]
    broken += [Broken(traffic.oversized(topic), "oversized") for topic in TOPICS for _ in range(8)]
    kinds: list[Callable[[str], Sent]] = [
        traffic.invalid_json,
        traffic.missing_field,
        traffic.invalid_field,
        traffic.key_mismatch,
        traffic.misrouted,
        traffic.too_late,
        traffic.in_future,
    ]
    while len(broken) < BROKEN:
        kind = traffic.random.choice(kinds)
        broken.append(Broken(kind(traffic.random.choice(TOPICS)), kind.__name__))
    # A key that no broker would take as that of a record about it.
    huge_key = traffic.good("events.clicks")._replace(key=b"k" * 900_000, partition=0)
    broken[-1] = Broken(huge_key, "key_mismatch")
    return good, broken


def counted(good: Sequence[Sent]) -> Counter[tuple[str, str]]:
    """Counters of every item, by counting."""
    totals: Counter[tuple[str, str]] = Counter()
    for sent in good:
        event = json.loads(sent.value or b"")
        if sent.topic == "events.impressions":
            totals.update((slot["item_id"], "impressions") for slot in event["items"])
        elif sent.topic == "events.watches":
            totals[event["item_id"], "watches"] += 1
        elif event["action"] in ACTIONS:
            totals[event["item_id"], ACTIONS[event["action"]]] += 1
    return totals


def published(records: Sequence[Record]) -> Counter[tuple[str, str]]:
    """The same counters as signals.items has them."""
    totals: Counter[tuple[str, str]] = Counter()
    for key, value in last_by_key(records).items():
        counters = msgspec.json.decode(value or b"{}")["counters"]
        for name in ("impressions", "watches", *ACTIONS.values()):
            if counters[name]["total"]:
                totals[(key or b"").decode(), name] = counters[name]["total"]
    return totals


async def test_each_of_ten_thousand_broken_records_is_told_and_the_good_ones_all_count(
    settings, tmp_path
):
    await make_topics(settings)
    traffic = Traffic(seed=20_261_122)
    good, broken = made(traffic)
    first = len(TOPICS) * PARTITIONS
    mixed: list[Broken | Sent] = [*good[first:], *broken]
    traffic.random.shuffle(mixed)
    stream = [one.sent if isinstance(one, Broken) else one for one in (*good[:first], *mixed)]
    reasons = [one.reason if isinstance(one, Broken) else None for one in (*good[:first], *mixed)]

    with (
        WorkerProcess("ingest", settings, tmp_path / "ingest") as ingest,
        WorkerProcess("signals", settings, tmp_path / "signals") as signals,
    ):
        places = await send(settings, stream)
        expected = {
            place: (sent, reason)
            for place, sent, reason in zip(places, stream, reasons, strict=True)
            if reason
        }
        assert len(expected) == BROKEN

        def all_told(records: Sequence[Record]) -> bool:
            return len(records) >= BROKEN

        await read_until(settings, ["events.rejected"], all_told, within=90.0)
        totals = counted(good)
        assert len(totals) > 300

        def all_counted(records: Sequence[Record]) -> bool:
            return published(records) == totals

        await read_until(settings, ["signals.items"], all_counted, within=60.0)
        shown = ingest.metrics()
        assert ingest.stop() == 0
        assert signals.stop() == 0

    records = await read_all(settings, ["events.rejected"])
    told = [msgspec.json.decode(record.value or b"") for record in records]
    by_place = Counter((one["topic"], one["partition"], one["offset"]) for one in told)
    assert set(by_place) == set(expected)
    assert set(by_place.values()) == {1}, "each exactly once"
    for one, record in zip(told, records, strict=True):
        place = (one["topic"], one["partition"], one["offset"])
        is_told_as_it_was(one, record.key, *expected[place])
    assert published(await read_all(settings, ["signals.items"])) == totals

    by_reason = Counter(one["reason"] for one in told)
    assert set(by_reason) == set(REASONS) - {"skipped"}
    for reason, count in by_reason.items():
        assert shown[f'streamapp_rejected_total{{reason="{reason}"}}'] == count
    assert "Traceback" not in ingest.log + signals.log


def is_told_as_it_was(told: dict[str, Any], key: bytes | None, sent: Sent, reason: str) -> None:
    """Reason and original bytes, up to what is kept of them."""
    assert told["reason"] == reason, (told["detail"], sent)
    assert told["detail"]
    assert told["key"] == (None if sent.key is None else encoded64(sent.key[:KEPT]))
    assert key == (None if sent.key is None else sent.key[:KEPT])
    value = sent.value
    if value is None:
        assert (told["record"], told["truncated"], told["size"]) == (None, False, 0)
    elif len(value) <= KEPT:
        assert base64.b64decode(told["record"]) == value
        assert (told["truncated"], told["size"]) == (False, len(value))
    else:
        assert base64.b64decode(told["record"]) == value[:KEPT]
        assert (told["truncated"], told["size"]) == (True, len(value))
        assert told["sha256"] == hashlib.sha256(value).hexdigest()


def encoded64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
