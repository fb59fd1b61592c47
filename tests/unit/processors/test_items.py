from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest

from streamapp.errors import Rejection
from streamapp.features.catalog import Catalog
from streamapp.features.distinct import pack
from streamapp.features.parameters import Parameters
from streamapp.processors.base import Row
from streamapp.processors.items import Items, ItemsSettings
from streamapp.signals import ItemDelta, ItemSignal
from tests.oracles.items import DAY, HOUR
from tests.oracles.pipeline import (
    CUT_AT,
    Compact,
    Stage,
    compacted,
    half_compacted,
    whole,
)

START = 1_700_000_000_000


class Bench:
    """An items processor with its views."""

    def __init__(self, log: list[Row] | None = None) -> None:
        self.catalog = Catalog()
        self.parameters = Parameters()
        self.stage = Stage(lambda: Items(self.catalog, self.parameters, ItemsSettings()))
        self.stage.log = list(log or [])

    def known(self, item_id: str, **fields: Any) -> None:
        self._follow(item_id, msgspec.json.encode({"item_id": item_id, **fields}))

    def unknown(self, item_id: str) -> None:
        self._follow(item_id, None)

    def deleted(self, item_id: str) -> None:
        """Publish an item, and let the catalog delete it."""
        self.known(item_id)
        self.delta(item_id, clicks=1)
        self.published()
        self.unknown(item_id)
        assert self.published() == {item_id: None}

    def _follow(self, item_id: str, value: bytes | None) -> None:
        if self.catalog.update(item_id, value):
            self.stage.processor.follow("catalog.items", item_id)

    def delta(self, item_id: str, at_ms: int = START, **counters: float) -> None:
        deltas = {name: (amount,) * 4 for name, amount in counters.items()}
        delta = ItemDelta(item_id=item_id, as_of_ms=at_ms, first_ms=at_ms, deltas=deltas)
        self.stage.send("activity.items", msgspec.json.encode(delta))

    def seen_by(self, item_id: str, *viewer_ids: str, at_ms: int = START) -> None:
        counts = {"watches": (1.0,) * 4}
        delta = ItemDelta(
            item_id=item_id,
            as_of_ms=at_ms,
            first_ms=at_ms,
            deltas=counts,
            viewers=pack(viewer_ids),
        )
        self.stage.send("activity.items", msgspec.json.encode(delta))

    def viewers(self, item_id: str) -> int:
        signal = self.published()[item_id]
        assert signal is not None
        return signal.viewers

    def published(self) -> dict[str, ItemSignal | None]:
        return {
            (key or b"").decode(): None
            if value is None
            else msgspec.json.decode(value, type=ItemSignal)
            for key, value, _ in self.stage.cut().outputs.get("signals.items", [])
        }


def test_a_touched_item_is_published_once_a_cut() -> None:
    bench = Bench()
    bench.delta("i", clicks=1)
    bench.delta("i", START + 5, clicks=2)
    bench.delta("j", likes=1)
    published = bench.published()
    assert list(published) == ["i", "j"]
    signal = published["i"]
    assert signal is not None
    assert signal.counters["clicks"].total == 3
    assert (signal.as_of_ms, signal.computed_at_ms) == (START + 5, CUT_AT)
    assert bench.published() == {}
    assert bench.stage.processor.rows == 2


def test_an_item_the_catalog_does_not_know_has_no_status() -> None:
    bench = Bench()
    bench.delta("i", clicks=1)
    signal = bench.published()["i"]
    assert signal is not None
    assert (signal.status, signal.category, signal.creator_id) == (None, None, None)


def test_what_the_catalog_says_is_joined_and_published_again_when_it_changes() -> None:
    bench = Bench()
    bench.known("i", category="drama", creator_id="c1")
    bench.delta("i", clicks=1)
    first = bench.published()["i"]
    bench.known("i", category="drama", creator_id="c1", title="another title")
    assert bench.published() == {}
    bench.known("i", category="drama", creator_id="c1", status="hidden")
    second = bench.published()["i"]
    assert first is not None
    assert second is not None
    assert (first.status, first.category, first.creator_id) == ("active", "drama", "c1")
    assert msgspec.structs.replace(second, status="active") == first
    assert second.status == "hidden"


