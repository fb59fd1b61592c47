"""What the engine relies on inside Faust 0.15.3, mode and aiokafka 0.14, one test for each thing.

These are no public interfaces. When an upgrade moves one, the test that fails says which part
of `streamapp/engine` to look at; mend that part, and then the test.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.metadata
import inspect
import re
import textwrap
import time
import tomllib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.codec import zstd_decode, zstd_encode
from aiokafka.consumer.fetcher import Fetcher as AIOKafkaFetcher
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.errors import IllegalOperation, IllegalStateError, KafkaError, ProducerFenced
from aiokafka.producer import sender as aiokafka_sender
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator, MessageBatch
from faust.agents.agent import Agent
from faust.app.base import BootStrategy
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport import conductor as faust_conductor
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.consumer import Fetcher as FaustFetcher
from faust.transport.consumer import ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import QueueServiceThread

from streamapp import kafka
from streamapp.engine import clients, ledger, transport
from streamapp.engine.app import BUFFERED_BATCHES, App, Boot, Tables
from streamapp.engine.roles import ROLES
from streamapp.engine.transport import BatchSchema, Consumer, ConsumerThread, RecordBatch, Transport
from streamapp.settings import Settings

PROJECT = Path(__file__).parents[3]
CLICKS = TP("p.events.clicks", 2)


def settings() -> Settings:
    return Settings(topic_prefix="p.", app_id="x", session_timeout_ms=7_000)


async def ignored(_: RecordBatch) -> None:
    """Take a batch and do nothing: the tests look at what comes before."""


@pytest.fixture
async def app() -> AsyncIterator[Any]:
    made: Any = App(settings(), ROLES["ingest"], ignored)
    yield made
    if made._consumer is not None:
        made.consumer._thread.thread_loop.close()


# --- how the tests look at others' code ---------------------------------------------------------


def source(of: Any) -> str:
    """The code of a function or class without its comments and docstrings, on one line each."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            inner = body[0].value
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                body[:1] = [ast.Pass()]
    return ast.unparse(tree)


def has(of: Any, *pieces: str, look: str) -> None:
    """The code contains these pieces, in this order."""
    text, at = source(of), 0
    for piece in pieces:
        found = text.find(piece, at)
        assert found >= 0, f"{of.__qualname__} no longer has `{piece}`: look at {look}"
        at = found + len(piece)


def takes(of: Callable[..., Any], *names: str, look: str) -> None:
    """The function has parameters of these names."""
    known = inspect.signature(of).parameters
    missing = [name for name in names if name not in known]
    assert not missing, f"{of.__qualname__} no longer takes {missing}: look at {look}"


def overrides(ours: type, theirs: type, *names: str, look: str) -> None:
    """Each method is still theirs to override, and takes at least what theirs is called with."""
    for name in names:
        assert name in vars(ours), f"{ours.__name__}.{name} is gone: so can this test"
        assert hasattr(theirs, name), f"{theirs.__qualname__}.{name} is gone: look at {look}"
        own = inspect.signature(getattr(ours, name)).parameters
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in own.values()):
            continue
        their = list(inspect.signature(getattr(theirs, name)).parameters)
        assert list(own) == their, f"{theirs.__qualname__}.{name}{their}: look at {look}"


def calls_in(package: Any, name: str) -> dict[str, int]:
    """Where a package calls a method of this name: calls by file."""
    root = Path(package.__file__).parent
    found = {}
    for path in sorted(root.rglob("*.py")):
        calls = len(re.findall(rf"(?<!def )\b{name}\(", path.read_text()))
        if calls:
            found[path.relative_to(root).as_posix()] = calls
    return found


def recording(given: dict[str, Any]) -> Callable[..., Any]:
    """Stand for a client's class: keeps the options it is made with."""

    def make(**options: Any) -> Any:
        given.update(options)
        connecting = SimpleNamespace(_get_conn=None)
        return SimpleNamespace(client=connecting, _client=connecting)

    return make


# --- versions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version"), [("faust-streaming", "0.15.3"), ("aiokafka", "0.14.0")]
)
def test_the_versions_whose_insides_are_used_are_pinned_and_installed(name, version):
    wanted = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    look = "every test in this file, then streamapp/engine"
    assert f"{name}=={version}" in wanted, f"another {name} is wanted: run {look}"
    assert importlib.metadata.version(name) == version, f"another {name} is installed: run {look}"


