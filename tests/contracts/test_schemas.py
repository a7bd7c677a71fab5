"""The published JSON Schemas are those of the contracts, and take what the reader takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from typer.testing import CliRunner, Result

from shared.cli.schemas import DOCUMENT, FOLDER, drifted, schemas
from shared.contracts import BadMessage, decode
from shared.streams import STREAMS, Stream

from .messages import Fields, Golden, each_golden, each_stream, flat
from .test_fuzz import altered

#: What a schema cannot say.
ONLY_READERS_SEE = {"wrong_side_stop", "wrong_side_target", "no_risk", "too_large"}

each_of_the_four = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
app = typer.Typer()
app.command()(schemas)


def committed(stream: Stream) -> dict[str, Any]:
    text = (FOLDER / f"{stream.name}.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


VALIDATORS = {stream: Draft202012Validator(committed(stream)) for stream in STREAMS}


def accepts(stream: Stream, fields: Fields) -> bool:
    return bool(VALIDATORS[stream].is_valid(fields))


def code_of(golden: Golden, fields: Fields) -> str | None:
    """The reader's code against the message, or None where it is read."""
    try:
        decode(golden.stream.contract, flat(fields))
    except BadMessage as bad:
        return bad.code
    return None


def in_folder(folder: Path, *words: str) -> Result:
    places = ("--folder", str(folder), "--document", str(folder / "asyncapi.json"))
    return CliRunner().invoke(app, [*places, *words])


def test_the_committed_schemas_are_those_of_the_contracts() -> None:
    assert drifted(FOLDER, DOCUMENT) == []
    assert CliRunner().invoke(app, ["--check"]).exit_code == 0


def test_a_schema_that_drifted_is_named_and_fails_the_check(tmp_path: Path) -> None:
    in_folder(tmp_path)
    tick, intent, plan, _result = (tmp_path / f"{s.name}.schema.json" for s in STREAMS)
    tick.write_text(tick.read_text(encoding="utf-8") + " ", encoding="utf-8")
    intent.unlink()
    (tmp_path / "of.nothing.schema.json").write_text("{}", encoding="utf-8")
    (tmp_path / "asyncapi.json").write_text("{}", encoding="utf-8")
    before = plan.read_bytes()
    checked = in_folder(tmp_path, "--check")
    assert checked.exit_code == 1
    assert re.findall(r"^\S+", checked.stderr, flags=re.MULTILINE) == [
        "asyncapi.json",
        "market.tick.schema.json",
        "of.nothing.schema.json",
        "trade.intent.schema.json",
    ]
    assert plan.read_bytes() == before
    assert not intent.exists()


def test_the_command_writes_the_four_files_and_the_document_of_all(tmp_path: Path) -> None:
    told = in_folder(tmp_path / "new")
    assert told.exit_code == 0
    names = [*(f"{stream.name}.schema.json" for stream in STREAMS), "asyncapi.json"]
    assert told.stdout.split() == names
    assert in_folder(tmp_path / "new", "--check").exit_code == 0


@each_of_the_four
def test_a_schema_says_what_it_is_and_is_a_schema(stream: Stream) -> None:
    schema = committed(stream)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:quantum:{stream.name}:1"
    assert schema["title"] == stream.name
    assert schema["description"]


@each_of_the_four
def test_every_value_is_a_string_and_no_other_field_is_allowed(stream: Stream) -> None:
    schema = committed(stream)
    definitions = schema.get("$defs", {})
    kinds = [kind for kind in (schema, *definitions.values()) if "properties" in kind]
    assert kinds
    for kind in kinds:
        assert kind["additionalProperties"] is False
        assert "version" in kind["required"]
        for field in kind["properties"].values():
            definition = definitions.get(field.get("$ref", "").rpartition("/")[2], field)
            assert definition["type"] == "string"
            assert isinstance(field.get("default", ""), str)


@each_golden
def test_a_golden_message_is_valid(golden: Golden) -> None:
    assert accepts(golden.stream, golden.fields)


@each_golden
def test_a_field_is_required_by_the_schema_if_and_only_if_the_reader_needs_it(
    golden: Golden,
) -> None:
    for name in golden.fields:
        fields = {other: value for other, value in golden.pairs if other != name}
        assert accepts(golden.stream, fields) == (code_of(golden, fields) is None), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("symbol", "btcusdt"), ("version", "2"), ("timestamp", "2025-06-01T00:00:00")),
        *(("source", ""), ("unknown", "1"), ("produced_at", "2025-06-01T24:00:00Z")),
        *(("timestamp", 1), ("symbol", None)),
    ],
)
@each_stream
def test_a_broken_message_is_invalid(golden: Golden, name: str, value: Any) -> None:
    assert not accepts(golden.stream, {**golden.fields, name: value})


@given(altered())
@settings(max_examples=250, deadline=None)
def test_the_schema_takes_what_the_reader_takes(case: tuple[Golden, Fields]) -> None:
    golden, fields = case
    # The `$` of JSON Schema is the end of the text; that of the validator used here is not quite.
    fields = {name: value.rstrip("\n") for name, value in fields.items()}
    # A schema knows the form of a date and not the length of its month.
    for name in golden.moments:
        if name in fields and re.search("-(29|30|31)T|^0000", fields[name]):
            fields[name] = golden.fields[name]
    # Beyond ASCII a pattern that every language reads cannot tell the letters of a symbol.
    if not fields.get("symbol", "").isascii():
        fields["symbol"] = golden.fields["symbol"]
    code = code_of(golden, fields)
    if code not in ONLY_READERS_SEE:
        assert accepts(golden.stream, fields) == (code is None), code
