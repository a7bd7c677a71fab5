"""notifier on a real server, with apprise and a receiver that listens on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.notifier.outbox import Policy, Quiet
from shared.bus import RedisBus, Superseded
from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    MODE_KEY,
    TRADE_INTENT,
    VENUE_KEY,
    WATCH_KEY,
    heartbeat_key,
    state_key,
)
from tests.ring.live import a_server, call
from tests.ring.messages import golden

from .desk import Desk, a_desk, say
from .phone import TOKEN, Phone, a_phone

FILL, RUNG = "apply.result.filled", "apply.result.partially_filled"
REFUSAL, LIQUIDATION = "apply.plan.skip_entry", "apply.result.liquidated"
ALL_AT_ONCE = Policy(per_minute=60, burst=20, gather=timedelta(0))


@pytest.fixture
def phone() -> Iterator[Phone]:
    with a_phone() as on:
        yield on


@pytest.fixture
def desk(redis_url: str, phone: Phone) -> Iterator[Desk]:
    with a_desk(redis_url, phone, policy=ALL_AT_ONCE) as opened:
        yield opened


def put_aside(desk: Desk, detail: str) -> str:
    """A dead letter of trade.intent, as its reader writes it."""
    words = ("code", "bad_number", "detail", detail, "stream", "trade.intent", "group", "g")
    return str(call(desk.client, "XADD", TRADE_INTENT.dead_key, "*", *words), "ascii")


def test_each_kind_of_event_is_told_once(desk: Desk, phone: Phone) -> None:
    for name in (FILL, RUNG, "apply.result.stopped_out", "apply.result.stop_moved", LIQUIDATION):
        say(desk.client, name)
    for name in ("apply.result.adopted", REFUSAL, "apply.result.position"):
        say(desk.client, name)
    say(desk.client, RUNG, reason="PARTIAL_25", result_id="r.77", symbol="SOLUSDT")
    put_aside(desk, "qty is no number")
    desk.client.set(MODE_KEY, "EXITS_ONLY")
    desk.client.hset(
        VENUE_KEY, mapping={"barrier.banned": "418", "unknown.q1": "ETHUSDT EXIT since then"}
    )
    since = (datetime.now(UTC) - timedelta(seconds=9)).isoformat()
    desk.client.hset(WATCH_KEY, "position_without_stop.X", f"{since} LONG 1 X has no stop")
    desk.until_told(
        "bought 0.023", "BTCUSDT: sold 0.005 in part", "stop hit: sold 0.023", "stop 104450 now",
        "liquidated by the venue", "adopted LONG 0.023", "refused with open_positions_cap",
        "SOLUSDT: sold 22 % at 105300.1 (1.0 R), +5.24 realised", "qty is no number",
        "The mode is EXITS_ONLY", "the venue says banned", "ETHUSDT: an order (exit) got no answer",
        "LONG 1 X has no stop",
    )  # fmt: skip
    desk.client.delete(WATCH_KEY)
    desk.until_told("Over, it lasted ")
    desk.until_idle()
    assert len(phone.lines) == 14
    assert desk.count("quantum_notices_total", kind="refusal", outcome="told") == 1
    assert desk.count("quantum_notices_handed_total", receiver="1 json", how="arrived") == len(
        phone.received
    )
    kinds = {notice["title"]: notice["type"] for notice in phone.received}
    assert kinds["URGENT: Liquidated"] == "failure"
    assert kinds["Mode"] == "warning"
    assert kinds["Filled"] == "info"


def test_what_came_before_the_first_start_is_not_told(redis_url: str, phone: Phone) -> None:
    with a_desk(redis_url, phone) as desk:
        desk.client.flushall()
        say(desk.client, FILL)
        desk.restart()
        say(desk.client, RUNG)
        desk.until_told("sold 0.005")
        assert len(phone.lines) == 1


def test_a_restart_goes_on_where_it_was(desk: Desk, phone: Phone) -> None:
    say(desk.client, FILL)
    desk.until_told("bought 0.023")
    desk.until_idle()
    desk.end()
    say(desk.client, RUNG)
    desk.start()
    desk.until_told("sold 0.005")
    desk.until_idle()
    desk.restart()
    say(desk.client, REFUSAL)
    desk.until_told("open_positions_cap")
    desk.until_idle()
    assert len(phone.lines) == 3


def test_streams_that_begin_while_it_is_away_are_told_from_their_beginning(
    desk: Desk, phone: Phone
) -> None:
    desk.end()
    say(desk.client, FILL)
    put_aside(desk, "a letter")
    desk.start()
    desk.until_told("bought 0.023", "a letter")


def test_a_kill_with_a_notice_in_flight_repeats_that_one_at_most(desk: Desk, phone: Phone) -> None:
    say(desk.client, FILL)
    desk.until_told("bought 0.023")
    desk.until_idle()
    phone.hangs = True
    say(desk.client, RUNG)
    desk.until(lambda: desk.notifier.state.outboxes["1 json"].in_flight, "a notice in flight")
    say(desk.client, REFUSAL)
    phone.hangs = False
    desk.restart()
    desk.until_told("sold 0.005", "open_positions_cap")
    desk.until_idle()
    counts = [sum(word in line for line in phone.lines) for word in ("bought", "sold", "open_pos")]
    assert counts[0] == counts[2] == 1
    assert counts[1] in (1, 2)


def test_a_receiver_that_was_off_gets_everything_when_it_is_back(
    redis_url: str, phone: Phone
) -> None:
    with a_phone() as gone:
        port = gone.port
    gone.port = port
    with a_desk(redis_url, phone, gone, policy=ALL_AT_ONCE) as desk:
        say(desk.client, FILL)

        def failed() -> float:
            return desk.count("quantum_notices_handed_total", receiver="2 json", how="refused")

        desk.until(failed, "a notice that was not taken")
        say(desk.client, RUNG)
        desk.until(lambda: len(phone.lines) == 2, "the other receiver is told meanwhile")
        with a_phone(port) as back:
            desk.ahead += timedelta(seconds=60)
            desk.until(lambda: len(back.lines) == 2, "both are told")
            desk.until_idle()
        assert len(phone.lines) == 2


def test_a_receiver_that_answers_with_an_error_is_asked_again(desk: Desk, phone: Phone) -> None:
    phone.status = 503
    say(desk.client, FILL)
    desk.until(lambda: desk.notifier.state.outboxes["1 json"].failures, "a refusal")
    phone.status = 200
    desk.ahead += timedelta(seconds=5)
    desk.until_told("bought 0.023")
    desk.until_idle()
    assert desk.count("quantum_notices_failures", receiver="1 json") == 0


def test_a_receiver_that_hangs_holds_nothing_up(redis_url: str, phone: Phone) -> None:
    with a_phone() as slow:
        slow.hangs = True
        with a_desk(redis_url, slow, phone, policy=ALL_AT_ONCE) as desk:
            say(desk.client, FILL)
            desk.until(lambda: phone.lines and slow.asked, "the other one is told")
            say(desk.client, RUNG)
            desk.until(lambda: len(phone.lines) == 2, "and goes on being told")
            # It would have been left by now, had anything waited for it.
            assert desk.notifier.state.outboxes["1 json"].in_flight


def test_a_receiver_that_hangs_is_left_in_time_and_asked_again(
    redis_url: str, phone: Phone
) -> None:
    phone.hangs = True
    with a_desk(redis_url, phone, timeout_s=2.0) as desk:
        say(desk.client, FILL)

        def timed_out() -> float:
            return desk.count("quantum_notices_handed_total", receiver="1 json", how="timed_out")

        desk.until(timed_out, "the time limit")
        phone.hangs = False
        desk.receivers._timeout_s = 20.0
        desk.ahead += timedelta(seconds=5)
        desk.until_told("bought 0.023")


def test_a_flood_of_refusals_is_heard_at_once_and_makes_few_notices(
    redis_url: str, phone: Phone
) -> None:
    with a_desk(redis_url, phone) as desk:
        pipeline = desk.client.pipeline(transaction=False)
        for number in range(5000):
            fields = golden(REFUSAL, plan_id=f"flood.{number}").fields
            pipeline.xadd(APPLY_PLAN.key, fields)  # type: ignore[arg-type]
        pipeline.execute()
        desk.until(lambda: desk.notifier.state.cursors[APPLY_PLAN.key].heard == 5000, "all of it")
        desk.until(lambda: phone.received, "a first notice")
        desk.ahead += timedelta(seconds=16)
        desk.until_idle()
        assert len(phone.received) <= 3
        assert desk.count("quantum_notices_total", kind="refusal", outcome="told") == 5000
        assert " more" in phone.lines[-1]


def test_at_night_the_rest_waits_for_the_morning(redis_url: str, phone: Phone) -> None:
    now = datetime.now(UTC)
    start, end = (now + timedelta(hours=h) for h in (-1, 1))
    quiet = Quiet(time(start.hour, start.minute), time(end.hour, end.minute))
    with a_desk(redis_url, phone, policy=Policy(quiet=quiet)) as desk:
        say(desk.client, FILL)
        say(desk.client, LIQUIDATION)
        desk.until_told("liquidated")
        for _ in range(20):
            desk.notifier.turn()
        assert phone.titles == ["URGENT: Liquidated"]
        desk.ahead += timedelta(hours=2)
        desk.until_told("1 fill")
        assert phone.titles[1] == "Summed up"


def test_what_was_trimmed_before_it_was_heard_is_told_by_its_number(
    desk: Desk, phone: Phone
) -> None:
    say(desk.client, FILL)
    desk.until_told("bought")
    desk.end()
    for _ in range(7):
        say(desk.client, FILL)
    desk.client.xtrim(APPLY_RESULT.key, maxlen=2, approximate=False)
    desk.start()
    desk.until_told("5 entries of apply.result were trimmed")
    desk.until_idle()
    # What is trimmed after it was heard is no second gap.
    desk.client.xtrim(APPLY_RESULT.key, maxlen=0, approximate=False)
    say(desk.client, RUNG)
    desk.until_told("sold 0.005")
    assert sum("trimmed" in line for line in phone.lines) == 1


def test_trimming_what_is_just_being_heard_is_no_gap(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = desk.listener._describe

    def trimmed(keys: Iterable[str]) -> Any:
        for key in keys:
            desk.client.xtrim(key, maxlen=1, approximate=False)
        return describe(keys)

    monkeypatch.setattr(desk.listener, "_describe", trimmed)
    for _ in range(3):
        say(desk.client, FILL)
    desk.notifier.turn()
    assert desk.notifier.state.cursors[APPLY_RESULT.key].heard == 3


def test_trimming_what_was_heard_is_no_gap(desk: Desk, phone: Phone) -> None:
    letters = [put_aside(desk, "first"), put_aside(desk, "second")]
    desk.until_told("first", "second")
    call(desk.client, "XDEL", TRADE_INTENT.dead_key, *letters)
    put_aside(desk, "third")
    desk.until(
        lambda: desk.notifier.state.cursors[TRADE_INTENT.dead_key].heard == 3, "the third is heard"
    )
    desk.ahead += timedelta(seconds=16)
    desk.until_told("third")
    assert not any("trimmed" in line for line in phone.lines)


def test_what_cannot_be_read_is_passed_over(desk: Desk, phone: Phone) -> None:
    call(desk.client, "XADD", APPLY_RESULT.key, "*", "not", "a message")
    say(desk.client, FILL)
    desk.until_told("bought")
    assert len(phone.lines) == 1


def test_a_second_notifier_takes_over_and_the_first_one_ends(desk: Desk) -> None:
    other = RedisBus(desk.url, "notifier")
    other.acquire()
    other.close()
    say(desk.client, FILL)
    with pytest.raises(Superseded):
        desk.until(lambda: False, "the first one ends")


def test_told_to_stop_before_it_took_over_it_ends_and_writes_nothing(desk: Desk) -> None:
    desk.end()
    before = call(desk.client, "HGETALL", state_key("notifier"))
    desk.make()
    desk.stop.set()
    desk.notifier.run()
    assert call(desk.client, "HGETALL", state_key("notifier")) == before


def test_it_reads_without_a_group_and_leaves_only_its_state_and_its_heartbeat(
    desk: Desk, phone: Phone
) -> None:
    say(desk.client, FILL)
    desk.until_told("bought")
    desk.until_idle()
    keys = {str(key, "utf-8") for key in call(desk.client, "KEYS", "*")}
    # A page that the tests of this process share may show its own sign of life here.
    keys.discard(heartbeat_key("dashboard"))
    assert keys == {APPLY_RESULT.key, state_key("notifier"), heartbeat_key("notifier")}
    assert call(desk.client, "XINFO GROUPS", APPLY_RESULT.key) == []
    kept = b"".join(call(desk.client, "HGETALL", state_key("notifier")))
    assert TOKEN.encode() not in kept


def test_whoever_is_told_is_told_that_the_server_is_away_and_that_it_is_back(
    tmp_path: Path, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifier.__main__._RETRY_S", 0.01)
    with a_server(tmp_path) as server, a_desk(server.url, phone) as desk:
        server.kill()
        desk.notifier.turn()
        desk.ahead += timedelta(seconds=31)
        desk.until_told("Redis cannot be asked for 31 s")
        server.restart()
        desk.until_told("Redis answers again")
        say(desk.client, FILL)
        desk.until_told("bought 0.023")
        assert len(phone.lines) == 3


def test_a_start_without_a_server_is_told_too(
    tmp_path: Path, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifier.__main__._RETRY_S", 0.01)
    with a_server(tmp_path) as server, a_desk(server.url, phone) as desk:
        desk.end()
        server.kill()
        desk.start()
        desk.ahead += timedelta(seconds=31)
        desk.until_told("Redis cannot be asked for 31 s")
        server.restart()
        desk.until_told("Redis answers again")
