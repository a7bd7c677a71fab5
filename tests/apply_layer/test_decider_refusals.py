"""apply_layer: what the venue refuses or denies is bounded, and told with its words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.apply_layer import plans, protection, stops
from services.apply_layer.doubt import Beat
from services.apply_layer.exchange import (
    CancelOrder,
    MarksSeen,
    OrderAbsent,
    OrderType,
    PlaceOrder,
    Quarantine,
    Quarantined,
    VenueHealth,
)
from services.apply_layer.journal import Leg
from services.apply_layer.looked import Looked
from services.apply_layer.paper_account import PaperPolicy
from services.apply_layer.refusals import wait_s
from services.apply_layer.state import ORDERS, Policy
from shared.contracts import MarketTick

from .builders import entry, held, leave, opened
from .desk import MARKET, SYMBOL, D, Desk


def is_stop(request: PlaceOrder) -> bool:
    return request.type is OrderType.STOP_MARKET


def sent(desk: Desk, wanted: Callable[[PlaceOrder], bool] = lambda _r: True) -> list[PlaceOrder]:
    return [r for r in desk.requests_made if isinstance(r, PlaceOrder) and wanted(r)]


def told(desk: Desk) -> dict[str, str]:
    return dict(desk.records["quantum:venue"] or {})


# -- no stop is taken -------------------------------------------------------------------------


def no_stop_is_taken() -> Desk:
    """An entry was opened and closed because the venue takes no stop."""
    desk = Desk()
    desk.tick("12.32")
    desk.refuse = lambda request: -4120 if is_stop(request) else None
    desk.deliver(entry(desk))
    for _ in range(3):
        desk.look(after_s=1)
    assert desk.venue_qty() == 0
    return desk


def test_after_a_forced_close_for_want_of_a_stop_no_entry_is_made() -> None:
    desk = no_stop_is_taken()
    for number in range(5):
        desk.look(after_s=1)
        desk.deliver(entry(desk, f"plan.{number}"))
    assert desk.codes == ["stops_refused"] * 5
    assert told(desk)["entries"] == "barred"
    assert "-4120 refused by the test" in told(desk)["barrier.stops_refused"]


def test_a_probe_that_the_venue_takes_frees_the_entries_and_leaves_nothing() -> None:
    desk = no_stop_is_taken()
    desk.refuse = lambda _request: None
    desk.look(after_s=5)
    (probe,) = [r for r in sent(desk) if r.close_position]
    assert (probe.type, probe.trigger_price) == (OrderType.STOP_MARKET, D("6.16"))
    assert desk.stops() == []
    assert told(desk) == {"entries": "open"}
    desk.deliver(entry(desk, "plan.next"))
    assert desk.venue_qty() == D("1.83")


def test_probes_that_are_refused_come_ever_more_seldom() -> None:
    desk = no_stop_is_taken()
    for _ in range(700):
        desk.look(after_s=1)
    probes = [r for r in sent(desk) if r.close_position]
    assert len(probes) == 7
    assert len({probe.client_order_id for probe in probes}) == 7


def test_a_stop_of_another_position_that_is_accepted_frees_the_entries() -> None:
    other = "SOLUSDT"
    desk = Desk()
    desk.tick("150", symbol=other)
    desk.tick("12.32")
    desk.refuse = lambda request: -4120 if is_stop(request) and request.symbol == SYMBOL else None
    desk.deliver(entry(desk))
    for _ in range(3):
        desk.look(after_s=1)
    assert "barrier.stops_refused" in told(desk)
    by_hand = PlaceOrder("by-hand", other, held().side.entry, OrderType.MARKET, D(1), False, MARKET)
    desk.behind_its_back(by_hand)
    desk.look(after_s=1)
    assert desk.stops(other)
    assert told(desk) == {"entries": "open"}


def test_a_stop_that_stood_before_proves_nothing() -> None:
    desk = no_stop_is_taken()
    number = desk.state.stops_barred["account"].number
    assert number == desk.state.numbers[ORDERS] - 1, "the forced close came after it"


def test_a_price_past_the_stop_raises_no_barrier() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.deliver(entry(desk, timestamp=desk.market + timedelta(seconds=1)))
    desk.tick("12.07")
    assert desk.venue_qty() == 0
    assert told(desk) == {"entries": "open"}


# -- what is refused again and again ----------------------------------------------------------


def test_a_protection_that_is_always_refused_is_not_sent_every_second() -> None:
    desk = opened()
    (stop,) = desk.stops()
    desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, desk.market))
    desk.refuse = lambda request: -4061 if request.reduce_only else None
    before = len(sent(desk))
    for _ in range(120):
        desk.look(after_s=1)
    assert len(sent(desk)) - before <= 20
    assert "stop refused by the venue: -4061" in told(desk)[f"stop_refused.{SYMBOL}"]
    assert "forced close refused by the venue: -4061" in told(desk)[f"stop_refused.{SYMBOL}"]


def test_what_a_state_of_the_account_refuses_waits_until_it_was_read_to_have_changed() -> None:
    desk = opened()
    (stop,) = desk.stops()
    desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, desk.market))
    desk.refuse = lambda request: -4061 if request.reduce_only else None
    for _ in range(4):
        desk.look(after_s=1)
    desk.hear(VenueHealth({"hedge_mode": "it is in hedge mode"}, desk.market))
    before = len(sent(desk))
    for _ in range(120):
        desk.look(after_s=1)
    assert len(sent(desk)) == before
    desk.refuse = lambda request: -4045 if request.type is OrderType.MARKET else None
    desk.hear(VenueHealth({}, desk.market))
    desk.look(after_s=1)
    assert desk.stop_prices() == [D("12.0736")]


def test_an_entry_that_is_always_refused_is_refused_here_for_a_while() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.refuse = lambda _request: -2019
    for number in range(60):
        desk.deliver(entry(desk, f"plan.{number}"))
        desk.now += timedelta(seconds=1)
    assert len(sent(desk)) <= 7
    assert set(desk.codes) == {"-2019", "refused_lately"}
    assert told(desk)[f"entry_refused.{SYMBOL}"].endswith("-2019 refused by the test")
    desk.refuse = lambda _request: None
    desk.now += timedelta(seconds=30)
    desk.deliver(entry(desk, "plan.good"))
    assert told(desk) == {"entries": "open"}


def test_the_wait_grows_to_half_a_minute_and_no_further() -> None:
    assert [wait_s(times) for times in range(8)] == [0, 0, 2, 4, 8, 16, 30, 30]
    assert wait_s(10_000) == 30


# -- the venue denies stops that stand --------------------------------------------------------


def deny_cancels(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the venue denies it does not cancel either."""
    perform = desk._perform

    def performed(request: object) -> Iterable[object]:
        return [] if isinstance(request, CancelOrder) else perform(request)

    monkeypatch.setattr(desk, "_perform", performed)


