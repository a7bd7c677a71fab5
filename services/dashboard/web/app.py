"""The pages and their events. Read-only: every answer is a file of ours or a frame of the board."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from importlib import resources
from pathlib import Path

from aiohttp import web

from services.dashboard.web.board import Board, Full
from services.dashboard.web.guard import LOCAL_NAMES, guard, harden
from shared.symbols import is_symbol

BOARD: web.AppKey[Board] = web.AppKey("board", Board)
STATIC = Path(str(resources.files("services.dashboard").joinpath("static")))

#: How long a browser waits before it asks again, in milliseconds.
_RETRY_MS = 1000
#: Without a frame for this long, a comment shows whether anybody is still there.
_QUIET_S = 10.0
#: A browser that takes nothing for this long is sent home.
_STUCK_S = 2.0
#: Without news of the ring for this long the page is of no use.
_HEALTHY_S = 10.0


def application(board: Board, host_names: tuple[str, ...] = ()) -> web.Application:
    """The application that shows a board, to those who ask by one of the names."""
    app = web.Application(middlewares=[guard(LOCAL_NAMES | set(host_names))], client_max_size=1)
    app[BOARD] = board
    app.on_response_prepare.append(harden)
    app.router.add_get("/", _overview)
    app.router.add_get("/symbol/{symbol}", _symbol)
    app.router.add_get("/events", _events)
    app.router.add_get("/events/{symbol}", _events)
    app.router.add_get("/healthz", _health)
    app.router.add_static("/static", STATIC)
    return app


async def _overview(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "overview.html")


def _asked_for(request: web.Request) -> str | None:
    """The symbol that a path names, decoded; what is no symbol is not found."""
    symbol = request.match_info.get("symbol")
    if symbol is not None and not is_symbol(symbol):
        raise web.HTTPNotFound(text="there is no such symbol\n")
    return symbol


async def _symbol(request: web.Request) -> web.FileResponse:
    _asked_for(request)
    return web.FileResponse(STATIC / "symbol.html")


async def _health(request: web.Request) -> web.Response:
    """200 while the ring is being read, 503 otherwise."""
    age_s = request.app[BOARD].age_s("overview")
    if age_s is None:
        return web.Response(status=503, text="Redis has not been read yet\n")
    status = 200 if age_s < _HEALTHY_S else 503
    return web.Response(status=status, text=f"Redis was read {age_s:.1f} s ago\n")


async def _events(request: web.Request) -> web.StreamResponse:
    """The frames of one page as they come, the newest at once."""
    board, symbol = request.app[BOARD], _asked_for(request)
    names = ("overview", "down", *([symbol] if symbol else []))
    seen = board.seen(request.headers.get("Last-Event-ID", ""))
    try:
        with board.viewer(symbol, partial(_hang_up, request)):
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            async for part in _parts(board, names, seen):
                await asyncio.wait_for(response.write(part), _STUCK_S)
            await response.write_eof()
            return response
    except Full as full:
        raise web.HTTPServiceUnavailable(text=f"{full}\n") from None


def _hang_up(request: web.Request) -> None:
    """Let go of a connection at once, whatever has not been taken of it."""
    if request.transport is not None:
        request.transport.abort()


async def _parts(board: Board, names: tuple[str, ...], seen: int) -> AsyncIterator[bytes]:
    yield f"retry: {_RETRY_MS}\n\n".encode()
    while not board.closed:
        try:
            frames = await asyncio.wait_for(board.newer(seen, names), _QUIET_S)
        except TimeoutError:
            yield b": nothing new\n\n"
            continue
        for frame in frames:
            yield frame.text(board.born)
            seen = frame.number
