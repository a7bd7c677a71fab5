"""apply_layer: an entry plan becomes a filled and stopped position, once, or a refusal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.apply_layer.exchange import OrderFilled, OrderType, PlaceOrder, SymbolRules
from services.apply_layer.paper_account import PaperPolicy
from services.apply_layer.paper_rules import BUILT_IN_RULES
from services.apply_layer.state import Policy, TakeProfitMode
from shared.contracts import EntryPlan, FillResult
from shared.decisions import Mode
from shared.sides import Side

from .builders import entry, held, leave, opened, order, short_entry
from .desk import SYMBOL, D, Desk


def test_an_entry_is_filled_and_stopped() -> None:
    desk = opened()
    assert desk.statuses == ["FILLED", "STOP_MOVED"]
    assert desk.venue_qty() == D("1.83")
    assert desk.stop_prices() == [D("12.0736")]
    filled, stopped = desk.results[-2:]
    assert filled.plan_id == stopped.plan_id == "plan.entry"
    assert filled.intent_id == "entry"
    assert (filled.position_qty, filled.position_stop_loss) == (D("1.83"), None)
    assert stopped.position_stop_loss == stopped.position_initial_stop == D("12.0736")


def test_its_record_is_what_the_venue_holds() -> None:
    desk = opened()
    record = desk.record
    assert record is not None
    assert {name: record[name] for name in ("side", "qty", "entry_price", "stop_loss")} == {
        "side": "LONG",
        "qty": "1.83",
        "entry_price": "12.32",
        "stop_loss": "12.0736",
    }
    assert record["take_profit_3"] == "15"


def test_a_short_is_stopped_above() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.deliver(short_entry(desk))
    (stop,) = desk.stops()
    assert (stop.side, stop.trigger_price, stop.qty) == (Side.BUY, D("12.5664"), D("1.83"))
    assert desk.venue_qty() == D("-1.83")


def test_results_carry_market_time_and_were_produced_now() -> None:
    desk = opened()
    for result in desk.results:
        assert result.produced_at == desk.now or result.status == "POSITION"
    assert desk.results[-1].timestamp == desk.market


def test_every_result_has_an_id_of_its_own() -> None:
    desk = opened()
    desk.restart()
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25"))
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25.again"))
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    ids = [result.result_id for result in desk.results]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("mode", [Mode.EXITS_ONLY, Mode.HALT])
def test_no_entry_is_sent_unless_the_mode_is_run(mode: Mode) -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.mode = mode
    desk.deliver(entry(desk))
    assert desk.codes == [f"mode_{mode.lower()}"]
    assert desk.requests_made == []


def test_an_entry_that_is_too_old_expires() -> None:
    desk = Desk()
    desk.tick("12.32")
    late = entry(desk)
    desk.now += timedelta(seconds=31)
    desk.deliver(late)
    assert desk.statuses == ["EXPIRED"]
    assert desk.codes == ["stale_plan"]
    assert desk.requests_made == []


def test_age_is_wall_clock_and_not_market_time() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.deliver(entry(desk, timestamp=desk.market - timedelta(days=400)))
    assert desk.statuses == ["FILLED", "STOP_MOVED"]


def test_there_is_one_position_a_symbol() -> None:
    desk = opened()
    desk.deliver(entry(desk, "plan.second"))
    assert desk.codes == ["position_exists"]
    assert desk.venue_qty() == D("1.83")


def ahead_of_the_mark(desk: Desk, **changes: Any) -> EntryPlan:
    """An entry that waits on paper: it was decided at a time of which no mark has come yet."""
    return entry(desk, timestamp=desk.market + timedelta(seconds=1), **changes)


def test_an_entry_without_an_outcome_blocks_the_next() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.deliver(ahead_of_the_mark(desk))
    desk.deliver(entry(desk, "plan.second"))
    assert desk.codes == ["entry_in_flight"]
    desk.tick("12.32")
    assert desk.statuses == ["REJECTED", "FILLED", "STOP_MOVED"]


def test_leverage_above_the_bracket_is_refused_before_the_venue_hears_of_it() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.deliver(entry(desk, leverage=51))
    assert desk.codes == ["leverage_out_of_bracket"]
    assert desk.requests_made == []


def test_a_repeated_plan_changes_nothing_even_if_it_was_produced_again() -> None:
    desk = opened()
    before = desk.state
    desk.deliver(entry(desk, produced_at=desk.now + timedelta(seconds=9)))
    assert desk.state == before
    assert desk.statuses == ["FILLED", "STOP_MOVED"]
    assert len(desk.noted("repeated_plan")) == 1


def test_the_same_id_with_other_content_is_a_dead_letter() -> None:
    desk = opened()
    desk.deliver(entry(desk, qty=D(2)))
    assert [letter.code for letter in desk.dead] == ["id_conflict"]
    assert desk.venue_qty() == D("1.83")


def test_the_same_id_for_another_symbol_is_a_dead_letter_and_no_second_order() -> None:
    desk = opened()
    orders = len(desk.requests_made)
    desk.tick("150", symbol="SOLUSDT")
    desk.deliver(entry(desk, symbol="SOLUSDT"))
    assert [letter.code for letter in desk.dead] == ["id_conflict"]
    assert len(desk.requests_made) == orders


def test_a_symbol_that_the_venue_does_not_list_is_a_dead_letter() -> None:
    desk = Desk()
    desk.deliver(entry(desk, symbol="NOSUCHUSDT"))
    assert [letter.code for letter in desk.dead] == ["symbol_not_listed"]
    assert desk.statuses == []


def test_what_the_venue_refuses_is_refused_with_its_number() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.deliver(entry(desk, qty=D("0.01")))
    assert desk.codes == ["-4164"]
    assert desk.state.orders == {}


def test_an_entry_that_dies_at_its_fill_says_why() -> None:
    desk = Desk(paper=PaperPolicy(initial_wallet=D("50.8")))
    desk.tick("12.32")
    desk.deliver(ahead_of_the_mark(desk, qty=D(41)))
    desk.tick("12.56")
    assert desk.statuses == ["REJECTED"]
    assert desk.codes == ["margin_insufficient"]
    assert desk.state.orders == {}


def test_a_fill_past_its_own_stop_is_flattened() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.deliver(ahead_of_the_mark(desk))
    desk.tick("12.00")
    assert desk.venue_qty() == 0
    assert desk.stops() == []
    assert desk.statuses == ["FILLED", "FILLED"]
    assert [r.reduceOnly for r in desk.results if isinstance(r, FillResult)] == [False, True]


def test_a_refusal_of_a_very_long_plan_id_still_has_an_id_of_its_own() -> None:
    desk = Desk()
    desk.mode = Mode.HALT
    for last in "AB":
        desk.deliver(entry(desk, "plan." + "x" * 55 + last, intent_id="x" * 55 + last))
    ids = [result.result_id for result in desk.results if result.status == "REJECTED"]
    assert len(set(ids)) == 2


def test_an_entry_filled_in_two_parts_is_stopped_for_all_of_it() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.deliver(ahead_of_the_mark(desk, qty=D(3)))
    (sent,) = desk.state.orders.values()
    for number, (qty, price) in enumerate((("1", "12.3"), ("2", "12.4")), start=1):
        desk.hear(
            OrderFilled(
                client_order_id=sent.request.client_order_id,
                symbol=SYMBOL,
                order_id="1",
                trade_id=f"t{number}",
                side=Side.BUY,
                type=OrderType.MARKET,
                qty=D(qty),
                price=D(price),
                fee=D(0),
                realized_pnl=D(0),
                reduce_only=False,
                done=number == 2,
                at=desk.market,
            )
        )
    assert desk.statuses == ["PARTIALLY_FILLED", "STOP_MOVED", "FILLED", "STOP_MOVED"]
    assert desk.position.entry_price == D("12.366666666667")
    assert [stop.qty for stop in desk.stops()] == [D(3)]


@pytest.mark.parametrize(
    ("mode", "resting"),
    [
        (TakeProfitMode.HARVEST, []),
        (TakeProfitMode.BRACKET, [("13", "1.83")]),
        (TakeProfitMode.SCHEME, [("13", "0.54"), ("14", "0.54"), ("15", "0.75")]),
    ],
)
def test_targets_rest_as_the_take_profit_mode_says(
    mode: TakeProfitMode, resting: list[tuple[str, str]]
) -> None:
    desk = opened(Policy(take_profit_mode=mode))
    targets = [o for o in desk.snapshot().open_orders if o.type is OrderType.TAKE_PROFIT_MARKET]
    assert [(o.trigger_price, o.qty) for o in targets] == [(D(p), D(q)) for p, q in resting]


def test_a_target_that_is_hit_counts_as_harvested() -> None:
    desk = opened(Policy(take_profit_mode=TakeProfitMode.SCHEME))
    desk.tick("13.5")
    assert desk.position.harvested_qty == D("0.54")
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25"))
    assert desk.codes == ["already_harvested"]
    desk.deliver(leave(desk, "PARTIAL_50", "plan.p50"))
    assert desk.position.harvested_qty == D("0.92")
    desk.tick("20")
    assert desk.venue_qty() == 0
    assert desk.snapshot().open_orders == ()


def test_a_bracket_closes_all_and_takes_the_stop_with_it() -> None:
    desk = opened(Policy(take_profit_mode=TakeProfitMode.BRACKET))
    desk.tick("13.5")
    assert desk.venue_qty() == 0
    assert desk.snapshot().open_orders == ()
    assert desk.record is None


def test_a_position_of_others_that_is_left_alone_is_not_added_to() -> None:
    desk = Desk(Policy(adopt=False), positions=[held()])
    desk.tick("12.32")
    desk.deliver(entry(desk))
    assert desk.codes == ["position_of_others"]
    desk.behind_its_back(order(desk, Side.SELL, "1.83", reduce_only=True, name="by-hand"))
    desk.look(after_s=1)
    desk.deliver(entry(desk, "plan.second"))
    assert desk.statuses == ["REJECTED", "FILLED", "STOP_MOVED"]


def test_no_order_beyond_the_venue_s_maximum_leaves_in_slices_but_an_exit_s() -> None:
    rules: dict[str, SymbolRules] = {**BUILT_IN_RULES}
    desk = Desk(paper=PaperPolicy(rules=rules))
    desk.tick("12.32")
    desk.deliver(entry(desk, qty=D(50001)))
    assert desk.codes == ["-4005"]
    assert len([r for r in desk.requests_made if isinstance(r, PlaceOrder)]) == 1
