"""/metrics and /health as a scraper and an orchestrator see them."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from streamapp.engine.web import Web
from streamapp.errors import ConfigurationError

Answer = tuple[int, str, bytes]


class Served:
    """A web server whose health the test decides."""

    def __init__(self) -> None:
        self.healthy = True
        self.registry = CollectorRegistry()
        self.counter = Counter("streamapp_events", "Events.", registry=self.registry)
        self.web = Web("127.0.0.1", 0, self.registry, self.health)

    def health(self) -> tuple[bool, dict[str, Any]]:
        return self.healthy, {"state": "running" if self.healthy else "stalled"}

    def get(self, path: str, method: str = "GET") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=5)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read()
        finally:
            connection.close()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    served.web.start()
    yield served
    served.web.stop()


def test_metrics_are_served_as_prometheus_reads_them(served):
    served.counter.inc(3)
    status, kind, body = served.get("/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    assert b"\nstreamapp_events_total 3.0\n" in body


def test_health_is_200_while_healthy_and_503_otherwise_and_says_why(served):
    status, kind, body = served.get("/health")
    assert (status, kind, json.loads(body)) == (200, "application/json", {"state": "running"})
    served.healthy = False
    status, kind, body = served.get("/health")
    assert (status, kind, json.loads(body)) == (503, "application/json", {"state": "stalled"})


def test_a_query_string_is_ignored(served):
    assert served.get("/health?from=probe")[0] == 200
    assert served.get("/metrics?name[]=x")[0] == 200


def test_any_other_path_is_told_what_there_is(served):
    status, _, body = served.get("/")
    assert (status, body) == (404, b"try /metrics or /health\n")


def test_a_health_that_raises_breaks_that_answer_only(served, monkeypatch, capsys):
    def broken() -> tuple[bool, dict[str, Any]]:
        raise RuntimeError("read while it changed")

    monkeypatch.setattr(served, "health", broken)
    web = Web("127.0.0.1", 0, served.registry, served.health)
    web.start()
    served.web, before = web, served.web
    try:
        with pytest.raises((http.client.HTTPException, OSError)):
            served.get("/health")
        assert served.get("/metrics")[0] == 200
    finally:
        web.stop()
        served.web = before
    assert "read while it changed" in capsys.readouterr().err


def test_a_client_that_says_nothing_keeps_nobody_waiting(served):
    with socket.create_connection(("127.0.0.1", served.web.port), timeout=5):
        assert served.get("/health")[0] == 200


def test_two_servers_find_ports_of_their_own(served):
    other = Web("127.0.0.1", 0, served.registry, served.health)
    assert 0 < other.port != served.web.port
    other.start()
    other.stop()


def test_a_port_in_use_is_told_with_what_to_change(served):
    with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{served.web.port}.*--web-port"):
        Web("127.0.0.1", served.web.port, served.registry, served.health)


def test_the_port_is_free_again_after_the_end():
    web = Served().web
    web.start()
    web.stop()
    Web("127.0.0.1", web.port, CollectorRegistry(), lambda: (True, {}))._server.server_close()
