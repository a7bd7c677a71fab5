"""The checker can fail: what is well passes, and each way of spoiling it is found by its number."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from .checker import CHECKS, INVARIANTS, check
from .tale import SYMBOL, Tale, moment, name_of, well
from .timeline import timeline

ENTRY_ID = name_of("e", "plan.entry")
EXIT_ID = name_of("x", "plan.P25")
NEXT_ID = name_of("x", "plan.P50")


def found(tale: Tale) -> set[int]:
    return {violation.invariant for violation in check(tale.evidence())}


def test_a_run_in_which_all_is_well_passes() -> None:
    assert check(well().evidence()) == []


def test_a_position_that_is_stopped_out_passes() -> None:
    tale = Tale().enter()
    stop = tale.after(0.5).stop()
    tale.after(1).mark("89")
    tale.ended(stop, "FINISHED")
    sold = tale.order(stop["client_id"], "SELL", "1", type="STOP_MARKET")
    tale.trade(sold, "1", "89", "-11")
    tale.ended(sold, "FILLED")
    assert check(tale.after(20).evidence()) == []


def executed_twice(tale: Tale) -> None:
    tale.trade(tale.order(ENTRY_ID, "BUY", "1"), "1")


def more_than_planned(tale: Tale) -> None:
    tale.plans[0]["qty"] = "0.9"


def of_no_plan(tale: Tale) -> None:
    tale.plans.clear()


def rung_too_large(tale: Tale) -> None:
    tale.leave("plan.P25.2", "PARTIAL_25", "0.25")


def not_in_the_journal(tale: Tale) -> None:
    tale.ledger[1]["witness"] = False


def lost_sight_of_a_doubt(tale: Tale) -> None:
    tale.request(name_of("x", "plan.P50"), http=0, fault="timed_out_not_executed")


def killed_before_the_answer(tale: Tale) -> None:
    tale.note("struck", life=1, step="sent_order", how="kill", client_id=NEXT_ID)


def sent_again_at_once(tale: Tale) -> None:
    doubtful(tale)
    tale.after(0.1).request(NEXT_ID)


def sent_again_after_one_answer(tale: Tale) -> None:
    doubtful(tale)
    tale.after(1.1).request(NEXT_ID, method="GET", http=400, code=-2013)
    tale.request(NEXT_ID)


def sent_again_after_early_answers(tale: Tale) -> None:
    doubtful(tale)
    for _ in range(2):
        tale.after(0.45).request(NEXT_ID, method="GET", http=400, code=-2013)
    tale.request(NEXT_ID)


def proved_absent_and_there(tale: Tale) -> None:
    tale.documents[f"proofs/{EXIT_ID}"] = {"verdict": "absent", "at": moment(tale.at)}


def doubtful(tale: Tale) -> None:
    tale.request(NEXT_ID, http=0, fault="timed_out_not_executed")
    tale.documents[f"proofs/{NEXT_ID}"] = {"verdict": "absent", "at": moment(tale.at)}


def record_is_off(tale: Tale) -> None:
    tale.records[SYMBOL]["qty"] = "0.76"


def record_is_gone(tale: Tale) -> None:
    tale.records.clear()


def stream_is_off(tale: Tale) -> None:
    tale.results[0]["filled_qty"] = "0.9"


def naked_too_long(tale: Tale) -> None:
    tale.ended(tale.ledger[4])
    tale.after(2.1)


def stop_too_small(tale: Tale) -> None:
    tale.ledger[4]["qty"] = "0.7"
    tale.after(2.1)


def stop_on_the_wrong_side(tale: Tale) -> None:
    tale.ledger[4]["side"] = "BUY"
    tale.after(2.1)


def stop_that_triggered_in_vain(tale: Tale) -> None:
    tale.mark("89").after(2.1)


def stop_on_another_price(tale: Tale) -> None:
    tale.ledger[4]["working_type"] = "CONTRACT_PRICE"


def only_stop_withdrawn(tale: Tale) -> None:
    first = tale.ledger[4]
    tale.ended(first)
    tale.request(first["client_id"], method="DELETE", book="algo")
    tale.stop(count=2)


def stop_left_over(tale: Tale) -> None:
    tale.leave("plan.close", "FULL_CLOSE_PROPOSED", "0.75").after(10.1)


def exit_that_grows(tale: Tale) -> None:
    tale.plan("plan.x", "PARTIAL_75", "0.1")
    tale.trade(tale.order(name_of("x", "plan.x"), "BUY", "0.1"), "0.1")


def exit_that_flips(tale: Tale) -> None:
    tale.leave("plan.close", "FULL_CLOSE_PROPOSED", "1")


def exit_that_may_flip(tale: Tale) -> None:
    tale.ledger[6]["reduce_only"] = False


def told_twice(tale: Tale) -> None:
    tale.results.append(tale.results[0])


def not_told(tale: Tale) -> None:
    del tale.results[1]


def told_without_its_fee(tale: Tale) -> None:
    tale.results[1]["fee"] = "0"


def fees_not_added_up(tale: Tale) -> None:
    tale.results[1]["position_fees"] = "0.05"


def wallet_is_off(tale: Tale) -> None:
    tale.ledger[-1]["wallet"] = "10000"


def committed_too_late(tale: Tale) -> None:
    tale.note("acquired", life=2, epoch=11)
    tale.note("committed", life=1, began=tale.at + 0.01)


def epoch_falls(tale: Tale) -> None:
    tale.after(0.1).note("acquired", life=2, epoch=9)


def published_twice(tale: Tale) -> None:
    tale.refused("plan.P50", "already_harvested")
    tale.refused("plan.P50", "already_harvested")


def ordered_too_late(tale: Tale) -> None:
    tale.plan("plan.P50", "PARTIAL_50", "0.25")
    name = name_of("x", "plan.P50")
    tale.documents[f"proofs/{name}"] = {"verdict": "absent", "at": moment(tale.at)}
    tale.note("acquired", life=2, epoch=11)
    tale.after(0.1).note("sent", life=1, client_id=name, began=tale.at)
    tale.trade(tale.order(name, "SELL", "0.25"), "0.25")


def crashed(tale: Tale) -> None:
    tale.note("ended", life=1, status=1)


def exit_held_back(tale: Tale) -> None:
    tale.note("mode", mode="EXITS_ONLY")
    tale.plan("plan.P50", "PARTIAL_50", "0.25")
    tale.refused("plan.P50", "mode_exits_only")


def exit_never_answered(tale: Tale) -> None:
    tale.plan("plan.P50", "PARTIAL_50", "0.25")


SPOILT: tuple[tuple[int, Callable[[Tale], None]], ...] = (
    (1, executed_twice), (1, more_than_planned), (1, of_no_plan), (1, rung_too_large),
    (3, not_in_the_journal),
    (4, lost_sight_of_a_doubt), (4, killed_before_the_answer), (4, sent_again_at_once),
    (4, sent_again_after_one_answer),
    (4, sent_again_after_early_answers), (4, proved_absent_and_there),
    (5, record_is_off), (5, record_is_gone), (5, stream_is_off),
    (6, naked_too_long), (6, stop_too_small), (6, stop_on_the_wrong_side),
    (6, stop_that_triggered_in_vain), (6, stop_on_another_price),
    (6, only_stop_withdrawn),
    (7, stop_left_over),
    (8, exit_that_grows), (8, exit_that_flips), (8, exit_that_may_flip),
    (9, told_twice), (9, not_told), (9, told_without_its_fee), (9, fees_not_added_up),
    (9, wallet_is_off),
    (13, committed_too_late), (13, epoch_falls), (13, published_twice), (13, ordered_too_late),
    (13, crashed),
    (15, exit_held_back), (15, exit_never_answered),
)  # fmt: skip


@pytest.mark.parametrize(
    ("invariant", "spoil"), SPOILT, ids=[spoil.__name__ for _, spoil in SPOILT]
)
def test_what_is_spoilt_is_found(invariant: int, spoil: Callable[[Tale], None]) -> None:
    tale = well()
    spoil(tale)
    assert invariant in found(tale)


def test_every_invariant_of_the_gauntlet_is_among_those_that_were_spoilt() -> None:
    assert {invariant for invariant, _ in SPOILT} == set(INVARIANTS)
    assert len(CHECKS) >= len(INVARIANTS)


def test_an_order_is_sent_again_after_two_answers_that_are_late_and_far_apart_enough() -> None:
    tale = well()
    doubtful(tale)
    tale.after(1.1).request(NEXT_ID, method="GET", http=400, code=-2013)
    tale.after(0.6).request(NEXT_ID, method="GET", http=400, code=-2013)
    tale.request(NEXT_ID)
    assert found(tale) == set()


def test_an_exit_may_be_refused_while_the_venue_wants_silence_and_no_longer() -> None:
    tale = well()
    tale.request(EXIT_ID, method="GET", http=429, code=-1003)
    tale.plan("plan.P50", "PARTIAL_50", "0.25")
    tale.refused("plan.P50", "-1015")
    assert found(tale) == set()
    tale.after(3.1)
    tale.plan("plan.P75", "PARTIAL_75", "0.25")
    tale.refused("plan.P75", "-1015")
    assert found(tale) == {15}


def test_a_hand_that_opens_a_position_is_stated_by_its_adoption() -> None:
    tale = Tale()
    tale.trade(tale.order("web-1", "BUY", "1", reduce_only=False), "1")
    tale.results[-1] |= {"result_id": "adopted.BTCUSDT.1", "status": "ADOPTED", "position_fees": ""}
    del tale.results[-1]["filled_qty"]
    tale.after(0.2)
    adopted = f"adopted.{tale.results[-1]['position_id']}"
    tale.stop(plan_id=adopted)
    assert check(tale.after(5).evidence()) == []


def test_what_a_hand_opens_and_closes_before_it_was_seen_is_nobody_elses() -> None:
    tale = Tale()
    tale.trade(tale.order("web-1", "BUY", "1", reduce_only=False), "1")
    tale.after(0.1)
    tale.trade(tale.order("web-2", "SELL", "1"), "1")
    tale.results.clear()
    assert check(tale.evidence()) == []


def test_what_a_hand_takes_from_a_position_that_was_told_of_has_to_be_told() -> None:
    tale = well()
    tale.trade(tale.order("web-2", "SELL", "0.1"), "0.1")
    del tale.results[-1]
    assert 9 in found(tale)


def test_while_the_venue_is_down_nobody_can_place_a_stop_and_ten_seconds_later_one_must_stand() -> (
    None
):
    tale = Tale().enter()
    tale.line("down")
    tale.after(30).line("up")
    assert found(tale.after(9.9)) == set()
    assert found(tale.after(0.2)) == {6}


def test_a_stop_may_be_withdrawn_when_another_stands() -> None:
    tale = well()
    first = tale.ledger[4]
    tale.stop(count=2)
    tale.ended(first)
    tale.request(first["client_id"], method="DELETE", book="algo")
    assert found(tale) == set()


def test_the_time_during_which_no_life_was_up_does_not_count() -> None:
    tale = Tale().enter()
    tale.after(0.5).note("struck", life=1, step="any", how="kill", client_id="")
    tale.after(3).note("acquired", life=2, epoch=11)
    assert found(tale.after(1.4)) == set()
    assert found(tale.after(0.2)) == {6}


def test_trouble_that_a_new_life_meets_in_time_is_an_excuse() -> None:
    tale = Tale().enter()
    tale.note("struck", life=1, step="any", how="kill", client_id="")
    tale.after(3).note("acquired", life=2, epoch=11)
    tale.after(0.5).request(ENTRY_ID, method="GET", http=503, fault="http_503_internal")
    assert found(tale.after(9.9)) == set()
    assert found(tale.after(0.2)) == {6}


def test_nobody_has_heard_of_a_stop_that_the_venue_ended_just_now() -> None:
    tale = well()
    first, second = tale.ledger[4], tale.stop(count=2)
    tale.after(1).ended(second, "REJECTED")
    tale.after(0.2).ended(first)
    tale.request(first["client_id"], method="DELETE", book="algo")
    tale.after(0.3).stop(count=3)
    assert found(tale) == set()


def test_a_hand_may_withdraw_a_stop_and_a_call_that_comes_too_late_did_not() -> None:
    tale = well()
    first = tale.ledger[4]
    tale.ended(first)
    tale.request(first["client_id"], method="DELETE", book="algo", http=400, code=-2011)
    tale.after(0.3).stop(count=2)
    assert found(tale) == set()


def test_a_full_close_closes_what_is_held_when_it_is_done() -> None:
    tale = well()
    tale.trade(tale.order("web-1", "BUY", "0.5", reduce_only=False), "0.5")
    tale.leave("plan.close", "FULL_CLOSE_PROPOSED", "1.25", planned="0.75")
    tale.after(0.1).ended(tale.ledger[4])
    assert 1 not in found(tale)


def test_a_new_stop_may_be_too_small_for_what_a_hand_has_added_meanwhile() -> None:
    tale = well()
    first = tale.ledger[4]
    tale.trade(tale.order("web-1", "BUY", "0.25", reduce_only=False), "0.25")
    tale.stop("0.75", count=2)
    tale.ended(first)
    tale.request(first["client_id"], method="DELETE", book="algo")
    tale.after(0.2).stop("1", count=3)
    assert 6 not in found(tale)


def test_trouble_that_comes_too_late_is_no_excuse() -> None:
    tale = Tale().enter()
    tale.after(2.1).line("down")
    tale.after(0.1).line("up")
    tale.stop()
    assert found(tale) == {6}


def test_a_life_that_was_paused_before_it_took_over_may_succeed_a_younger_one() -> None:
    tale = well()
    tale.after(0.1).note("acquired", life=3, epoch=11)
    tale.after(0.1).note("acquired", life=2, epoch=12)
    tale.after(0.1).note("committed", life=2, began=tale.at)
    assert found(tale) == set()
    tale.note("committed", life=3, began=tale.at)
    assert found(tale) == {13}


def test_a_stale_answer_is_no_excuse() -> None:
    tale = Tale().enter()
    tale.after(0.1).request(ENTRY_ID, method="GET", fault="stale_read")
    tale.after(2.1).stop()
    assert found(tale) == {6}


def test_a_moment_between_fill_and_stop_is_measured() -> None:
    naked, alone = timeline(well().evidence())
    assert [round(span.seconds, 3) for span in naked] == [0.2]
    assert alone == []


def test_the_wallet_counts_funding() -> None:
    tale = well()
    tale.wallet += Decimal("-1.5")
    tale.line("funding", symbol=SYMBOL, amount="-1.5", wallet=str(tale.wallet))
    assert found(tale) == set()
    tale.line("funding", symbol=SYMBOL, amount="-1.5", wallet=str(tale.wallet))
    assert found(tale) == {9}
