"""The AsyncAPI document says what the suite does, and AsyncAPI's own parser has nothing to add."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from shared.bus.mending import ID_AHEAD
from shared.cli.schemas import DOCUMENT
from shared.dead_letters import CODES
from shared.streams import DAEMONS, STREAMS, TRADE_INTENT, Stream, producer_key
from tests.contracts.messages import Fields, Golden, each_golden, models_of
from tests.contracts.test_fuzz import altered
from tests.contracts.test_schemas import accepts

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PARSER = HERE / "node_modules/@asyncapi/parser"

Document = dict[str, Any]


def document() -> Document:
    loaded: Document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return loaded


DOCUMENTED = document()


def validator_of(name: str) -> Any:
    """What checks a payload against a message of the document, in the document's own dialect."""
    ref = DOCUMENTED["components"]["messages"][name]["payload"]
    return Draft7Validator({**ref, "components": DOCUMENTED["components"]})


VALIDATORS = {
    stream: [validator_of(name) for name in DOCUMENTED["channels"][stream.name]["messages"]]
    for stream in STREAMS
}


def parse(*files: Path) -> subprocess.CompletedProcess[str]:
    """What AsyncAPI's own parser says of documents."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: apt install nodejs npm")
    if not PARSER.is_dir():
        pytest.skip("AsyncAPI's parser is not installed: npm ci --prefix tests/asyncapi")
    return subprocess.run(
        ["node", str(HERE / "validate.mjs"), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_asyncapis_own_parser_has_nothing_to_say_against_the_document() -> None:
    said = parse(DOCUMENT)
    assert (said.returncode, said.stderr) == (0, "")
    assert re.search(r": AsyncAPI 3\.1\.0, 9/\d+/15 channels", said.stdout)


def wrong_reference(broken: Document) -> None:
    broken["operations"]["exitbrain.receive.apply.plan"]["channel"]["$ref"] = "#/channels/nothing"


def wrong_field(broken: Document) -> None:
    broken["channels"]["trade.intent"]["kept"] = 1


def wrong_type(broken: Document) -> None:
    schemas = broken["components"]["schemas"]
    schemas["EntryIntent"]["properties"]["qty"]["type"] = "decimal"


def test_the_parser_finds_what_is_wrong_with_a_document(tmp_path: Path) -> None:
    breakages: dict[str, Callable[[Document], None]] = {
        "invalid-ref": wrong_reference,
        '"kept" is not expected': wrong_field,
        '"type" property must be equal to one of': wrong_type,
    }
    files = []
    for number, spoil in enumerate(breakages.values()):
        broken = document()
        spoil(broken)
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(broken), encoding="utf-8")
    said = parse(*files)
    assert said.returncode == 1
    for sentence, file in zip(breakages, files, strict=True):
        lines = [line for line in said.stdout.splitlines() if line.startswith(f"{file}: ")]
        assert any(sentence in line for line in lines), said.stdout


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_is_a_channel_with_its_key_its_groups_and_its_limit(stream: Stream) -> None:
    channel = DOCUMENTED["channels"][stream.name]
    assert channel["address"] == stream.key
    assert channel["x-consumer-groups"] == list(stream.readers)
    assert channel["x-entries-kept"] == stream.kept
    assert set(channel["messages"]) == {model.__name__ for model in models_of(stream.contract)}
    assert DOCUMENTED["channels"][f"{stream.name}.dead"]["address"] == channel["x-dead-letters"]
    assert channel["x-dead-letters"] == stream.dead_key


def test_a_producer_outside_has_a_channel_of_its_own_that_intent_bridge_reads() -> None:
    channel = DOCUMENTED["channels"]["producer"]
    assert channel["address"] == producer_key("{producer}")
    assert channel["messages"] == DOCUMENTED["channels"]["trade.intent"]["messages"]
    assert channel["x-consumer-groups"] == ["intent_bridge"]
    assert channel["x-dead-letters"] == TRADE_INTENT.dead_key


def test_every_daemon_sends_and_receives_what_it_writes_and_reads() -> None:
    said = {
        (tag["name"], operation["action"], operation["channel"]["$ref"].rpartition("/")[2])
        for operation in DOCUMENTED["operations"].values()
        for tag in operation["tags"]
    }
    done: set[tuple[str, str, str]] = set()
    for stream in STREAMS:
        done |= {(daemon, "send", stream.name) for daemon in stream.writers}
        done |= {(daemon, "receive", stream.name) for daemon in stream.readers}
        done |= {(daemon, "send", f"{stream.name}.dead") for daemon in stream.readers}
    done.add(("intent_bridge", "receive", "producer"))
    assert said == done
    assert {daemon for daemon, _, _ in done} == set(DAEMONS)


@each_golden
def test_a_golden_message_is_an_example_of_its_message_and_valid(golden: Golden) -> None:
    message = DOCUMENTED["components"]["messages"][golden.model.__name__]
    assert {"name": golden.name, "payload": golden.fields} in message["examples"]
    assert validator_of(golden.model.__name__).is_valid(golden.fields)


@given(altered())
@settings(max_examples=150, deadline=None)
def test_the_document_takes_what_the_json_schema_takes(case: tuple[Golden, Fields]) -> None:
    golden, fields = case
    taken = any(validator.is_valid(fields) for validator in VALIDATORS[golden.stream])
    assert taken == accepts(golden.stream, fields)


def test_a_dead_letter_as_the_runner_writes_it_is_valid() -> None:
    [example] = DOCUMENTED["components"]["messages"]["DeadLetter"]["examples"]
    assert example["payload"]["original:position_size_usd"] == "1e3"
    assert validator_of("DeadLetter").is_valid(example["payload"])
    assert not validator_of("DeadLetter").is_valid(example["payload"] | {"code": "never heard of"})


def test_every_code_of_a_dead_letter_is_in_the_list_and_no_other() -> None:
    given_by = re.compile(
        r'(?:BadMessage|PydanticCustomError|DeadLetter|bury)\(\s*(?:entry, )?"(\w+)"'
    )
    given = {
        code
        for top in ("services", "shared")
        for path in (ROOT / top).rglob("*.py")
        for code in given_by.findall(path.read_text(encoding="utf-8"))
    }
    # What pydantic finds by itself has names of its own; ids are found out by quantum.lua.
    by_others = {"missing_field", "unknown_field", "unknown_value", "bad_text", ID_AHEAD}
    assert CODES - given <= by_others
    assert given - CODES == set()
    schema = DOCUMENTED["components"]["schemas"]["DeadLetter"]
    assert schema["properties"]["code"]["enum"] == sorted(CODES)


def test_the_lock_of_the_parser_names_no_registry_and_pins_every_package_by_hash() -> None:
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    assert [name for name, entry in packages.items() if "integrity" not in entry] == []
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
