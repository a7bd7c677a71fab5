"""`quantum check` and `quantum init`: whether the ring can run here, and the Function library."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError
from rich import box
from rich.console import Console
from rich.table import Table

from shared.account import PAPER, account_at, account_of, conflict
from shared.bus import connect, load_library
from shared.bus.client import library_code, without_password
from shared.daemon import EXIT_SETTINGS
from shared.decisions import Mode
from shared.reading import Reading
from shared.records import text_of
from shared.sections import settings_of
from shared.settings import Settings, SettingsError, load
from shared.streams import MODE_KEY, PROGRAMS, state_key

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The settings file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def _server(config: Path | None) -> Redis:
    """The server of the settings, or a clear line and exit status 1."""
    try:
        url = load(config, os.environ).redis.url
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_SETTINGS) from None
    client = connect(url)
    try:
        client.ping()
    except RedisError as error:
        typer.echo(f"no server at {without_password(url)}: {error}", err=True)
        raise typer.Exit(1) from None
    return client


def init(*, config: ConfigOption = None) -> None:
    """Load the Function library into the server; for an administrator, once and after upgrades."""
    try:
        load_library(_server(config))
    except NoPermissionError as error:
        typer.echo(f"only an administrator of the server may do this: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo("The Function library `quantum` is loaded.")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A `warn` is worth a thought, a `fail` must be mended."""

    what: str
    verdict: Literal["ok", "warn", "fail"]
    detail: str


def check(
    *,
    config: ConfigOption = None,
    json_: JsonOption = False,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the venue as well; no order is placed.")
    ] = False,
) -> None:
    """Look whether the ring can run here: settings, server, durability, functions, ladder.

    With --live also whether the venue agrees: keys, permissions, mode, clock, filters, balance.
    Exits with 1 if anything must be mended.
    """
    findings = list(_findings(config))
    if live:
        findings += _live_findings(config)
    failed = any(finding.verdict == "fail" for finding in findings)
    if json_:
        rows = [asdict(finding) for finding in findings]
        typer.echo(json.dumps({"ok": not failed, "findings": rows}))
    else:
        colours = {"ok": "green", "warn": "yellow", "fail": "red"}
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
        for heading in ("what", "verdict", "detail"):
            table.add_column(heading, overflow="fold")
        for one in findings:
            colour = colours[one.verdict]
            table.add_row(one.what, f"[{colour}]{one.verdict}[/{colour}]", one.detail)
        Console().print(table)
    raise typer.Exit(1 if failed else 0)


def _findings(config: Path | None) -> Iterator[Finding]:
    try:
        settings = load(config, os.environ)
    except SettingsError as error:
        yield Finding("settings", "fail", str(error))
        return
    yield from _settings_findings(settings)
    try:
        client = connect(settings.redis.url)
        client.ping()
    except (SettingsError, RedisError) as error:
        yield Finding("server", "fail", f"no server can be reached: {error}")
        return
    for look in (_version, _durability, _memory, _library, _mode):
        try:
            yield look(client)
        except NoPermissionError:
            name = look.__name__.strip("_")
            yield Finding(name, "warn", "this user may not look; ask the administrator")
    yield from _account_findings(settings, client)


def _live_findings(config: Path | None) -> Iterator[Finding]:
    """What the venue says of the configuration; a name of the module is enough to reach it."""
    try:
        own = settings_of("apply_layer", load(config, os.environ))
    except SettingsError:
        return  # It was found before.
    if own.venue == "paper":
        yield Finding("venue", "fail", 'apply_layer.venue is "paper": there is nothing to ask')
        return
    try:
        module = importlib.import_module("services.apply_layer.binance.check")
    except ModuleNotFoundError as error:
        detail = f"{error.name} is missing: install the extra, quantum-trader[live]"
        yield Finding("venue", "fail", detail)
        return
    for what, verdict, detail in module.findings(own):
        yield Finding(f"live {what}", verdict, detail)


def _settings_findings(settings: Settings) -> Iterator[Finding]:
    checked: dict[str, Any] = {}
    for name, read in _readers(settings):
        try:
            checked[name] = read()
            policy = getattr(checked[name], "policy", None)
            if policy is not None:
                policy()
        except (SettingsError, ValueError) as error:
            yield Finding(f"settings [{name}]", "fail", str(error))
            checked.pop(name, None)
    if len(checked) == len(PROGRAMS) + 3:
        yield Finding("settings", "ok", settings.origin)
    if "market_feed" in checked and "apply_layer" in checked:
        yield from _venues_findings(checked["market_feed"], checked["apply_layer"])
    if "trading_bot" in checked and "apply_layer" in checked:
        bot = checked["trading_bot"]
        used = {bot.leverage, *(own.leverage or bot.leverage for own in bot.symbol.values())}
        lost = [line for lev in sorted(used) for line in checked["apply_layer"].warnings(lev)]
        detail = "; ".join(lost) or f"{checked['apply_layer'].take_profit_mode.value}, no conflict"
        yield Finding("ladder", "warn" if lost else "ok", detail)


