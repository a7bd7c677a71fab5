"""A dead letter holds a message whole; of one that is far too long it holds the beginning."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.bus import Entry
from shared.cli.dead import original_of
from shared.contracts.wire import MAX_BYTES
from shared.dead_letters import MOST_BYTES, dead_letter
from shared.streams import BATCH, TRADE_INTENT

AT = datetime(2025, 6, 1, tzinfo=UTC)
WORDS = st.binary(max_size=40)


def letter_of(*fields: tuple[bytes, bytes]) -> list[str | bytes]:
    entry = Entry(TRADE_INTENT, "1-1", fields)
    return dead_letter(entry, code="too_large", detail="it is", group="intent_bridge", at=AT)


def packed(letter: list[str | bytes]) -> list[bytes]:
    return [word.encode() if isinstance(word, str) else word for word in letter]


def size_of(words: list[bytes]) -> int:
    return sum(len(word) for word in words)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=600))
def test_a_message_of_any_bytes_is_kept_whole(fields: list[tuple[bytes, bytes]]) -> None:
    assert original_of(packed(letter_of(*fields))) == [word for pair in fields for word in pair]


@given(
    st.lists(st.tuples(st.binary(max_size=9), st.integers(0, 2 * MOST_BYTES)), min_size=1)
    .map(lambda shapes: [(name, b"x" * size) for name, size in shapes])
    .filter(lambda fields: sum(len(n) + len(v) for n, v in fields) > MOST_BYTES)
)
def test_of_one_that_is_far_too_long_as_much_is_kept_as_never_can_be_read(
    fields: list[tuple[bytes, bytes]],
) -> None:
    letter = packed(letter_of(*fields))
    kept = original_of(letter)
    assert MAX_BYTES < size_of(kept) <= MOST_BYTES
    assert kept[0] == fields[0][0]
    assert b"are kept" in letter[3]


def test_a_batch_of_letters_is_far_below_what_the_server_takes_in_one_command() -> None:
    letter = packed(letter_of((b"a", b"x" * 10_000_000)))
    assert BATCH * size_of(letter) < 16_000_000
