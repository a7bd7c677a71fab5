"""One call to the double: who asks, what strikes it, what is done, and what is answered.

Runs in the server's loop. Everything that a call does to the account happens between two awaits,
so calls are executed one after the other, as one matching engine does. Writes the ledger's
`request` and `fault` lines.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from services.apply_layer.double.account import Account
from services.apply_layer.double.codes import (
    INTERNAL_503,
    UNAVAILABLE_503,
    UNKNOWN_503,
    Refused,
)
from services.apply_layer.double.fault_kinds import Fault
from services.apply_layer.double.faults import Faults
from services.apply_layer.double.garbage import garbage
from services.apply_layer.double.gate import Gate, within_window
from services.apply_layer.double.market import Bars
from services.apply_layer.double.order_reads import Look
from services.apply_layer.double.public import PUBLIC
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


class _Garbled(Exception):
    """What is answered makes no sense: what was to be told, and the fault."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(fault.kind)
        self.fault = fault
        self.text = text


@dataclass(slots=True)
class _Call:
    """One call as it came, and its line in the ledger; `late_s` is how long its answer waits."""

    method: str
    path: str
    asked: dict[str, str]
    signed: bytes
    line: dict[str, Any]
    late_s: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


class Desk:
    """What answers calls. `down` is how the venue is away: "" not at all, 503, close or refuse.

    `latency_s` is the way there and back. A call is done after half of it.
    """

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
        self.latency_s = account.config.latency_s
        self._chance = random.Random(f"{account.config.seed} garbage")
        self._account = account
        self._faults = faults
        self._streams = streams
        self._bars = bars
        self._stopping = stopping

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one call."""
        try:
            call = await self._read(request)
        except (OSError, web.RequestPayloadError):
            # The client is gone before it has said what it wants.
            return web.Response()
        if self.latency_s:
            await asyncio.sleep(self.latency_s / 2)
        response = self._told(request, call)
        wait_s = call.late_s + self.latency_s / 2
        if wait_s:
            await asyncio.sleep(wait_s)
        return await response if isinstance(response, Awaitable) else response

    async def _read(self, request: web.BaseRequest) -> _Call:
        query = request.raw_path.partition("?")[2]
        body = (await request.read()).decode("utf-8", "surrogateescape")
        asked = dict(parse_qsl("&".join(part for part in (query, body) if part), True))  # noqa: FBT003
        line: dict[str, Any] = {
            "method": request.method,
            "path": request.path,
            "params": {k: v for k, v in asked.items() if k != "signature"},
            "fault": "",
        }
        return _Call(request.method, request.path, asked, _unsigned(query, body), line)

    def _told(
        self, request: web.BaseRequest, call: _Call
    ) -> web.StreamResponse | Awaitable[web.StreamResponse]:
        """Do it, and the answer: ready, or one that takes its time."""
        line, write = call.line, self._account.ledger.write
        try:
            if self.down:
                line["fault"] = "venue_down"
                if self.down != "503":
                    raise _Unanswered("close")
                raise Refused(0, UNAVAILABLE_503, http=503)
            self.gate.count(call.name, call.asked, self._now_s())
            told = self._do(call, request.headers.get("X-MBX-APIKEY"))
        except Refused as refused:
            return self._refuse(refused, call)
        except _Unanswered as silent:
            write("request", **line, http=0, code=0)
            return self._say_nothing(request, silent.how)
        except _Garbled as garbled:
            write("request", **line, http=garbled.fault.get("http", 200), code=0)
            return self._garble(request, garbled, self.gate.headers(call.name))
        write("request", **line, http=200, code=0)
        return web.json_response(text=json.dumps(told), headers=self.gate.headers(call.name))

    def _now_s(self) -> float:
        return self._account.now_ms() / 1000

    def _refuse(self, refused: Refused, call: _Call) -> web.Response:
        self._account.ledger.write("request", **call.line, http=refused.http, code=refused.code)
        headers = self.gate.headers(call.name)
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

    async def _garble(
        self, request: web.BaseRequest, garbled: _Garbled, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Send what makes no sense, or what is true in a way that makes none."""
        fault = garbled.fault
        how, http = fault.get("how", "html"), fault.get("http", 200)
        text = fault.get("text", None)
        if text is None:
            text = garbage(how, garbled.text, self._chance)
        kind = "text/html" if how == "html" else "application/json"
        if how not in ("drip", "broken_off"):
            data = text.encode("utf-8", "surrogatepass")
            return web.Response(status=http, body=data, content_type=kind, headers=headers)
        data, per_s = text.encode(), float(fault.get("bytes_per_s", 40))
        response = web.StreamResponse(status=http, headers={**headers, "Content-Type": kind})
        response.content_length = len(data)
        await response.prepare(request)
        if how == "broken_off":
            await response.write(data[: len(data) // 2])
            return await self._say_nothing(request, "close")
        for byte in data:
            if self._stopping.is_set() or request.transport is None:
                break
            await response.write(bytes((byte,)))
            await asyncio.sleep(1 / per_s)
        return response

    # -- what is asked for --------------------------------------------------------------------

    def _do(self, call: _Call, key: str | None) -> Any:
        method, path, asked = call.method, call.path, call.asked
        if method == "GET" and path in PUBLIC:
            fault = self._faults.strike_public(path, asked)
            return self._struck(call, fault, lambda: PUBLIC[path](self._account, self._bars, asked))
        if path == _LISTEN_KEY:
            self.gate.check_key(key)
            return self._strike(call, lambda: self._listen_key(method))
        if not self._known(method, path):
            raise Refused(-5000, f"Path {path}, Method {method} is invalid", http=404)
        self.gate.check_key(key)
        if not self.gate.check_signature(call.signed, asked, self._account.now_ms()):
            self._account.ledger.write("signed_decoded", path=path, method=method)
        return self._strike(call, lambda: self._execute(method, path, asked))

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

    def _strike(self, call: _Call, execute: Callable[[], Any]) -> Any:
        """Do what is asked for, unless and except a fault strikes."""
        fault = self._faults.strike(call.method, call.path, call.asked)
        return self._struck(call, fault, execute)

    def _struck(self, call: _Call, fault: Fault | None, execute: Callable[[], Any]) -> Any:
        if fault is None:
            return execute()
        call.line["fault"] = fault.kind
        self._account.ledger.write("fault", fault=fault.kind, path=call.path, method=call.method)
        match fault.kind:
            case "stale_read":
                with self._account.lock:
                    return READS[call.path](Look(self._account, self._account.before, call.asked))
            case "partial_fill_then_cancel":
                return new_order(self._account, call.asked, Decimal(str(fault.get("part", "0.5"))))
            case "slow":
                call.late_s = float(fault.get("delay_s", 1.0))
                return execute()
            case "garbage":
                does = call.method == "GET" or fault.get("executed", True)
                raise _Garbled(fault, json.dumps(_true_or_refusal(execute)) if does else "{}")
            case "late_accept":
                self._later(float(fault.get("delay_s", 0.3)), call.asked, execute)
            case kind if kind in _EXECUTED_KINDS or fault.get("executed", False):
                _true_or_refusal(execute)
        raise self._instead(fault)

    def _later(self, delay_s: float, asked: Mapping[str, str], execute: Callable[[], Any]) -> None:
        """Execute it after its answer, as long as the venue may: never after recvWindow."""

        def due() -> None:
            if within_window(asked, self._account.now_ms()):
                _true_or_refusal(execute)

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


def _true_or_refusal(execute: Callable[[], Any]) -> Any:
    """Do it; what would have been told."""
    try:
        return execute()
    except Refused as refused:
        return {"code": refused.code, "msg": refused.text}


def _unsigned(query: str, body: str) -> bytes:
    """What the signature is made of: the query as it was sent, percent signs and all, and the body
    right behind it, without the signature."""
    parts = (
        [p for p in t.split("&") if p and not p.startswith("signature=")] for t in (query, body)
    )
    return "".join("&".join(part) for part in parts).encode("utf-8", "surrogateescape")
