"""What docs/producing-intents.md tells a producer is so: its programs run, its tables are whole."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import NoPermissionError

from services.intent_bridge.settings import IntentBridgeSettings
from shared.bus.client import call
from shared.contracts import BadMessage, EntryIntent, TradeIntent, decode
from shared.contracts.values import parse_number
from shared.contracts.wire import MAX_BYTES
from shared.dead_letters import CODES
from shared.decisions import Mode
from shared.formulas import Regime
from shared.repeats import KEPT
from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    STARTING,
    TRADE_INTENT,
    position_key,
    producer_key,
)
from tests.ring.live import now_text

from .desk import DOCUMENT, GO_PATH, NODE_MODULES, ROOT, Desk, a_desk, blocks

OWN_EXITS = "shared/formulas/own_exits.py"
TEXT = DOCUMENT.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is not installed: apt install redis-tools")
    with a_desk(tmp_path_factory.mktemp("producer")) as there:
        yield there


def is_seen(desk: Desk, *, symbol: str, price: str) -> None:
    """The feed tells of the price; an entry far from it, or without it, is refused."""
    desk.ring.tick(price, symbol=symbol)
    desk.ring.settle()


def becomes_a_position(desk: Desk, intent_id: str, *, symbol: str, price: str) -> None:
    """The intent was admitted, got its exits and was filled; the position stands."""
    desk.ring.tick(price, symbol=symbol)
    desk.ring.settle()
    plans = desk.messages(APPLY_PLAN, intent_id)
    assert [plan["decision"] for plan in plans] == ["AWAITING_EXITS", "EXECUTE"], plans
    assert desk.messages(APPLY_RESULT, intent_id)[0]["status"] == "FILLED"
    assert call(desk.ring.client, "EXISTS", position_key(symbol))


def test_redis_cli_sends_an_entry_and_the_operator_sees_what_became_of_it(desk: Desk) -> None:
    is_seen(desk, symbol="BTCUSDT", price="104250.5")
    desk.run(blocks("The first entry")[0])
    becomes_a_position(desk, "my_signals.1", symbol="BTCUSDT", price="104250.5")
    said = desk.run(blocks("What became of it")[0])
    assert "ENTRY is FILLED" in said
    assert "stop 100988.4, target 109844.3" in said


def test_an_entry_as_one_json_object_brings_its_own_exits(desk: Desk) -> None:
    is_seen(desk, symbol="XRPUSDT", price="2.1874")
    desk.run(blocks("The fields of an entry")[0])
    becomes_a_position(desk, "my_signals.2", symbol="XRPUSDT", price="2.1874")
    _, execute = desk.messages(APPLY_PLAN, "my_signals.2")
    assert (execute["stop_loss"], execute["take_profit"]) == ("2.2500", "2.0500")


def from_python(desk: Desk) -> None:
    [program] = blocks("From Python", "python")
    desk.write("my_signals.py", program)
    is_seen(desk, symbol="SOLUSDT", price="152.25")
    desk.run(blocks("From Python")[0])


def test_python_sends_an_entry(desk: Desk) -> None:
    from_python(desk)
    becomes_a_position(desk, "my_signals.3", symbol="SOLUSDT", price="152.25")


def test_node_sends_an_entry(desk: Desk) -> None:
    if shutil.which("node") is None or not (NODE_MODULES / "redis").is_dir():
        pytest.skip("node-redis is not installed: npm ci --prefix tests/asyncapi")
    [program] = blocks("From Node", "js")
    desk.write("my_signals.mjs", program)
    is_seen(desk, symbol="ETHUSDT", price="2531.4")
    desk.run(blocks("From Node")[0])
    becomes_a_position(desk, "my_signals.4", symbol="ETHUSDT", price="2531.4")


def test_go_sends_an_entry(desk: Desk) -> None:
    if shutil.which("go") is None or not Path(GO_PATH, "src/github.com/gomodule/redigo").is_dir():
        pytest.skip("redigo is missing: apt install golang-go golang-github-gomodule-redigo-dev")
    [program] = blocks("From Go", "go")
    desk.write("main.go", program)
    is_seen(desk, symbol="LINKUSDT", price="14.205")
    desk.run(blocks("From Go")[0])
    becomes_a_position(desk, "my_signals.5", symbol="LINKUSDT", price="14.205")


def test_a_stop_is_moved_and_a_position_closed_from_outside(desk: Desk) -> None:
    if not call(desk.ring.client, "EXISTS", position_key("SOLUSDT")):
        from_python(desk)
        becomes_a_position(desk, "my_signals.3", symbol="SOLUSDT", price="152.25")
    move, close = blocks("Close a position, move its stop")
    desk.run(move)
    desk.ring.settle()
    assert [r["status"] for r in desk.messages(APPLY_RESULT, "my_signals.6")] == ["STOP_MOVED"]
    # Both are typed into one shell, which knows the position's id from the first one on.
    known = move.partition("redis-cli -s /run/quantum-redis/redis.sock --user my_signals")[0]
    desk.run(known + close)
    desk.ring.tick("153", symbol="SOLUSDT")
    desk.ring.settle()
    [closed] = desk.messages(APPLY_RESULT, "my_signals.7")
    assert (closed["status"], closed["position_qty"]) == ("FILLED", "0.00")
    assert not call(desk.ring.client, "EXISTS", position_key("SOLUSDT"))


def test_the_same_id_again_is_a_repeat_and_with_other_content_a_dead_letter(desk: Desk) -> None:
    first = {**sent_by("From Python", "python"), "intent_id": "again.1", "symbol": "LTCUSDT"}
    key = TRADE_INTENT.key
    for fields in (first, first | {"produced_at": now_text()}, first | {"timestamp": now_text(1)}):
        call(desk.ring.client, "XADD", key, "*", *(w for pair in fields.items() for w in pair))
    desk.ring.settle("intent_bridge")
    assert len(desk.messages(APPLY_PLAN, "again.1")) == 1
    dead = call(desk.ring.client, "XRANGE", TRADE_INTENT.dead_key, "-", "+")
    assert [fields[fields.index(b"code") + 1] for _, fields in dead] == [b"id_conflict"]


def test_the_documents_user_sends_intents_and_does_nothing_else(desk: Desk) -> None:
    with desk.guarded.client("my_signals") as client:
        for words in (
            ("XADD", APPLY_PLAN.key, "*", "a", "b"),
            ("XADD", TRADE_INTENT.key, "*", "a", "b"),
            ("XADD", producer_key("somebody_else"), "*", "a", "b"),
            ("XDEL", producer_key("my_signals"), "1-1"),
            ("XTRIM", producer_key("my_signals"), "MAXLEN", 0),
            ("XRANGE", producer_key("my_signals"), "-", "+"),
            ("XRANGE", TRADE_INTENT.key, "-", "+"),
            ("HGETALL", position_key("BTCUSDT")),
            ("SET", "quantum:mode", "HALT"),
        ):
            with pytest.raises(NoPermissionError):
                call(client, *words)


def sent_by(heading: str, language: str) -> dict[str, str]:
    """The fields that a program of the document sends, read from its text."""
    [program] = blocks(heading, language)
    fields = program[program.rindex("\n", 0, program.index("version")) :]
    found = dict(re.findall(r'^\s+"?(\w+)"?[:,] "([^"]+)",$', fields, re.MULTILINE))
    assert len(re.findall(r"\bnow\b,", program)) == 2
    return found | {"timestamp": now_text(), "produced_at": now_text()}


@pytest.mark.parametrize(
    ("heading", "language"), [("From Python", "python"), ("From Node", "js"), ("From Go", "go")]
)
def test_what_a_program_sends_is_an_entry_also_where_the_language_is_missing(
    heading: str, language: str
) -> None:
    raw = [(n.encode(), v.encode()) for n, v in sent_by(heading, language).items()]
    assert isinstance(decode(TradeIntent, raw), EntryIntent)


def table_of(heading: str) -> list[list[str]]:
    """The rows of all tables under a heading, cell by cell, without their heads."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