def denying(desk: Desk, seconds: int, mark: Decimal | None = None) -> None:
    """The venue lists no stop, and of each that is asked for it knows nothing."""
    for _ in range(seconds):
        desk.now += timedelta(seconds=1)
        view = replace(
            desk.snapshot(),
            open_orders=(),
            conclusive=False,
            after_order=desk.state.numbers[ORDERS],
        )
        if mark is not None:
            found = (replace(p, mark_price=mark) for p in view.positions)
            view = replace(view, positions=tuple(found))
        desk.hear(Looked(view))
        for order in tuple(desk.state.orders.values()):
            name = order.request.client_order_id
            desk.hear(OrderAbsent(name, SYMBOL, desk.market, desk.now))
        desk.hear(Beat())


def test_stops_that_the_venue_denies_do_not_pile_up_and_nothing_is_sold_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = opened()
    deny_cancels(desk, monkeypatch)
    denying(desk, 45)
    assert len(desk.stops()) <= 3
    assert desk.venue_qty() == D("1.83")
    assert desk.noted("flatten") == []
    monkeypatch.undo()
    desk.conclusive = False
    for _ in range(3):
        desk.look(after_s=1)
    assert len(desk.stops()) == 1
    assert desk.position.stop_order == desk.stops()[0].client_order_id


