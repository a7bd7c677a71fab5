"""`schemas`: the contracts of the four streams as JSON Schema and AsyncAPI, for any language.

Reads the models of shared.contracts, writes one file for each stream and the AsyncAPI document of
all of them. A schema describes the flat wire form, in which every value is a string. What it cannot
say is checked on reading all the same: that a stop is on the losing side of the entry and a target
on the winning.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from shared.cli.asyncapi import asyncapi_document
from shared.cli.complaints import complain
from shared.contracts.wire import MAX_BYTES, text_of
from shared.streams import STREAMS, Stream

FOLDER = Path(__file__).parents[1] / "contracts" / "schemas"
DOCUMENT = Path(__file__).parents[2] / "docs/asyncapi.json"
VERSION = "1"

_PURPOSE = {
    "market.tick": "One mark price of one symbol.",
    "trade.intent": "What somebody wants done: open a position, reduce one, or move its stop.",
    "apply.plan": "What is to be done about an intent. Only a decision of EXECUTE is acted on.",
    "apply.result": "What became of a plan, and the position and the symbol's rules after it.",
}
_FORM = (
    "The fields of one entry of the stream, each value a string; a field that is absent is left "
    "out. The same fields may be sent as one JSON object in a single field `payload`, where "
    "numbers and true/false may also be bare. Prices and money are in quote units, quantities in "
    f"base units. A message has at most {MAX_BYTES} bytes."
)


class _WireSchema(GenerateJsonSchema):
    """A model as it is on the wire: a field is there or not, never null; no idle titles."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """One list of all kinds; each has its own constants, so at most one of them matches."""
        kinds: list[JsonSchemaValue] = []
        for kind in super().tagged_union_schema(schema)["oneOf"]:
            kinds += kind.get("oneOf", [kind])
        return {"oneOf": kinds}

    def encode_default(self, dft: Any) -> Any:
        return text_of(dft)

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False


def schema_of(stream: Stream) -> dict[str, Any]:
    """The JSON Schema of the messages of one stream."""
    generated = TypeAdapter(stream.contract).json_schema(schema_generator=_WireSchema)
    for kind in generated.get("$defs", {"": generated}).values():
        if "properties" in kind:  # Our own code need not give the version; a message must.
            kind["required"] = ["version", *kind["required"]]
            del kind["properties"]["version"]["default"]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:quantum:{stream.name}:{VERSION}",
        "title": stream.name,
        "description": f"{_PURPOSE[stream.name]} {_FORM}",
    }
    return head | {name: part for name, part in generated.items() if name not in head}


def published(folder: Path, document: Path) -> dict[Path, str]:
    """Every file that tells others of the contracts, with its text: one a stream, and one of all.

    The schemas are `folder/<stream>.schema.json`, `document` is the AsyncAPI document.
    """
    schemas = {stream: schema_of(stream) for stream in STREAMS}
    files = {folder / f"{stream.name}.schema.json": schemas[stream] for stream in STREAMS}
    files[document] = asyncapi_document(schemas)
    return {
        path: json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        for path, content in files.items()
    }


def drifted(folder: Path, document: Path) -> list[str]:
    """The files that are not what the contracts say: changed, missing, or of no stream at all."""
    expected = published(folder, document)
    there = [path for path in (*folder.glob("*.schema.json"), document) if path.exists()]
    found = {path: path.read_text(encoding="utf-8") for path in there}
    paths = expected.keys() | found.keys()
    return sorted(path.name for path in paths if expected.get(path) != found.get(path))


def schemas(
    *,
    folder: Annotated[Path, typer.Option(help="Where the schemas are.")] = FOLDER,
    document: Annotated[Path, typer.Option(help="The AsyncAPI document.")] = DOCUMENT,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; name what has drifted and exit 1.")
    ] = False,
) -> None:
    """Write the JSON Schema of each stream's messages, and the AsyncAPI document of all."""
    if not check:
        for path, text in published(folder, document).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            typer.echo(path.name)
        return
    names = drifted(folder, document)
    for name in names:
        complain(f"{name} has drifted from the contracts: run `quantum schemas`")
    if names:
        raise typer.Exit(1)
