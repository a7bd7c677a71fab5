"""Orders are numbered, and a view says which of them it can tell of: no clock orders the two."""

from __future__ import annotations

from services.apply_layer.binance.performed import Performed


def test_a_view_tells_of_all_orders_before_the_first_that_is_under_way() -> None:
    performed = Performed()
    assert performed.up_to == 0
    with performed.under_way(1):
        assert performed.up_to == 0
        with performed.under_way(2):
            assert performed.up_to == 0
        assert performed.up_to == 0
    assert performed.up_to == 2
    with performed.under_way(4), performed.under_way(3):
        assert performed.up_to == 2
    assert performed.up_to == 4


def test_what_an_earlier_life_sent_is_behind_every_view() -> None:
    performed = Performed()
    performed.restore(17)
    assert performed.up_to == 17
