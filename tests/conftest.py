"""What all tests share: a real Kafka for those that need one, and their marks by directory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from deploy.kafka.kafka import KafkaBroker

HERE = Path(__file__).parent
MARKS = {"kafka": ("kafka",), "chaos": ("kafka", "chaos"), "bench": ("kafka", "bench")}
"""Marks of every test below a directory."""

# How long one example takes says nothing on a busy machine. CI tells whether a change broke what
# worked, so it draws the same examples each time; new ones are looked for wherever else tests run.
settings.register_profile("streamapp", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("streamapp")


def pytest_configure() -> None:
    # Ended from outside, fixtures still clean up: no broker is left running.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended by SIGTERM", returncode=143))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            for mark in MARKS.get(item.path.relative_to(HERE).parts[0], ()):
                item.add_marker(mark)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Kafka: the one `make test` gives, or else one for this run."""
    given = os.environ.get("STREAMAPP_TEST_BOOTSTRAP")
    if given:
        yield given
        return
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A Kafka of the test's own, to stop, kill and start again."""
    with KafkaBroker(tmp_path / "kafka") as broker:
        yield broker
