"""Every name that the venue lists is a symbol, and nothing else is; what is made of one is safe."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.trading_bot.decider import MODEL_IN_ID_CHARS, intent_id_of
from shared.contracts import BadMessage, decode, encode
from shared.contracts.fields import ID_PATTERN, INTENT_ID_PATTERN
from shared.sides import Side
from shared.streams import MARKET_TICK
from shared.symbols import SYMBOL_PATTERN, is_symbol, padded, shown_width, slug, symbol_fault

from .odd import LISTED, NOT_SYMBOLS, symbols

TICK = {
    "version": "1",
    "timestamp": "2025-06-01T00:00:00.000Z",
    "produced_at": "2025-06-01T00:00:00.000Z",
    "source": "market_feed",
    "tick_id": "t",
    "mark_price": "1",
}
#: The last day whose milliseconds have 13 digits.
LAST = datetime(2286, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize("symbol", LISTED)
def test_what_the_venue_lists_is_a_symbol(symbol: str) -> None:
    assert symbol_fault(symbol) is None


@pytest.mark.parametrize("text", NOT_SYMBOLS)
def test_what_only_looks_like_a_symbol_is_refused_with_a_sentence(text: str) -> None:
    assert symbol_fault(text)


@pytest.mark.parametrize("text", [t for t in NOT_SYMBOLS if "\ud800" not in t])
def test_a_message_with_a_wrong_symbol_is_refused_as_bad_text(text: str) -> None:
    fields = [(name.encode(), value.encode()) for name, value in {**TICK, "symbol": text}.items()]
    with pytest.raises(BadMessage, match=r"^bad_text: symbol: "):
        decode(MARKET_TICK.contract, fields)


@given(symbols)
def test_a_message_carries_every_symbol_unchanged(symbol: str) -> None:
    fields = [(name.encode(), value.encode()) for name, value in {**TICK, "symbol": symbol}.items()]
    message = decode(MARKET_TICK.contract, fields)
    assert message.symbol == symbol
    assert dict(encode(message))["symbol"] == symbol


@given(symbols)
def test_the_published_pattern_takes_every_symbol(symbol: str) -> None:
    assert re.fullmatch(SYMBOL_PATTERN, symbol)


@given(st.text(st.characters(max_codepoint=0x7F), max_size=52))
def test_of_ascii_the_published_pattern_takes_what_the_reader_takes(text: str) -> None:
    assert bool(re.fullmatch(SYMBOL_PATTERN, text)) == is_symbol(text)


@given(symbols)
def test_a_slug_is_short_plain_ascii(symbol: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]{2,20}", slug(symbol))


@given(symbols, symbols)
def test_two_symbols_never_have_one_slug(one: str, other: str) -> None:
    assert (slug(one) == slug(other)) == (one == other)


def test_a_plain_symbol_is_its_own_slug_and_others_keep_what_is_plain_of_them() -> None:
    assert slug("BTCUSDT") == "BTCUSDT"
    assert slug("ETHUSDT_260327").startswith("ETHUSD")
    assert slug("币安人生USDT").startswith("USDT")


def test_a_slug_is_the_same_in_every_process() -> None:
    code = "from shared.symbols import slug; print(slug('\\u5e01\\u5b89\\u4eba\\u751fUSDT'))"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() == slug("币安人生USDT")


@given(symbols)
def test_the_longest_chain_of_ids_fits_its_contract(symbol: str) -> None:
    """position -> intent of an exit -> plan, refusal and result, each with its longest parts."""
    last_ms = int(LAST.timestamp() * 1000)
    position_id = f"{slug(symbol)}-{last_ms}-{9 * 10**10}"
    exit_id = f"{position_id}.P75.9999"
    entry_id = intent_id_of(symbol, "m" * 99, LAST, Side.SELL)
    assert MODEL_IN_ID_CHARS <= 99
    for intent_id in (exit_id, entry_id):
        assert re.fullmatch(INTENT_ID_PATTERN, intent_id), intent_id
    for other in (position_id, f"adopted.{slug(symbol)}-{last_ms}", f"{slug(symbol)}-{last_ms}"):
        assert re.fullmatch(ID_PATTERN, other), other


@given(symbols)
@settings(max_examples=50)
def test_padding_brings_every_symbol_to_one_width(symbol: str) -> None:
    assert shown_width(padded(symbol, 120)) == 120


def test_a_wide_character_takes_two_columns_and_a_mark_none() -> None:
    assert shown_width("币安人生USDT") == 12
    assert shown_width("BTCUSDT") == 7
    assert shown_width("नमस्ते") == 4