def test_a_change_and_back_between_two_cuts_publishes_what_readers_have() -> None:
    bench = Bench()
    bench.delta("i", clicks=1)
    bench.known("i", category="drama")
    bench.published()
    bench.known("i", category="news")
    bench.known("i", category="drama")
    signal = bench.published().get("i")
    assert signal is None or signal.category == "drama"


def test_catalog_records_of_items_nobody_touched_publish_nothing() -> None:
    bench = Bench()
    bench.known("i", category="drama")
    assert bench.published() == {}


def test_an_item_deleted_from_the_catalog_is_deleted_and_what_is_still_to_come_of_it() -> None:
    bench = Bench()
    bench.deleted("i")
    bench.delta("i", START + 1, closed=1, ratio_n=1)
    bench.stage.kill()
    bench.delta("i", START + 2, closed=1, ratio_n=1)
    assert bench.published() == {}
    assert bench.stage.processor.rows == 0


def test_that_an_item_was_deleted_is_known_until_it_would_have_been_forgotten() -> None:
    bench = Bench()
    bench.deleted("i")
    bench.stage.kill()
    bench.stage.processor.advance(START + 60 * DAY - HOUR)
    assert bench.published() == {}
    assert dict(bench.stage.log)[b"ii"] is not None
    bench.stage.processor.advance(START + 60 * DAY + HOUR)
    assert bench.published() == {}
    assert dict(bench.stage.log)[b"ii"] is None


def test_an_item_that_comes_back_begins_anew() -> None:
    bench = Bench()
    bench.known("i")
    bench.delta("i", clicks=5)
    bench.published()
    bench.unknown("i")
    bench.delta("i", START + 1, clicks=1)
    bench.known("i")
    bench.delta("i", START + 2, clicks=1)
    signal = bench.published()["i"]
    assert signal is not None
    assert (signal.counters["clicks"].total, signal.status) == (1, "active")


def test_an_item_the_catalog_never_knew_is_not_deleted_by_it() -> None:
    bench = Bench()
    bench.delta("i", clicks=1)
    bench.published()
    bench.stage.processor.follow("catalog.items", "i")
    bench.stage.processor.follow("control.parameters", "i")
    assert bench.published() == {}


@pytest.mark.parametrize("change", ["another", "deleted", "none"])
def test_what_the_catalog_changed_while_down_is_published_after_a_restore(change: str) -> None:
    before = Bench()
    before.known("i", category="drama")
    before.delta("i", clicks=1)
    first = before.published()["i"]
    bench = Bench(before.stage.log)
    if change != "deleted":
        bench.known("i", category="news" if change == "another" else "drama")
    bench.stage.kill()
    after = bench.published()
    if change == "another":
        signal = after["i"]
        assert signal is not None
        assert signal.category == "news"
        assert msgspec.structs.replace(signal, category="drama") == first
    else:
        assert after == ({"i": None} if change == "deleted" else {})


def test_an_item_idle_for_60_days_is_forgotten_to_the_hour() -> None:
    bench = Bench()
    bench.delta("i", clicks=1)
    bench.delta("i", START + 5 * HOUR, clicks=1)
    bench.published()
    bench.stage.advance(START + 60 * DAY + 5 * HOUR)
    assert bench.published() == {}
    bench.stage.advance(START + 60 * DAY + 6 * HOUR)
    assert bench.published() == {"i": None}
    assert bench.stage.processor.rows == 0


def test_a_restored_item_is_forgotten_at_the_same_time() -> None:
    bench = Bench()
    bench.delta("i", clicks=1)
    bench.published()
    bench.stage.kill()
    bench.stage.advance(START + 60 * DAY - 1)
    assert bench.published() == {}
    bench.stage.advance(START + 60 * DAY + HOUR)
    assert bench.published() == {"i": None}


