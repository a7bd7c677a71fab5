"""How much of the venue's limits who may use; judged by a venue that counts for itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from services.apply_layer.binance.budget import EDGE_S, Budget, Meter, Purpose, Ticket

WEIGHT = "X-MBX-USED-WEIGHT-1M"


def budget_of(limit: int = 2400, orders: int = 1200, orders_10s: int = 300) -> Budget:
    return Budget(
        meters=(
            Meter(60.0, limit, WEIGHT),
            Meter(60.0, orders, "X-MBX-ORDER-COUNT-1M"),
            Meter(10.0, orders_10s, "X-MBX-ORDER-COUNT-10S"),
        )
    )


def heard(used: int = 0, orders: int = 0, at: float = 1.0) -> Budget:
    """A budget after an answer with these counts."""
    budget = budget_of()
    ticket = budget.send(at, weight=0, orders=0, purpose=Purpose.WATCH)
    assert isinstance(ticket, Ticket)
    counts = {"x-mbx-used-weight-1m": str(used), "X-MBX-ORDER-COUNT-1M": str(orders)}
    budget.over(ticket, at + 0.1, counts)
    return budget


def may(budget: Budget, at: float, purpose: Purpose, weight: int = 1, orders: int = 0) -> bool:
    return budget.refusal(at, weight=weight, orders=orders, purpose=purpose) is None


def test_the_last_third_of_the_budget_is_kept_for_protection() -> None:
    budget = heard(used=1700)
    assert not any(may(budget, 2.0, purpose) for purpose in Purpose if purpose != Purpose.PROTECT)
    assert may(budget, 2.0, Purpose.PROTECT, weight=700)
    assert not may(budget, 2.0, Purpose.PROTECT, weight=701)
    assert not may(heard(orders=900), 2.0, Purpose.TRADE, orders=1)
    assert may(heard(orders=900), 2.0, Purpose.PROTECT, orders=1)


def test_counts_are_those_of_the_minute_of_the_venue_and_not_of_the_last_sixty_seconds() -> None:
    budget = heard(used=2400, at=50.0)
    assert not may(budget, 59.9, Purpose.PROTECT)
    assert may(budget, 60.0 + EDGE_S, Purpose.TRADE)
    budget.offset_s = 5.0
    assert may(budget, 55.0 + EDGE_S, Purpose.PROTECT)


def test_at_the_edge_of_a_minute_a_call_counts_in_both() -> None:
    budget = heard(used=2400, at=50.0)
    assert not may(budget, 60.0, Purpose.PROTECT)
    assert not may(budget, 60.0 + EDGE_S / 2, Purpose.PROTECT)


def test_what_is_under_way_when_a_minute_begins_counts_in_it() -> None:
    budget = budget_of(limit=100)
    late = budget.send(59.9, weight=60, orders=0, purpose=Purpose.PROTECT)
    assert isinstance(late, Ticket)
    assert not may(budget, 61.0, Purpose.PROTECT, weight=41)
    assert may(budget, 61.0, Purpose.PROTECT, weight=40)


def test_a_call_counts_before_its_answer_comes() -> None:
    budget = budget_of(limit=100)
    for _ in range(10):
        assert isinstance(budget.send(1.0, weight=10, orders=0, purpose=Purpose.PROTECT), Ticket)
    assert not may(budget, 1.0, Purpose.PROTECT)


def test_a_call_that_never_reached_the_venue_costs_nothing() -> None:
    budget = budget_of(limit=100)
    for _ in range(50):
        ticket = budget.send(1.0, weight=10, orders=0, purpose=Purpose.PROTECT)
        assert isinstance(ticket, Ticket)
        budget.over(ticket, 1.1, sent=False)
    assert may(budget, 1.2, Purpose.PROTECT, weight=100)


def test_watching_spends_at_most_half_and_the_past_a_tenth() -> None:
    for purpose, most in ((Purpose.WATCH, 1200), (Purpose.HISTORY, 240)):
        budget = budget_of()
        spent = 0
        while isinstance(budget.send(1.0, weight=5, orders=0, purpose=purpose), Ticket):
            spent += 5
        assert spent == most


def test_silence_that_was_asked_for_holds_for_everybody() -> None:
    budget = heard()
    budget.slow_down(10.0, 5.0, banned=True)
    assert not may(budget, 14.9, Purpose.PROTECT)
    assert may(budget, 15.1, Purpose.PROTECT)
    assert budget.banned_until == 15.0


def test_no_answer_can_silence_us_for_ever() -> None:
    budget = heard()
    budget.slow_down(float("inf"), 5.0, banned=False)
    assert may(budget, 5.0 + 600.1, Purpose.PROTECT)


def test_a_count_that_is_no_count_changes_nothing() -> None:
    for text in ("", "-1", "1e3", "²", "9" * 5000, "NaN"):
        budget = budget_of(limit=100)
        ticket = budget.send(1.0, weight=1, orders=0, purpose=Purpose.PROTECT)
        assert isinstance(ticket, Ticket)
        budget.over(ticket, 1.1, {WEIGHT: text})
        assert budget.used(1.2) == 1


def test_the_limits_are_those_of_the_venue() -> None:
    budget = Budget()
    row = {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 88}
    budget.limited(
        [
            row | {"rateLimitType": "REQUEST_WEIGHT", "limit": 99},
            row,
            row | {"interval": "SECOND", "intervalNum": 10, "limit": 77},
            row | {"rateLimitType": "RAW_REQUESTS", "intervalNum": 5, "limit": 66},
        ]
    )
    assert [meter.limit for meter in budget.meters] == [99, 88, 77]


@dataclass
class Venue:
    """Counts what arrives, in its own minutes, on a clock that is off from what we believe."""

    off_s: float
    ours: dict[int, int] = field(default_factory=dict)
    all: dict[int, int] = field(default_factory=dict)

    def take(self, at: float, weight: int, *, own: bool = True) -> int:
        window = int((at + self.off_s) // 60)
        self.all[window] = self.all.get(window, 0) + weight
        if own:
            self.ours[window] = self.ours.get(window, 0) + weight
        return self.all[window]


STEP = st.tuples(
    st.sampled_from(["send", "send", "arrive", "answer", "lose", "foreign"]),
    st.floats(0, 20), st.integers(1, 40), st.sampled_from(list(Purpose)), st.integers(0, 9),
)  # fmt: skip


@given(
    steps=st.lists(STEP, max_size=60),
    off_s=st.floats(-EDGE_S * 0.9, EDGE_S * 0.9),
    strangers=st.booleans(),
)
def test_whatever_happens_our_own_calls_stay_within_the_limit_and_stops_get_all_of_it(
    steps: list[tuple[str, float, int, Purpose, int]], off_s: float, strangers: bool
) -> None:
    limit = 100
    budget, venue, now = budget_of(limit=limit), Venue(off_s), 1000.0
    sent: list[tuple[Ticket, float]] = []
    arrived: list[tuple[Ticket, int]] = []
    spans: list[list[float]] = []
    span_of: dict[int, list[float]] = {}
    told = 0
    for kind, passes, weight, purpose, pick in steps:
        now += passes if kind == "send" else passes / 100
        if kind == "send":
            ticket = budget.send(now, weight=weight, orders=0, purpose=purpose)
            if isinstance(ticket, Ticket):
                sent.append((ticket, now))
                span = [now, float("inf"), weight]
                spans.append(span)
                span_of[id(ticket)] = span
            elif purpose is Purpose.PROTECT:
                begins = now // 60 * 60
                since = begins - 60 if now - begins < EDGE_S else begins
                may_count = sum(w for from_s, to_s, w in spans if to_s >= since and from_s <= now)
                assert may_count + told + weight > limit
        elif kind == "foreign" and strangers:
            told += weight
            venue.take(now, weight, own=False)
        elif kind == "arrive" and sent:
            ticket, _ = sent.pop(pick % len(sent))
            arrived.append((ticket, venue.take(now, ticket.weight)))
        elif kind in ("answer", "lose") and arrived:
            ticket, count = arrived.pop(pick % len(arrived))
            span_of[id(ticket)][1] = now
            budget.over(ticket, now, {WEIGHT: str(count)} if kind == "answer" else None)
    assert all(count <= limit for count in venue.ours.values())


@given(used=st.integers(0, 3000), orders=st.integers(0, 1500), weight=st.integers(1, 50))
def test_whatever_others_may_do_a_stop_may(used: int, orders: int, weight: int) -> None:
    budget = heard(used, orders)
    for purpose in Purpose:
        if may(budget, 2.0, purpose, weight, 1):
            assert may(budget, 2.0, Purpose.PROTECT, weight, 1)
            assert purpose is Purpose.PROTECT or used + weight <= 0.7 * budget.limit


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_a_clock_that_jumps_leaves_no_window_shut_for_longer_than_two_minutes(
    offsets: list[float],
) -> None:
    budget, now = heard(used=2400), 2.0
    for offset_s in offsets:
        budget.offset_s = offset_s
        now += 1.0
    assert may(budget, now + 120.0 + 2 * EDGE_S, Purpose.PROTECT, weight=1)
