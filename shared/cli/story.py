"""What the streams tell of a run: trades, outcomes and whether everything adds up.

Reads streams, the position records and the paper venue's books; decides nothing.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, cast

from redis import Redis

from shared.bus import RedisBus, connect
from shared.contracts import (
    ExitPlan,
    FillResult,
    MarketTick,
    MoveStopPlan,
    PositionResult,
    RefusedResult,
    StopMovedResult,
    decode,
)
from shared.formulas import r_multiple, risk_per_unit
from shared.sides import PositionSide
from shared.streams import APPLY_PLAN, APPLY_RESULT, PREFIX, STREAMS, Stream, state_key

ZERO = Decimal(0)
Result = FillResult | RefusedResult | StopMovedResult | PositionResult


@dataclass
class SymbolStory:
    """One symbol's trading; money in quote units, quantities in base units."""

    entries: int = 0
    adopted: int = 0
    rungs: dict[str, int] = field(default_factory=dict)
    stops: int = 0
    full_closes: int = 0
    liquidations: int = 0
    forced_closes: int = 0
    refusals: int = 0
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    net_fills: Decimal = ZERO
    unprotected_s_max: Decimal = ZERO

    @property
    def traded(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.entries or self.adopted or self.refusals)


@dataclass
class Story:
    """All of a run. `problems` is empty when everything adds up."""

    symbols: dict[str, SymbolStory]
    streams: dict[str, int]
    dead_letters: dict[str, int]
    pending: int
    behind: int
    wallet_change: Decimal
    funding: Decimal
    problems: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing is left over and everything adds up."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """For machines; the check of the sums was made on exact numbers before."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=float))
        return {"ok": self.ok, **plain}


def messages(client: Redis, stream: Stream) -> Iterator[Any]:
    """Every readable message of a stream, the oldest first, in pages."""
    start = "-"
    while True:
        page: Any = client.execute_command(  # type: ignore[no-untyped-call]
            "XRANGE", stream.key, start, "+", "COUNT", 1000
        )
        for _, flat in page:
            pairs = tuple(zip(flat[::2], flat[1::2], strict=True))
            yield decode(stream.contract, pairs)
        if len(page) < 1000:
            return
        start = f"({page[-1][0].decode()}"


def reader(redis_url: str) -> Redis:
    """A client whose entries come as the server sends them, to be decoded as a daemon does."""
    client = connect(redis_url)
    for command in ("XRANGE", "XREAD", "XINFO STREAM", "HGETALL"):
        client.set_response_callback(command, lambda reply, **_: reply)
    return client


def tell(redis_url: str) -> Story:
    """Read the whole run and check that it adds up."""
    client = reader(redis_url)
    symbols: dict[str, SymbolStory] = {}
    for result in messages(client, APPLY_RESULT):
        story = symbols.setdefault(result.symbol, SymbolStory())
        _count(story, result)
    bus = RedisBus(redis_url, "market_feed")
    rows = bus.backlog()
    bus.close()
    wallet_change, funding, venue = _venue(client)
    story_ = Story(
        symbols={name: one for name, one in symbols.items() if one.traded},
        streams={stream.name: added(client, stream.key) for stream in STREAMS},
        dead_letters={
            stream.name: count for stream in STREAMS if (count := added(client, stream.dead_key))
        },
        pending=sum(row.pending for row in rows),
        behind=sum(row.lag or 0 for row in rows),
        wallet_change=wallet_change,
        funding=funding,
        problems=[],
    )
    story_.problems.extend(_problems(client, story_, venue))
    return story_


def _count(story: SymbolStory, result: Result) -> None:
    if result.position_unprotected_s is not None:
        story.unprotected_s_max = max(story.unprotected_s_max, result.position_unprotected_s)
    if isinstance(result, PositionResult):
        if result.status == "ADOPTED":
            story.adopted += 1
            side = result.position_side or PositionSide.LONG
            story.net_fills += side.sign * result.position_qty
        return
    if isinstance(result, RefusedResult):
        story.refusals += 1
    if not isinstance(result, FillResult):
        return
    story.realized_pnl += result.realized_pnl
    story.fees += result.fee
    story.net_fills += result.side.sign * result.filled_qty
    if result.status == "STOPPED_OUT":
        story.stops += 1
    elif result.status == "LIQUIDATED":
        story.liquidations += 1
    elif result.status in ("DELEVERAGED", "SETTLED"):
        story.forced_closes += 1
    elif not result.reduceOnly:
        story.entries += 1
    elif result.reason == "FULL_CLOSE_PROPOSED":
        story.full_closes += 1
    else:
        story.rungs[result.reason] = story.rungs.get(result.reason, 0) + 1