# --- transport.py: the schema -------------------------------------------------------------------


async def test_a_batch_goes_through_the_topics_schema_untouched_even_after_topics_are_cloned(app):
    # Faust clones the agent's topic for its stream; what is patched on an instance is lost.
    (agent,) = app.agents.values()
    channel = agent.channel.clone(is_iterator=True)
    assert isinstance(channel.schema, BatchSchema), "look at App._subscribe"
    batch = RecordBatch(CLICKS.topic, 2, [], 5, at_end=True)
    message = app.consumer._message(CLICKS, batch)
    event = await channel.decode(message)
    assert event.value == batch, "look at transport.BatchSchema and Consumer._message"


def test_a_topic_compiles_its_schema_with_keywords_ours_takes():
    overrides(BatchSchema, faust.Schema, "compile", look="transport.BatchSchema")
    has(faust.topics.Topic._compile_decode, "self.schema.compile(", look="transport.BatchSchema")


# --- transport.py: the consumer's thread --------------------------------------------------------


async def test_the_app_uses_our_transport_our_consumer_and_our_thread(app):
    assert type(app.transport) is Transport, "look at App.__init__"
    assert type(app.consumer) is Consumer, "look at Transport.Consumer"
    assert type(app.consumer._thread) is ConsumerThread, "look at Consumer._new_consumer_thread"
    overrides(
        Consumer, driver.Consumer, "_new_consumer_thread", look="Consumer._new_consumer_thread"
    )


async def test_faust_makes_its_kafka_consumer_where_ours_reads_committed(app, monkeypatch):
    given: dict[str, Any] = {}
    monkeypatch.setattr(transport, "KafkaConsumer", recording(given))
    thread = app.consumer._thread
    thread._create_consumer(loop=thread.thread_loop)
    look = "ConsumerThread._create_worker_consumer"
    assert given["isolation_level"] == "read_committed", look
    assert given["enable_auto_commit"] is False, look
    assert given["group_id"] == "x-ingest", look
    assert given["session_timeout_ms"] == 7_000, look
    takes(AIOKafkaConsumer.__init__, *given, look=look)


async def test_partitions_are_assigned_by_fausts_own_assignor(app, monkeypatch):
    given: dict[str, Any] = {}
    monkeypatch.setattr(transport, "KafkaConsumer", recording(given))
    app.consumer._thread._create_consumer(loop=app.consumer._thread.thread_loop)
    (assignor,) = given["partition_assignment_strategy"]
    assert type(assignor) is PartitionAssignor, "look at ConsumerThread._create_worker_consumer"
    assert assignor is app.assignor
    assert assignor.name == "faust"


class Cluster:
    """Stands for the cluster's metadata: every topic has twelve partitions."""

    def partitions_for_topic(self, topic: str) -> set[int]:  # noqa: ARG002
        return set(range(12))


def assigned_to(apps: dict[str, Any]) -> dict[str, list[tuple[str, int]]]:
    """What the assignor gives each member; told to each, as the group protocol does."""
    leader = next(iter(apps.values()))
    topics = set(leader.logical)
    metadata = {name: app.assignor.metadata(topics) for name, app in apps.items()}
    given = leader.assignor.assign(Cluster(), metadata)
    for name, assignment in given.items():
        apps[name].assignor.on_assignment(assignment)
    return {
        name: [(topic, p) for topic, ps in assignment.assignment for p in ps]
        for name, assignment in given.items()
    }


async def test_a_partition_of_all_inputs_goes_to_one_worker_evenly_and_mostly_stays():
    # One transactional id a partition: were its inputs with two workers, both would fence.
    look = "the assignor pinned in ConsumerThread._create_worker_consumer"
    apps = {name: App(settings(), ROLES["ingest"], ignored) for name in ("one", "two", "three")}
    two = assigned_to({name: apps[name] for name in ("one", "two")})
    three = assigned_to(apps)
    for assignment, most in ((two, 6), (three, 4)):
        for member, held in assignment.items():
            partitions = {p for _, p in held}
            assert len(partitions) == most, f"{member} has {partitions}: look at {look}"
            assert sorted(held) == sorted((t, p) for t in apps["one"].logical for p in partitions)
    for member in ("one", "two"):
        assert set(three[member]) <= set(two[member]), f"partitions moved about: look at {look}"


