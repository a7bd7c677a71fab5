"""Signed writes: orders of both books, leverage, margin type and position mode.

Every function takes the account and the parameters of the call, and answers in the venue's shape.
Raises Refused as the venue refuses, and then nothing has changed.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from services.apply_layer.double.account import CONTRACT_PRICE, MARK_PRICE, Account, Wanted
from services.apply_layer.double.books import ZERO
from services.apply_layer.double.codes import Refused, illegal, missing
from services.apply_layer.double.events import config_event
from services.apply_layer.double.order_reads import (
    Asked,
    Look,
    algo_json,
    find_algo,
    find_order,
    order_json,
)
from services.apply_layer.exchange import FORCED_PREFIXES, OrderType
from services.apply_layer.paper_money import is_multiple
from shared.sides import Side

_CLIENT_ID = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
_NUMBER = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_CONDITIONAL = (
    "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET",
)  # fmt: skip
_RESPONSES = ("ACK", "RESULT")

#: Told in place of a fill where an answer is asked for without one.
_UNFILLED = {
    "status": "NEW", "executedQty": "0", "cumQty": "0", "cumQuote": "0", "avgPrice": "0",
}  # fmt: skip


def _look(account: Account, asked: Asked) -> Look:
    return Look(account, account.books, asked)


def _number(asked: Asked, name: str) -> Decimal:
    text = asked.get(name)
    if not text:
        raise missing(name)
    if not re.fullmatch(_NUMBER, text, re.ASCII):
        raise illegal(name, _NUMBER)
    try:
        return Decimal(text)
    except InvalidOperation:
        raise illegal(name, _NUMBER) from None


def _flag(asked: Asked, name: str) -> bool:
    text = asked.get(name, "false").lower()
    if text not in ("true", "false"):
        raise Refused(-1102, f"Illegal value of parameter '{name}'.")
    return text == "true"


def _side(account: Account, asked: Asked) -> Side:
    if not asked.get("side"):
        raise missing("side")
    if asked["side"] not in Side.__members__:
        raise Refused(-1117)
    side = asked.get("positionSide", "BOTH")
    if side not in ("BOTH", "LONG", "SHORT"):
        raise Refused(-1102, "Illegal value of parameter 'positionSide'.")
    if account.hedge_mode == (side == "BOTH"):
        raise Refused(-4061)
    return Side(asked["side"])


def _client_id(asked: Asked, name: str) -> str:
    told = asked.get(name)
    if not told:
        return uuid.uuid4().hex[:22]
    if len(told) > 36:
        raise Refused(-4015, "Client order id length should be less than 36 chars")
    if not re.fullmatch(_CLIENT_ID, told, re.ASCII):
        raise illegal(name, _CLIENT_ID)
    if told.startswith(FORCED_PREFIXES):
        raise Refused(-4015)
    return told


def _type(asked: Asked) -> str:
    if not asked.get("type"):
        raise missing("type")
    return asked["type"]


def _tradable(account: Account, symbol: str, *, reduces: bool) -> None:
    """Raises Refused where the status of the symbol takes no order, or none that opens."""
    if not account.switches.may_trade(symbol):
        raise Refused(-4108)
    if not reduces and not account.switches.may_open(symbol):
        raise Refused(-4140)


def new_order(account: Account, asked: Asked, part: Decimal | None = None) -> Any:
    """POST order: market orders; `part` is the share of it that the market takes, below 1."""
    symbol, side, kind = _look(account, asked).symbol, _side(account, asked), _type(asked)
    if kind in _CONDITIONAL:
        raise Refused(-4120)
    if kind != "MARKET":
        # What rests at a price of its own is nothing that the engine matches.
        raise Refused(-1116)
    if "price" in asked or "stopPrice" in asked:
        raise Refused(-1106, "Parameter 'price' sent when not required.")
    if _flag(asked, "closePosition"):
        raise Refused(-4136)
    if asked.get("newOrderRespType", "ACK") not in _RESPONSES:
        raise Refused(-1102, "Illegal value of parameter 'newOrderRespType'.")
    _tradable(account, symbol, reduces=_flag(asked, "reduceOnly"))
    qty = _number(asked, "quantity")
    wanted = Wanted(
        _client_id(asked, "newClientOrderId"), symbol, side, OrderType.MARKET, qty,
        reduce_only=_flag(asked, "reduceOnly"), part=_part(account, symbol, qty, part),
    )  # fmt: skip
    told = order_json(account.place_order(wanted))
    return told if asked.get("newOrderRespType") == "RESULT" else told | _UNFILLED


def _part(account: Account, symbol: str, qty: Decimal, part: Decimal | None) -> Decimal | None:
    step = account.policy.rules[symbol].lot_step
    if part is None or not is_multiple(qty, step):
        return None
    taken = (qty * part // step) * step
    return taken if 0 < taken < qty else None


def cancel_order(account: Account, asked: Asked) -> Any:
    """DELETE order."""
    with account.lock:
        found = find_order(_look(account, asked))
        if found is None or not found.open:
            raise Refused(-2011)
        return order_json(account.cancel_order(found))


def cancel_all_orders(account: Account, asked: Asked) -> Any:
    """DELETE allOpenOrders of a symbol."""
    with account.lock:
        for order in account.books.open_orders(_look(account, asked).symbol):
            account.cancel_order(order)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def new_algo_order(account: Account, asked: Asked) -> Any:
    """POST algoOrder: stops and targets at market."""
    if asked.get("algoType") != "CONDITIONAL":
        raise missing("algoType")
    symbol, side, kind = _look(account, asked).symbol, _side(account, asked), _type(asked)
    if kind not in _CONDITIONAL or kind not in OrderType.__members__:
        raise Refused(-1116)
    closes, reduces = _flag(asked, "closePosition"), _flag(asked, "reduceOnly")
    if closes and asked.get("quantity"):
        raise Refused(-4137)
    if closes and "reduceOnly" in asked:
        raise Refused(-1106, "Parameter 'reduceOnly' sent when not required.")
    _tradable(account, symbol, reduces=closes or reduces)
    by = asked.get("workingType", CONTRACT_PRICE)
    if by not in (CONTRACT_PRICE, MARK_PRICE):
        raise Refused(-1102, "Illegal value of parameter 'workingType'.")
    wanted = Wanted(
        _client_id(asked, "clientAlgoId"), symbol, side, OrderType(kind),
        ZERO if closes else _number(asked, "quantity"), reduce_only=reduces, close_position=closes,
        trigger=_number(asked, "triggerPrice"), working_type=by,
    )  # fmt: skip
    return algo_json(account.place_algo(wanted))


def cancel_algo_order(account: Account, asked: Asked) -> Any:
    """DELETE algoOrder."""
    with account.lock:
        look = _look(account, asked)
        found = find_algo(look)
        if found is None or found.status != "NEW" or look.denied("cancel", found):
            raise Refused(-2011)
        account.cancel_algo(found)
    return {
        "algoId": found.algo_id, "clientAlgoId": found.client_id, "code": "200", "msg": "success",
    }  # fmt: skip


def cancel_all_algo_orders(account: Account, asked: Asked) -> Any:
    """DELETE algoOpenOrders of a symbol."""
    with account.lock:
        for algo in account.books.open_algos(_look(account, asked).symbol):
            if algo.status == "NEW" and not _look(account, asked).denied("cancel", algo):
                account.cancel_algo(algo)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def set_leverage(account: Account, asked: Asked) -> Any:
    """POST leverage."""
    symbol, leverage = _look(account, asked).symbol, _look(account, asked).whole("leverage")
    if leverage is None:
        raise missing("leverage")
    most = max(bracket.max_leverage for bracket in account.policy.brackets_of(symbol))
    if not 1 <= leverage <= most:
        raise Refused(-4028, f"Leverage {leverage} is not valid")
    with account.lock:
        books, position = account.books, account.books.position(symbol)
        if position is not None and leverage < position.leverage:
            raise Refused(-4161)
        if position is not None:
            book = replace(
                books.account.book(symbol), position=replace(position, leverage=leverage)
            )
            books = replace(books, account=books.account.with_book(book))
        account.books = replace(books, leverage={**books.leverage, symbol: leverage})
        account.emit(config_event(account.now_ms(), ac={"s": symbol, "l": leverage}))
    return {"leverage": leverage, "maxNotionalValue": "1000000", "symbol": symbol}


def set_margin_type(account: Account, asked: Asked) -> Any:
    """POST marginType."""
    symbol, wanted = _look(account, asked).symbol, asked.get("marginType")
    if wanted not in ("ISOLATED", "CROSSED"):
        raise missing("marginType")
    if wanted == "ISOLATED" and account.switches.multi_assets:
        raise Refused(-4168)
    with account.lock:
        books = account.books
        if wanted == books.margin_type.get(symbol, account.config.margin_type):
            raise Refused(-4046)
        if books.open_orders(symbol) or books.open_algos(symbol):
            raise Refused(-4047)
        if books.position(symbol) is not None:
            raise Refused(-4048)
        account.books = replace(books, margin_type={**books.margin_type, symbol: wanted})
    return {"code": 200, "msg": "success"}


def set_dual_side(account: Account, asked: Asked) -> Any:
    """POST positionSide/dual."""
    if "dualSidePosition" not in asked:
        raise missing("dualSidePosition")
    dual = _flag(asked, "dualSidePosition")
    with account.lock:
        if dual == account.hedge_mode:
            raise Refused(-4059)
        if any(account.books.position(symbol) for symbol in account.config.symbols):
            raise Refused(-4068)
        account.hedge_mode = dual
    return {"code": 200, "msg": "success"}


def set_multi_assets(account: Account, asked: Asked) -> Any:
    """POST multiAssetsMargin."""
    if "multiAssetsMargin" not in asked:
        raise missing("multiAssetsMargin")
    on = _flag(asked, "multiAssetsMargin")
    with account.lock:
        if on == account.switches.multi_assets:
            raise Refused(-4171)
        account.switches = replace(account.switches, multi_assets=on)
        account.emit(config_event(account.now_ms(), ai={"j": on}))
    return {"code": 200, "msg": "success"}


Write = Callable[[Account, Asked], Any]

WRITES: dict[str, Write] = {
    "POST /fapi/v1/order": new_order,
    "DELETE /fapi/v1/order": cancel_order,
    "DELETE /fapi/v1/allOpenOrders": cancel_all_orders,
    "POST /fapi/v1/algoOrder": new_algo_order,
    "DELETE /fapi/v1/algoOrder": cancel_algo_order,
    "DELETE /fapi/v1/algoOpenOrders": cancel_all_algo_orders,
    "POST /fapi/v1/leverage": set_leverage,
    "POST /fapi/v1/marginType": set_margin_type,
    "POST /fapi/v1/positionSide/dual": set_dual_side,
    "POST /fapi/v1/multiAssetsMargin": set_multi_assets,
}
