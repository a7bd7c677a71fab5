"""What a symbol is: the venue's names, exactly as it lists them, and how they are shown.

The venue takes `^[\\w\\-._&&[^a-z]]{1,50}$`: letters and digits of every script, no ASCII lower
case. Of these a reader refuses what looks like another name: text that is not composed (NFC),
characters that cannot be seen, those which are another way to write ASCII (full width, bold), and
a name whose every letter has the shape of an ASCII one (Cyrillic `ВТС`).
Pure: nothing is read or written.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from hashlib import blake2b

#: The venue's own limit. The longest name that it lists today has 17 characters.
SYMBOL_CHARS_MAX = 50

#: The rule as far as a regular expression of every language can say it: ASCII capitals, digits,
#: `_`, `-`, `.`, and beyond ASCII what is not known to be a space, a mark of punctuation, invisible
#: or full width.
SYMBOL_PATTERN = (
    r"(?![._-])[^\u0000-\u002c\u002f\u003a-\u0040\u005b-\u005e\u0060-\u00a9\u115f\u1160"
    r"\u2000-\u206f\u3000-\u3004\u3164\ufe00-\ufe0f\ufeff\uff00-\uff65\uffa0\ufff0-\uffff]"
    r"{1,50}"
)

_SLUG_WORD_CHARS, _SLUG_DIGEST_BYTES = 6, 5
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_LETTERS_OF_HEX = str.maketrans("0123456789", "ghijklmnop")
_JOINERS = frozenset("._-")
_FIRST = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nd"})
_LATER = _FIRST | {"Mn", "Mc"}
#: Letters and marks that show nothing: fillers, joiners, selectors of a variant.
_INVISIBLE = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
        (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)  # fmt: skip
#: Capitals with the shape of an ASCII capital; Cherokee and Lisu are full of them.
_SHAPED_LIKE_ASCII = frozenset("АВЕЅІЈКМНОРСТУХҮԌԚԜΑΒΕΖΗΙΚΜΝΟΡΤΥΧϜӀ") | frozenset(
    chr(code) for first, last in ((0x13A0, 0x13FF), (0xA4D0, 0xA4FF)) for code in range(first, last)
)


def symbol_fault(text: str) -> str | None:
    """Why a text is not a symbol, as a sentence; None if it is one."""
    if not 1 <= len(text) <= SYMBOL_CHARS_MAX:
        return f"must have 1 to {SYMBOL_CHARS_MAX} characters"
    return _fault(text)


def is_symbol(text: str) -> bool:
    """Whether the venue could list a contract of this name."""
    return symbol_fault(text) is None


@lru_cache(maxsize=4096)
def _fault(text: str) -> str | None:
    if _PLAIN.issuperset(text):
        return None
    if unicodedata.category(text[0]) not in _FIRST:
        return "must begin with a letter or a digit"
    for character in text:
        fault = _fault_of_character(character)
        if fault is not None:
            return fault
    if not unicodedata.is_normalized("NFC", text):
        return "must be composed Unicode (NFC)"
    if not text.isascii() and all(map(_could_be_ascii, text)):
        return "looks like another name: its letters only have the shape of ASCII ones"
    return None


def _fault_of_character(character: str) -> str | None:
    if character in _JOINERS:
        return None
    if "a" <= character <= "z":
        return "must be as the venue spells it, such as BTCUSDT"
    if unicodedata.category(character) not in _LATER or character in _INVISIBLE:
        return "has letters, digits, '_', '-' and '.' only, such as BTCUSDT"
    if not character.isascii() and any(
        c.isascii() for c in unicodedata.normalize("NFKC", character)
    ):
        return "has a character that is another way to write ASCII"
    return None


def _could_be_ascii(character: str) -> bool:
    return character.isascii() or character in _SHAPED_LIKE_ASCII or character.isdecimal()


@lru_cache(maxsize=4096)
def slug(symbol: str) -> str:
    """A short ASCII name of a symbol for ids, `[A-Za-z0-9]{2,20}`, the same in every process.

    It is the symbol itself where that is plain capitals and digits. Otherwise it is what is plain
    of it and a digest, whose small letters no symbol has.
    """
    if 2 <= len(symbol) <= 20 and _PLAIN.issuperset(symbol):
        return symbol
    word = "".join(c for c in symbol if c in _PLAIN)[:_SLUG_WORD_CHARS]
    digest = blake2b(symbol.encode(), digest_size=_SLUG_DIGEST_BYTES).hexdigest()
    return word + digest.translate(_LETTERS_OF_HEX)


def as_typed(text: str) -> str:
    """The symbol that somebody typed: ASCII letters may be small, all else is as it is listed."""
    return "".join(c.upper() if c.isascii() else c for c in text.strip())


def shown_width(text: str) -> int:
    """How many columns of a terminal a text takes: two for a character of a wide script."""
    return sum(map(_columns, text))


def padded(text: str, columns: int) -> str:
    """A text with spaces behind it up to a number of columns."""
    return text + " " * (columns - shown_width(text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