def test_the_table_of_fields_names_every_field_and_which_are_required() -> None:
    said: dict[str, str] = {}
    for names, need, *_ in table_of("The fields of an entry"):
        said |= dict.fromkeys(re.findall(r"`(\w+)`", names), need)
    fields = EntryIntent.model_fields
    assert said.keys() == fields.keys()
    required = {name for name, field in fields.items() if field.is_required()} | {"version"}
    assert {name for name, need in said.items() if need == "required"} == required
    [regimes] = [row[2] for row in table_of("The fields of an entry") if row[0] == "`regime`"]
    assert set(re.findall(r"`([A-Z]+)`", regimes)) == set(Regime)
    defaults = {name: need[9:-1] for name, need in said.items() if need.startswith("default `")}
    assert defaults == {"regime": "UNKNOWN", "reduceOnly": "false"}


def codes_said(heading: str, *, column: int = 1, by: str = "") -> set[str]:
    """The codes of the tables under a heading, of one place if it is named."""
    rows = table_of(heading)
    return {
        code for row in rows if by in row[column] for code in re.findall(r"`([a-z_]+)`", row[0])
    }


def codes_written(folder: str, pattern: str) -> set[str]:
    """What a pattern finds in the source of a daemon; what only `check` says is none."""
    return {
        code
        for path in (ROOT / "services" / folder).rglob("*.py")
        if path.name != "check.py"
        for code in re.findall(pattern, path.read_text(encoding="utf-8"))
    }


