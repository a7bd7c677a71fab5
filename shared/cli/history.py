"""`quantum history`: the positions of a symbol, one after the other, each with its trades.

Reads apply.result; writes nothing. It reaches back as far as that stream does.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from shared.cli.desk import a_desk, tell_unreadable
from shared.cli.inspect import ConfigOption, JsonOption
from shared.contracts import FillResult, RefusedResult
from shared.formulas import risk_per_unit
from shared.records import NONSENSE, reason_of
from shared.symbols import as_typed
from shared.why.chains import fill_name
from shared.why.picture import Said, Terms
from shared.why.read import read_picture
from shared.why.words import fee_in, plain, safe, span


@dataclass
class Past:
    """One position; money in quote units, quantities in base units, times are market time."""

    position_id: str
    side: str
    entry_price: Decimal
    initial_qty: Decimal
    opened_at: str
    lines: list[str] = field(default_factory=list)
    ended_at: str | None = None
    ended_by: str | None = None
    lasted_s: float | None = None
    realized_pnl: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    r_realized: Decimal | None = None
    refusals: int = 0
    fees_in: dict[str, Decimal] = field(default_factory=dict)


def history(
    *,
    symbol: Annotated[str, typer.Argument(help="A symbol such as BTCUSDT.")],
    config: ConfigOption = None,
    json_: JsonOption = False,
) -> None:
    """Show the positions of a symbol, oldest first: every trade, how each ended and what it made.

    R is what was realised after fees, in units of what was at risk at the beginning; funding is
    not among it.
    """
    with a_desk(config) as desk:
        picture = read_picture(desk.client, as_typed(symbol), Terms())
    tell_unreadable(picture.unreadable)
    pasts = pasts_of(picture.results)
    if json_:
        typer.echo(json.dumps([_as_json(past) for past in pasts]))
        return
    if not pasts:
        typer.echo(f"The streams tell of no position in {picture.symbol}.")
    console = Console(highlight=False)
    for past in pasts:
        console.print(_heading(past), soft_wrap=True)
        for line in past.lines:
            console.print(f"    {escape(safe(line))}", soft_wrap=True)


def pasts_of(results: tuple[Said, ...]) -> list[Past]:
    """The positions that results tell of, in the order in which they were first told of."""
    pasts: dict[str, Past] = {}
    for said in results:
        result = said.message
        name = result.position_id
        if name is None or result.position_side is None:
            continue
        if name not in pasts:
            if not result.position_qty:
                continue  # Only its end is left of it in the stream.
            pasts[name] = Past(
                position_id=name,
                side=result.position_side.value,
                entry_price=result.position_entry_price,
                initial_qty=result.position_initial_qty or result.position_qty,
                opened_at=f"{result.position_opened_at:%d %b %Y %H:%M:%S}",
            )
        try:
            _tell(pasts[name], result)
        except NONSENSE as error:
            # One result that makes no sense must not hide the others.
            pasts[name].lines.append(f"{said.id}: the result {reason_of(error)}")
    return list(pasts.values())


def _tell(past: Past, result: Any) -> None:
    when = f"{result.timestamp:%d %b %H:%M:%S}"
    past.initial_qty = max(past.initial_qty, result.position_initial_qty or Decimal(0))
    past.entry_price = result.position_entry_price or past.entry_price
    past.fees = past.fees if result.position_fees is None else result.position_fees
    if result.position_realized_pnl is not None:
        past.realized_pnl = result.position_realized_pnl
    if isinstance(result, FillResult):
        trade = f"{result.side} {plain(result.filled_qty)} at {plain(result.avg_price)}"
        made = f", realised {plain(result.realized_pnl)}" if result.reduceOnly else ""
        past.lines.append(f"{when}  {fill_name(result)}: {trade}{made}{fee_in(result)}")
        if result.fee_asset is not None:
            before = past.fees_in.get(result.fee_asset, Decimal(0))
            past.fees_in[result.fee_asset] = before + (result.fee_asset_qty or Decimal(0))
    elif isinstance(result, RefusedResult):
        past.refusals += 1
    elif result.status == "ADOPTED":
        past.lines.append(f"{when}  adopted: {plain(result.position_qty)} held")
    if not result.position_qty and past.ended_at is None:
        past.ended_at = when
        past.ended_by = fill_name(result) if isinstance(result, FillResult) else "elsewhere"
        past.lasted_s = (result.timestamp - result.position_opened_at).total_seconds()
        risk = risk_per_unit(past.entry_price, result.position_initial_stop) * past.initial_qty
        past.r_realized = round((past.realized_pnl - past.fees) / risk, 2)


def _heading(past: Past) -> str:
    opened = f"[bold]{past.opened_at}[/bold]  {past.side} {plain(past.initial_qty)}"
    money = f"realised {plain(round(past.realized_pnl, 8))}, fees {plain(round(past.fees, 8))}"
    paid = ", ".join(f"{plain(qty)} {asset}" for asset, qty in past.fees_in.items())
    money += f" (paid as {paid})" if paid else ""
    if past.ended_at is None:
        ended = "open"
    else:
        ended = f"ended by {past.ended_by} after {span(past.lasted_s or 0)}, {past.r_realized} R"
    refused = f", {past.refusals} refusals" if past.refusals else ""
    return f"{opened} from {plain(past.entry_price)}: {ended}; {money}{refused}"


def _as_json(past: Past) -> dict[str, Any]:
    plain_ = asdict(past)
    plain_["fees_in"] = {asset: plain(qty) for asset, qty in past.fees_in.items()}
    return {n: plain(v) if isinstance(v, Decimal) else v for n, v in plain_.items()}
