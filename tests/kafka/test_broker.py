"""The local Kafka itself: what tests of failures rely on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from aiokafka.admin import NewTopic

from deploy.kafka import kafka
from deploy.kafka.kafka import KafkaBroker, KafkaUnavailableError
from streamapp.engine import clients
from streamapp.settings import Settings


async def create(broker: KafkaBroker, topic: str) -> None:
    async with clients.admin(Settings(bootstrap_servers=broker.bootstrap_servers)) as client:
        await client.create_topics([NewTopic(topic, 2, 1)])


def partitions(broker: KafkaBroker, topic: str) -> int:
    settings = Settings(bootstrap_servers=broker.bootstrap_servers)
    return asyncio.run(clients.partition_counts(settings, [topic]))[topic]


def test_a_stopped_and_a_killed_broker_come_back_with_port_and_data(own_kafka):
    address = own_kafka.bootstrap_servers
    asyncio.run(create(own_kafka, "kept"))
    for end in (own_kafka.stop, own_kafka.kill):
        end()
        assert own_kafka.pid is None
        assert own_kafka.start() == address
        assert partitions(own_kafka, "kept") == 2


def test_the_command_starts_one_broker_tells_of_it_and_leaves_nothing(tmp_path):
    def run(command: str) -> tuple[int, str]:
        script = [sys.executable, kafka.__file__, command, "--run-dir", str(tmp_path / "run")]
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip()

    assert run("status") == (1, "not running")
    code, address = run("up")
    try:
        assert code == 0
        assert run("up") == (0, address)
        pid = KafkaBroker(tmp_path / "run").pid
        assert run("status") == (0, f"running at {address}, process {pid}")
    finally:
        assert run("down")[0] == 0
    assert run("status") == (1, "not running")
    assert not (tmp_path / "run").exists()


def test_another_process_with_the_id_of_a_gone_broker_is_left_alone(tmp_path):
    (tmp_path / "pid").write_text(str(os.getpid()))
    broker = KafkaBroker(tmp_path)
    assert broker.pid is None
    broker.stop()
    broker.kill()


def test_without_java_or_maven_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(KafkaUnavailableError, match="Java is missing"):
        KafkaBroker(tmp_path / "kafka").start()
    monkeypatch.setattr(kafka, "LIBS", tmp_path / "libs")
    with pytest.raises(KafkaUnavailableError, match="Maven is missing"):
        kafka.install()


def test_a_start_that_is_interrupted_leaves_no_broker(tmp_path, monkeypatch):
    started = []

    def interrupted(process, _log, _deadline):
        started.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(kafka, "_await_ready", interrupted)
    with pytest.raises(KeyboardInterrupt), KafkaBroker(tmp_path / "kafka"):
        pass
    assert [process.poll() for process in started] == [-signal.SIGKILL]


def test_a_broker_that_cannot_start_tells_what_it_logged(tmp_path):
    config = tmp_path / "server.properties"
    config.write_text("process.roles=nonsense\n")
    with pytest.raises(KafkaUnavailableError, match=r"(?s)did not start; it logged:.*nonsense"):
        KafkaBroker(tmp_path).start()