def test_priors_are_those_in_force_at_the_items_newest_event() -> None:
    bench = Bench()
    for valid_from_ms, value in ((START, 0.5), (START + 10, 0.9)):
        record = {"name": "prior/ctr", "valid_from_ms": valid_from_ms, "value": value}
        bench.parameters.update("prior/ctr", msgspec.json.encode(record))
    bench.delta("i", START + 9, watches=1)
    signal = bench.published()["i"]
    assert signal is not None
    assert signal.ctr == pytest.approx(0.5)


def test_a_row_restores_to_the_same_signal() -> None:
    bench = Bench()
    bench.known("i", category="drama")
    bench.delta("i", START, clicks=1.5, watched_ms=12_345.0)
    bench.delta("i", START + 7 * HOUR, watches=3)
    before = bench.published()["i"]
    bench.stage.kill()
    bench.delta("i", START + 7 * HOUR)
    assert bench.published()["i"] == before
    assert before is not None
    assert before.counters["clicks"].h6 == pytest.approx(1.5 * 2 ** (-7 / 6), rel=1e-12)
    assert before.counters["watched_ms"].total == 12_345.0


def test_viewers_are_counted_once_each_and_survive_a_restore() -> None:
    bench = Bench()
    bench.seen_by("i", "v1", "v2")
    bench.seen_by("i", "v2", "v3")
    assert bench.viewers("i") == 3
    bench.stage.kill()
    bench.seen_by("i", "v3", "v4")
    assert bench.viewers("i") == 4


def test_the_row_of_the_viewers_is_written_only_when_they_change() -> None:
    bench = Bench()
    bench.seen_by("i", "v1")
    bench.published()
    bench.seen_by("i", "v1")
    bench.delta("i", impressions=1)
    bench.published()
    assert [key for key, _ in bench.stage.log] == [b"ii", b"vi", b"ii"]


@pytest.mark.parametrize("compact", [whole, compacted, half_compacted])
def test_an_item_that_comes_back_has_none_of_its_former_viewers(compact: Compact) -> None:
    bench = Bench()
    bench.known("i")
    bench.seen_by("i", "v1", "v2")
    bench.published()
    bench.unknown("i")
    bench.known("i")
    bench.delta("i", impressions=1)
    assert bench.viewers("i") == 0
    bench.stage.kill(compact)
    bench.seen_by("i", "v3")
    assert bench.viewers("i") == 1


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"{}",
        b'{"schema":1,"item_id":"i","as_of_ms":1,"first_ms":1,"deltas":{"cliks":[1,1,1,1]}}',
        b'{"schema":1,"item_id":"i","as_of_ms":1,"first_ms":1,"deltas":{"clicks":[1,1,1]}}',
        b'{"schema":1,"item_id":"i","as_of_ms":1,"first_ms":1,"deltas":{},"viewers":"AAAA"}',
    ],
)
def test_a_delta_that_cannot_be_added_is_rejected(value: bytes) -> None:
    with pytest.raises(Rejection):
        Bench().stage.processor.decoder("activity.items")(value)


def test_no_item_id_is_taken_for_a_row_of_the_engine() -> None:
    bench = Bench()
    bench.delta("@task", clicks=1)
    bench.published()
    assert [key for key, _ in bench.stage.log] == [b"i@task"]
    bench.stage.kill()
    assert bench.stage.processor.rows == 1


def test_an_item_takes_at_most_one_and_a_half_kilobytes() -> None:
    bench = Bench()
    crowd = pack(f"v{n}" for n in range(500))
    deltas = [
        ItemDelta(
            item_id=f"item-{n:08d}",
            as_of_ms=START,
            first_ms=START,
            deltas={"clicks": (1.0,) * 4},
            viewers=crowd,
        )
        for n in range(2_000)
    ]
    tracemalloc.start()
    for delta in deltas:
        bench.stage.processor.process("activity.items", delta)
    bench.stage.cut()
    bench.stage.log.clear()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / len(deltas) <= 1_500
