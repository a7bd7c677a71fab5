"""`quantum venue`: the double of the venue in a terminal, to try the live adapter without one.

Serves on this machine alone and moves the marks as a seeded random walk. Needs the optional extra
`live`. The key and the secret that it prints open nothing but this double.
"""

from __future__ import annotations

import importlib
import random
import sys
import threading
from decimal import Decimal, InvalidOperation
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from shared.cli.ring import sigterm_ends_in_order
from shared.symbols import is_symbol

#: The walk's standard deviation for each step, as a share of the price.
_STEP = 0.0005
_FIRST = ("BTCUSDT=65000", "ETHUSDT=3500", "SOLUSDT=150")


def venue(
    *,
    host: Annotated[str, typer.Option(help="An address of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8788,
    symbol: Annotated[
        list[str] | None, typer.Option(help="SYMBOL=first mark price; may be repeated.")
    ] = None,
    wallet: Annotated[str, typer.Option(help="The balance, in USDT.")] = "10000",
    ledger: Annotated[Path | None, typer.Option(help="A file for the venue's own record.")] = None,
    walk: Annotated[float, typer.Option(min=0, help="Seconds between marks; 0: they stand.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the walk and of faults.")] = 0,
) -> None:
    """Run a double of the venue until Ctrl-C; it takes ccxt clients and the live adapter."""
    prices = dict(_priced(text) for text in symbol or _FIRST)
    if find_spec("aiohttp") is None:
        raise typer.BadParameter("the double needs the optional extra: pip install -e '.[live]'")
    made: Any = importlib.import_module("services.apply_layer.double")
    config = made.DoubleConfig(symbols=prices, wallet=_positive(wallet, "--wallet"), seed=seed)
    try:
        running = made.Double.start(config, ledger=ledger, port=port, host=host)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        sys.stderr.write(f"the double cannot start: {error}\n")
        raise typer.Exit(1) from None
    with running, sigterm_ends_in_order():
        sys.stdout.write(
            f"rest_url  {running.rest_url}\nws_url    {running.ws_url}\n"
            f"key       {config.api_key}\nsecret    {config.api_secret}\n"
            f"symbols   {' '.join(prices)}\ncontrol   {running.rest_url}/double/state\n"
        )
        sys.stdout.flush()
        try:
            _walk(running, prices, walk, seed)
        except KeyboardInterrupt:
            return


def _walk(running: Any, prices: dict[str, Decimal], every_s: float, seed: int) -> None:
    chance = random.Random(seed)
    stop = threading.Event()
    while not stop.wait(every_s or 3600.0):
        for symbol in prices if every_s else ():
            mark = running.mark_of(symbol)
            tick = running.tick_of(symbol)
            moved = mark * (1 + Decimal(repr(chance.gauss(0, _STEP))))
            running.mark(symbol, max((moved / tick).to_integral_value() * tick, tick))


def _priced(text: str) -> tuple[str, Decimal]:
    name, _, price = text.partition("=")
    if not is_symbol(name):
        raise typer.BadParameter(f"--symbol {text}: write it as BTCUSDT=65000")
    return name, _positive(price, f"--symbol {text}")


def _positive(text: str, name: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{name}: {text or 'nothing'} is no number") from None
    if not value.is_finite() or value <= 0:
        raise typer.BadParameter(f"{name}: must be above 0")
    return value
