"""A state in a hash: only what changed is written, and what is read is what was written."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from pydantic import ValidationError

from shared.state import StateCodec

from .counting import Count, State

CODEC = StateCodec(State)
ONE, TWO = Count(1, Decimal("0.10"), "t1"), Count(2, Decimal("1e-18"), "t2")


def test_what_was_written_is_read_back_the_same() -> None:
    state = State(counts={"BTCUSDT": ONE, "a/b": TWO})
    written = CODEC.changes(State(), state)
    assert CODEC.load({name: doc for name, doc in written.items() if doc is not None}) == state
    assert sorted(written) == ["counts/BTCUSDT", "counts/a/b"]


def test_only_what_changed_is_written() -> None:
    before = State(counts={"A": ONE, "B": ONE, "C": ONE})
    after = replace(before, counts={"A": ONE, "B": TWO, "D": ONE})
    changes = CODEC.changes(before, after)
    assert changes.pop("counts/C") is None
    assert sorted(changes) == ["counts/B", "counts/D"]
    assert CODEC.changes(before, before) == {}


def test_documents_of_other_owners_are_left_alone() -> None:
    assert CODEC.load({"venue/calls": b"1", "countsA": b"2"}) == State()


def test_a_document_that_this_version_does_not_write_is_refused() -> None:
    with pytest.raises(ValidationError):
        CODEC.load({"counts/A": b'{"ticks": 1}'})
