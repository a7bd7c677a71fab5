"""What may go wrong at the double, by kind, and whether it fits a call. Pure.

Kinds that strike a request, with their parameters:
    executed_then_timed_out   how = silence | close
    executed_then_code        code
    timed_out_not_executed    how = silence | close
    late_accept               delay_s, how = 503 | silence | close; dropped when recvWindow is over
    http_503_unknown          executed
    http_503_service_unavailable, http_503_internal, http_408, http_502, http_504
    order_in_doubt            code = -1006 | -1007, executed
    code                      code, http, retry_after_s, entries_only
    rate_limited_429          retry_after_s
    banned_418                retry_after_s
    stale_read                a signed GET answers as of before the last change
    partial_fill_then_cancel  part: the share of a market order that is filled
    garbage                   how = one of garbage.KINDS, or `text`; http, executed, bytes_per_s
    slow                      delay_s: done at once, answered late
What strikes a request takes `symbol` too, for calls that name it. Public reads are struck by
garbage and slow, and by what names their path.
Kinds that strike the next trigger: stop_rejected_at_trigger, stop_stuck_triggering (symbol).
Kinds that strike the next user event: stream_event_lost, stream_doubled, stream_reordered.
Kinds that happen at once: stream_dropped, listen_key_expired, clock_skew (offset_ms), liquidation
and adl (symbol, share), hedge_mode and multi_assets (on), venue_down (how = 503 | close), venue_up,
symbol_status (symbol, status, mark: what is told), symbol_missing (symbol, pieces: of
switches.PIECES), deny_stops (seconds, what: of switches.DENIALS, symbol), leverage (symbol,
leverage), margin_type (symbol, margin_type), fees_in (asset, price; none: in the quote), aged
(symbol, days), garbage_frames (count, stream = private | market, text).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ORDERS = ("/fapi/v1/order", "/fapi/v1/algoOrder")

WRITE_KINDS = (
    "executed_then_timed_out",
    "late_accept",
    "order_in_doubt",
    "executed_then_code",
)
ANY_KINDS = (
    "timed_out_not_executed",
    "http_503_unknown",
    "http_503_service_unavailable",
    "http_503_internal",
    "http_408",
    "http_502",
    "http_504",
    "code",
    "garbage",
    "slow",
    "rate_limited_429",
    "banned_418",
)
TRIGGER_KINDS = ("stop_rejected_at_trigger", "stop_stuck_triggering")
EVENT_KINDS = ("stream_event_lost", "stream_doubled", "stream_reordered")
AT_ONCE_KINDS = (
    "stream_dropped",
    "listen_key_expired",
    "clock_skew",
    "liquidation",
    "adl",
    "hedge_mode",
    "venue_down",
    "venue_up",
    "multi_assets",
    "symbol_status",
    "symbol_missing",
    "deny_stops",
    "leverage",
    "margin_type",
    "fees_in",
    "aged",
    "garbage_frames",
)
KINDS = (
    *WRITE_KINDS,
    *ANY_KINDS,
    "stale_read",
    "partial_fill_then_cancel",
    *TRIGGER_KINDS,
    *EVENT_KINDS,
    *AT_ONCE_KINDS,
)
#: What a draw takes where no kinds are named: nothing that lasts, and no forced close. What was
#: added later is drawn where it is named, so that a seed goes on meaning what it meant.
DRAWN_KINDS = tuple(
    kind
    for kind in KINDS
    if kind in ("stream_dropped", "listen_key_expired")
    or kind not in ("banned_418", "garbage", "slow", *AT_ONCE_KINDS)
)
_PUBLIC_KINDS = ("garbage", "slow")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, for the calls that it fits; `times` is how often it still strikes."""

    kind: str
    method: str | None = None
    path: str | None = None
    times: int = 1
    params: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any) -> Any:
        """A parameter."""
        return self.params.get(name, default)

    def fits(self, method: str, path: str, asked: Mapping[str, str]) -> bool:
        """Whether it strikes this call."""
        if not fits_call(self.kind, method, path):
            return False
        if self.get("entries_only", False) and _protects(asked):
            return False
        if self.get("symbol", asked.get("symbol")) != asked.get("symbol"):
            return False
        return self.method in (None, method) and self.path in (None, path)

    def fits_public(self, path: str, asked: Mapping[str, str]) -> bool:
        """Whether it strikes a public read."""
        named = self.path == path or (self.path is None and self.kind in _PUBLIC_KINDS)
        return named and self.fits("GET", path, asked)


def _protects(asked: Mapping[str, str]) -> bool:
    return "true" in (asked.get("reduceOnly"), asked.get("closePosition"))


def fits_call(kind: str, method: str, path: str) -> bool:
    """Whether a kind makes sense for a call at all."""
    if kind in WRITE_KINDS:
        return method in ("POST", "DELETE", "PUT")
    if kind == "stale_read":
        return method == "GET"
    if kind == "partial_fill_then_cancel":
        return (method, path) == ("POST", "/fapi/v1/order")
    return kind in ANY_KINDS
