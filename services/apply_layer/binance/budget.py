"""The rate budget: weights and order counts as the venue counts them, a part kept for protection.

Pure: the caller brings the time, in seconds of any monotonic clock. A call is counted when it is
sent, so that several may be under way; the venue's own counts come with each answer and tell of
what others have sent from the same address.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

#: By how much our idea of where the venue's windows begin may be wrong, in seconds.
EDGE_S = 0.25
#: No count of the venue's has more digits.
_DIGITS_MAX = 9
#: The longest silence that is believed, in seconds: the venue bans for three days at most.
_SILENCE_MAX_S, _BAN_MAX_S = 600.0, 3 * 86_400.0


class Purpose(StrEnum):
    """What a call is for. Only PROTECT may use the part of the budget that is kept."""

    #: Stops, exits and their cancels, and reads that a missing stop waits for.
    PROTECT = "protect"
    #: Entries, and what prepares them.
    TRADE = "trade"
    #: Looks that nothing calls for.
    WATCH = "watch"
    #: The past: old trades, funding.
    HISTORY = "history"


#: Up to which share of a limit, all counted, a purpose may call, and how much of it is its own.
_REACH = {Purpose.TRADE: 0.70, Purpose.WATCH: 0.65, Purpose.HISTORY: 0.50}
_OWN = {Purpose.WATCH: 0.50, Purpose.HISTORY: 0.10}


@dataclass(frozen=True, slots=True)
class Meter:
    """One limit in one of the venue's windows.

    `sent` is what we sent in this window, `carried` what was under way when it began: the venue may
    count that in either. `foreign` is what others sent, as far as the venue's counts show it.
    `before` is all that counted in the window before.
    """

    length_s: float
    limit: int
    header: str
    number: int = 0
    sent: int = 0
    carried: int = 0
    foreign: int = 0
    before: int = 0
    under_way: int = 0
    spent: Mapping[Purpose, int] = field(default_factory=dict)

    @property
    def used(self) -> int:
        """What counts in this window, as far as we know."""
        return self.carried + self.sent + self.foreign

    def at(self, venue_s: float) -> Meter:
        """The meter at a moment of the venue's clock."""
        number = math.floor(venue_s / self.length_s)
        # A clock that is set back a little may not open the same window twice.
        if number in (self.number, self.number - 1):
            return self
        before = self.used if number == self.number + 1 else 0
        return replace(
            self, number=number, sent=0, carried=self.under_way, foreign=0, before=before, spent={}
        )

    def counted(self, venue_s: float) -> int:
        """What has to be counted; at the edge of a window the venue may still be in the last."""
        now = self.at(venue_s)
        if now.into(venue_s) < EDGE_S:
            return max(now.used, now.before + now.sent)
        return now.used

    def into(self, venue_s: float) -> float:
        """How far into its window a moment is, in seconds."""
        return venue_s - self.number * self.length_s

    def allows(self, venue_s: float, amount: int, purpose: Purpose) -> bool:
        """Whether so much more may be sent for this purpose."""
        if self.counted(venue_s) + amount > self.limit * _REACH.get(purpose, 1.0):
            return False
        own = self.at(venue_s).spent.get(purpose, 0)
        return own + amount <= self.limit * _OWN.get(purpose, 1.0)

    def sending(self, venue_s: float, amount: int, purpose: Purpose) -> Meter:
        """With a call that is being sent."""
        now = self.at(venue_s)
        spent = {**now.spent, purpose: now.spent.get(purpose, 0) + amount}
        return replace(now, sent=now.sent + amount, under_way=now.under_way + amount, spent=spent)

    def over(self, venue_s: float, amount: int) -> Meter:
        """With a call that is under way no more."""
        now = self.at(venue_s)
        return replace(now, under_way=max(0, now.under_way - amount))

    def never_sent(self, number: int, amount: int, purpose: Purpose) -> Meter:
        """With a call taken back that has not reached the venue."""
        if number != self.number:
            return self
        spent = {**self.spent, purpose: max(0, self.spent.get(purpose, 0) - amount)}
        return replace(self, sent=max(0, self.sent - amount), spent=spent)

    def heard(self, sent_at: float, venue_s: float, counts: Mapping[str, int]) -> Meter:
        """With the venue's count, where it is certain of which window it speaks."""
        told = counts.get(self.header)
        same = self.number * self.length_s + EDGE_S <= sent_at <= venue_s
        if told is None or not same or self.into(venue_s) >= self.length_s:
            return self
        return replace(self, foreign=max(self.foreign, told - self.carried - self.sent))


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call that was counted; it is handed back when it is over."""

    weight: int
    orders: int
    purpose: Purpose
    sent_at: float
    numbers: tuple[int, ...]

    def amounts(self) -> tuple[int, int, int]:
        """What it takes of each limit."""
        return (self.weight, self.orders, self.orders)


@dataclass(slots=True)
class Budget:
    """All limits of one address and account; `offset_s` is the venue's time minus the caller's."""

    meters: tuple[Meter, Meter, Meter] = (
        Meter(60.0, 2400, "X-MBX-USED-WEIGHT-1M"),
        Meter(60.0, 1200, "X-MBX-ORDER-COUNT-1M"),
        Meter(10.0, 300, "X-MBX-ORDER-COUNT-10S"),
    )
    offset_s: float = 0.0
    paused_until: float = 0.0
    banned_until: float = 0.0

    @property
    def limit(self) -> int:
        """The weight that a minute may have."""
        return self.meters[0].limit

    def used(self, now: float) -> int:
        """The weight that counts in the venue's minute."""
        return self.meters[0].counted(now + self.offset_s)

    def limited(self, limits: Iterable[Mapping[str, Any]]) -> None:
        """Take over the venue's limits from its exchangeInfo."""
        names = (("REQUEST_WEIGHT", "MINUTE", 1), ("ORDERS", "MINUTE", 1), ("ORDERS", "SECOND", 10))
        told = {
            (row["rateLimitType"], row["interval"], int(row["intervalNum"])): int(row["limit"])
            for row in limits
        }
        weight, orders, orders_10s = (
            replace(meter, limit=max(1, told.get(name, meter.limit)))
            for meter, name in zip(self.meters, names, strict=True)
        )
        self.meters = (weight, orders, orders_10s)

    def slow_down(self, seconds: float, now: float, *, banned: bool) -> None:
        """The venue has said for how long it wants to hear nothing."""
        until = now + min(seconds, _BAN_MAX_S if banned else _SILENCE_MAX_S)
        self.paused_until = max(self.paused_until, until)
        if banned:
            self.banned_until = max(self.banned_until, until)

    def refusal(self, now: float, *, weight: int, orders: int, purpose: Purpose) -> str | None:
        """Why a call of this weight may not be made now, or None.

        PROTECT may use the whole budget; nothing at all is called while the venue has asked
        for silence.
        """
        if now < self.paused_until:
            return f"the venue wants silence for {self.paused_until - now:.0f} s more"
        venue_s = now + self.offset_s
        for meter, amount in zip(self.meters, (weight, orders, orders), strict=True):
            if amount and not meter.allows(venue_s, amount, purpose):
                if purpose is Purpose.PROTECT:
                    return f"the venue's limit of {meter.limit} is used up"
                return "the rest of the budget is kept for stops and exits"
        return None

    def send(self, now: float, *, weight: int, orders: int, purpose: Purpose) -> Ticket | str:
        """Count a call at the moment of sending, or say why it may not be made."""
        refusal = self.refusal(now, weight=weight, orders=orders, purpose=purpose)
        if refusal is not None:
            return refusal
        venue_s = now + self.offset_s
        minute, ordered, ten = self.meters
        self.meters = (
            minute.sending(venue_s, weight, purpose),
            ordered.sending(venue_s, orders, purpose),
            ten.sending(venue_s, orders, purpose),
        )
        numbers = tuple(meter.number for meter in self.meters)
        return Ticket(weight, orders, purpose, venue_s, numbers)

    def over(
        self,
        ticket: Ticket,
        now: float,
        headers: Mapping[str, str] | None = None,
        *,
        sent: bool = True,
    ) -> None:
        """A call is over: with the headers of its answer, without any, or it was never sent."""
        venue_s = now + self.offset_s
        counts = _counts(headers or {})
        done = []
        for meter, amount, number in zip(
            self.meters, ticket.amounts(), ticket.numbers, strict=True
        ):
            after = meter.over(venue_s, amount).heard(ticket.sent_at, venue_s, counts)
            done.append(after if sent else after.never_sent(number, amount, ticket.purpose))
        self.meters = (done[0], done[1], done[2])


def _counts(headers: Mapping[str, str]) -> dict[str, int]:
    return {
        name.upper(): int(text)
        for name, text in headers.items()
        if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
    }