async def test_the_fetch_is_called_as_aiokafka_has_it():
    look = "ConsumerThread.fetch"
    # What is done here a batch at a time is what aiokafka does record by record.
    has(
        AIOKafkaFetcher.fetched_records,
        "self._subscriptions.reassignment_in_progress",
        "await self._subscriptions.wait_for_assignment()",
        "self._records.keys()",
        "if not self._subscriptions.is_assigned(tp)",
        "del self._records[tp]",
        "res_or_error.getall(max_records)",
        "if not res_or_error.has_more()",
        "del self._records[tp]",
        "self._notify(self._wait_consume_future)",
        "del self._records[tp]",
        "self._notify(self._wait_consume_future)",
        "res_or_error.check_raise()",
        "waiter = self._create_fetch_waiter()",
        "self._closed",
        "waiter.result()",
        look="fetching.fetched",
    )
    has(
        FetchResult.getall,
        "self.check_assignment(tp)",
        "self._update_position()",
        "self._partition_records = None",
        look="fetching._records",
    )
    has(
        FetchResult._update_position,
        "self._assignment.state_value(self._topic_partition)",
        "state.consumed_to(self._partition_records.next_fetch_offset)",
        look="fetching._records",
    )
    has(AIOKafkaConsumer.__init__, "self._closed", "self._subscription", look=look)
    has(AIOKafkaConsumer.start, "self._fetcher", look=look)


async def test_the_position_and_the_last_stable_offset_are_in_aiokafkas_partition_state():
    look = "ConsumerThread._remaining"
    state = TopicPartitionState(None)
    assert state.lso is None, look
    assert state.has_valid_position is False, look
    state.reset_to(40)
    assert (state.has_valid_position, state.position) == (True, 40), look
    has(AIOKafkaFetcher._proc_fetch_request, "lso = part_data[0]", "tp_state.lso = lso", look=look)
    # A transaction's mark is no record, but the position goes past it.
    has(
        PartitionRecords._unpack_records,
        "is_control_batch",
        "self.next_fetch_offset = next_batch.next_offset",
        look=f"{look} and Ledger._read",
    )


def test_batches_are_read_as_aiokafka_reads_them():
    has(
        PartitionRecords._unpack_records,
        "while records.has_next()",
        "next_batch = records.next_batch()",
        "if self._check_crcs and (not next_batch.validate_crc())",
        "next_batch.producer_id is not None",
        "self._consume_aborted_up_to(next_batch.base_offset)",
        "next_batch.is_control_batch and self._contains_abort_marker(next_batch)",
        "self._aborted_producers.discard(next_batch.producer_id)",
        "next_batch.is_transactional and next_batch.producer_id in self._aborted_producers",
        "if next_batch.is_control_batch",
        "if record.offset < self.next_fetch_offset",
        "self.next_fetch_offset = next_batch.next_offset",
        look="fetching._batches",
    )


def subscribed() -> SubscriptionState:
    """One partition is assigned."""
    subscription = SubscriptionState()
    subscription.subscribe(topics={CLICKS.topic})
    subscription.assign_from_subscribed({TopicPartition(*CLICKS)})
    return subscription


async def test_a_subscription_knows_the_state_of_what_is_assigned():
    look = "ConsumerThread._remaining"
    assignment = subscribed().subscription.assignment
    assert TopicPartition(*CLICKS) in assignment.tps, look
    assert isinstance(assignment.state_value(TopicPartition(*CLICKS)), TopicPartitionState), look
    assert CLICKS in assignment.tps, "Faust's TP and aiokafka's TopicPartition are equal: " + look


async def test_a_fetch_context_counts_as_polling(monkeypatch):
    look = "ConsumerThread.stay: a restore longer than max_poll_interval_ms would lose the group"
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    subscription = SubscriptionState()
    now[0] += 400
    assert subscription.fetcher_idle_time == 400, look
    with subscription.fetch_context():
        assert subscription.fetcher_idle_time == 0, look
    assert subscription.fetcher_idle_time == 0, look
    has(GroupCoordinator._heartbeat_routine, "self._subscription.fetcher_idle_time", look=look)


