"""A network that can be cut: a broker reached through a proxy, and the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Literal

from deploy.kafka.kafka import KafkaBroker

How = Literal["refuse", "swallow", "delay"]
"""How a network is cut: connections break and are refused; what is sent gets lost, and with it
at the end the connections; or what is sent arrives only when the cut is over."""

CHUNK = 1 << 16


class ProxiedBroker(KafkaBroker):
    """A broker with a second address: a proxy's, which those who connect through it are told.

    Args:
        proxy_port: where the proxy listens.
        behind_port: where the broker is to take the proxy's connections.
    """

    def __init__(self, run_dir: Path, proxy_port: int, behind_port: int) -> None:
        super().__init__(run_dir)
        self._proxy_port = proxy_port
        self._behind_port = behind_port

    def _prepare(self) -> None:
        super()._prepare()
        config = self.run_dir / "server.properties"
        text = config.read_text()
        if "PROXIED" in text:
            return
        text = text.replace("BROKER:PLAINTEXT", "PROXIED:PLAINTEXT,BROKER:PLAINTEXT")
        behind = f"PROXIED://127.0.0.1:{self._behind_port}"
        text = text.replace("\nlisteners=", f"\nlisteners={behind},")
        proxied = f"PROXIED://127.0.0.1:{self._proxy_port}"
        config.write_text(
            f"{text}advertised.listeners={proxied},BROKER://{self.bootstrap_servers}\n"
        )


class Proxy:
    """Passes bytes on to a port, unless it is cut; on a thread, to be busy with nothing else.

    Attributes:
        port: where it listens.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._connections: set[asyncio.StreamWriter] = set()
        self._how: How | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        self._server = listening.result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0)

    def stop(self) -> None:
        """Break all connections and listen no more."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        self._break()
        await asyncio.sleep(0.1)

    async def cut(self, how: How, seconds: float) -> None:
        """Cut the network for a while."""
        cutting = asyncio.run_coroutine_threadsafe(self._cut(how, seconds), self._loop)
        await asyncio.wrap_future(cutting)

    async def _cut(self, how: How, seconds: float) -> None:
        self._how = how
        self._open.clear()
        if how == "refuse":
            self._break()
        await asyncio.sleep(seconds)
        if how == "swallow":
            self._break()
        self._how = None
        self._open.set()

    def _break(self) -> None:
        for writer in self._connections:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        back: asyncio.StreamWriter | None = None
        try:
            if self._how == "refuse":
                return
            await self._open.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._connections.add(back)
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        except OSError:
            pass  # either side has gone
        finally:
            for end in filter(None, (writer, back)):
                self._connections.discard(end)
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
