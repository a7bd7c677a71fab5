"""`quantum check --live`: is this configuration fit to trade here? Reads only; places nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from services.apply_layer.binance.account import Account
from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.endpoints import BALANCE, FEE_BURN, read, read_rows
from services.apply_layer.binance.listing import Listing
from services.apply_layer.binance.modes import Modes
from services.apply_layer.binance.wire import ZERO, plain
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
        "balance": lambda: _balance(client, own.symbols),
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
    modes = Modes(client)
    modes.read(Purpose.TRADE)
    if modes.barriers:
        return "mode", "fail", "; ".join(modes.barriers.values())
    return "mode", "ok", "one-way mode, single-asset mode"


def _filters(client: Client, symbols: tuple[str, ...]) -> Verdict:
    if not symbols:
        return "filters", "fail", "apply_layer.symbols: name the symbols that may be traded"
    listing = Listing(client, symbols)
    listing.learn()
    told = [
        f"{r.symbol} lot {plain(r.lot_step)} tick {plain(r.tick_size)} "
        f"least {plain(r.min_notional)} leverage to {r.max_leverage}"
        for r in listing.rules.values()
    ]
    told += [f"{s}: {why.code}, {why.reason}" for s, why in sorted(listing.flaws.items())]
    if len(listing.flaws) == len(set(symbols)):
        return "filters", "fail", "; ".join(told)
    return "filters", "warn" if listing.flaws else "ok", "; ".join(told)


def _balance(client: Client, symbols: tuple[str, ...]) -> Verdict:
    """What can be used, in each asset that a configured symbol is margined in."""
    listing = Listing(client, symbols)
    listing.learn()
    told = read_rows(client, BALANCE, purpose=Purpose.TRADE)
    if told.unreadable:
        raise NoAnswer("; ".join(told.unreadable.values()))
    free = {row.asset: row.available_balance for row in told.rows}
    wanted = sorted(listing.quotes())
    detail = ", ".join(f"{plain(free.get(asset, ZERO))} {asset} can be used" for asset in wanted)
    lacking = [asset for asset in wanted if free.get(asset, ZERO) <= 0]
    others = [f"{plain(qty)} {asset}" for asset, qty in sorted(free.items())
              if qty > 0 and asset not in wanted]  # fmt: skip
    if others:
        detail += f"; beside it {', '.join(others)}, which margins none of the symbols here"
    if "BNFCR" in free and "BNFCR" not in wanted:
        detail += "; BNFCR credits count only in multi-assets mode, which the suite does not trade"
    return "balance", "fail" if len(lacking) == len(wanted) else "warn" if lacking else "ok", detail


def _held(client: Client) -> Verdict:
    held = Account(client, ()).held(Purpose.TRADE)
    if not held.rows and not held.unread:
        return "positions", "ok", "none is open"
    detail = f"{', '.join(sorted(held.rows))} will be adopted, unless adopt = false; " * bool(
        held.rows
    )
    detail += "; ".join(f"{s}: {why.code}, {why.reason}" for s, why in sorted(held.unread.items()))
    return "positions", "warn", detail.removesuffix("; ")


def _fees(client: Client) -> Verdict:
    if read(client, FEE_BURN, purpose=Purpose.TRADE).fee_burn:
        return (
            "fees", "ok",
            "fees are paid in BNB: they are told in BNB, and in quote by its mark price",
        )  # fmt: skip
    return "fees", "ok", "fees are paid in the quote of each contract"
