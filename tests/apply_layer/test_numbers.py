"""Orders are numbered, and a view says which of them it can tell of: no clock orders the two."""

from __future__ import annotations

from services.apply_layer.binance.performed import Performed


def test_a_view_tells_of_all_orders_begun_but_those_of_symbols_where_something_is_under_way() -> (
    None
):
    performed = Performed()
    performed.began("BTCUSDT", 1)
    performed.began("SOLUSDT", 2)
    performed.began("SOLUSDT")
    assert performed.up_to == 2
    assert performed.symbols == {"BTCUSDT", "SOLUSDT"}
    performed.ended("BTCUSDT")
    performed.ended("SOLUSDT")
    assert performed.symbols == {"SOLUSDT"}
    performed.ended("SOLUSDT")
    assert (performed.up_to, performed.symbols) == (2, frozenset())


def test_what_an_earlier_life_sent_is_behind_every_view() -> None:
    performed = Performed()
    performed.restore(17)
    assert performed.up_to == 17
