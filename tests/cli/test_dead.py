"""`quantum dead`: dead letters are shown, put back once they can be read, and dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from shared.bus import Entry
from shared.cli import app
from shared.cli.dead import original_of, put_back
from shared.dead_letters import dead_letter
from shared.streams import TRADE_INTENT
from shared.why.picture import Letter
from shared.why.read import read_letters

from .asking import Open, strike
from .small_ring import SmallRing


def run(*words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["dead", *words], input=answer)


def letters(ring: SmallRing) -> list[Letter]:
    return list(read_letters(ring.client))


def with_a_bad_one(open_ring: Open, **more: str) -> tuple[SmallRing, Letter]:
    """A ring that has put aside what it could not read."""
    ring = open_ring()
    fields = {"version": "1", "intent_type": "ENTRY", "symbol": "SOLUSDT", "qty": "NaN"} | more
    ring.raw(TRADE_INTENT.key, [word for pair in fields.items() for word in pair])
    ring.settle()
    [letter] = letters(ring)
    return ring, letter


def with_a_good_one(open_ring: Open) -> tuple[SmallRing, Letter]:
    """A ring that gave a good message up, because its reader died of it five times."""
    ring = open_ring()
    ring.put(ring.entry())
    for _ in range(5):
        ring.start("intent_bridge", hook=strike)
        with pytest.raises(KeyboardInterrupt):
            ring.turn("intent_bridge")
    ring.start("intent_bridge")
    ring.settle()
    [letter] = letters(ring)
    assert letter.code == "poison"
    return ring, letter


def test_a_letter_is_listed_with_its_reason_and_shown_whole(open_ring: Open) -> None:
    ring, letter = with_a_bad_one(open_ring, reason="\x1b[31mred", model="[bold]")
    page = run("list")
    assert page.exit_code == 0
    for text in (letter.letter_id, "intent_bridge", "trade.intent", "SOLUSDT"):
        assert text in page.stdout
    [row] = json.loads(run("list", "--json").stdout)
    assert row["code"] == letter.code
    assert row["fields"]["qty"] == "NaN"
    shown = run("show", "trade.intent", letter.letter_id)
    assert "original:qty: NaN" in shown.stdout
    assert "original:model: [bold]" in shown.stdout
    assert r"original:reason: b'\x1b[31mred'" in shown.stdout
    assert "\x1b" not in shown.stdout
    told = json.loads(run("show", "trade.intent", letter.letter_id, "--json").stdout)
    assert told == row
    assert len(letters(ring)) == 1


def test_no_letters_are_told_so(open_ring: Open) -> None:
    open_ring()
    assert run("list").stdout == "There are no dead letters.\n"
    assert run("list", "--json").stdout == "[]\n"


def test_a_message_that_can_be_read_goes_back_and_is_decided(open_ring: Open) -> None:
    ring, letter = with_a_good_one(open_ring)
    before = ring.length(TRADE_INTENT.key)
    ended = run("requeue", "trade.intent", letter.letter_id, answer="y\n")
    assert ended.exit_code == 0, ended.output
    assert letters(ring) == []
    assert ring.length(TRADE_INTENT.key) == before + 1
    ring.settle()
    assert "ENTRY_PROPOSED" in plans()
    assert letters(ring) == []


def plans() -> str:
    """What the streams say of plans."""
    page: str = CliRunner().invoke(app, ["tail", "apply.plan", "--no-follow", "--json"]).stdout
    return page


def test_a_message_that_still_cannot_be_read_stays_where_it_is(open_ring: Open) -> None:
    ring, letter = with_a_bad_one(open_ring)
    ended = run("requeue", "trade.intent", letter.letter_id, "--yes")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith("It still cannot be read: ")
    assert [one.letter_id for one in letters(ring)] == [letter.letter_id]
    assert ring.length(TRADE_INTENT.key) == 1


def test_a_no_is_a_no(open_ring: Open) -> None:
    ring, letter = with_a_good_one(open_ring)
    for command in ("requeue", "drop"):
        assert run(command, "trade.intent", letter.letter_id, answer="n\n").exit_code == 1
    assert [one.letter_id for one in letters(ring)] == [letter.letter_id]
    assert ring.length(TRADE_INTENT.key) == 1


def test_a_letter_is_put_back_once(open_ring: Open) -> None:
    ring, letter = with_a_good_one(open_ring)
    assert put_back(ring.client, TRADE_INTENT, letter.letter_id) is not None
    assert put_back(ring.client, TRADE_INTENT, letter.letter_id) is None
    assert ring.length(TRADE_INTENT.key) == 2


def test_a_letter_is_dropped(open_ring: Open) -> None:
    ring, letter = with_a_bad_one(open_ring)
    assert run("drop", "trade.intent", letter.letter_id, "--yes").stdout == "It is gone.\n"
    assert letters(ring) == []


@pytest.mark.parametrize("command", ["show", "requeue", "drop"])
def test_a_letter_that_is_not_there_is_a_clear_line(open_ring: Open, command: str) -> None:
    open_ring()
    ended = run(command, "trade.intent", "1-0")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == "There is no letter 1-0 of trade.intent.\n"
    assert run(command, "trade.intention", "1-0").exit_code == 2
    assert run(command, "trade.intent", "-").exit_code == 2


@pytest.mark.parametrize("fields", [3, 600])
def test_the_message_in_a_letter_is_what_it_was_byte_for_byte(open_ring: Open, fields: int) -> None:
    """Also one with so many fields that the letter holds them as netstrings."""
    ring = open_ring()
    words: list[Any] = [w for n in range(fields) for w in (f"f{n}:,".encode(), b"\xff,%d:" % n)]
    pairs = tuple(zip(words[::2], words[1::2], strict=True))
    entry = Entry(TRADE_INTENT, "1-0", pairs)
    letter = dead_letter(entry, code="too_large", detail="", group="x", at=ring.now())
    flat = [word if isinstance(word, bytes) else word.encode() for word in letter]
    assert original_of(flat) == words
    assert original_of([b"code", b"trimmed"]) == []