def added(client: Redis, key: str) -> int:
    """How many entries a stream ever had; trimming does not lower it."""
    if not client.exists(key):
        return 0
    flat: Any = client.execute_command("XINFO STREAM", key)  # type: ignore[no-untyped-call]
    return int(dict(zip(flat[::2], flat[1::2], strict=True))[b"entries-added"])


def _venue(client: Redis) -> tuple[Decimal, Decimal, dict[str, Decimal]]:
    """The paper venue's own books: wallet change, funding, signed positions."""
    state: Any = client.execute_command(  # type: ignore[no-untyped-call]
        "HGETALL", state_key("apply_layer")
    )
    documents = dict(zip(state[::2], state[1::2], strict=True))
    wallet = json.loads(documents.get(b"paper_wallet", b'{"balance": "0", "initial": "0"}'))
    change = Decimal(wallet["balance"]) - Decimal(wallet["initial"])
    funding, positions = ZERO, {}
    for name, document in documents.items():
        if name.startswith(b"paper_book/"):
            book = json.loads(document)
            funding += Decimal(book["funding"])
            if book["position"]:
                positions[book["symbol"]] = Decimal(book["position"]["qty"])
    return change, funding, positions


def _problems(client: Redis, story: Story, venue: dict[str, Decimal]) -> Iterator[str]:
    if story.pending or story.behind:
        yield f"{story.pending} messages pending, {story.behind} not delivered"
    for stream, count in story.dead_letters.items():
        yield f"{count} dead letters on {stream}"
    realized = sum((s.realized_pnl - s.fees for s in story.symbols.values()), ZERO)
    if realized + story.funding != story.wallet_change:
        yield f"the wallet changed by {story.wallet_change}, the fills say {realized}"
    records = {}
    for key in client.scan_iter(match=f"{PREFIX}:position:*", count=1000):
        qty, side = cast(list[bytes], client.hmget(key, "qty", "side"))
        symbol = str(key, "utf-8").rpartition(":")[2]
        sign = PositionSide(str(side, "utf-8")).sign
        records[symbol] = sign * Decimal(str(qty, "utf-8"))
    for symbol in sorted({*story.symbols, *records, *venue}):
        fills = story.symbols[symbol].net_fills if symbol in story.symbols else ZERO
        record, held = records.get(symbol, ZERO), venue.get(symbol, ZERO)
        if not fills == record == held:
            yield f"{symbol}: fills say {fills}, the record {record}, the venue {held}"
        naked_s = story.symbols[symbol].unprotected_s_max if symbol in story.symbols else ZERO
        if naked_s > 2:
            yield f"{symbol}: a position stood without a stop for {naked_s} s"


def settle(address: str, *, within_s: float = 30.0) -> bool:
    """Wait until every group has finished all there is; False if that takes too long."""
    bus = RedisBus(address, "market_feed")
    deadline = time.monotonic() + within_s
    try:
        while time.monotonic() < deadline:
            if all(row.idle for row in bus.backlog()):
                return True
            time.sleep(0.02)
    finally:
        bus.close()
    return False


def highest_r(client: Redis, ticks: Iterator[MarketTick], symbol: str) -> Decimal:
    """The highest R_net of a symbol's first position while it was open, over all its prices."""
    first: Result | None = None
    ended: Result | None = None
    for result in messages(client, APPLY_RESULT):
        if result.symbol == symbol and result.position_id:
            first = first or result
            if not result.position_qty:
                ended = result
                break
    if first is None or first.position_entry_price is None or first.position_side is None:
        return ZERO
    risk = risk_per_unit(first.position_entry_price, first.position_initial_stop)
    best = ZERO
    for tick in ticks:
        if tick.symbol != symbol or tick.timestamp < first.timestamp:
            continue
        if ended is not None and tick.timestamp > ended.timestamp:
            break
        r = r_multiple(
            side=first.position_side,
            entry_price=first.position_entry_price,
            mark_price=tick.mark_price,
            risk_per_unit=risk,
        )
        best = max(best, r)
    return best


def executed_exits(client: Redis) -> Counter[str]:
    """Plans that ask the venue to reduce, by action."""
    return Counter(
        plan.action
        for plan in messages(client, APPLY_PLAN)
        if isinstance(plan, ExitPlan | MoveStopPlan)
    )
