"""apply_layer: what may have been executed is asked for, and only proof ends a doubt."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.apply_layer.doubt import Beat
from services.apply_layer.exchange import (
    AskOrder,
    LookAgain,
    OrderAbsent,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderType,
    PlaceOrder,
    VenueHealth,
)
from services.apply_layer.journal import Leg, Sent
from services.apply_layer.state import Policy
from shared.contracts import Message
from shared.decisions import Mode
from shared.sides import Side

from .builders import entry, leave, move_stop, opened
from .desk import SYMBOL, D, Desk

POLICY = Policy(doubt_first_s=D(10), doubt_again_s=D(10), max_intent_age_s=D(60))


def quiet(desk: Desk) -> Desk:
    desk.silent = lambda _order: False
    return desk


def in_doubt(desk: Desk, plan: Message) -> Sent:
    """The order of a plan that got no answer."""
    desk.silent = lambda _order: True
    desk.deliver(plan)
    quiet(desk)
    (sent,) = [s for s in desk.state.orders.values() if s.doubt]
    return sent


def doubtful_entry() -> tuple[Desk, Sent]:
    desk = Desk(POLICY)
    desk.tick("12.32")
    return desk, in_doubt(desk, entry(desk))


def doubtful_exit(action: str = "PARTIAL_25") -> tuple[Desk, Sent]:
    desk = opened(POLICY)
    desk.tick("13.1")
    return desk, in_doubt(desk, leave(desk, action, "plan.exit"))


def absent(desk: Desk, sent: Sent, after_s: float) -> None:
    """The venue is asked `after_s` later and knows nothing of the order."""
    desk.now += timedelta(seconds=after_s)
    desk.hear(OrderAbsent(sent.request.client_order_id, SYMBOL, desk.market, desk.now))


def sendings(desk: Desk, sent: Sent) -> int:
    name = sent.request.client_order_id
    return sum(isinstance(r, PlaceOrder) and r.client_order_id == name for r in desk.requests_made)


def asked(desk: Desk, sent: Sent) -> int:
    name = sent.request.client_order_id
    return sum(isinstance(r, AskOrder) and r.client_order_id == name for r in desk.requests_made)


def proof(desk: Desk, sent: Sent) -> str:
    return desk.state.proofs[sent.request.client_order_id].verdict


def test_an_order_without_an_answer_is_asked_for_at_once_and_not_sent_again() -> None:
    desk, sent = doubtful_entry()
    assert (asked(desk, sent), sendings(desk, sent)) == (1, 1)
    assert desk.statuses == []
    for _ in range(5):
        desk.now += timedelta(seconds=1)
        desk.hear(Beat())
    assert (asked(desk, sent), sendings(desk, sent)) == (6, 1)
    assert any(isinstance(r, LookAgain) for r in desk.requests_made)


def test_absences_that_come_too_early_or_too_close_prove_nothing() -> None:
    desk, sent = doubtful_entry()
    for after_s in (0, 5, 4.9, 0.2, 5, 4.7):
        absent(desk, sent, after_s)
    assert sendings(desk, sent) == 1
    assert desk.state.proofs == {}


def test_two_absences_late_and_apart_are_proof_and_the_plan_is_sent_under_its_old_name() -> None:
    desk, sent = doubtful_entry()
    absent(desk, sent, 10)
    assert sendings(desk, sent) == 1
    absent(desk, sent, 10)
    assert sendings(desk, sent) == 2
    assert proof(desk, sent) == "absent"
    kept = desk.state.proofs[sent.request.client_order_id]
    assert [(at - kept.since).total_seconds() for at in kept.absent_at] == [10, 20]
    assert desk.statuses == ["FILLED", "STOP_MOVED"]
    assert desk.venue_qty() == D("1.83")


def test_an_entry_that_is_too_old_by_then_expires() -> None:
    desk, sent = doubtful_entry()
    absent(desk, sent, 30)
    absent(desk, sent, 31)
    assert desk.codes == ["stale_plan"]
    assert (sendings(desk, sent), desk.state.orders) == (1, {})


def test_an_order_whose_trade_is_told_was_executed_and_is_never_sent_again() -> None:
    desk, sent = doubtful_entry()
    request = sent.request
    desk.hear(
        OrderFilled(
            request.client_order_id, SYMBOL, "7", "7", Side.BUY, OrderType.MARKET, request.qty,
            D("12.32"), D(0), D(0), reduce_only=False, done=False, at=desk.market,
        )
    )  # fmt: skip
    assert proof(desk, sent) == "found"
    absent(desk, sent, 60)
    assert sendings(desk, sent) == 1
    assert desk.position.qty == D("1.83")
    assert [leg for s in desk.state.orders.values() for leg in [s.leg]] == [Leg.STOP]


def test_an_order_that_ended_without_a_trade_is_a_refusal_with_proof() -> None:
    desk, sent = doubtful_entry()
    desk.hear(OrderEnded(sent.request.client_order_id, SYMBOL, "expired", desk.market))
    assert proof(desk, sent) == "found"
    assert desk.codes == ["expired"]


def test_a_venue_that_hints_at_no_execution_is_believed_after_one_late_absence() -> None:
    desk = opened(POLICY)
    desk.tick("13.1")
    desk.unlikely = True
    sent = in_doubt(desk, leave(desk, "PARTIAL_25", "plan.exit"))
    absent(desk, sent, 5)
    assert sendings(desk, sent) == 1
    absent(desk, sent, 5)
    assert sendings(desk, sent) == 2
    assert desk.position.harvested_qty == D("0.46")


def test_an_exit_in_doubt_holds_back_the_next_exit_but_never_the_stop() -> None:
    desk, sent = doubtful_exit()
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.codes == ["exit_in_flight"]
    desk.deliver(move_stop(desk, "12.4", "plan.stop"))
    assert desk.stop_prices() == [D("12.4")]
    assert sendings(desk, sent) == 1


def test_an_exit_that_never_was_executed_is_sent_however_long_it_took() -> None:
    desk, sent = doubtful_exit()
    absent(desk, sent, 1000)
    absent(desk, sent, 1000)
    assert sendings(desk, sent) == 2
    assert desk.position.harvested_qty == D("0.46")


def test_an_exit_that_halt_forbids_by_then_is_refused() -> None:
    desk, sent = doubtful_exit()
    desk.mode = Mode.HALT
    absent(desk, sent, 10)
    absent(desk, sent, 10)
    assert desk.codes == ["mode_halt"]


def test_no_entry_is_made_where_an_order_is_in_doubt() -> None:
    desk, _ = doubtful_entry()
    desk.deliver(entry(desk, "plan.next"))
    assert desk.codes == ["order_unknown"]


def test_a_stop_without_an_answer_gets_one_more_as_soon_as_it_is_not_found() -> None:
    desk = Desk(POLICY)
    desk.tick("12.32")
    desk.silent, desk.conclusive = (lambda order: order.type is OrderType.STOP_MARKET), False
    desk.deliver(entry(desk))
    quiet(desk)
    (first,) = desk.state.orders.values()
    desk.look(after_s=0.5)
    assert desk.stops() == []
    absent(desk, first, 0.2)
    desk.look(after_s=0.2)
    assert desk.stop_prices() == [D("12.0736")]
    assert desk.venue_qty() == D("1.83")
    assert first.request.client_order_id in desk.state.orders


def test_both_stops_standing_after_all_leaves_exactly_one() -> None:
    desk = Desk(POLICY)
    desk.tick("12.32")
    desk.silent, desk.executed = (lambda order: order.type is OrderType.STOP_MARKET), True
    desk.conclusive = False
    desk.deliver(entry(desk))
    quiet(desk)
    (first,) = desk.state.orders.values()
    absent(desk, first, 0.2)
    desk.look(after_s=0.2)
    for _ in range(3):
        desk.look(after_s=1)
    assert len(desk.stops()) == 1
    assert len(desk.state.orders) == 1
    assert proof(desk, first) == "found"


def test_a_position_that_cannot_get_any_stop_is_closed_within_the_limit() -> None:
    desk = Desk(POLICY)
    desk.tick("12.32")
    desk.silent, desk.conclusive = (lambda order: order.type is OrderType.STOP_MARKET), False
    desk.deliver(entry(desk))
    for _ in range(4):
        desk.look(after_s=1)
    assert desk.venue_qty() == 0
    assert len(desk.noted("flatten")) == 1


@pytest.mark.parametrize("code", [-4131, -4016, -4024])
def test_an_exit_that_is_too_much_at_once_goes_in_parts(code: int) -> None:
    desk = opened(POLICY)
    desk.refuse = lambda order: code if order.qty > 1 and order.reduce_only else None
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.venue_qty() == 0
    assert len(desk.noted("cut_in_two")) == 1
    assert desk.codes == []


def test_parts_that_are_refused_as_well_end_in_one_refusal() -> None:
    desk = opened(POLICY)
    desk.refuse = lambda order: -4131 if order.type is OrderType.MARKET else None
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.codes == ["-4131"]
    assert desk.venue_qty() == D("1.83")


def test_an_order_refused_for_the_clock_is_sent_once_more_and_no_oftener() -> None:
    desk = Desk(POLICY)
    desk.tick("12.32")
    desk.refuse = lambda _order: -1021
    desk.deliver(entry(desk))
    assert desk.codes == ["-1021"]
    assert sum(isinstance(r, PlaceOrder) for r in desk.requests_made) == 2


def test_a_trade_that_is_told_twice_or_late_is_applied_once() -> None:
    desk = opened(POLICY)
    before = desk.position

    def reduced(number: int) -> OrderFilled:
        return OrderFilled(
            "by-hand", SYMBOL, "9", str(number), Side.SELL, OrderType.MARKET, D("0.1"),
            D("12.4"), D(0), D(0), reduce_only=True, done=True, at=desk.market,
        )  # fmt: skip

    desk.hear(reduced(100), reduced(100), reduced(101), reduced(100))
    assert desk.position.qty == before.qty - D("0.2")
    assert len(desk.noted("repeated_trade")) == 2


@pytest.mark.parametrize(
    ("name", "status", "barred"),
    [
        ("autoclose-1", "LIQUIDATED", True),
        ("adl_autoclose", "DELEVERAGED", False),
        ("settlement_autoclose-7", "SETTLED", True),
    ],
)
def test_what_the_venue_forced_has_its_own_name_and_may_bar_the_symbol_for_a_while(
    name: str, status: str, barred: bool
) -> None:
    desk = opened(POLICY)
    forced = OrderFilled(
        name, SYMBOL, "9", "900", Side.SELL, OrderType.MARKET, D("1.83"), D("12"), D(0), D(0),
        reduce_only=True, done=True, at=desk.market,
    )  # fmt: skip
    desk.hear(forced)
    assert desk.results[-1].status == status
    assert desk.results[-1].reason == name
    assert desk.state.positions == {}
    desk.deliver(entry(desk, "plan.again"))
    assert desk.codes == (["closed_by_venue"] if barred else [])
    assert bool(desk.state.forced) is barred
    if barred:
        desk.now += timedelta(seconds=3601)
        desk.deliver(entry(desk, "plan.later"))
        assert desk.codes == ["closed_by_venue"]


def test_entries_wait_while_the_venue_says_why_and_exits_do_not() -> None:
    desk = opened(POLICY)
    desk.hear(VenueHealth({"clock_drift": "the clocks differ by 900 ms"}, desk.market))
    assert desk.records["quantum:venue"] == {
        "entries": "barred", "barrier.clock_drift": "the clocks differ by 900 ms",
    }  # fmt: skip
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.venue_qty() == 0
    desk.deliver(entry(desk, "plan.next"))
    assert desk.codes == ["clock_drift"]
    desk.hear(VenueHealth({}, desk.market))
    desk.deliver(entry(desk, "plan.now"))
    assert desk.venue_qty() == D("1.83")


def test_an_acceptance_ends_a_doubt_even_of_a_stop() -> None:
    desk = Desk(POLICY)
    desk.tick("12.32")
    desk.silent, desk.executed = (lambda order: order.type is OrderType.STOP_MARKET), True
    desk.deliver(entry(desk))
    quiet(desk)
    (sent,) = desk.state.orders.values()
    desk.hear(OrderAccepted(sent.request.client_order_id, SYMBOL, "9", desk.market))
    assert proof(desk, sent) == "found"
    assert desk.position.stop_loss == D("12.0736")
