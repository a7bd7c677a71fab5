"""`quantum check --live`: is this configuration fit to trade here? Reads only; places nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from services.apply_layer.binance.account import Account
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.wire import number, plain
from services.apply_layer.binance.wiring import client_of
from services.apply_layer.settings import ApplyLayerSettings
from shared.settings import SettingsError

Verdict = tuple[str, str, str]


def findings(own: ApplyLayerSettings) -> Iterator[Verdict]:
    """What was looked at, `ok`, `warn` or `fail`, and the detail. Never shows a key."""
    live = own.live
    try:
        client = client_of(live)
    except SettingsError as error:
        yield "keys", "fail", str(error)
        return
    where = live.rest_url or live.network
    try:
        offset_ms = client.measure_clock()
    except (VenueError, NoAnswer) as error:
        yield "venue", "fail", f"{where} does not answer: {error}"
        return
    yield "venue", "ok", where
    late = abs(offset_ms) > live.drift_ms
    detail = f"the clocks differ by {offset_ms} ms"
    yield "clock", "fail" if late else "ok", detail + (": start a time service" if late else "")
    looks: dict[str, Callable[[], Verdict]] = {
        "keys": lambda: _keys(client),
        "permissions": lambda: _permissions(client, allow_withdrawals=live.allow_withdrawals),
        "mode": lambda: _mode(client),
        "filters": lambda: _filters(client, own.symbols),
        "balance": lambda: _balance(client),
        "positions": lambda: _held(client),
        "fees": lambda: _fees(client),
    }
    for name, look in looks.items():
        try:
            yield look()
        except (VenueError, NoAnswer) as error:
            yield name, "fail", str(error)


def _keys(client: Client) -> Verdict:
    client.call("fapiPrivateV3GetAccount", weight=5)
    return "keys", "ok", "key and secret are accepted"


def _permissions(client: Client, *, allow_withdrawals: bool) -> Verdict:
    try:
        told = client.call("sapiGetAccountApiRestrictions")
    except VenueError as error:
        return "permissions", "warn", f"the venue does not tell them here: {error}"
    may = {name for name, value in told.items() if value is True}
    if "enableFutures" not in may:
        return "permissions", "fail", "the key may not trade futures: enable it in API management"
    if "enableWithdrawals" in may and not allow_withdrawals:
        return (
            "permissions", "fail",
            "the key may withdraw: make one that may not, or set allow_withdrawals = true",
        )  # fmt: skip
    if "ipRestrict" not in may:
        return "permissions", "warn", "the key is good from any address: restrict it to this one"
    return "permissions", "ok", "futures, no withdrawals, restricted to addresses"


def _mode(client: Client) -> Verdict:
    try:
        Account(client, ()).refuse_hedge_mode()
    except SettingsError as error:
        return "mode", "fail", str(error)
    return "mode", "ok", "one-way mode"


def _filters(client: Client, symbols: tuple[str, ...]) -> Verdict:
    if not symbols:
        return "filters", "fail", "apply_layer.symbols: name the symbols that may be traded"
    account = Account(client, symbols)
    try:
        account.learn_rules()
    except SettingsError as error:
        return "filters", "fail", str(error)
    told = (
        f"{r.symbol} lot {plain(r.lot_step)} tick {plain(r.tick_size)} "
        f"least {plain(r.min_notional)} leverage to {r.max_leverage}"
        for r in account.rules.values()
    )
    return "filters", "ok", "; ".join(told)


def _balance(client: Client) -> Verdict:
    told = client.call("fapiPrivateV3GetBalance", weight=5)
    free = sum((number(r["availableBalance"]) for r in told if r["asset"] == "USDT"), Decimal(0))
    return "balance", "ok" if free > 0 else "fail", f"{plain(free)} USDT can be used"


def _held(client: Client) -> Verdict:
    told = client.call("fapiPrivateV3GetPositionRisk", weight=5)
    held = [row["symbol"] for row in told if number(row["positionAmt"])]
    if not held:
        return "positions", "ok", "none is open"
    return "positions", "warn", f"{', '.join(held)} will be adopted, unless adopt = false"


def _fees(client: Client) -> Verdict:
    told = client.call("fapiPrivateGetFeeBurn", weight=30)
    if told.get("feeBurn") in (True, "true"):
        return "fees", "warn", "fees are paid in BNB: they count as 0 in the records here"
    return "fees", "ok", "fees are paid in USDT"
