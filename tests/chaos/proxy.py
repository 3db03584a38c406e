"""The network between a process and a server, which can be cut, fall silent, or be slow.

A TCP port in front of a server's unix socket. What it does to connections:

cut    they are broken, and new ones are refused
stall  nothing is forwarded any more; connections are still accepted, as by a host that drops packets
delay  everything is forwarded late
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

CHUNK_BYTES = 1 << 16


class Proxy:
    """One port before one unix socket. Its methods may be called from any thread."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {target}", daemon=True)
        self._links: set[_Link] = set()
        self._refusing = self._stalled = False
        self._delay_s = 0.0
        self._server: asyncio.Server | None = None
        self.port = 0

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        self._do(self._listen())

    def cut(self) -> None:
        """Break every connection and refuse new ones, until `heal`."""
        self._do(self._cut())

    def stall(self) -> None:
        """Forward nothing any more, until `heal`."""
        self._do(self._stall())

    def delay(self, seconds: float) -> None:
        """Forward everything that much later, until `heal`."""
        self._delay_s = seconds

    def heal(self, *, forget: bool = False) -> None:
        """All is well again. With `forget` what stalled stays silent for ever and only new connections pass,
        as when a firewall has lost its table; without, it is delivered late."""
        self._do(self._heal(forget))

    def close(self) -> None:
        """Break every connection and stop listening."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        self._refusing = True
        for link in list(self._links):
            link.break_off()

    async def _stall(self) -> None:
        self._stalled = True
        for link in self._links:
            link.open.clear()

    async def _heal(self, forget: bool) -> None:
        self._refusing = self._stalled = False
        self._delay_s = 0.0
        for link in self._links:
            if not forget:
                link.open.set()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link([writer])
        if self._refusing:
            link.break_off()
            return
        self._links.add(link)
        if self._stalled:
            link.open.clear()
        try:
            await link.open.wait()
            there, back = await asyncio.open_unix_connection(self._target)
            link.writers.append(back)
            if link.broken:
                return
            pumps = {
                asyncio.ensure_future(self._pump(link, *ends)) for ends in ((reader, back), (there, writer))
            }
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            link.break_off()
            self._links.discard(link)

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await link.open.wait()
                writer.write(data)
                await writer.drain()


class _Link:
    """One connection, both ways."""

    def __init__(self, writers: list[asyncio.StreamWriter]) -> None:
        self.writers = writers
        self.broken = False
        self.open = asyncio.Event()
        self.open.set()

    def break_off(self) -> None:
        """As a reset does."""
        self.broken = True
        for writer in self.writers:
            writer.transport.abort()
