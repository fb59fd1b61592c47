"""The ledger on a real broker: what one transaction writes, and what a fence keeps out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError

from streamapp.engine.ledger import Ledger
from streamapp.errors import CommitFailed, RecordTooLarge
from streamapp.processors.base import Cut, Row
from streamapp.settings import Settings
from tests.kafka.cluster import committed, make_topics, read_all, until

INPUTS = ("events.impressions", "events.clicks", "events.watches")
OFFSETS = dict.fromkeys(INPUTS, 7)
PARTITION = 1


@pytest.fixture
async def make(settings: Settings) -> AsyncIterator[Callable[[], Ledger]]:
    """Makes ledgers of one partition of `ingest`, and closes them in the end."""
    await make_topics(settings)
    await until_coordinated(settings)
    made: list[Ledger] = []

    def make() -> Ledger:
        ledger = Ledger(
            settings,
            settings.role_id("ingest"),
            PARTITION,
            {"viewers": settings.changelog("ingest", "viewers")},
            {name: settings.topic(name) for name in INPUTS},
        )
        made.append(ledger)
        return ledger

    yield make
    for ledger in made:
        await ledger.close()


async def until_coordinated(settings: Settings) -> None:
    """Wait for the coordinator of the group: a broker just started still makes its topics."""

    async def there() -> bool:
        try:
            await committed(settings, "ingest", INPUTS)
        except GroupCoordinatorNotAvailableError:
            return False
        return True

    await until(there, "a group coordinator")


def cut_of(rows: int, size: int = 10) -> Cut:
    cut = Cut(0, 0)
    cut.rows["viewers"] = [
        (b"row-%d" % n, bytes(n % 251 for n in range(size))) for n in range(rows)
    ]
    for n in range(rows):
        cut.emit("signals.viewers", f"v{n}", b"{}")
    return cut


async def restored(ledger: Ledger) -> list[Row]:
    rows: list[Row] = []
    told: list[tuple[int, int]] = []
    await ledger.restore(lambda _, some: rows.extend(some), lambda *so_far: told.append(so_far))
    assert told[0][0] == 0
    assert told[-1] == (len(rows), 0)
    return rows


async def test_a_cut_and_the_offsets_it_reaches_are_there_together(make, settings):
    ledger = make()
    await ledger.fence()
    assert await restored(ledger) == []
    assert await ledger.committed() == {}
    cut = cut_of(3)
    await ledger.commit(cut, OFFSETS)
    successor = make()
    await successor.fence()
    assert await restored(successor) == cut.rows["viewers"]
    assert await successor.committed() == OFFSETS
    assert await committed(settings, "ingest", INPUTS) == {(t, PARTITION): 7 for t in INPUTS}
    outputs = await read_all(settings, ["signals.viewers"])
    assert sorted(r.key or b"" for r in outputs) == [b"v0", b"v1", b"v2"]


async def test_a_later_row_of_a_key_replaces_the_earlier_and_a_null_deletes(make):
    ledger = make()
    await ledger.fence()
    for value in (b"1", b"2", None):
        cut = Cut(0, 0)
        cut.rows["viewers"] = [(b"k", value)]
        await ledger.commit(cut, OFFSETS)
    assert await restored(ledger) == [(b"k", b"1"), (b"k", b"2"), (b"k", None)]


async def test_more_rows_than_one_batch_takes_are_written_in_order(make):
    ledger = make()
    await ledger.fence()
    cut = cut_of(40, size=50_000)
    await ledger.commit(cut, OFFSETS)
    assert await restored(ledger) == cut.rows["viewers"]


@pytest.mark.parametrize("cut", [cut_of(1), cut_of(40, 50_000)], ids=["small", "many batches"])
async def test_who_was_fenced_commits_nothing_more_and_is_told_so(make, settings, cut):
    zombie, owner = make(), make()
    await zombie.fence()
    await zombie.commit(cut_of(2), OFFSETS)
    await owner.fence()
    with pytest.raises(CommitFailed, match="ProducerFenced"):
        await zombie.commit(cut, dict.fromkeys(INPUTS, 99))
    assert len(await restored(owner)) == 2
    assert await owner.committed() == OFFSETS
    assert len(await read_all(settings, ["signals.viewers"])) == 2


async def test_what_the_former_owner_left_open_is_gone_after_the_fence(make, settings):
    former, owner = make(), make()
    await former.fence()
    producer = former._producer
    assert producer is not None
    await producer.begin_transaction()
    topic = settings.changelog("ingest", "viewers")
    await producer.send_and_wait(topic, b"never", key=b"k", partition=PARTITION)
    await owner.fence()
    async with asyncio.timeout(5):  # not the transaction's own timeout
        assert await restored(owner) == []


async def test_a_closed_ledger_commits_nothing(make):
    ledger = make()
    await ledger.fence()
    await ledger.close()
    with pytest.raises(CommitFailed):
        await ledger.commit(cut_of(1), OFFSETS)


async def test_a_record_larger_than_its_topic_takes_is_named(make, settings):
    ledger = make()
    await ledger.fence()
    cut = Cut(0, 0)
    noise = b"".join(n.to_bytes(4, "little") for n in range(0, 2**32, 2**32 // 500_000))
    cut.rows["viewers"] = [(b"small", b"1"), (b"k", noise), (b"small", b"2")]
    with pytest.raises(RecordTooLarge) as told:
        await ledger.commit(cut, OFFSETS)
    error = told.value
    changelog = settings.changelog("ingest", "viewers")
    assert (error.topic, error.partition, error.key) == (changelog, PARTITION, b"k")
    assert (error.size, error.others) == (1 + len(noise), 0)
