"""/metrics and /health of a worker, served by a thread so that a stuck worker still answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from streamapp.errors import ConfigurationError

Health = Callable[[], tuple[bool, dict[str, Any]]]
"""Healthy or not, and what to tell about it."""


class Web:
    """A small HTTP server on a thread of its own.

    Args:
        port: 0 takes a free one; `port` then tells which.

    Raises:
        ConfigurationError: the address cannot be bound.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(registry, health))
        except OSError as exc:
            raise ConfigurationError(
                f"cannot serve /metrics on {host}:{port}: {exc.strerror}; "
                "choose another --web-port (0 takes a free one)"
            ) from exc
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, name="web", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(registry: CollectorRegistry, health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif path == "/health":
                healthy, told = health()
                status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, "application/json", json.dumps(told).encode())
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"try /metrics or /health\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing: a scrape is no news."""

    return Handler