def test_a_coordinator_that_does_not_answer_is_forgotten_until_it_does():
    look = "Consumer.in_touch: /health is not ready while the brokers are away"
    has(GroupCoordinator.__init__, "self.coordinator_id = None", look=look)
    has(GroupCoordinator.coordinator_dead, "self.coordinator_id = None", look=look)
    has(
        GroupCoordinator.ensure_coordinator_known,
        "self._client.coordinator_lookup(",
        "self.coordinator_id = coordinator_id",
        look=look,
    )
    has(GroupCoordinator._do_heartbeat, "self._send_req(request)", look=look)
    has(
        GroupCoordinator._send_req, "except Errors.KafkaError", "self.coordinator_dead()", look=look
    )
    has(AIOKafkaConsumer.start, "self._coordinator = GroupCoordinator(", look=look)


async def test_before_it_has_started_a_consumer_is_in_touch_with_nobody(app):
    assert app.consumer.in_touch is False, "look at Consumer.in_touch"


async def test_a_seek_is_immediate_and_refuses_what_is_not_assigned():
    look = "ConsumerThread.move"
    takes(AIOKafkaConsumer.seek, "partition", "offset", look=look)
    assert not inspect.iscoroutinefunction(AIOKafkaConsumer.seek), look
    has(AIOKafkaConsumer.seek, "self._fetcher.seek_to(partition, offset)", look=look)
    # What was fetched and not taken yet is of before the seek.
    has(
        AIOKafkaFetcher.seek_to,
        "self._subscriptions.seek(tp, offset)",
        "del self._records[tp]",
        look=look,
    )
    subscription = subscribed()
    subscription.seek(TopicPartition(*CLICKS), 40)
    assert subscription.subscription.assignment.state_value(CLICKS).position == 40, look
    with pytest.raises(IllegalStateError):
        subscription.seek(TopicPartition("none", 0), 5)


async def test_calls_into_the_thread_are_awaited_there_and_their_errors_come_back():
    class Thread(QueueServiceThread):
        abstract = False

    async def there(value: int) -> int:
        if value < 0:
            raise IllegalStateError
        return value + 1

    thread = Thread()
    await thread.start()
    try:
        look = "every call_thread in streamapp/engine/transport.py"
        assert await thread.call_thread(there, 1) == 2, look
        with pytest.raises(IllegalStateError):
            await thread.call_thread(there, -1)
    finally:
        await thread.stop()


# --- transport.py: the consumer -----------------------------------------------------------------


def test_the_fetcher_drains_through_the_consumer():
    has(
        FaustFetcher._fetcher.fun, "consumer._drain_messages(self)", look="Consumer._drain_messages"
    )
    overrides(Consumer, BaseConsumer, "_drain_messages", look="Consumer._drain_messages")
    assert hasattr(FaustFetcher, "should_stop"), "look at Consumer._drain_messages"


def test_what_faust_drains_is_what_ours_stands_for():
    has(
        BaseConsumer._drain_messages,
        "callback = self.callback",
        "self.wait_first(callback(message), self.suspend_flow.wait())",
        look="Consumer._deliver",
    )


async def test_partitions_are_active_when_assigned_and_not_paused(app):
    consumer, other = app.consumer, TP("p.events.clicks", 3)
    look = "Consumer._drain_once and FaustReading"
    consumer._set_active_tps({CLICKS, other})
    consumer.pause_partitions([other])
    assert consumer._get_active_partitions() == {CLICKS}, look
    consumer._set_active_tps({CLICKS, other})
    assert consumer._get_active_partitions() == {CLICKS}, look
    consumer.resume_partitions([other])
    assert consumer._get_active_partitions() == {CLICKS, other}, look


async def test_a_full_buffer_takes_its_partition_out_of_the_active_ones(app):
    # What holds the consumer up when the agent is behind.
    consumer = app.consumer
    consumer._set_active_tps({CLICKS})
    consumer.on_buffer_full(CLICKS)
    assert consumer._get_active_partitions() == set(), "look at App and BUFFERED_BATCHES"
    consumer.on_buffer_drop(CLICKS)
    assert consumer._get_active_partitions() == {CLICKS}, "look at App and BUFFERED_BATCHES"


async def test_the_flow_is_stopped_and_resumed_by_these_two(app):
    consumer, look = app.consumer, "Consumer._drain_once and Consumer._deliver"
    consumer.stop_flow()
    assert not consumer.flow_active, look
    assert consumer.suspend_flow.is_set(), look
    assert not consumer.can_resume_flow.is_set(), look
    consumer.resume_flow()
    assert consumer.flow_active, look
    assert not consumer.suspend_flow.is_set(), look
    assert consumer.can_resume_flow.is_set(), look