MODES = {f"mode_{mode.lower()}" for mode in Mode if mode is not Mode.RUN}
#: The codes of a stop and a target that a producer brought, which both daemons check.
UNSAFE = set(re.findall(r'UnsafeExit\("(\w+)"', (ROOT / OWN_EXITS).read_text(encoding="utf-8")))
REFUSALS = "Why an intent comes to nothing"


def test_the_table_of_refusals_names_every_code_of_intent_bridge() -> None:
    written = codes_written("intent_bridge", r'(?:yield|Refusal\(|reason=)\s*"(\w+)"')
    assert len(written) >= 19
    assert codes_said(REFUSALS, by="intent_bridge") == written | UNSAFE | MODES


def test_the_table_of_refusals_names_every_code_of_exitbrain() -> None:
    written = codes_written("exitbrain", r'Refusal\(\s*"(\w+)"')
    assert len(written) >= 2
    assert codes_said(REFUSALS, by="exitbrain") == written | UNSAFE | {"no_safe_stop"}


def test_the_table_of_rejections_names_every_code_of_apply_layer() -> None:
    told = (r'_refuse\(turn, plan, "(\w+)"', r'\bcode="(\w+)"', r'return "([a-z_]+)", f?"')
    written = set.union(*(codes_written("apply_layer", pattern) for pattern in told))
    raised = (r'barriers\["(\w+)"\]', r'Meaning\.\w+: \("(\w+)"', r'\{"(\w+)": [A-Z_]+\} if self')
    barriers = set.union(*(codes_written("apply_layer", pattern) for pattern in raised))
    barriers |= {"stops_refused", "user_stream_down", STARTING}
    assert len(written) >= 24
    assert len(barriers) == 11
    said = {
        code
        for row in table_of(REFUSALS)
        if row[1] in ("entries", "exits", "all")
        for code in re.findall(r"`([a-z_]+)`", row[0])
    }
    assert said == written | barriers | MODES


def test_the_limits_that_the_document_states_are_those_of_the_code() -> None:
    bridge = IntentBridgeSettings()
    assert f"more than {bridge.max_intent_age_s} s old" in TEXT
    assert f"more than {bridge.max_ahead_s} s ahead" in TEXT
    assert f"more than {bridge.max_price_deviation * 100:.0f} % from the mark price" in TEXT
    assert f"told of in the last {bridge.max_mark_age_s} s" in TEXT
    assert f"last {KEPT} decisions" in TEXT
    assert f"at most {MAX_BYTES // 1024} KiB" in TEXT


def test_numbers_are_refused_where_the_document_says_so() -> None:
    said = re.search(r"\*\*Numbers(.*?)Send what you mean", TEXT, re.S)
    assert said
    right, *wrong = re.findall(r"`([^`]+)`", said[1])
    assert len(wrong) == 5
    parse_number(right)
    for number in wrong:
        fields = sent_by("From Python", "python") | {"entry_price": number}
        with pytest.raises(BadMessage, match="bad_number"):
            decode(TradeIntent, [(n.encode(), v.encode()) for n, v in fields.items()])


def test_every_dead_letter_that_the_document_names_is_one() -> None:
    section = TEXT.partition("**It cannot be read")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", section))
    assert "id_conflict" in named
    assert named <= CODES
