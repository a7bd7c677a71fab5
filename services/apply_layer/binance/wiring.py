"""The live venue put together from its settings; says loudly what it is about to trade."""

from __future__ import annotations

import os
from pathlib import Path

from services.apply_layer.binance.account import Account
from services.apply_layer.binance.client import Client
from services.apply_layer.binance.credentials import read_keys
from services.apply_layer.binance.identity import Identity
from services.apply_layer.binance.stream import UserStream
from services.apply_layer.binance.venue import BinanceVenue
from services.apply_layer.settings import ApplyLayerSettings, LiveSettings
from shared.log import logger
from shared.settings import SettingsError

_STREAMS = {
    "testnet": "wss://demo-fstream.binance.com",
    "production": "wss://fstream.binance.com",
}
#: Every part of the API that the adapter calls, by ccxt's names.
_PARTS = {
    "fapiPublic": "/fapi/v1",
    "fapiPublicV2": "/fapi/v2",
    "fapiPublicV3": "/fapi/v3",
    "fapiPrivate": "/fapi/v1",
    "fapiPrivateV2": "/fapi/v2",
    "fapiPrivateV3": "/fapi/v3",
    "sapi": "/sapi/v1",
}


def live_venue(own: ApplyLayerSettings) -> BinanceVenue:
    """The venue of the settings.

    Raises:
        SettingsError: no symbols, or keys that are missing or that others may read.
    """
    if not own.symbols:
        raise SettingsError("apply_layer.symbols: name the symbols that may be traded")
    live = own.live
    client = client_of(live)
    where = live.rest_url or live.network
    if live.rest_url is None and live.network == "production":
        logger().warning("REAL MONEY", venue="binance-usdm", symbols=list(own.symbols))
    logger().info("live_venue", where=where, symbols=list(own.symbols))
    return BinanceVenue(
        client,
        Account(client, own.symbols),
        UserStream(client, live.ws_url or _STREAMS[live.network]),
        Identity(client, live.network),
        reconcile_every_s=float(live.reconcile_every_s),
        watch_every_s=float(live.watch_every_s),
        beat_every_s=min(1.0, float(live.doubt_again_s)),
        drift_ms=live.drift_ms,
    )


def client_of(live: LiveSettings) -> Client:
    """The REST client of the settings, with the keys of this machine."""
    key_file = Path(live.key_file) if live.key_file else None
    keys = read_keys(key_file, os.environ.get("CREDENTIALS_DIRECTORY"))
    urls = None
    if live.rest_url is not None:
        urls = {part: live.rest_url.rstrip("/") + path for part, path in _PARTS.items()}
    return Client(
        keys,
        urls=urls,
        demo=live.network == "testnet" and live.rest_url is None,
        recv_window_ms=live.recv_window_ms,
        timeout_s=float(live.timeout_s),
    )
