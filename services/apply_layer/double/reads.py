"""Signed reads of trades, positions, balances and settings, and the table of all reads.

As in `order_reads`, every function is given what it looks at. Money is USDT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from services.apply_layer.double import order_reads
from services.apply_layer.double.books import ZERO, TradeRecord
from services.apply_layer.double.codes import Refused
from services.apply_layer.double.events import unrealized
from services.apply_layer.double.ledger import plain
from services.apply_layer.double.market import brackets
from services.apply_layer.double.order_reads import ORDERS_KEPT_MS, Look
from services.apply_layer.paper_money import liquidation_of

_WEEK_MS = 7 * 24 * 3600 * 1000


def trade_json(trade: TradeRecord) -> dict[str, Any]:
    """One trade; whose client id it was is not told."""
    return {
        "symbol": trade.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "side": trade.side.value,
        "price": plain(trade.price),
        "qty": plain(trade.qty),
        "realizedPnl": plain(trade.realized),
        "quoteQty": plain(trade.qty * trade.price),
        "commission": plain(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.at_ms,
        "positionSide": "BOTH",
        "maker": False,
        "buyer": trade.side.sign > 0,
    }


def _window(look: Look) -> tuple[int, int]:
    """The time that is looked at: at most a week, by default the last one. Raises Refused."""
    start, end = look.whole("startTime"), look.whole("endTime")
    if start is not None and end is not None and end - start > _WEEK_MS:
        raise Refused(-1127, "More than 7 days between startTime and endTime.")
    now = look.account.now_ms()
    if start is not None and start < now - ORDERS_KEPT_MS:
        raise Refused(-4166)
    if start is None:
        start = (end if end is not None else now) - _WEEK_MS
    return start, min(start + _WEEK_MS, end if end is not None else start + _WEEK_MS)


def user_trades(look: Look) -> Any:
    """GET userTrades, oldest first: from a number on, of an order, or of a week."""
    symbol, first, number = look.symbol, look.whole("fromId"), look.whole("orderId")
    trades: Iterable[TradeRecord] = (t for t in look.books.trades if t.symbol == symbol)
    if number is not None:
        trades = (t for t in trades if t.order_id == number)
    if first is not None:
        if "startTime" in look.asked or "endTime" in look.asked:
            raise Refused(-1128, "Combination of optional parameters invalid.")
        return [trade_json(t) for t in trades if t.trade_id >= first][: look.limit()]
    if number is None:
        start, end = _window(look)
        trades = (t for t in trades if start <= t.at_ms <= end)
    rows = [trade_json(t) for t in trades]
    return rows[: look.limit()] if "startTime" in look.asked else rows[-look.limit() :]


def income(look: Look) -> Any:
    """GET income, oldest first."""
    kind, symbol = look.asked.get("incomeType"), look.maybe_symbol
    start, end = _window(look)
    rows = [
        {
            "symbol": i.symbol,
            "incomeType": i.kind,
            "income": plain(i.amount),
            "asset": i.asset,
            "info": i.kind,
            "time": i.at_ms,
            "tranId": i.number,
            "tradeId": str(i.trade_id or ""),
        }
        for i in look.books.incomes
        if kind in (None, "", i.kind) and symbol in (None, i.symbol) and start <= i.at_ms <= end
    ]
    return rows[: look.limit()] if "startTime" in look.asked else rows[-look.limit() :]


def _leverage(look: Look, symbol: str) -> int:
    return look.books.leverage.get(symbol, look.account.config.leverage)


def _isolated(look: Look, symbol: str) -> bool:
    return _margin_type(look, symbol) == "ISOLATED"


def _margin_type(look: Look, symbol: str) -> str:
    return look.books.margin_type.get(symbol, look.account.config.margin_type)


def _position_side(look: Look, symbol: str) -> str:
    if not look.account.hedge_mode:
        return "BOTH"
    return "SHORT" if look.books.signed_qty(symbol) < 0 else "LONG"


def position_json(look: Look, symbol: str) -> dict[str, Any]:
    """The position of a symbol, or an empty one."""
    books, position = look.books, look.books.position(symbol)
    mark, profit = look.mark(symbol), unrealized(books, symbol)
    entry = position.entry_price if position else ZERO
    margin = position.margin if position else ZERO
    table = look.account.policy.brackets_of(symbol)
    liquidation = max(liquidation_of(position, table), ZERO) if position else ZERO
    notional = (position.qty if position else ZERO) * mark
    maintenance = abs(notional) * table[0].maintenance_margin_rate
    return {
        "symbol": symbol,
        "positionSide": _position_side(look, symbol),
        "positionAmt": plain(books.signed_qty(symbol)),
        "entryPrice": plain(entry),
        "breakEvenPrice": plain(entry),
        "markPrice": plain(mark),
        "unRealizedProfit": plain(profit),
        "unrealizedProfit": plain(profit),
        "liquidationPrice": plain(liquidation),
        "isolatedMargin": plain(margin + profit if _isolated(look, symbol) else ZERO),
        "isolatedWallet": plain(margin if _isolated(look, symbol) else ZERO),
        "notional": plain(notional),
        "marginAsset": look.account.config.quote_of(symbol),
        "initialMargin": plain(margin),
        "maintMargin": plain(maintenance),
        "positionInitialMargin": plain(margin),
        "openOrderInitialMargin": "0",
        "adl": 1,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": books.updated_ms.get(symbol, 0),
    }


def position_risk_v3(look: Look) -> Any:
    """GET v3 positionRisk: only symbols that are held."""
    return [
        position_json(look, s) for s in look.symbols_in("positionRisk") if look.books.position(s)
    ]


def position_risk_v2(look: Look) -> Any:
    """GET v2 positionRisk: every symbol."""
    return [
        position_json(look, s) | _leverage_fields(look, s) for s in look.symbols_in("positionRisk")
    ]


def _leverage_fields(look: Look, symbol: str) -> dict[str, Any]:
    position = look.books.position(symbol)
    leverage = position.leverage if position else _leverage(look, symbol)
    return {
        "leverage": str(leverage),
        "marginType": _margin_type(look, symbol).lower().replace("crossed", "cross"),
        "isolated": _isolated(look, symbol),
        "isAutoAddMargin": "false",
        "maxNotionalValue": "1000000",
        "maxNotional": "1000000",
    }


def _sums(look: Look) -> dict[str, Decimal]:
    account = look.books.account
    symbols = look.account.config.symbols
    profit = sum((unrealized(look.books, s) for s in symbols), ZERO)
    held = account.wallet.balance - account.free_wallet
    return {
        "wallet": account.wallet.balance,
        "profit": profit,
        "margin": account.wallet.balance + profit,
        "free": max(account.free_wallet, ZERO),
        "held": held,
    }


def balance(look: Look) -> Any:
    """GET balance."""
    sums = _sums(look)
    all_of_it = wallet_asset(look)
    others = [asset for asset in ("USDT", "USDC") if asset != all_of_it]
    return [
        _balance(look, all_of_it, sums["wallet"], sums["profit"], sums["free"]),
        *(_balance(look, asset, ZERO, ZERO, ZERO) for asset in others),
    ]


def wallet_asset(look: Look) -> str:
    """What the wallet is in: the credits of multi-assets accounts, or one of the stablecoins."""
    return "BNFCR" if look.account.switches.multi_assets else look.account.config.wallet_asset


def _balance(
    look: Look, asset: str, wallet: Decimal, profit: Decimal, free: Decimal
) -> dict[str, Any]:
    return {
        "accountAlias": look.account.config.account_id,
        "asset": asset,
        "balance": plain(wallet),
        "crossWalletBalance": plain(wallet),
        "crossUnPnl": plain(profit),
        "availableBalance": plain(free),
        "maxWithdrawAmount": plain(free),
        "marginAvailable": True,
        "updateTime": look.account.now_ms(),
    }


def account(look: Look) -> Any:
    """GET account: the sums, the asset and the positions."""
    sums, now = _sums(look), look.account.now_ms()
    maintenance = sum((Decimal(position_json(look, s)["maintMargin"]) for s in look.symbols), ZERO)
    asset = {
        "asset": wallet_asset(look),
        "walletBalance": plain(sums["wallet"]),
        "unrealizedProfit": plain(sums["profit"]),
        "marginBalance": plain(sums["margin"]),
        "maintMargin": plain(maintenance),
        "initialMargin": plain(sums["held"]),
        "positionInitialMargin": plain(sums["held"]),
        "openOrderInitialMargin": "0",
        "crossWalletBalance": plain(sums["wallet"]),
        "crossUnPnl": plain(sums["profit"]),
        "availableBalance": plain(sums["free"]),
        "maxWithdrawAmount": plain(sums["free"]),
        "marginAvailable": True,
        "updateTime": now,
    }
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "feeBurn": look.account.config.fee_burn,
        "multiAssetsMargin": look.account.switches.multi_assets,
        "updateTime": 0,
        "totalInitialMargin": plain(sums["held"]),
        "totalMaintMargin": plain(maintenance),
        "totalWalletBalance": plain(sums["wallet"]),
        "totalUnrealizedProfit": plain(sums["profit"]),
        "totalMarginBalance": plain(sums["margin"]),
        "totalPositionInitialMargin": plain(sums["held"]),
        "totalOpenOrderInitialMargin": "0",
        "totalCrossWalletBalance": plain(sums["wallet"]),
        "totalCrossUnPnl": plain(sums["profit"]),
        "availableBalance": plain(sums["free"]),
        "maxWithdrawAmount": plain(sums["free"]),
        "assets": [asset],
        "positions": [position_json(look, s) | _leverage_fields(look, s) for s in look.symbols],
    }


def leverage_bracket(look: Look) -> Any:
    """GET leverageBracket."""
    return [brackets(look.account.policy, s) for s in look.symbols_in("leverageBracket")]


def symbol_config(look: Look) -> Any:
    """GET symbolConfig."""
    return [
        {
            "symbol": symbol,
            "marginType": _margin_type(look, symbol),
            "isAutoAddMargin": False,
            "leverage": _leverage(look, symbol),
            "maxNotionalValue": "1000000",
        }
        for symbol in look.symbols_in("symbolConfig")
    ]


def account_config(look: Look) -> Any:
    """GET accountConfig."""
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": look.account.hedge_mode,
        "updateTime": 0,
        "multiAssetsMargin": look.account.switches.multi_assets,
        "tradeGroupId": -1,
    }


def commission_rate(look: Look) -> Any:
    """GET commissionRate."""
    return {
        "symbol": look.symbol,
        "makerCommissionRate": "0.0002",
        "takerCommissionRate": plain(look.account.config.taker_fee),
    }


def dual_side(look: Look) -> Any:
    """GET positionSide/dual."""
    return {"dualSidePosition": look.account.hedge_mode}


def multi_assets(look: Look) -> Any:
    """GET multiAssetsMargin."""
    return {"multiAssetsMargin": look.account.switches.multi_assets}


def fee_burn(look: Look) -> Any:
    """GET feeBurn."""
    return {"feeBurn": look.account.config.fee_burn}


def api_restrictions(look: Look) -> Any:
    """GET apiRestrictions of the key."""
    return {
        "ipRestrict": True,
        "createTime": 1_700_000_000_000,
        "enableReading": True,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": True,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": True,
        "enableSpotAndMarginTrading": False,
        "enablePortfolioMarginTrading": False,
        **look.account.config.permissions,
    }


def nothing(look: Look) -> Any:  # noqa: ARG001 - a read like the others
    """An empty list."""
    return []


Read = Callable[[Look], Any]

READS: dict[str, Read] = {
    "/fapi/v1/order": order_reads.order,
    "/fapi/v1/openOrder": order_reads.open_order,
    "/fapi/v1/openOrders": order_reads.open_orders,
    "/fapi/v1/allOrders": order_reads.all_orders,
    "/fapi/v1/algoOrder": order_reads.algo_order,
    "/fapi/v1/openAlgoOrders": order_reads.open_algo_orders,
    "/fapi/v1/allAlgoOrders": order_reads.all_algo_orders,
    "/fapi/v1/userTrades": user_trades,
    "/fapi/v1/income": income,
    "/fapi/v2/positionRisk": position_risk_v2,
    "/fapi/v3/positionRisk": position_risk_v3,
    "/fapi/v2/balance": balance,
    "/fapi/v3/balance": balance,
    "/fapi/v2/account": account,
    "/fapi/v3/account": account,
    "/fapi/v1/leverageBracket": leverage_bracket,
    "/fapi/v1/symbolConfig": symbol_config,
    "/fapi/v1/accountConfig": account_config,
    "/fapi/v1/commissionRate": commission_rate,
    "/fapi/v1/positionSide/dual": dual_side,
    "/fapi/v1/multiAssetsMargin": multi_assets,
    "/fapi/v1/feeBurn": fee_burn,
    "/sapi/v1/account/apiRestrictions": api_restrictions,
    # ccxt asks for these before it knows a market; an account of futures alone has none of them.
    "/sapi/v1/capital/config/getall": nothing,
    "/sapi/v1/margin/allPairs": nothing,
    "/sapi/v1/margin/isolated/allPairs": nothing,
}