def test_a_denial_that_lasts_gets_a_stop_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = opened()
    deny_cancels(desk, monkeypatch)
    denying(desk, 300)
    assert len(desk.stops()) <= 7
    assert desk.venue_qty() == D("1.83")


def test_a_position_that_is_held_past_every_denied_stop_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = opened()
    deny_cancels(desk, monkeypatch)
    denying(desk, 5)
    denying(desk, 4, mark=D("12.07"))
    assert desk.venue_qty() == 0


# -- exits ------------------------------------------------------------------------------------


def test_an_exit_without_an_outcome_is_superseded_by_the_next_after_its_limit() -> None:
    desk = opened(Policy(exit_limit_s=D(10)))
    desk.tick("13.1")
    desk.silent = lambda _order: True
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25"))
    desk.silent = lambda _order: False
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.early"))
    assert desk.codes == ["exit_in_flight"]
    desk.now += timedelta(seconds=10)
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.venue_qty() == 0


def test_a_rung_after_a_stuck_one_leaves_what_that_may_still_take() -> None:
    desk = opened()
    desk.tick("13.1")
    desk.silent, desk.executed = (lambda _order: True), True
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25"))
    desk.silent = lambda _order: False
    desk.now += timedelta(seconds=10)
    desk.deliver(leave(desk, "PARTIAL_75", "plan.p75"))
    assert desk.venue_qty() == D("0.46")


def test_a_superseded_exit_that_never_was_executed_is_not_sent_again() -> None:
    desk = opened()
    desk.tick("13.1")
    desk.silent = lambda _order: True
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25"))
    desk.silent = lambda _order: False
    (stuck,) = [s for s in desk.state.orders.values() if s.leg is Leg.EXIT]
    desk.now += timedelta(seconds=20)
    desk.deliver(leave(desk, "PARTIAL_75", "plan.p75"))
    for _ in range(2):
        desk.now += timedelta(seconds=20)
        name = stuck.request.client_order_id
        desk.hear(OrderAbsent(name, SYMBOL, desk.market, desk.now))
    assert desk.codes == ["superseded"]
    assert desk.position.harvested_qty == desk.position.initial_qty - desk.venue_qty()


def test_an_exit_dated_to_the_end_of_the_hour_holds_up_nothing_on_paper() -> None:
    desk = opened()
    desk.tick("13.1")
    at = desk.market + timedelta(hours=1)
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25", timestamp=at))
    assert any(name.startswith("waits.") for name in told(desk))
    desk.tick("13.2")
    assert desk.position.harvested_qty == D("0.46")
    assert told(desk) == {"entries": "open"}


# -- one symbol -------------------------------------------------------------------------------


def test_a_symbol_in_quarantine_takes_no_entry_until_it_can_be_read_again() -> None:
    desk = Desk()
    desk.tick("12.32")
    found = Quarantine("no_bracket", "the venue states no leverage bracket: wait, or ask it")
    desk.hear(Quarantined({SYMBOL: found}, desk.market))
    desk.deliver(entry(desk))
    assert desk.codes == ["symbol_quarantined"]
    assert told(desk)[f"quarantine.{SYMBOL}"] == f"no_bracket {found.reason}"
    desk.hear(Quarantined({}, desk.market))
    assert told(desk) == {"entries": "open"}
    desk.deliver(entry(desk, "plan.next"))
    assert desk.venue_qty() == D("1.83")


def test_exits_and_protection_go_on_in_quarantine() -> None:
    desk = opened()
    desk.hear(Quarantined({SYMBOL: Quarantine("gone", "it is not listed")}, desk.market))
    (stop,) = desk.stops()
    desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, desk.market))
    desk.look(after_s=1)
    assert desk.stop_prices() == [D("12.0736")]
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.venue_qty() == 0


