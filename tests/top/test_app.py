"""The live view, by its keys, on a real server with a real ring."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from redis import Redis
from textual.pilot import Pilot
from textual.widgets import OptionList, Static
from textual.worker import WorkerFailed
from typer.testing import CliRunner

from shared.bus.client import call
from shared.cli import app as commands
from shared.cli.desk import Desk
from shared.cli.top_app import Top
from shared.overview.read import read_overview
from shared.overview.values import Overview
from shared.server import LocalServer
from shared.streams import MODE_KEY
from tests.cli.asking import Open
from tests.cli.small_ring import SYMBOL, SmallRing, a_small_ring, at_r
from tests.top.stage import LOSING, NAKED, a_desk, go_wrong, play, say, three_positions

WIDE = (160, 50)
WITHIN_S = 20.0


class View(Top):
    """The view as it is, with what a test asks of it."""

    def pane(self, name: str) -> str:
        """The text of a part of the screen, or of what stands over it."""
        found = self.screen.query_one(f"#{name}")
        if isinstance(found, OptionList):
            return "\n".join(str(option.prompt) for option in found.options)
        assert isinstance(found, Static)
        return str(found.content)


@asynccontextmanager
async def a_view(
    desk: Desk, size: tuple[int, int] = WIDE
) -> AsyncIterator[tuple[View, Pilot[None]]]:
    """A view in a terminal of a size, once it has looked."""
    view = View(desk, partial(read_overview, desk.client), "the server")
    async with view.run_test(size=size) as pilot:
        await until(pilot, lambda: view.overview is not None)
        yield view, pilot


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Let the view go on until a condition holds."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "the view does not come to it"
        await pilot.pause(0.02)


@pytest.fixture
def ring(open_ring: Open) -> SmallRing:
    """Three positions: one at 5 R, one at a loss, one whose stop is gone; watcher says what."""
    opened = open_ring(three_positions())
    play(opened)
    go_wrong(opened)
    return opened


def test_it_shows_alarms_positions_streams_daemons_and_events(ring: SmallRing) -> None:
    async def looking() -> None:
        async with a_view(a_desk(ring.url)) as (view, _):
            head = view.pane("head")
            assert f"position without stop {NAKED}: LONG 14 has had no stop" in head
            assert "daemon silent exitbrain" in head
            positions = view.pane("positions")
            assert positions.index(NAKED) < positions.index(LOSING) < positions.index(SYMBOL)
            assert "✖ NO STOP for " in positions
            assert "+5.00 R" in positions
            assert "apply.result" in view.pane("streams")
            assert "✖ exitbrain lost " in view.pane("daemons")
            assert "filled   PARTIAL_50: SELL 0.46" in view.pane("events")

    asyncio.run(looking())


def test_a_fill_shows_by_itself(ring: SmallRing) -> None:
    async def looking() -> None:
        async with a_view(a_desk(ring.url)) as (view, pilot):
            assert "filled   PARTIAL_75" not in view.pane("events")
            ring.start("apply_layer", "exitbrain")
            ring.tick(at_r(7))
            ring.settle()
            await until(pilot, lambda: "filled   PARTIAL_75" in view.pane("events"))
            assert "every rung is taken" in view.pane("positions")

    asyncio.run(looking())


def test_the_mark_stays_with_its_position_as_others_come_and_go(ring: SmallRing) -> None:
    async def looking() -> None:
        async with a_view(a_desk(ring.url)) as (view, pilot):
            await pilot.press("down", "down")
            assert view.chosen == SYMBOL
            call(ring.client, "DEL", f"quantum:position:{NAKED}")
            await until(pilot, lambda: NAKED not in view.pane("positions"))
            assert view.chosen == SYMBOL
            assert f"▶ {SYMBOL}" in view.pane("positions")

    asyncio.run(looking())


def test_a_filter_shows_one_symbol_and_escape_all(ring: SmallRing) -> None:
    async def looking() -> None:
        async with a_view(a_desk(ring.url)) as (view, pilot):
            await pilot.press("slash", *"riv", "enter")
            assert LOSING not in view.pane("positions")
            assert SYMBOL in view.pane("positions")
            assert "only RIV" in view.pane("head")
            await pilot.press("slash", "x", "enter")
            assert "is open." in view.pane("positions")
            await pilot.press("escape")
            assert LOSING in view.pane("positions")

    asyncio.run(looking())


def test_why_tells_what_the_command_tells(ring: SmallRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "157")

    async def looking() -> str:
        async with a_view(a_desk(ring.url)) as (view, pilot):
            await pilot.press("down", "down", "enter")
            await until(pilot, lambda: "rungs" in view.pane("story"))
            told = view.pane("story")
            await pilot.press("escape")
            assert SYMBOL in view.pane("positions")
            return told

    told = asyncio.run(looking())
    asked = CliRunner().invoke(commands, ["why", SYMBOL]).stdout
    # Ages go on between the two; the rest is the same to the letter.
    same = [line for line in asked.splitlines() if " min" not in line and " s" not in line]
    assert len(same) > 20
    assert [line for line in same if line.rstrip() not in told] == []


def test_the_switch_is_turned_only_after_a_second_word(ring: SmallRing) -> None:
    async def looking() -> None:
        async with a_view(a_desk(ring.url)) as (view, pilot):
            await pilot.press("m", "down", "down", "enter")
            assert "Turn the switch to HALT?" in view.pane("question")
            await pilot.press("escape")
            assert ring.client.get(MODE_KEY) is None
            await pilot.press("m", "y")
            assert ring.client.get(MODE_KEY) is None
            await pilot.press("down", "down", "enter", "y")
            await until(pilot, lambda: "The mode is HALT. It was RUN." in view.pane("question"))
            assert ring.client.get(MODE_KEY) == b"HALT"
            await pilot.press("escape")
            await until(pilot, lambda: view.pane("head").startswith(" HALT "))

    asyncio.run(looking())


@pytest.fixture
def onlooker(ring: SmallRing) -> Iterator[str]:
    """The address of a user who may only look."""
    call(ring.client, "ACL", "SETUSER", "onlooker", "on", ">pass", "%R~*", "+@read", "+info",
         "+xinfo", "+time", "+ping")  # fmt: skip
    yield ring.url.replace("unix://", "unix://onlooker:pass@")
    call(ring.client, "ACL", "DELUSER", "onlooker")


def test_who_may_not_turn_the_switch_is_told_so(ring: SmallRing, onlooker: str) -> None:
    async def looking() -> None:
        async with a_view(a_desk(onlooker)) as (view, pilot):
            await pilot.press("m", "down", "enter", "y")
            await until(pilot, lambda: "this user of the server may not" in view.pane("question"))
            assert "quantum mode exits-only" in view.pane("question")

    asyncio.run(looking())
    assert ring.client.get(MODE_KEY) is None


def test_a_pause_stands_still_and_says_so(ring: SmallRing) -> None:
    async def looking() -> None:
        async with a_view(a_desk(ring.url)) as (view, pilot):
            await pilot.press("p")
            say(ring)
            assert "PAUSED" in view.pane("head")
            await pilot.pause()
            seen = view.overview
            await pilot.pause(1.2)
            assert view.overview is seen
            await pilot.press("p")
            await until(pilot, lambda: "● no alarms" in view.pane("head"))
            assert "PAUSED" not in view.pane("head")

    asyncio.run(looking())


def test_it_outlives_the_server_and_says_how_old_its_news_is(tmp_path: Path) -> None:
    with (
        LocalServer.start(tmp_path, appendfsync="always") as server,
        a_small_ring(server.url, three_positions()) as ring,
    ):
        play(ring)

        async def looking() -> None:
            async with a_view(a_desk(server.url)) as (view, pilot):
                server.kill()
                await until(pilot, lambda: "NO NEWS for" in view.pane("head"))
                assert "the server" in view.pane("head")
                assert SYMBOL in view.pane("positions")
                server.restart()
                await until(pilot, lambda: "NO NEWS" not in view.pane("head"))

        asyncio.run(looking())


def test_a_server_that_hangs_shows_before_a_call_of_it_ends(tmp_path: Path) -> None:
    with (
        LocalServer.start(tmp_path, appendfsync="no") as server,
        a_small_ring(server.url, three_positions()),
        Redis.from_url(server.url) as client,
    ):
        pid = int(client.info("server")["process_id"])

        async def looking() -> None:
            async with a_view(a_desk(server.url)) as (view, pilot):
                os.kill(pid, signal.SIGSTOP)
                try:
                    await until(pilot, lambda: "it does not answer" in view.pane("head"))
                    # What was asked for and closed unread comes when nobody waits for it.
                    await pilot.press("w", "escape")
                finally:
                    os.kill(pid, signal.SIGCONT)
                await until(pilot, lambda: "NO NEWS" not in view.pane("head"))

        asyncio.run(looking())


def test_a_terminal_of_any_size_shows_the_keys_and_every_pane(ring: SmallRing) -> None:
    async def looking() -> None:
        async with a_view(a_desk(ring.url), (80, 24)) as (view, pilot):
            for width, height in ((80, 24), (160, 50), (100, 30), (80, 24), (200, 24)):
                # Of a window too small for anything no more is asked than that it may grow again.
                await pilot.resize_terminal(20, 6)
                await pilot.resize_terminal(width, height)
                await pilot.pause(0.1)
                for name in ("head", "positions", "streams", "daemons", "events"):
                    region = view.query_one(f"#{name}").region
                    assert region.height > 1, (name, width, height)
                    assert region.right <= width
                    assert region.bottom < height
                bar = next(x for x in view.pane("positions").splitlines() if "▲" in x)
                assert len(bar) <= view.query_one("#positions").region.width

    asyncio.run(looking())


def test_a_bug_in_a_look_ends_it_with_a_failure(ring: SmallRing) -> None:
    seen = read_overview(a_desk(ring.url).client)
    broken = threading.Event()

    def read() -> Overview:
        if broken.is_set():
            raise LookupError("a bug")
        return seen

    view = View(a_desk(ring.url), read, "the server")

    async def looking() -> None:
        async with view.run_test(size=WIDE) as pilot:
            broken.set()
            await until(pilot, lambda: not view.is_running)

    with pytest.raises(WorkerFailed, match="a bug"):
        asyncio.run(looking())
    assert view.return_code == 1


def test_it_can_be_left_as_any_program(ring: SmallRing) -> None:
    async def looking() -> None:
        async with a_view(a_desk(ring.url)) as (view, pilot):
            await pilot.press("ctrl+c")
            await until(pilot, lambda: not view.is_running)
            assert view.return_code == 0

    asyncio.run(looking())


def test_help_tells_every_key_that_is_bound(ring: SmallRing) -> None:
    async def looking() -> None:
        async with a_view(a_desk(ring.url)) as (view, pilot):
            await pilot.press("question_mark")
            told = str(view.screen.query_one("#box Static", Static).content)
            for key in ("w", "/", "m", "p", "q"):
                assert key in [word.strip(",") for word in told.split()]
            assert "taken" in told
            await pilot.press("escape")
            assert SYMBOL in view.pane("positions")

    asyncio.run(looking())
