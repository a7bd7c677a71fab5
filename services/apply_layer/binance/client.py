"""One call to the venue: signed by ccxt, counted against the budget, told by its numeric code.

Numbers go out as text and come back as text: no price or quantity passes through a float. All
threads may call.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NoReturn

import ccxt

from services.apply_layer.binance.answers import Meaning, meaning_of
from services.apply_layer.binance.budget import Budget, Purpose
from services.apply_layer.binance.credentials import Keys
from services.apply_layer.binance.http import Http, Lost, Reply
from shared.clock import CLOCK

_RETRY_AFTER_S = 60.0
#: How much of the venue's words is kept.
_TEXT_MAX = 300
#: No code and no number of seconds has more digits.
_DIGITS_MAX = 9
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
#: How often a read is tried.
_READ_TRIES = 3


class NoAnswer(Exception):
    """No answer that says what happened; `unlikely` if the venue hints that nothing did.

    `waited` says that the time for an answer has run out.
    """

    is_too_often = False

    def __init__(self, reason: str, *, unlikely: bool = False, waited: bool = False) -> None:
        super().__init__(reason)
        self.unlikely = unlikely
        self.waited = waited


class VenueError(Exception):
    """The venue refused: nothing was executed."""

    def __init__(self, http: int, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}" if code else f"HTTP {http}: {text}")
        self.code = code or -http
        self.text = text
        self.meaning = meaning_of(http, code, text)

    @property
    def is_too_often(self) -> bool:
        """Whether the venue, or our budget, did not allow the call."""
        return self.meaning is Meaning.SLOW_DOWN


class _Usdm(ccxt.binanceusdm):  # type: ignore[misc]
    """ccxt for what it knows of addresses and signatures; the exchange itself is ours.

    ccxt picks its errors by host and keeps the headers of the last answer for whoever asks. Here an
    answer comes back whole, to the thread that asked.
    """

    http: Http
    clock_offset_ms = 0

    def milliseconds(self) -> int:
        """The time by the clock that orders are decided by, which no hand sets."""
        return int(CLOCK.now().timestamp() * 1000)

    def nonce(self) -> int:
        """The time of a request, by the venue's clock."""
        return int(self.milliseconds()) + self.clock_offset_ms

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Reply:
        """One exchange; raises Lost."""
        return self.http.exchange(method, url, self.prepare_request_headers(headers), body)


