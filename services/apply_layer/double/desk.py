"""One call to the double: who asks, what strikes it, what is done, and what is answered.

Runs in the server's loop. Everything that a call does to the account happens between two awaits,
so calls are executed one after the other, as one matching engine does. Writes the ledger's
`request` and `fault` lines.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from services.apply_layer.double import market
from services.apply_layer.double.account import Account
from services.apply_layer.double.codes import (
    INTERNAL_503,
    UNAVAILABLE_503,
    UNKNOWN_503,
    Refused,
)
from services.apply_layer.double.faults import Fault, Faults
from services.apply_layer.double.gate import Gate, within_window
from services.apply_layer.double.market import Bars
from services.apply_layer.double.order_reads import Look
from services.apply_layer.double.reads import READS
from services.apply_layer.double.streams import Streams
from services.apply_layer.double.writes import WRITES, new_order

_LISTEN_KEY = "/fapi/v1/listenKey"
_SILENCE_S = 60.0
_EXECUTED_KINDS = ("executed_then_timed_out", "executed_then_code")


class _Unanswered(Exception):
    """There will be no answer: silence, or the connection is cut."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class Desk:
    """What answers calls. `down` is how the venue is away: "" not at all, 503, close or refuse."""

    def __init__(
        self,
        account: Account,
        faults: Faults,
        streams: Streams,
        bars: Mapping[str, Bars],
        stopping: asyncio.Event,
    ) -> None:
        self.gate = Gate(account.config)
        self.down = ""
        self._account = account
        self._faults = faults
        self._streams = streams
        self._bars = bars
        self._stopping = stopping

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one call."""
        query = request.query_string
        try:
            body = (await request.read()).decode("utf-8", "replace")
        except (OSError, web.RequestPayloadError):
            # The client is gone before it has said what it wants.
            return web.Response()
        asked = dict(parse_qsl("&".join(part for part in (query, body) if part), True))  # noqa: FBT003
        call = f"{request.method} {request.path}"
        line: dict[str, Any] = {
            "method": request.method,
            "path": request.path,
            "params": {k: v for k, v in asked.items() if k != "signature"},
            "fault": "",
        }
        try:
            if self.down:
                line["fault"] = "venue_down"
                if self.down != "503":
                    raise _Unanswered("close")
                raise Refused(0, UNAVAILABLE_503, http=503)
            self.gate.count(call, asked, self._now_s())
            told = self._do(request, asked, _unsigned(query, body), line)
        except Refused as refused:
            return self._refuse(refused, line, call)
        except _Unanswered as silent:
            self._account.ledger.write("request", **line, http=0, code=0)
            return await self._say_nothing(request, silent.how)
        self._account.ledger.write("request", **line, http=200, code=0)
        return web.json_response(text=json.dumps(told), headers=self.gate.headers(call))

    def _now_s(self) -> float:
        return self._account.now_ms() / 1000

    def _refuse(self, refused: Refused, line: dict[str, Any], call: str) -> web.Response:
        self._account.ledger.write("request", **line, http=refused.http, code=refused.code)
        headers = self.gate.headers(call)
        if refused.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, -int(-refused.retry_after_s // 1)))
        if refused.http in (408, 502, 504):
            text = f"<html><body><h1>{refused.http} {refused.text}</h1></body></html>"
            return web.Response(
                status=refused.http, text=text, content_type="text/html", headers=headers
            )
        told = {"code": refused.code} if refused.code else {}
        text = json.dumps({**told, "msg": refused.text})
        return web.json_response(status=refused.http, text=text, headers=headers)

    async def _say_nothing(self, request: web.BaseRequest, how: str) -> web.Response:
        if how == "silence":
            waiting = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait([waiting], timeout=_SILENCE_S)
            waiting.cancel()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    # -- what is asked for --------------------------------------------------------------------

    def _do(
        self, request: web.BaseRequest, asked: dict[str, str], signed: str, line: dict[str, Any]
    ) -> Any:
        method, path = request.method, request.path
        if method == "GET" and path in _PUBLIC:
            return _PUBLIC[path](self._account, self._bars, asked)
        key = request.headers.get("X-MBX-APIKEY")
        if path == _LISTEN_KEY:
            self.gate.check_key(key)
            return self._strike(method, path, asked, line, lambda: self._listen_key(method))
        if not self._known(method, path):
            raise Refused(-5000, f"Path {path}, Method {method} is invalid", http=404)
        self.gate.check_key(key)
        self.gate.check_signature(signed, asked, self._account.now_ms())
        return self._strike(method, path, asked, line, lambda: self._execute(method, path, asked))

    @staticmethod
    def _known(method: str, path: str) -> bool:
        return f"{method} {path}" in WRITES or (method == "GET" and path in READS)

    def _execute(self, method: str, path: str, asked: Mapping[str, str]) -> Any:
        if method == "GET":
            return READS[path](Look(self._account, self._account.books, asked))
        return WRITES[f"{method} {path}"](self._account, asked)

    def _listen_key(self, method: str) -> dict[str, str]:
        now = self._account.config.clock()
        match method:
            case "POST":
                return {"listenKey": self._streams.listen_key(now)}
            case "PUT":
                return {"listenKey": self._streams.prolong(now)}
            case "DELETE":
                self._streams.drop_keys(tell=False)
                return {}
        raise Refused(-5000, f"Path {_LISTEN_KEY}, Method {method} is invalid", http=404)

    # -- what strikes it ----------------------------------------------------------------------

    def _strike(
        self,
        method: str,
        path: str,
        asked: Mapping[str, str],
        line: dict[str, Any],
        execute: Callable[[], Any],
    ) -> Any:
        """Do what is asked for, unless and except a fault strikes."""
        fault = self._faults.strike(method, path, asked)
        if fault is None:
            return execute()
        line["fault"] = fault.kind
        self._account.ledger.write("fault", fault=fault.kind, path=path, method=method)
        if fault.kind == "stale_read":
            with self._account.lock:
                return READS[path](Look(self._account, self._account.before, asked))
        if fault.kind == "partial_fill_then_cancel":
            return new_order(self._account, asked, Decimal(str(fault.get("part", "0.5"))))
        if fault.kind == "late_accept":
            self._later(float(fault.get("delay_s", 0.3)), asked, execute)
        elif fault.kind in _EXECUTED_KINDS or fault.get("executed", False):
            _done_or_refused(execute)
        raise self._instead(fault)

    def _later(self, delay_s: float, asked: Mapping[str, str], execute: Callable[[], Any]) -> None:
        """Execute it after its answer, as long as the venue may: never after recvWindow."""

        def due() -> None:
            if within_window(asked, self._account.now_ms()):
                _done_or_refused(execute)

        asyncio.get_running_loop().call_later(delay_s, due)

    def _instead(self, fault: Fault) -> Exception:
        """What is answered in place of the truth."""
        now, retry_s = self._now_s(), fault.get("retry_after_s", None)
        match fault.kind:
            case "executed_then_timed_out" | "timed_out_not_executed":
                return _Unanswered(fault.get("how", "silence"))
            case "late_accept":
                how = fault.get("how", "503")
                if how != "503":
                    return _Unanswered(how)
                return Refused(0, UNKNOWN_503, http=503)
            case "http_503_unknown":
                return Refused(0, UNKNOWN_503, http=503)
            case "http_503_service_unavailable":
                return Refused(0, UNAVAILABLE_503, http=503)
            case "http_503_internal":
                return Refused(-1001, INTERNAL_503, http=503)
            case "http_408" | "http_502" | "http_504":
                http = int(fault.kind[-3:])
                return Refused(0, _HTTP_WORDS[http], http=http)
            case "rate_limited_429":
                self.gate.quiet(retry_s or 1.0, now)
                return Refused(-1003, retry_after_s=retry_s or 1.0)
            case "banned_418":
                self.gate.ban(retry_s or 2.0, now)
                return Refused(
                    -1003, "Way too many requests; IP banned.", http=418,
                    retry_after_s=retry_s or 2.0,
                )  # fmt: skip
        code = int(fault.get("code", -1006))
        return Refused(code, http=fault.get("http", None), retry_after_s=retry_s)


_HTTP_WORDS = {408: "Request Timeout", 502: "Bad Gateway", 504: "Gateway Timeout"}


def _done_or_refused(execute: Callable[[], Any]) -> None:
    """Do it; nobody hears whether it was refused."""
    try:
        execute()
    except Refused:
        return


def _unsigned(query: str, body: str) -> str:
    """What the signature is made of: the query and then the body, without the signature."""
    parts = (p for text in (query, body) for p in text.split("&") if p)
    return "&".join(p for p in parts if not p.startswith("signature="))


Public = Callable[[Account, Mapping[str, Bars], Mapping[str, str]], Any]


def _symbols(account: Account, asked: Mapping[str, str]) -> list[str]:
    return Look(account, account.books, asked).symbols


def _each(one: Callable[[Account, Mapping[str, Bars], str], dict[str, Any]]) -> Public:
    """One symbol, or a list of all where none is named."""

    def read(account: Account, bars: Mapping[str, Bars], asked: Mapping[str, str]) -> Any:
        told = [one(account, bars, symbol) for symbol in _symbols(account, asked)]
        return told[0] if asked.get("symbol") else told

    return read


def _klines(account: Account, bars: Mapping[str, Bars], asked: Mapping[str, str]) -> Any:
    named = {**asked, "symbol": asked.get("symbol") or asked.get("pair", "")}
    symbol = Look(account, account.books, named).symbol
    return market.klines(bars[symbol], asked, account.now_ms())


def _price(account: Account, _bars: Mapping[str, Bars], symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "price": format(account.contract[symbol], "f"),
        "time": account.now_ms(),
    }


def _funding_history(account: Account, _bars: Mapping[str, Bars], asked: Mapping[str, str]) -> Any:
    now = account.now_ms() // market.FUNDING_MS * market.FUNDING_MS
    rates = (market.premium_index(account, symbol) for symbol in _symbols(account, asked))
    return [
        {
            "symbol": rate["symbol"],
            "fundingRate": rate["lastFundingRate"],
            "fundingTime": now,
            "markPrice": rate["markPrice"],
        }
        for rate in rates
    ]


def _funding_info(account: Account, _bars: Mapping[str, Bars], asked: Mapping[str, str]) -> Any:
    return [
        {
            "symbol": symbol,
            "adjustedFundingRateCap": "0.02",
            "adjustedFundingRateFloor": "-0.02",
            "fundingIntervalHours": 8,
            "disclaimer": False,
        }
        for symbol in _symbols(account, asked)
    ]


_PUBLIC: dict[str, Public] = {
    "/fapi/v1/ping": lambda _account, _bars, _asked: {},
    "/fapi/v1/time": lambda account, _bars, _asked: {"serverTime": account.now_ms()},
    "/fapi/v1/exchangeInfo": lambda account, _bars, _asked: market.exchange_info(account),
    "/fapi/v1/premiumIndex": _each(lambda a, _bars, symbol: market.premium_index(a, symbol)),
    "/fapi/v1/fundingRate": _funding_history,
    "/fapi/v1/fundingInfo": _funding_info,
    "/fapi/v1/klines": _klines,
    "/fapi/v1/markPriceKlines": _klines,
    "/fapi/v1/continuousKlines": _klines,
    "/fapi/v1/ticker/price": _each(_price),
    "/fapi/v2/ticker/price": _each(_price),
    "/fapi/v1/ticker/bookTicker": _each(lambda a, _bars, symbol: market.book_ticker(a, symbol)),
    "/fapi/v1/ticker/24hr": _each(
        lambda a, bars, symbol: market.ticker_24h(a, bars[symbol], symbol)
    ),
}
