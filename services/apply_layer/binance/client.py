"""One call to the venue through ccxt: signed, counted against the budget, told by its numeric code.

Numbers go out as text and come back as text: no price or quantity passes through a float.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import ccxt
from ccxt.base.errors import BaseError, NetworkError, RequestTimeout

from services.apply_layer.binance.answers import Meaning, meaning_of
from services.apply_layer.binance.budget import Budget, Purpose
from services.apply_layer.binance.credentials import Keys

_RETRY_AFTER_S = 60.0
#: How often a read is tried.
_READ_TRIES = 3


class NoAnswer(Exception):
    """No answer that says what happened; `unlikely` if the venue hints that nothing did.

    `waited` says that the time for an answer has run out.
    """

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


class _Answer(BaseError):  # type: ignore[misc]
    """An error answer on its way through ccxt."""

    def __init__(self, http: int, code: int, text: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"{http} {code}")
        self.http, self.code, self.text, self.headers = http, code, text, headers


class _Usdm(ccxt.binanceusdm):  # type: ignore[misc]
    """ccxt's client with the answer's own code in place of an error class chosen by host."""

    clock_offset_ms = 0

    def nonce(self) -> int:
        """The time of a request, by the venue's clock."""
        return int(self.milliseconds()) + self.clock_offset_ms

    def handle_errors(  # noqa: PLR0917 - ccxt's own signature
        self,
        code: int,
        reason: str,
        url: str,  # noqa: ARG002
        method: str,  # noqa: ARG002
        headers: Mapping[str, str],
        body: str,
        response: Any,
        request_headers: Any,  # noqa: ARG002
        request_body: Any,  # noqa: ARG002
    ) -> None:
        """Raise what the venue said, as it said it."""
        told = response if isinstance(response, dict) else {}
        number = told.get("code", 0)
        number = int(number) if str(number).lstrip("-").isdigit() else 0
        if code >= 400 or number < 0:
            text = str(told.get("msg") or body or reason)[:300]
            raise _Answer(code, number if number < 0 else 0, text, dict(headers or {}))


def _wall() -> datetime:
    return datetime.now(UTC)


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
        return _wall()

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
        refusal = self.budget.refusal(
            self._monotonic(), weight=weight, orders=orders, purpose=purpose
        )
        if refusal is not None:
            raise VenueError(429, -1015, refusal)
        try:
            told = getattr(self._ccxt, name)(dict(params or {}))
        except _Answer as answer:
            raise self._judged(answer) from None
        except NetworkError as error:
            waited = isinstance(error, RequestTimeout)
            raise NoAnswer(type(error).__name__, waited=waited) from None
        except BaseError as error:
            # ccxt could not read an answer; what it answered is anybody's guess.
            raise NoAnswer(f"unreadable answer ({type(error).__name__})") from None
        self.budget.heard(self._ccxt.last_response_headers or {}, self._monotonic())
        return told

    def _judged(self, answer: _Answer) -> VenueError | NoAnswer:
        now = self._monotonic()
        self.budget.heard(answer.headers, now)
        error = VenueError(answer.http, answer.code, answer.text)
        if error.meaning in (Meaning.SLOW_DOWN, Meaning.BANNED):
            headers = {name.lower(): value for name, value in answer.headers.items()}
            text = headers.get("retry-after", "")
            seconds = float(text) if text.isascii() and text.isdigit() else _RETRY_AFTER_S
            self.budget.slow_down(seconds, now, banned=error.meaning is Meaning.BANNED)
        if error.meaning in (Meaning.UNKNOWN, Meaning.UNLIKELY):
            return NoAnswer(str(error), unlikely=error.meaning is Meaning.UNLIKELY)
        return error

    def measure_clock(self) -> int:
        """Ask for the venue's time, sign by it from now on, and return the offset in ms."""
        before = self._ccxt.milliseconds()
        told = self.call("fapiPublicGetTime")
        middle = (before + self._ccxt.milliseconds()) / 2
        self._ccxt.clock_offset_ms = round(int(told["serverTime"]) - middle)
        return self.clock_offset_ms

    def timestamp_of(self, moment: datetime) -> int:
        """A moment of our clock as the venue's milliseconds."""
        return int(moment.timestamp() * 1000) + self.clock_offset_ms
