"""What an answer of the venue means for an order; one table, by the venue's numeric codes.

Pure. The codes are those of Binance USD-M futures. ccxt's own error classes depend on the host that
was asked, so nothing here looks at them.
"""

from __future__ import annotations

from enum import StrEnum


class Meaning(StrEnum):
    """What is known of an order after an answer."""

    #: It may have been executed: it is UNKNOWN until there is proof.
    UNKNOWN = "unknown"
    #: It was most likely not executed: one question, then the same order again.
    UNLIKELY = "unlikely"
    #: It was not executed, for a reason of its own.
    REFUSED = "refused"
    #: An order of that id stands already: an earlier attempt succeeded.
    EXISTS = "exists"
    #: What was asked for is so already: that is success.
    ALREADY = "already"
    #: The venue does not know the order.
    NO_SUCH_ORDER = "no_such_order"
    #: Not executed; the clocks differ.
    CLOCK = "clock"
    #: Not executed; the symbol's filters are others than we think.
    FILTERS = "filters"
    #: Not executed; entries wait, exits need not.
    OVERLOADED = "overloaded"
    #: Not executed; nothing is asked for until the venue says so.
    SLOW_DOWN = "slow_down"
    BANNED = "banned"
    #: Not executed; the venue takes no entries from this account or key.
    LOCKED_OUT = "locked_out"


_BY_CODE: dict[Meaning, tuple[int, ...]] = {
    Meaning.UNKNOWN: (-1006, -1007),
    Meaning.UNLIKELY: (-1001,),
    Meaning.EXISTS: (-4116,),
    Meaning.ALREADY: (-4046, -4059),
    Meaning.NO_SUCH_ORDER: (-2011, -2013),
    Meaning.CLOCK: (-1021, -5028),
    Meaning.FILTERS: (-1111, -4014, -4023, -4003, -4004, -4005),
    Meaning.OVERLOADED: (-1008,),
    Meaning.SLOW_DOWN: (-1003, -1015),
    Meaning.LOCKED_OUT: (-1022, -2014, -2015, -4087, -4088, -4192, -4400, -4401),
}
_MEANING = {code: meaning for meaning, codes in _BY_CODE.items() for code in codes}
_UNKNOWN_HTTP = (408, 502, 504)
_UNLIKELY_TEXTS = ("service unavailable", "internal error")


def meaning_of(http: int, code: int, text: str) -> Meaning:
    """What an answer with this HTTP status, numeric code (0 without one) and text means."""
    if http == 418:
        return Meaning.BANNED
    if http == 429:
        return Meaning.SLOW_DOWN
    if code in _MEANING:
        return _MEANING[code]
    if http == 503:
        lower = text.lower()
        sure = any(words in lower for words in _UNLIKELY_TEXTS) and "unknown" not in lower
        return Meaning.UNLIKELY if sure else Meaning.UNKNOWN
    if http in _UNKNOWN_HTTP or http >= 500:
        return Meaning.UNKNOWN
    return Meaning.REFUSED