async def test_of_two_awaited_the_first_to_end_is_told_and_the_other_is_cancelled(app):
    never = asyncio.Event()

    async def at_once() -> None:
        """Ends when it begins."""

    first = at_once()
    result = await app.consumer.wait_first(first, never.wait())
    assert first in result.done, "look at Consumer._deliver"
    assert len(result.done) == 1, "look at Consumer._deliver"


def test_faust_seeks_from_where_it_did_and_ours_does_nothing():
    # Twice in the recovery, which is replaced, and once where the flow was stopped in a fetch.
    known = {"transport/consumer.py": 1, "tables/recovery.py": 2}
    look = "Consumer.perform_seek and app.Tables"
    assert calls_in(faust, "perform_seek") == known, f"Faust seeks from elsewhere: look at {look}"
    has(BaseConsumer.getmany, "self.perform_seek()", look=look)
    has(Recovery._resume_streams, "perform_seek()", look=look)
    has(Recovery.on_recovery_completed, "perform_seek()", look=look)
    overrides(Consumer, BaseConsumer, "perform_seek", look=look)


def test_faust_looks_for_its_acknowledgements_through_one_method():
    look = "Consumer.verify_all_partitions_active"
    has(
        BaseConsumer._commit_livelock_detector.fun,
        "self.verify_all_partitions_active()",
        look=look,
    )
    assert calls_in(faust, "verify_all_partitions_active") == {"transport/consumer.py": 1}, look
    overrides(Consumer, BaseConsumer, "verify_all_partitions_active", look=look)


async def test_nothing_is_acknowledged_so_nothing_is_committed_and_nothing_grows(app):
    look = "App._subscribe: acks=False"
    (agent,) = app.agents.values()
    app.topics.add(agent.channel)
    await app.topics._update_indices()
    assert not app.topics.acks_enabled_for(CLICKS.topic), look
    consumer = app.consumer
    message = consumer._message(CLICKS, RecordBatch(*CLICKS, [], 0, at_end=True))
    assert consumer.ack(message) is False, look
    assert not consumer._acked, look
    assert not consumer._acked_index, look


# --- app.py -------------------------------------------------------------------------------------


async def test_only_the_consumer_the_agents_the_conductor_and_the_tables_are_started(app):
    look = "app.Boot"
    started = [type(one) for one in app.boot_strategy.server()]
    assert type(app.boot_strategy) is Boot, look
    expected = [*(type(one) for one in app.sensors), Consumer, type(app.agents)]
    assert started == [*expected, faust_conductor.Conductor, Tables], look
    has(faust.App.on_init_dependencies, "boot_strategy.server()", look=look)
    overrides(Boot, BootStrategy, "kafka_consumer", look=look)


async def test_faust_has_the_options_it_is_given(app):
    look, conf = "App.__init__", app.conf
    assert conf.id == "x-ingest", look
    assert conf.autodiscover is False, look
    assert conf.topic_disable_leader is True, look
    assert conf.topic_allow_declare is False, look
    assert conf.stream_wait_empty is False, look
    assert conf.stream_buffer_maxsize == BUFFERED_BATCHES, look
    assert conf.broker_session_timeout == 7.0, look
    assert conf.broker_commit_interval == 60.0, look


async def test_the_streams_buffer_is_bounded_by_our_option(app):
    (agent,) = app.agents.values()
    stream = agent.stream(active_partitions=None)
    assert stream.channel.queue.maxsize == BUFFERED_BATCHES, "look at App.__init__"


async def test_our_tables_stand_where_faust_recovers_its_own(app):
    look = "app.Tables"
    assert type(app.tables) is Tables, f"the setting TableManager is not honoured: look at {look}"
    assert app._fetcher is not None, look
    has(
        faust.App._on_partitions_assigned,
        "consumer.pause_partitions)(assigned)",
        "self.tables.on_rebalance)(assigned, revoked, newly_assigned, generation_id)",
        look=f"{look}: partitions are paused before it is called",
    )
    has(
        faust.App._on_partitions_revoked,
        "self.tables.on_partitions_revoked)(revoked)",
        "consumer.stop_flow)()",
        "self.flow_control.suspend)()",
        "self.flow_control.clear)()",
        look=f"{look}: a take under way is ended before the flow stops",
    )
    overrides(
        Tables,
        TableManager,
        "on_start",
        "on_stop",
        "on_rebalance",
        "on_partitions_revoked",
        "wait_until_recovery_completed",
        look=look,
    )


