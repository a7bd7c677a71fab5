"""Symbols as the venue lists them and may list them, for tests of everything that carries one."""

from __future__ import annotations

from hypothesis import strategies as st

from shared.symbols import SYMBOL_CHARS_MAX, is_symbol

CHINESE, QUARTERLY = "币安人生USDT", "ETHUSDT_260327"
#: Each is here for a reason of its own.
LISTED = (
    *("BTCUSDT", "1000SHIBUSDT", CHINESE, "龙虾USDT", QUARTERLY, "BTC-PERP", "A.B_C-D", "1", "4"),
    *("ÑANDÚUSDT", "ПРИВЕТUSDT", "नमस्तेUSDT", "ทำดีUSDT", "سلامUSDT", "𠮷野家USDT", "ΔΩUSDT"),
    *("İSTANBULUSDT", "ßUSDT", "한국USDT", "Z" * SYMBOL_CHARS_MAX, "币" * SYMBOL_CHARS_MAX),
    *("A__B", "USDT-1M-1m".upper(), "CON", "NAN", "NULL", "TRUE"),
)
#: What no reader may take for a symbol.
NOT_SYMBOLS = (
    *("", "btcusdt", "BTCUSDt", "BTC/USDT", "BTC USDT", "BTCUSDT\n", " BTCUSDT", "BTC\0USDT"),
    *(".", "..", ".A", "-A", "_A", "A" * (SYMBOL_CHARS_MAX + 1), "BTC:USDT", "BTC*", "A?", "A#B"),
    *("A%41", "<B>", "A&B", 'A"B', "A'B", "A\\B", "A=B", "A,B", "A\u200dB", "A\u202eB", "A\u2066B"),
    *("E\u0301USDT", "\u0301A", "ＢＴＣUSDT", "\U0001d401TC", "A\u3164B", "\u115fA", "A\ufe0fB"),
    *(
        "A\u034fB",
        "ВТСUSDT",
        "МЕМUSDT",
        "ΒΤCUSDT",
        "٣USDT",
        "ǅUSDT",
        "ﬁUSDT",
        "①USDT",
        "🚀USDT",
        "A\x7fB",
        "A\x9bB",
        "A\ud800B",
        "A\u3000B",
        "A\u00adB",
    ),
)
#: Letters, marks, digits of every script; most texts of them are symbols.
_made = st.text(
    st.characters(
        categories=("Lu", "Lo", "Lt", "Lm", "Mn", "Mc", "Nd"), include_characters="ABCXYZ019_-."
    ),
    min_size=1,
    max_size=SYMBOL_CHARS_MAX,
).filter(is_symbol)
symbols = st.sampled_from(LISTED) | _made
