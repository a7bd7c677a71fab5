"""What each answer of the venue has to be, row by row; its field names become ours.

Pure. What we do not use may be anything.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from services.apply_layer.binance.reading import (
    ActualId,
    Flag,
    Id,
    Moment,
    Name,
    Number,
    OrZero,
    Positive,
    Text,
    Whole,
)
from shared.sides import Side

ZERO = Decimal(0)


class Row(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)


class FilterRow(Row):
    """One filter of a symbol; each kind has its own fields."""

    filter_type: Text
    step_size: OrZero = ZERO
    tick_size: OrZero = ZERO
    min_qty: OrZero = ZERO
    max_qty: OrZero = ZERO
    notional: OrZero = ZERO


class ListedRow(Row):
    """A symbol of exchangeInfo."""

    symbol: Name
    status: Text
    contract_type: Text = ""
    quote_asset: Text = "USDT"
    margin_asset: Text = "USDT"
    filters: tuple[FilterRow, ...]


class LimitRow(Row):
    """A rate limit."""

    rate_limit_type: Text
    interval: Text
    interval_num: Whole
    limit: Whole


class ExchangeInfo(Row):
    """exchangeInfo, its symbols still unread."""

    rate_limits: tuple[LimitRow, ...] = ()
    symbols: list[Any]


class BracketRow(Row):
    """One leverage bracket."""

    bracket: Whole
    initial_leverage: Whole
    maint_margin_ratio: Number


class BracketsRow(Row):
    """The leverage brackets of a symbol."""

    symbol: Name
    brackets: tuple[BracketRow, ...]


class PositionRow(Row):
    """positionRisk v3: only what is held, or has orders."""

    symbol: Name
    position_side: Text = "BOTH"
    position_amt: Number
    entry_price: Number
    liquidation_price: OrZero = ZERO
    mark_price: Number
    update_time: Moment
    notional: OrZero = ZERO
    position_initial_margin: OrZero = ZERO


class PlainRow(Row):
    """An order of the plain book, wherever it is told."""

    symbol: Name
    order_id: Id
    client_order_id: Text
    status: Text
    type: Text
    orig_type: Text = ""
    side: Side
    orig_qty: Number
    executed_qty: Number
    stop_price: OrZero = ZERO
    reduce_only: Flag = False
    close_position: Flag = False


class AlgoRow(Row):
    """An order of the conditional book, wherever it is told."""

    symbol: Name
    algo_id: Id
    client_algo_id: Text
    algo_status: Text
    order_type: Text
    side: Side
    quantity: OrZero = ZERO
    trigger_price: OrZero = ZERO
    reduce_only: Flag = False
    close_position: Flag = False
    actual_order_id: ActualId = ""


class PlacedAlgo(Row):
    """The answer to a conditional order that was placed."""

    algo_id: Id


class TradeRow(Row):
    """A trade of userTrades."""

    symbol: Name
    id: Whole
    order_id: Id
    side: Side
    price: Positive
    qty: Positive
    realized_pnl: Number
    commission: Number
    commission_asset: Text = "USDT"
    time: Moment


class BalanceRow(Row):
    """The balance of one asset."""

    asset: Name
    account_alias: Text = ""
    balance: Number
    available_balance: Number


class ConfigRow(Row):
    """symbolConfig: how a symbol is set up."""

    symbol: Name
    margin_type: Text
    leverage: Whole


class AccountConfig(Row):
    """accountConfig: in which modes the account stands."""

    dual_side_position: Flag
    multi_assets_margin: Flag = False


class IncomeRow(Row):
    """Funding, as income tells it."""

    symbol: Text = ""
    income: Number
    asset: Text = ""
    time: Moment


class PremiumRow(Row):
    """The mark price of a symbol."""

    symbol: Name
    mark_price: Number


class ServerTime(Row):
    """The venue's time in milliseconds."""

    server_time: Whole


class ListenKey(Row):
    """The key of the user stream."""

    listen_key: Name


class FeeBurn(Row):
    """Whether fees are paid in BNB."""

    fee_burn: Flag