def test_what_recovers_starts_the_flow_as_ours_does():
    has(
        Recovery._resume_streams,
        "flow_control.resume()",
        "consumer.resume_flow()",
        "._fetcher.maybe_start()",
        "on_rebalance_end()",
        look="Tables._take",
    )


async def test_the_conductor_waits_until_tables_are_registered(app):
    look = "Tables.on_start"
    has(faust_conductor.Conductor._subscriber.fun, "wait_until_tables_registered()", look=look)
    await app.tables.on_start()
    assert app.tables._tables_registered.is_set(), look
    assert app.tables._tables_finalized.is_set(), look


async def test_suspending_the_flow_empties_what_is_buffered(app):
    # What was buffered before a rebalance is read again from the task's position.
    queue = app.FlowControlQueue(maxsize=3, clear_on_resume=True)
    app.flow_control.resume()
    queue.put_nowait("a batch")
    app.flow_control.suspend()
    app.flow_control.clear()
    assert queue.empty(), "look at Consumer._deliver and Ownership.assign"


async def test_an_agent_that_raises_is_told_to_us(app):
    look = "App._on_agent_error"
    overrides(App, faust.App, "_on_agent_error", look=look)
    (agent,) = app.agents.values()
    assert agent._on_error == app._on_agent_error, look
    has(Agent._execute_actor, "except Exception as exc", "self._on_error(self, exc)", look=look)
    told: list[BaseException] = []
    app.tables.failed = told.append
    defect = RuntimeError("a defect")
    await agent._on_error(agent, defect)
    assert told == [defect], look