class Client:
    """The REST side of one account. `urls` overrides ccxt's addresses; times are seconds."""

    def __init__(
        self,
        keys: Keys,
        *,
        urls: Mapping[str, str] | None,
        demo: bool,
        recv_window_ms: int,
        timeout_s: float,
        budget: Budget | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget or Budget()
        self._counting = threading.Lock()
        self._monotonic = monotonic
        self._ccxt = _Usdm(
            {
                "apiKey": keys.key,
                "secret": keys.secret,
                "timeout": int(timeout_s * 1000),
                # The budget counts as the venue does; ccxt would only space the calls.
                "enableRateLimit": False,
                "options": {"recvWindow": recv_window_ms, "maxRetriesOnFailure": 0},
            }
        )
        self._ccxt.http = Http(timeout_s)
        # At debug level ccxt writes down the headers of a request, and with them the key.
        self._ccxt.logger.setLevel(logging.INFO)
        if demo:
            self._ccxt.enable_demo_trading(True)  # noqa: FBT003 - ccxt's own signature
        if urls is not None:
            self._ccxt.urls["api"] = {**self._ccxt.urls["api"], **urls}

    @property
    def clock_offset_ms(self) -> int:
        """The venue's clock minus ours, as last measured."""
        return int(self._ccxt.clock_offset_ms)

    def now(self) -> datetime:
        """The time, by our clock."""
        return CLOCK.now()

    def affords(self, weight: int, purpose: Purpose) -> bool:
        """Whether calls of so much weight may be made now for this purpose."""
        with self._counting:
            now = self._monotonic()
            return self.budget.refusal(now, weight=weight, orders=0, purpose=purpose) is None

    def call(
        self,
        name: str,
        params: Mapping[str, object] | None = None,
        *,
        weight: int = 1,
        orders: int = 0,
        purpose: Purpose = Purpose.PROTECT,
    ) -> Any:
        """Make one call by ccxt's name for the endpoint.

        What only reads is asked again when a failure was quick to show: a view is made of many
        reads, and one that fails would blind us to all of it. Nothing else is ever repeated.

        Raises:
            VenueError: refused, nothing was executed (also when the budget does not allow it).
            NoAnswer: what became of it is not known.
        """
        tries = _READ_TRIES if "Get" in name else 1
        while True:
            tries -= 1
            try:
                return self._call(name, params, weight=weight, orders=orders, purpose=purpose)
            except NoAnswer as error:
                if not tries or error.waited:
                    raise

    def _call(
        self,
        name: str,
        params: Mapping[str, object] | None,
        *,
        weight: int,
        orders: int,
        purpose: Purpose,
    ) -> Any:
        with self._counting:
            ticket = self.budget.send(
                self._monotonic(), weight=weight, orders=orders, purpose=purpose
            )
        if isinstance(ticket, str):
            raise VenueError(429, -1015, ticket)
        headers: Mapping[str, str] = {}
        sent = True
        try:
            reply: Reply = getattr(self._ccxt, name)(dict(params or {}))
            headers = reply.headers
        except Lost as lost:
            sent = not lost.unsent
            raise NoAnswer(str(lost), waited=lost.waited) from None
        finally:
            with self._counting:
                self.budget.over(ticket, self._monotonic(), headers, sent=sent)
        return self._read(reply)

    def _read(self, reply: Reply) -> Any:
        """What an answer says; one that cannot be read is none."""
        try:
            told = _parsed(reply.body)
        except (ValueError, RecursionError) as error:
            if reply.http >= 400:
                self._refused(reply, 0, _shown(reply.body))
            raise NoAnswer(f"unreadable answer ({error}): {_shown(reply.body)}") from None
        code = _whole_number(told.get("code", 0)) if isinstance(told, dict) else 0
        if reply.http >= 400 or code < 0:
            words = told.get("msg") if isinstance(told, dict) else None
            self._refused(reply, min(code, 0), str(words or _shown(reply.body))[:_TEXT_MAX])
        if reply.http >= 300 or not isinstance(told, dict | list):
            raise NoAnswer(f"unreadable answer (HTTP {reply.http}): {_shown(reply.body)}")
        return told

    def _refused(self, reply: Reply, code: int, text: str) -> NoReturn:
        error = VenueError(reply.http, code, text)
        if error.meaning in (Meaning.SLOW_DOWN, Meaning.BANNED):
            told = {name.lower(): value for name, value in reply.headers.items()}
            seconds = _whole_number(told.get("retry-after")) or _RETRY_AFTER_S
            banned = error.meaning is Meaning.BANNED
            with self._counting:
                self.budget.slow_down(seconds, self._monotonic(), banned=banned)
        if error.meaning in (Meaning.UNKNOWN, Meaning.UNLIKELY):
            raise NoAnswer(str(error), unlikely=error.meaning is Meaning.UNLIKELY)
        raise error

    def measure_clock(self) -> int:
        """Ask for the venue's time, sign by it from now on, and return the offset in ms."""
        before, began = self._ccxt.milliseconds(), self._monotonic()
        told = self.call("fapiPublicGetTime")
        middle = (before + self._ccxt.milliseconds()) / 2
        server_ms = _whole_number(told.get("serverTime"), digits=15) if told else 0
        if server_ms <= 0:
            raise NoAnswer("unreadable answer: the venue's time is missing")
        self._ccxt.clock_offset_ms = round(server_ms - middle)
        with self._counting:
            self.budget.offset_s = server_ms / 1000 - (began + self._monotonic()) / 2
        return self.clock_offset_ms

    def timestamp_of(self, moment: datetime) -> int:
        """A moment of our clock as the venue's milliseconds."""
        return int(moment.timestamp() * 1000) + self.clock_offset_ms


def _parsed(body: bytes) -> Any:
    """JSON with its numbers as text. Raises ValueError or RecursionError."""
    text = body.decode()
    told = json.loads(text, parse_float=str, parse_int=str, parse_constant=_no_number)
    if _SURROGATE.search(text):
        # Half a character is no text, and whoever writes it down later would stumble.
        json.dumps(told, ensure_ascii=False).encode()
    return told


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _shown(body: bytes) -> str:
    """The beginning of an answer, for whoever reads the log."""
    return " ".join(body[:_TEXT_MAX].decode(errors="replace").split())


def _whole_number(value: object, digits: int = _DIGITS_MAX) -> int:
    """A whole number of the venue's, however it was written; 0 for anything else."""
    text = str(value)
    bare = text.removeprefix("-")
    return int(text) if bare.isascii() and bare.isdigit() and len(bare) <= digits else 0
