"""The server's loop, with the two threads that read for it; all three end together."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from aiohttp import web

from services.dashboard.settings import DashboardSettings
from services.dashboard.web.app import application
from services.dashboard.web.board import Board
from services.dashboard.web.readers import Readers
from shared.log import logger
from shared.session import Session
from shared.ticks import MAX_AHEAD
from shared.why.picture import Terms

#: How long answers may take to finish when told to stop, in seconds.
_FINISH_S = 2.0


async def serve(
    door: socket.socket,
    own: DashboardSettings,
    *,
    session: Session,
    url: str,
    terms_of: Callable[[str], Terms],
    max_tick_ahead: timedelta = MAX_AHEAD,
) -> None:
    """Serve on `door` until told to stop. A thread that ends by a bug ends all with its error."""
    loop, stop = asyncio.get_running_loop(), session.stop
    board = Board(loop)
    readers = Readers(session, url, terms_of, board, max_tick_ahead)
    app = application(board, own.host_names)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_FINISH_S)
    await runner.setup()
    await web.SockSite(runner, door).start()
    host, port = door.getsockname()[:2]
    logger().info("serving", address=f"http://{host}:{port}/")
    with ThreadPoolExecutor(3, "dashboard") as threads:
        work: list[asyncio.Future[Any]] = [
            loop.run_in_executor(threads, readers.overview, own.refresh_s),
            loop.run_in_executor(threads, readers.stories, own.why_every_s),
            loop.run_in_executor(threads, stop.wait),
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            board.close()
            await runner.cleanup()
        await asyncio.gather(*work)
