"""Bad input, raw and all at once, on every stream of a real ring.

Each has one dead letter with its reason code and its original bytes, or one refusal with its
reason code; no order comes of it, nobody crashes, nothing stays pending, and the next good message
is handled.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from shared.cli.demo_market import write_candles
from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    MARKET_TICK,
    STREAMS,
    TRADE_INTENT,
    Stream,
)

from .bad import BAD, Bad
from .live import Live, a_ring, a_server, books, entries, is_quiet, now_text
from .messages import Raw, Sample, entry_intent, golden, send, send_raw, tick

#: The last prices before the intents; the bridge believes no other.
MARKS = {"SOLUSDT": "150", "RIVERUSDT": "12.32", "BNBUSDT": "99999999"}


def refused_intents() -> dict[str, Sample]:
    """Intents that can be read and may not be followed, by the reason code of their SKIP."""
    return {
        "stale_intent": entry_intent("SOLUSDT", "150", produced_at=now_text(-31)),
        "intent_from_the_future": entry_intent("SOLUSDT", "150", produced_at=now_text(60)),
        "rules_unknown": entry_intent("NOSUCHUSDT", "150"),
        "no_fresh_mark": entry_intent("LTCUSDT", "150"),
        "price_deviates": entry_intent("SOLUSDT", "1.5"),
        "atr_out_of_range": entry_intent("SOLUSDT", "150", atr_value="99"),
        "volatility_out_of_range": entry_intent("SOLUSDT", "150", volatility_factor="11"),
        "leverage_out_of_bracket": entry_intent("RIVERUSDT", "12.32", leverage="51"),
        "order_cap": entry_intent("SOLUSDT", "150", position_size_usd="999999999999999999"),
        "below_min_notional": entry_intent("SOLUSDT", "150", position_size_usd="4"),
        "below_min_qty": entry_intent("BNBUSDT", "99999999"),
    }


@dataclass
class Sent:
    """A ring that everything was sent to, and what was sent by its entry id."""

    live: Live
    bad: list[tuple[str, Bad]]
    skipped: dict[str, Sample]
    conflict: str
    stale: Sample
    unlisted: str


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    """Send it all, then wait until the ring is quiet again."""
    folder = tmp_path_factory.mktemp("bad")
    candles, _ = write_candles(folder, [12.32] * 3)
    with (
        a_server(folder, appendfsync="no") as server,
        a_ring(server, folder, candles=candles, until_end=False) as live,
    ):
        live.until_standing()
        live.until_ticks(12)
        bad = [(send_raw(live.client, one.stream, one.raw), one) for one in BAD]
        for symbol, price in MARKS.items():
            send(live.client, tick(symbol, price))
        skipped = refused_intents()
        for sample in skipped.values():
            send(live.client, sample)
        conflict = skipped["stale_intent"].but(entry_price="151")
        conflict_id = send(live.client, conflict)
        send(live.client, skipped["stale_intent"])
        stale = golden(
            "apply.plan.execute_entry", produced_at=now_text(-31), plan_id="p.1", intent_id="i.1"
        )
        send(live.client, stale)
        unlisted = send(live.client, stale.but(symbol="NOSUCHUSDT", plan_id="p.2"))
        live.until(lambda: is_quiet(live.client), "a quiet ring")
        yield Sent(live, bad, skipped, conflict_id, stale, unlisted)


def dead_letters(live: Live, stream: Stream) -> dict[str, list[dict[bytes, bytes]]]:
    """The dead letters of a stream by the id of what was put aside."""
    found: dict[str, list[dict[bytes, bytes]]] = {}
    for _, fields in entries(live.client, stream.dead_key):
        letter = dict(fields)
        found.setdefault(letter[b"id"].decode(), []).append(letter)
    return found


def original(letter: dict[bytes, bytes]) -> Any:
    """What was put aside, as it was sent."""
    if b"original" in letter:
        return letter[b"original"]
    prefix = b"original:"
    return [(k.removeprefix(prefix), v) for k, v in letter.items() if k.startswith(prefix)]


def netstrings(raw: Raw) -> bytes:
    return b"".join(b"%d:%b," % (len(word), word) for pair in raw for word in pair)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_each_has_one_dead_letter_with_its_code_and_its_original_bytes(
    sent: Sent, stream: Stream
) -> None:
    expected = {id_: bad for id_, bad in sent.bad if bad.stream is stream}
    assert len(expected) >= 75
    letters = dead_letters(sent.live, stream)
    policy = {TRADE_INTENT: sent.conflict, APPLY_PLAN: sent.unlisted}.get(stream)
    assert {expected[id_].name for id_ in expected.keys() - letters.keys()} == set()
    assert letters.keys() - expected.keys() == ({policy} if policy else set())
    for id_, bad in expected.items():
        [letter] = letters[id_]
        assert letter[b"code"].decode() == bad.code, bad.name
        assert letter[b"stream"].decode() == stream.name
        assert letter[b"group"].decode() == stream.readers[0]
        if b"original" in letter:
            assert original(letter) == netstrings(bad.raw), bad.name
        else:
            # A field twice stands twice in the letter; as a dict it has the last of both.
            assert dict(original(letter)) == dict(bad.raw), bad.name


def test_a_field_that_was_given_twice_stands_twice_in_its_letter(sent: Sent) -> None:
    [id_] = [i for i, b in sent.bad if b.name == "a field twice" and b.stream == APPLY_PLAN]
    letters = [fields for _, fields in entries(sent.live.client, APPLY_PLAN.dead_key)]
    [letter] = [fields for fields in letters if (b"id", id_.encode()) in fields]
    assert [v for k, v in letter if k == b"original:symbol"] == [b"BTCUSDT", b"RIVERUSDT"]


def test_an_intent_that_may_not_be_followed_is_skipped_once_with_its_reason(sent: Sent) -> None:
    plans = texts_of(sent.live, APPLY_PLAN)
    for reason, sample in sent.skipped.items():
        found = [plan for plan in plans if plan.get("intent_id") == sample.fields["intent_id"]]
        assert [(p["decision"], p["reason"]) for p in found] == [("SKIP", reason)]


def texts_of(live: Live, stream: Stream) -> list[dict[str, str]]:
    """What can be read of a stream."""
    return [
        {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in f}
        for _, f in entries(live.client, stream.key)
    ]


def test_an_id_with_other_content_is_a_dead_letter(sent: Sent) -> None:
    [letter] = dead_letters(sent.live, TRADE_INTENT)[sent.conflict]
    assert letter[b"code"] == b"id_conflict"
    assert letter[b"original:entry_price"] == b"151"


def test_a_stale_plan_expires_and_one_for_an_unlisted_symbol_is_a_dead_letter(sent: Sent) -> None:
    [letter] = dead_letters(sent.live, APPLY_PLAN)[sent.unlisted]
    assert letter[b"code"] == b"symbol_not_listed"
    results = [r for r in texts_of(sent.live, APPLY_RESULT) if r.get("plan_id") == "p.1"]
    assert [(r["status"], r["error_code"]) for r in results] == [("EXPIRED", "stale_plan")]


def test_nothing_of_it_reaches_the_venue_crashes_a_daemon_or_stays_pending(sent: Sent) -> None:
    live = sent.live
    live.ring.watch()
    assert live.ring.restarts == {}
    assert {daemon: live.ring.pid(daemon) for daemon in live.ring.daemons} == live.pids
    assert is_quiet(live.client)
    for book in books(live.client).values():
        assert book["position"] is None
        assert not book["orders"]
    spoilt_ids = {id_ for id_, bad in sent.bad if bad.stream is APPLY_RESULT}
    told = [dict(f) for id_, f in entries(live.client, APPLY_RESULT.key) if id_ not in spoilt_ids]
    assert {result[b"status"] for result in told} == {b"POSITION", b"EXPIRED"}


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not on PATH")
def test_what_redis_cli_sends_is_put_aside_as_well(sent: Sent) -> None:
    live = sent.live
    socket = live.server.url.removeprefix("unix://")
    words = ["redis-cli", "-s", socket, "XADD", MARKET_TICK.key, "*", "price", "NaN"]
    id_ = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    live.until(lambda: dead_letters(live, MARKET_TICK).get(id_), "the dead letter")
    assert [b[b"code"] for b in dead_letters(live, MARKET_TICK)[id_]] == [b"missing_field"]


def test_the_next_good_message_of_each_stream_is_handled(sent: Sent) -> None:
    """A price, an intent, its plans and its fill: one good message on each of the four streams."""
    live = sent.live
    good = entry_intent("SOLUSDT", "150")
    send(live.client, tick("SOLUSDT", "150"))
    send(live.client, good)

    def outcome() -> list[str]:
        intent_id = good.fields["intent_id"]
        return [
            message.get("decision") or message["status"]
            for stream in (APPLY_PLAN, APPLY_RESULT)
            for message in texts_of(live, stream)
            if message.get("intent_id") == intent_id
        ]

    live.until(lambda: "STOP_MOVED" in outcome(), "the entry's fill and its stop")
    assert outcome() == ["AWAITING_EXITS", "EXECUTE", "FILLED", "STOP_MOVED"]
    live.until(lambda: is_quiet(live.client), "a quiet ring")
    live.until(lambda: live.client.exists("quantum:harvest:SOLUSDT"), "the watch over it")
