"""A venue that is far away: a proxy on this machine that holds back what passes for a while."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self


class Far:
    """Passes bytes to a port on this machine and back, each way after half of `latency_s`."""

    def __init__(self, port: int, latency_s: float) -> None:
        self.latency_s = latency_s
        self.port = 0
        self._behind = port
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)

    async def _connection(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            far, on = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            back.transport.abort()
            return
        self._open |= {on, back}
        await asyncio.gather(self._pass(near, on), self._pass(far, back))
        self._open -= {on, back}
        on.transport.abort()
        back.transport.abort()
        self._tasks.discard(task)

    async def _pass(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        """What has left is on its way: a second piece need not wait for the first one."""
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            while True:
                due, data = await on_its_way.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                if not data:
                    to.close()
                    return
                to.write(data)

        arriving = asyncio.ensure_future(arrive())
        try:
            while True:
                try:
                    data = await source.read(65536)
                except OSError:
                    data = b""
                on_its_way.put_nowait((self._loop.time() + self.latency_s / 2, data))
                if not data:
                    await arriving
                    return
        finally:
            arriving.cancel()