def _venues_findings(feed: Any, apply_layer: Any) -> Iterator[Finding]:
    """Whether orders go to where the prices come from."""
    if apply_layer.venue == "paper":
        return
    prices = feed.live.ws_url or feed.live.network if feed.source == apply_layer.venue else "replay"
    orders = apply_layer.live.ws_url or apply_layer.live.network
    detail = f"prices from {prices}, orders to {orders}"
    yield Finding("venues", "ok" if prices == orders else "fail", detail)
    unwatched = sorted(set(apply_layer.symbols) - set(feed.symbols))
    if unwatched and feed.source == apply_layer.venue:
        detail = f"market_feed.symbols lacks {', '.join(unwatched)}: nothing would be harvested"
        yield Finding("symbols", "fail", detail)


def _readers(settings: Settings) -> Iterator[tuple[str, Callable[[], Any]]]:
    yield "redis", lambda: settings.redis
    yield "log", lambda: settings.log
    yield "metrics", lambda: settings.metrics
    for daemon in PROGRAMS:
        yield daemon, partial(settings_of, daemon, settings)


def _version(client: Redis) -> Finding:
    info: Any = client.info("server")
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version", info["redis_version"])
    # Valkey reports 7.2.4 as its Redis version, so that number alone orders both.
    old = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2]) < (7, 0)
    detail = f"{name} {version}" + (": 7.0 or later is needed" if old else "")
    return Finding("server", "fail" if old else "ok", detail)


def _durability(client: Redis) -> Finding:
    config = cast(dict[str, str], client.config_get("append*"))
    if config.get("appendonly") != "yes":
        detail = "appendonly is off: a restart of the server loses everything"
        return Finding("durability", "fail", detail)
    if config.get("appendfsync") != "always":
        how = config.get("appendfsync")
        detail = f"appendfsync is {how}: a crash may lose the last second; `always` loses nothing"
        return Finding("durability", "warn", detail)
    return Finding("durability", "ok", "append-only file, fsync always")


def _memory(client: Redis) -> Finding:
    policy = cast(dict[str, str], client.config_get("maxmemory-policy"))["maxmemory-policy"]
    evicts = policy != "noeviction"
    detail = f"maxmemory-policy is {policy}" + (": it may evict positions" if evicts else "")
    return Finding("memory", "fail" if evicts else "ok", detail)


def _library(client: Redis) -> Finding:
    listed = client.function_list(library="quantum", withcode=True)
    if not listed:
        return Finding("library", "fail", "the Function library is missing: run `quantum init`")
    words = [word for word in listed[0] if isinstance(word, bytes)]
    if library_code().encode() not in words:
        return Finding("library", "fail", "the Function library is another: run `quantum init`")
    return Finding("library", "ok", "loaded, and the one of this version")


def _account_findings(settings: Settings, client: Redis) -> Iterator[Finding]:
    """Whether the state on the server may go on with the venue of the settings."""
    try:
        own = settings_of("apply_layer", settings)
    except SettingsError:
        return  # It was found before.
    state = Reading(client).hash(state_key("apply_layer"))
    found = account_of({name: value.encode() for name, value in state.items()})
    if found is None:
        return
    expected = PAPER if own.venue == "paper" else account_at(own.live.network, "")
    # Which of its accounts it is, only the venue can say.
    refusal = conflict(found, found if found.startswith(expected) else f"{expected}…")
    yield Finding("account", "fail" if refusal else "ok", refusal or found)


def _mode(client: Redis) -> Finding:
    reading = Reading(client)
    raw = reading.ask("GET", MODE_KEY)
    if reading.unreadable:
        return Finding(
            "mode", "fail", f"{reading.unreadable[0]}; `quantum mode run` writes it anew"
        )
    text = None if raw is None else text_of(raw)
    if text is not None and text not in Mode.__members__:
        detail = f"{MODE_KEY} is {text!r}, which is none of {', '.join(Mode)}; no entry is admitted"
        return Finding("mode", "warn", detail)
    return Finding("mode", "ok" if Mode.of(text) is Mode.RUN else "warn", Mode.of(text).value)