@pytest.mark.parametrize("bad", ["entry_price", "rules", "mark_price"])
def test_a_symbol_that_makes_no_sense_takes_no_other_down(bad: str) -> None:
    other = "SOLUSDT"
    desk = opened(paper=PaperPolicy(slippage_bps=D(0), taker_fee=D(0)))
    (stop,) = desk.stops()
    desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, desk.market))
    strange = held(symbol=other, entry_price="0" if bad == "entry_price" else "150")
    if bad == "mark_price":
        strange = replace(strange, mark_price=D(0))
    view = desk.snapshot()
    rules = tuple(r for r in view.rules if r.symbol != other or bad != "rules")
    if bad == "rules":
        desk.state = replace(
            desk.state, rules={s: r for s, r in desk.state.rules.items() if s != other}
        )
    look = replace(view, positions=(strange, *view.positions), rules=rules)
    desk.hear(Looked(look))
    assert desk.stop_prices() == [D("12.0736")], "the other's lost stop is back"
    if bad != "mark_price":
        assert told(desk)[f"quarantine.{other}"].startswith("inconsistent ")
        assert len(desk.noted("symbol_quarantined")) == 1
        desk.hear(Looked(look))
        assert len(desk.noted("symbol_quarantined")) == 1, "said once"
    desk.look(after_s=1)
    assert f"quarantine.{other}" not in told(desk)


def test_a_defect_in_one_symbol_s_decision_stays_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = stops.protect

    def planted(turn: object, position: object, looked: object) -> None:
        if getattr(position, "symbol", "") == SYMBOL:
            raise KeyError("a planted defect")
        real(turn, position, looked)  # type: ignore[arg-type]

    other = "SOLUSDT"
    desk = Desk(positions=[held(), held(symbol=other, entry_price="150")])
    for stop in desk.stops(other):
        desk.behind_its_back(CancelOrder(stop.client_order_id, other, desk.market))
    monkeypatch.setattr(protection, "protect", planted)
    desk.look(after_s=1)
    assert len(desk.stops(other)) == 1
    assert "a planted defect" in told(desk)[f"quarantine.{SYMBOL}"]
    monkeypatch.setattr(protection, "protect", real)
    desk.look(after_s=1)
    assert told(desk) == {"entries": "open"}


def test_a_plan_that_cannot_be_decided_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(*_args: object) -> None:
        raise ValueError("a planted defect")

    desk = opened()
    monkeypatch.setattr(plans, "_reduce", planted)
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert [letter.code for letter in desk.dead] == ["symbol_quarantined"]


# -- prices of the venue ----------------------------------------------------------------------


def ticks(desk: Desk) -> list[MarketTick]:
    return [r for r in desk.results if isinstance(r, MarketTick)]


def test_a_held_symbol_whose_feed_is_silent_gets_its_price_from_the_venue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published: list[MarketTick] = []
    desk = opened()
    real = desk._publish

    def publish(output: object) -> None:
        if isinstance(output, MarketTick):
            published.append(output)
        else:
            real(output)

    monkeypatch.setattr(desk, "_publish", publish)
    desk.tick("12.4")
    desk.hear(MarksSeen({SYMBOL: D("12.5"), "OTHER": D(1)}, MARKET))
    assert published == []
    for _ in range(2):
        desk.now += timedelta(seconds=10)
        desk.hear(MarksSeen({SYMBOL: D("12.6"), "OTHER": D(1)}, desk.market))
        desk.deliver(published[-1])
        desk.market += timedelta(seconds=10)
    assert [(t.symbol, t.mark_price, t.source) for t in published] == [
        (SYMBOL, D("12.6"), "apply_layer")
    ] * 2
    desk.hear(MarksSeen({SYMBOL: D("12.7")}, desk.market))
    assert len(published) == 3, "a price of its own does not end the silence"
    desk.tick("12.4")
    desk.hear(MarksSeen({SYMBOL: D("12.7")}, desk.market))
    assert len(published) == 3
