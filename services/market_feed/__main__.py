"""Wiring of market_feed: candle files or a live venue in, prices out, each step committed once."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime

from services.market_feed.decider import Anchor, Offer, Policy, Readers, State, Wait, decide
from services.market_feed.klines import CandleFiles, MalformedCandles, load
from services.market_feed.replay import steps
from services.market_feed.settings import MarketFeedSettings
from shared.bus import Bus, Commit
from shared.contracts import MarketTick, encode
from shared.daemon import run_producer
from shared.decisions import Received
from shared.log import logger
from shared.session import Session, Stopped, flat
from shared.settings import Settings, SettingsError
from shared.state import StateCodec
from shared.streams import MARKET_TICK, STREAMS

#: Stands for a backlog that cannot be counted: better slow than early.
_UNCOUNTED = 1_000_000


class Feed:
    """One replay under way. A restarted feed goes on after the last instant it committed."""

    def __init__(
        self, session: Session, policy: Policy, files: CandleFiles, stop: threading.Event
    ) -> None:
        self._session = session
        self._policy = policy
        self._files = files
        self._stop = stop
        self._codec = StateCodec(State)
        names = "\0".join(str(f.path.name) for fs in files.by_symbol.values() for f in fs)
        self._replay = hashlib.sha256(names.encode()).hexdigest()[:12]

    def run(self) -> None:
        """Publish until the last bar or until told to stop."""
        state = self._codec.load(self._session.acquire())
        progress = state.replays.get(self._replay)
        published = 0
        anchor: Anchor | None = None
        resume_after = progress.at if progress else None
        for at, ticks in steps(self._files, self._policy.step_ticks, resume_after):
            while not self._stop.is_set():
                readers = self._session.patiently(self._readers)
                if anchor is None or not published:
                    # The pace is counted from the first price that goes out: the wait for the
                    # readers to come up is not made up for.
                    anchor = Anchor(at, datetime.now(UTC))
                offer = Offer(self._replay, at, ticks, anchor, readers)
                after, outputs = decide(state, Received(offer, datetime.now(UTC)), self._policy)
                if isinstance(outputs[0], Wait):
                    self._session.wait(outputs[0].seconds)
                    continue
                self._session.commit(
                    Commit(
                        published=[
                            flat(MARKET_TICK, encode(tick))
                            for tick in outputs
                            if isinstance(tick, MarketTick)
                        ],
                        documents=self._codec.changes(state, after),
                    )
                )
                state, published = after, published + len(outputs)
                self._session.housekeeping()
                break
            if self._stop.is_set():
                logger().info("stopped", ticks=published, at=at.isoformat())
                return
        logger().info("replay_ended", ticks=published, bars=self._files.bars)

    def _readers(self) -> Readers:
        return readers_of(self._session.bus)


def readers_of(bus: Bus) -> Readers:
    """How far the readers are, from the groups' own counts.

    A reader that has not come up yet has everything before it, so a replay waits for the whole
    ring to stand.
    """
    rows = {(row.stream, row.group): row for row in bus.backlog()}
    behind, idle = 0, True
    for stream in STREAMS:
        for reader in stream.readers:
            row = rows.get((stream.name, reader))
            if stream is not MARKET_TICK:
                idle = idle and row is not None and row.idle
            elif row is None or (row.behind and row.lag is None):
                behind = _UNCOUNTED
            else:
                behind = max(behind, (row.lag or 0) + row.pending)
    return Readers(behind, idle)


def body(settings: Settings, session: Session, stop: threading.Event) -> None:
    """Bring prices in from where the settings say."""
    own = settings.section("market_feed", MarketFeedSettings)
    try:
        if own.source == "replay":
            _replay(own, settings.origin, session, stop)
        else:
            _live(own, settings.origin, session)
    except Stopped:
        logger().warning("stopped_without_server")


def _replay(own: MarketFeedSettings, origin: str, session: Session, stop: threading.Event) -> None:
    """Check every file, then replay them."""
    if not own.files:
        raise SettingsError(
            f"{origin}: market_feed.files: name candle files to replay, "
            'or say source = "binance-usdm"'
        )
    try:
        files = load(own.files)
    except MalformedCandles as error:
        raise SettingsError(f"market_feed.files: {error}") from None
    for warning in files.warnings:
        logger().warning("bars_missing", detail=warning)
    Feed(session, own.policy(), files, stop).run()
    if not own.until_end:
        session.wait()


def _live(own: MarketFeedSettings, origin: str, session: Session) -> None:
    """The venue's stream; what it needs is imported, and installed, only where it is used."""
    if not own.symbols:
        raise SettingsError(f"{origin}: market_feed.symbols: name the symbols to bring prices of")
    try:
        from services.market_feed.binance.wiring import live_feed
    except ModuleNotFoundError as error:
        raise SettingsError(
            f'market_feed.source = "binance-usdm" needs {error.name}: '
            "install the extra, quantum-trader[live]"
        ) from None
    live_feed(own, session).run()


def main() -> None:
    """Run until told to stop, or until the last bar."""
    run_producer("market_feed", body)


if __name__ == "__main__":
    main()
