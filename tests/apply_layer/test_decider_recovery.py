"""apply_layer: killed between any two steps, it comes back to where it would have been."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from services.apply_layer.exchange import CancelOrder, OrderAccepted, OrderType, PlaceOrder
from services.apply_layer.journal import Leg
from services.apply_layer.state import Policy, TakeProfitMode
from shared.decisions import Mode
from shared.sides import Side

from .builders import entry, leave, move_stop, opened, order
from .desk import SYMBOL, D, Desk

#: The steps of one message that asks for one order: about to commit, committed, about to send.
JOURNALLED_BUT_NOT_SENT = 2


def ready() -> Desk:
    desk = Desk()
    desk.tick("12.32")
    return desk


def test_an_entry_that_was_journalled_but_never_sent_is_sent() -> None:
    desk = ready()
    desk.steps_left = JOURNALLED_BUT_NOT_SENT
    desk.deliver(entry(desk))
    assert len(desk.noted("sent_again")) == 1
    assert len(desk.noted("repeated_plan")) == 1
    assert desk.statuses == ["FILLED", "STOP_MOVED"]
    assert desk.venue_qty() == D("1.83")


def test_one_that_is_too_old_by_then_expires_instead() -> None:
    desk = ready()
    desk.steps_left, desk.down_s = JOURNALLED_BUT_NOT_SENT, 31
    desk.deliver(entry(desk))
    assert desk.codes == ["stale_plan"]
    assert desk.statuses == ["EXPIRED"]
    assert desk.venue_qty() == 0
    assert desk.state.orders == {}


@pytest.mark.parametrize("mode", [Mode.EXITS_ONLY, Mode.HALT])
def test_one_that_the_mode_forbids_by_then_is_refused(mode: Mode) -> None:
    desk = ready()
    desk.steps_left = JOURNALLED_BUT_NOT_SENT
    late = entry(desk)
    desk.restart_in = mode
    desk.deliver(late)
    assert desk.codes == [f"mode_{mode.lower()}"]
    assert desk.venue_qty() == 0


def test_an_exit_that_was_journalled_but_never_sent_is_sent_however_old() -> None:
    desk = opened()
    desk.steps_left, desk.down_s = JOURNALLED_BUT_NOT_SENT, 100_000
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25"))
    assert desk.venue_qty() == D("1.37")
    assert desk.position.harvested_qty == D("0.46")


def test_an_exit_that_halt_forbids_by_then_is_refused() -> None:
    desk = opened()
    desk.steps_left, desk.restart_in = JOURNALLED_BUT_NOT_SENT, Mode.HALT
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25"))
    assert desk.codes == ["mode_halt"]
    assert desk.venue_qty() == D("1.83")


def test_a_stop_that_moved_for_a_position_closed_elsewhere_meanwhile_has_its_outcome() -> None:
    desk = opened()
    desk.tick("13")
    move = move_stop(desk, "12.5", "plan.stop")
    desk.steps_left = JOURNALLED_BUT_NOT_SENT
    desk.while_down = lambda: desk.behind_its_back(
        order(desk, Side.SELL, "1.83", reduce_only=True, name="by-hand")
    )
    desk.deliver(move)
    assert desk.codes == ["no_such_position"]
    desk.look(after_s=1)
    assert desk.snapshot().open_orders == ()
    assert desk.state.orders == {}
    placed = [r for r in desk.requests_made if isinstance(r, PlaceOrder)]
    assert [r.trigger_price for r in placed] == [None, D("12.0736")]


def unanswered_move() -> Desk:
    """A desk that asked for a stop to be moved and cannot tell whether it was."""
    desk = opened()
    desk.tick("13")
    desk.refuse = lambda request: -4116 if request.trigger_price == D("12.5") else None
    desk.deliver(move_stop(desk, "12.5", "plan.stop"))
    assert desk.codes == []
    return desk


def test_a_move_that_was_never_answered_ends_with_the_position() -> None:
    desk = unanswered_move()
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.codes == ["-2011"]
    assert desk.state.orders == {}


def test_a_stop_that_stands_only_after_the_position_has_ended_is_withdrawn_and_told() -> None:
    desk = unanswered_move()
    (sent,) = [s for s in desk.state.orders.values() if not s.accepted]
    desk.behind_its_back(sent.request)
    desk.state = replace(desk.state, positions={})
    desk.hear(OrderAccepted(sent.request.client_order_id, SYMBOL, "9", desk.market))
    assert desk.codes == ["no_such_position"]
    assert sent.request.client_order_id not in {o.client_order_id for o in desk.stops()}


@pytest.mark.parametrize("steps", range(12))
def test_a_daemon_that_was_down_for_long_protects_an_entry_and_does_not_close_it(
    steps: int,
) -> None:
    desk = ready()
    desk.steps_left, desk.down_s = steps, 20
    desk.deliver(entry(desk))
    assert desk.venue_qty() == D("1.83")
    assert desk.stop_prices() == [D("12.0736")]
    desk.look(after_s=1)
    assert desk.venue_qty() == D("1.83")


def test_an_order_that_stands_was_accepted_even_if_the_answer_was_lost() -> None:
    desk = ready()
    desk.refuse = lambda request: -4116 if request.type is OrderType.STOP_MARKET else None
    desk.deliver(entry(desk))
    (sent,) = desk.state.orders.values()
    assert (sent.leg, sent.accepted) == (Leg.STOP, False)
    desk.behind_its_back(sent.request)
    desk.refuse = lambda _request: None
    desk.look(after_s=1)
    assert desk.statuses == ["FILLED", "STOP_MOVED"]
    assert desk.position.stop_order == sent.request.client_order_id
    assert len(desk.stops()) == 1


def test_an_order_of_which_nothing_is_known_is_not_made_up_from_its_acceptance() -> None:
    desk = ready()
    desk.hear(OrderAccepted("never-heard-of", SYMBOL, "1", desk.market))
    assert desk.statuses == []
    assert desk.state.orders == {}


# -- every step -------------------------------------------------------------------------------


def harvested(desk: Desk) -> None:
    desk.tick("12.32")
    desk.deliver(entry(desk))
    desk.tick("13.1")
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25"))
    desk.deliver(move_stop(desk, "12.3446", "plan.lock"))
    desk.tick("14.2")
    desk.deliver(leave(desk, "PARTIAL_75", "plan.p75"))
    desk.deliver(leave(desk, "PARTIAL_75", "plan.p75.again"))


def stopped_out(desk: Desk) -> None:
    harvested(desk)
    desk.tick("12.3")


def killed_by_score(desk: Desk) -> None:
    harvested(desk)
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))


def flattened(desk: Desk) -> None:
    desk.tick("12.32")
    desk.deliver(entry(desk, timestamp=desk.market + timedelta(seconds=1)))
    desk.tick("12.0")
    desk.deliver(entry(desk, "plan.next", stop_loss=D("11.8")))


def robbed_of_its_stop(desk: Desk) -> None:
    desk.tick("12.32")
    desk.deliver(entry(desk))
    for stop in desk.stops():
        desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, desk.market))
    desk.look(after_s=1)


STORIES = (harvested, stopped_out, killed_by_score, flattened, robbed_of_its_stop)


def outcome(desk: Desk) -> tuple[object, ...]:
    """What must not depend on when the process died."""
    desk.look(after_s=1)
    desk.look(after_s=1)
    positions = [(p.symbol, p.side, p.qty, p.entry_price) for p in desk.snapshot().positions]
    orders = {(o.type, o.side, o.qty, o.trigger_price) for o in desk.snapshot().open_orders}
    held = [
        (p.position_id, p.qty, p.harvested_qty, p.initial_qty, p.stop_loss, p.realized_pnl)
        for p in desk.state.positions.values()
    ]
    results = sorted((r.status, r.plan_id or "") for r in desk.results if r.status != "POSITION")
    return positions, orders, held, results, desk.snapshot().wallet, desk.record is None


@pytest.mark.parametrize("mode", [TakeProfitMode.HARVEST, TakeProfitMode.SCHEME])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_killed_at_any_step_it_ends_where_it_would_have_ended(
    story: Callable[[Desk], None], mode: TakeProfitMode
) -> None:
    policy = Policy(take_profit_mode=mode)
    quiet = Desk(policy)
    story(quiet)
    expected = outcome(quiet)
    for step in range(400):
        desk = Desk(policy)
        desk.steps_left = step
        story(desk)
        if desk.steps_left is not None:
            break
        assert outcome(desk) == expected, f"killed at step {step}"
        ids = [r.result_id for r in desk.results]
        assert len(ids) == len(set(ids))
    assert step > 20


def test_an_order_once_made_is_never_made_again_but_by_its_own_name() -> None:
    for step in range(200):
        desk = Desk()
        desk.steps_left = step
        stopped_out(desk)
        sizes = {
            (r.client_order_id, r.qty, r.side)
            for r in desk.requests_made
            if isinstance(r, PlaceOrder)
        }
        assert len({name for name, _, _ in sizes}) == len(sizes)
        if desk.steps_left is not None:
            break