async def test_no_directory_is_made_for_tables_there_are_none_of(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app.finalize()
    assert list(tmp_path.iterdir()) == [], "look at App._create_directories"
    overrides(App, faust.App, "_create_directories", look="App._create_directories")


async def test_no_producer_is_flushed_that_is_not_there(app):
    overrides(App, faust.App, "_producer_flush", look="App._producer_flush")
    app.producer.flush = {}.__getitem__  # would raise
    await app._producer_flush(None)


def test_a_consumer_is_made_with_the_thread_it_asks_for():
    has(
        ThreadDelegateConsumer.__init__,
        "self._thread = self._new_consumer_thread()",
        look="Consumer._new_consumer_thread",
    )
    has(
        driver.AIOKafkaConsumerThread._create_consumer,
        "self._create_worker_consumer(transport)",
        look="ConsumerThread._create_worker_consumer",
    )


# --- ledger.py and clients.py -------------------------------------------------------------------


def test_starting_a_transactional_producer_fences():
    look = "Ledger.fence: it relies on `start` to take the transactional id"
    has(AIOKafkaProducer.start, "self._sender.start()", look=look)
    has(aiokafka_sender.Sender.start, "self._maybe_wait_for_pid()", look=look)
    takes(AIOKafkaProducer.__init__, "transactional_id", "transaction_timeout_ms", look=look)


def test_a_producer_takes_the_options_it_is_given(monkeypatch):
    given: dict[str, Any] = {}
    monkeypatch.setattr(clients, "AIOKafkaProducer", recording(given))
    clients.producer(settings(), "x-ingest-3")
    takes(AIOKafkaProducer.__init__, *given, look="clients.producer")
    assert given["transactional_id"] == "x-ingest-3"
    assert given["compression_type"] == "zstd"


def test_a_retriable_answer_is_waited_for_as_long_as_we_say():
    # Kafka 4 answers so to the first produce close behind the last transaction.
    look = "clients.RETRY_BACKOFF_MS"
    has(aiokafka_sender.Sender.__init__, "self._retry_backoff = retry_backoff_ms / 1000", look=look)
    has(aiokafka_sender.BaseHandler.__init__, "sender._retry_backoff", look=look)


def test_batches_are_compressed_with_zstd():
    text = b"a viewer signal " * 100
    assert len(zstd_encode(text)) < len(text) / 10, "look at clients.COMPRESSION"
    assert zstd_decode(zstd_encode(text)) == text
    assert "zstd" in AIOKafkaProducer._COMPRESSORS, "look at clients.COMPRESSION"


def test_a_batch_says_when_it_is_full_and_takes_a_first_record_of_any_size():
    look = "ledger.fill"
    batch = BatchBuilder(1000, 0)
    assert ledger.fill(batch, [(b"k", b"v" * 900), (b"k", b"v" * 900)], 7) == 1, look
    assert (batch.record_count(), batch.closed()) == (1, True), look
    assert ledger.fill(BatchBuilder(1000, 0), [(b"k", b"v" * 5000)], 7) == 1, look


def test_a_batch_is_filled_as_aiokafka_would_fill_it():
    look = "ledger.fill"
    theirs, ours = BatchBuilder(1000, 0), BatchBuilder(1000, 0)
    records = [(b"k", b"v"), (b"gone", None), (None, b"w")]
    for key, value in records:
        theirs.append(timestamp=7, key=key, value=value)
    assert ledger.fill(ours, records, 7) == len(records), look
    assert ours._build() == theirs._build(), look


def test_a_transaction_is_written_with_these_calls():
    look = "Ledger._commit"
    takes(AIOKafkaProducer.send_batch, "batch", "topic", "partition", look=look)
    takes(AIOKafkaProducer.send_offsets_to_transaction, "offsets", "group_id", look=look)
    for name in ("begin_transaction", "commit_transaction", "send_offsets_to_transaction"):
        assert inspect.iscoroutinefunction(getattr(AIOKafkaProducer, name)), look
    has(AIOKafkaProducer.send_batch, "is_in_transaction()", "raise IllegalOperation", look=look)


def test_what_a_fenced_transaction_raises_is_what_a_commit_expects():
    look = "Ledger.commit, which makes CommitFailed of it"
    assert issubclass(ProducerFenced, KafkaError), look
    assert not issubclass(IllegalOperation, KafkaError), f"{look}; it need not name this any more"
    has(MessageAccumulator.add_batch, "raise copy.copy(self._exception)", look=look)
    has(MessageBatch.wait_drain, "waiter.result()", look=look)


def test_committed_offsets_are_asked_for_as_the_admin_client_has_it():
    takes(
        AIOKafkaAdminClient.list_consumer_group_offsets,
        "group_id",
        "partitions",
        look="Ledger.committed",
    )


def test_every_error_of_the_brokers_tells_whether_it_may_pass():
    look = "Worker._topics_are_there and ledger._told_plainly"
    assert KafkaError.retriable is False, look
    assert aiokafka.errors.KafkaConnectionError.retriable is True, look
    for error in ledger.NOT_ALLOWED:
        assert issubclass(error, KafkaError), look


def test_a_client_that_cannot_connect_says_so_with_none():
    look = "kafka.patient"
    has(AIOKafkaClient.send, "await self.ready(node_id, group=group)", look=look)
    has(AIOKafkaClient.ready, "await self._get_conn(node_id, group=group)", look=look)
    has(AIOKafkaClient._metadata_update, "await self._get_conn(node_id)", look=look)
    has(AIOKafkaClient._get_conn, "self.force_metadata_update()", "return None", look=look)
    has(AIOKafkaConsumer.__init__, "self._client = AIOKafkaClient(", look=look)
    has(AIOKafkaProducer.__init__, "self.client = AIOKafkaClient(", look=look)


def test_a_consumer_ends_its_fetches_by_cancelling_them():
    look = "kafka.KafkaConsumer"
    has(AIOKafkaFetcher.close, "for x in self._pending_tasks:", "x.cancel()", "await x", look=look)
    has(AIOKafkaFetcher.__init__, "self._fetch_task = create_task(", look=look)
    has(AIOKafkaConsumer.stop, "self._fetcher.close()", "self._client.close()", look=look)


def test_a_cancelled_sender_waits_for_its_own_tasks():
    look = "clients.abandon"
    has(AIOKafkaProducer.stop, "if self._closed:", "self._closed = True", look=look)
    has(
        aiokafka_sender.Sender._sender_routine,
        "except asyncio.CancelledError:",
        "for task in tasks:",
        "await task",
        look=look,
    )


def test_a_reader_takes_the_options_it_is_given(monkeypatch):
    given: dict[str, Any] = {}
    monkeypatch.setattr(kafka, "KafkaConsumer", recording(given))
    kafka.reader(settings())
    takes(AIOKafkaConsumer.__init__, *given, look="kafka.reader")
    assert given["isolation_level"] == "read_committed"
