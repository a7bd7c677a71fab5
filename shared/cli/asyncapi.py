"""The streams as one AsyncAPI document, for people and programs outside the suite.

Reads the contracts, shared.streams and the golden messages; `quantum schemas` writes it. Nothing is
said here that the code does not hold: every channel, message, reader, writer, limit and key is
taken from where the daemons take it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.bus import Entry
from shared.contracts import BadMessage, decode
from shared.contracts.wire import MAX_BYTES, MAX_FIELDS, RawFields
from shared.dead_letters import CODES, dead_letter
from shared.sections import settings_of
from shared.settings import RedisSettings, Settings
from shared.streams import (
    BATCH,
    DAEMONS,
    DEAD_KEPT,
    MAX_DELIVERIES,
    MODE_KEY,
    PROGRAMS,
    STREAMS,
    TRADE_INTENT,
    VENUE_KEY,
    WATCH_KEY,
    Stream,
    harvest_key,
    heartbeat_key,
    position_key,
    producer_stream,
    state_key,
)

GOLDEN = Path(__file__).parents[1] / "contracts" / "golden"
SOCKET = "/run/quantum-redis/redis.sock"
_DEAD = "DeadLetter"
_PRODUCER = "producer"

_ABOUT = (
    "Six daemons that trade crypto perpetual futures and talk through Redis streams. Every stream "
    "is one channel, every daemon reads by a consumer group of its own name. How to send an intent "
    "from outside, in several languages: docs/producing-intents.md."
)
_WIRE = (
    "The payload is the message as a JSON object of strings, which is also what its stream fields "
    "hold. It travels in one of two forms: each field of the message is one field of the stream's "
    "entry, or all of them are one JSON object in a single field `payload`, where numbers and "
    "true/false may also be bare."
)


def asyncapi_document(schemas: dict[Stream, dict[str, Any]]) -> dict[str, Any]:
    """The document, from the JSON Schema of each stream's messages."""
    kinds = {stream: _kinds(schema) for stream, schema in schemas.items()}
    return {
        "asyncapi": "3.1.0",
        "id": "urn:quantum",
        "info": {
            "title": "quantum-trader",
            "version": "1",
            "description": f"{_ABOUT} {_WIRE}",
            "license": {"name": "MIT"},
            "x-limits": _limits(),
            "x-keys": _keys(),
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {**dict(_channels(schemas, kinds)), _PRODUCER: _producers(kinds)},
        "operations": dict(_operations()),
        "components": {
            "messages": {
                **{
                    name: _message(name, stream, schema)
                    for stream, own in kinds.items()
                    for name, schema in own.items()
                },
                _DEAD: _dead_message(),
            },
            "schemas": {
                **{
                    name: _draft_7(schema)
                    for stream, schema in schemas.items()
                    for name, schema in {**schema.get("$defs", {}), **kinds[stream]}.items()
                },
                _DEAD: _dead_schema(),
            },
            "securitySchemes": {
                "user": {
                    "type": "userPassword",
                    "description": "A Redis user for each program; see deploy/redis/README.md.",
                }
            },
        },
    }


def _kinds(schema: dict[str, Any]) -> dict[str, Any]:
    """The kinds of a stream's messages by name: a union's members, or the one that there is."""
    if "oneOf" in schema:
        names = [member["$ref"].rpartition("/")[2] for member in schema["oneOf"]]
        return {name: schema["$defs"][name] for name in names}
    own = {name: part for name, part in schema.items() if name not in ("$schema", "$id", "title")}
    return {_camel(schema["title"]): own}


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("."))


def _draft_7(part: Any) -> Any:
    """A schema in the dialect of AsyncAPI, which is JSON Schema draft 7, with its definitions."""
    if isinstance(part, list):
        return [_draft_7(member) for member in part]
    if not isinstance(part, dict):
        return part
    renamed = {"dependentRequired": "dependencies"}
    own = {renamed.get(name, name): _draft_7(value) for name, value in part.items()}
    if "$ref" in own:
        own["$ref"] = own["$ref"].replace("#/$defs/", "#/components/schemas/")
    return own


def _servers() -> dict[str, Any]:
    return {
        "installed": {
            "host": "localhost",
            "pathname": SOCKET,
            "protocol": "redis",
            "description": "The unix socket of the server that deploy/redis installs; no network.",
            "security": [{"$ref": "#/components/securitySchemes/user"}],
        },
        "default": {
            "host": RedisSettings().url.removeprefix("redis://").partition("/")[0],
            "pathname": "/0",
            "protocol": "redis",
            "description": "Where the daemons look if nothing is configured.",
        },
    }


def _limits() -> dict[str, Any]:
    bridge: Any = settings_of("intent_bridge", Settings({}, "defaults"))
    return {
        "message_bytes_max": MAX_BYTES,
        "message_fields_max": MAX_FIELDS,
        "messages_of_one_commit_max": BATCH,
        "deliveries_max": MAX_DELIVERIES,
        "dead_letters_kept": DEAD_KEPT,
        "entry_intent_age_s_max": int(bridge.max_intent_age_s),
        "entry_intent_ahead_s_max": int(bridge.max_ahead_s),
    }


def _keys() -> dict[str, Any]:
    """Every key besides the streams: who writes it, of which type it is, and what it says."""
    rows = (
        (MODE_KEY, "string", ["operator"], "RUN, EXITS_ONLY or HALT; absent means RUN."),
        (VENUE_KEY, "hash", ["apply_layer"], "Whether entries are taken now, and why not."),
        (WATCH_KEY, "hash", ["watcher"], "What stands still or naked now, an alarm a field."),
        (position_key("{SYMBOL}"), "hash", ["apply_layer"], "An open position."),
        (harvest_key("{SYMBOL}"), "hash", ["harvest_brain"], "Its R, rungs and kill score."),
        (heartbeat_key("{program}"), "hash", list(PROGRAMS), "That a program's loop goes round."),
        (state_key("{daemon}"), "hash", list(DAEMONS), "A daemon's own; nobody else reads it."),
    )
    return {
        key: {"type": type_, "writers": writers, "description": text}
        for key, type_, writers, text in rows
    }


def _channels(
    schemas: dict[Stream, dict[str, Any]], kinds: dict[Stream, dict[str, Any]]
) -> Iterator[tuple[str, Any]]:
    for stream in STREAMS:
        purpose = schemas[stream]["description"].partition(". ")[0]
        yield (
            stream.name,
            {
                "address": stream.key,
                "title": stream.name,
                "description": f"{purpose}. Written by {', '.join(stream.writers)}.",
                "messages": {name: _ref("components/messages", name) for name in kinds[stream]},
                "bindings": {"redis": {}},
                "x-writers": list(stream.writers),
                "x-consumer-groups": list(stream.readers),
                "x-entries-kept": stream.kept,
                "x-dead-letters": stream.dead_key,
            },
        )
        yield (
            _dead_name(stream),
            {
                "address": stream.dead_key,
                "title": _dead_name(stream),
                "description": (
                    f"What could not be read, or must not be acted on, of {stream.name}: put aside "
                    "whole, with the reason. `quantum dead` lists, shows, puts back and drops."
                ),
                "messages": {_DEAD: _ref("components/messages", _DEAD)},
                "bindings": {"redis": {}},
                "x-writers": list(stream.readers),
                "x-entries-kept": DEAD_KEPT,
            },
        )


def _producers(kinds: dict[Stream, dict[str, Any]]) -> dict[str, Any]:
    """The stream that each program outside has for itself: its user may append to it alone."""
    stream = producer_stream("{producer}")
    return {
        "address": stream.key,
        "title": _PRODUCER,
        "description": (
            "Intents of one producer outside, whose `source` is its name. intent_bridge passes on "
            "what it can read to trade.intent, where it is decided; it knows the producer by "
            "`[intent_bridge.producer.<name>]`."
        ),
        "parameters": {"producer": {"description": "the producer's name, which is its `source`"}},
        "messages": {name: _ref("components/messages", name) for name in kinds[TRADE_INTENT]},
        "bindings": {"redis": {}},
        "x-writers": list(stream.writers),
        "x-consumer-groups": list(stream.readers),
        "x-entries-kept": stream.kept,
        "x-dead-letters": stream.dead_key,
    }


def _operations() -> Iterator[tuple[str, Any]]:
    """What each daemon does, in the order of the ring."""
    for daemon in DAEMONS:
        for stream in STREAMS:
            if daemon in stream.readers:
                yield (
                    f"{daemon}.receive.{stream.name}",
                    {
                        **_operation("receive", stream.name, daemon),
                        "x-consumer-group": daemon,
                    },
                )
                dead = _dead_name(stream)
                yield f"{daemon}.send.{dead}", _operation("send", dead, daemon)
            if daemon in stream.writers:
                yield f"{daemon}.send.{stream.name}", _operation("send", stream.name, daemon)
    for daemon in producer_stream(_PRODUCER).readers:
        receive = _operation("receive", _PRODUCER, daemon)
        yield f"{daemon}.receive.{_PRODUCER}", {**receive, "x-consumer-group": daemon}


def _operation(action: str, channel: str, daemon: str) -> dict[str, Any]:
    verb = "reads" if action == "receive" else "writes"
    return {
        "action": action,
        "channel": _ref("channels", channel),
        "summary": f"{daemon} {verb} {channel}.",
        "tags": [{"name": daemon}],
    }


def _message(name: str, stream: Stream, schema: dict[str, Any]) -> dict[str, Any]:
    summary = schema["description"].partition("\n\n")[0].replace("\n", " ")
    return {
        "name": name,
        "title": name,
        "summary": summary,
        "payload": _ref("components/schemas", name),
        "examples": [
            {"name": file, "payload": fields}
            for file, fields in _golden(stream)
            if type(decode(stream.contract, _raw(fields))).__name__ == name
        ],
    }


def _golden(stream: Stream) -> Iterator[tuple[str, dict[str, str]]]:
    """The golden messages of a stream by name; one that was written once never changes."""
    for path in sorted(GOLDEN.glob(f"{stream.name}.*.json")):
        yield path.stem, dict(json.loads(path.read_text(encoding="utf-8")))


def _raw(fields: dict[str, str]) -> RawFields:
    return [(name.encode(), value.encode()) for name, value in fields.items()]


def _dead_message() -> dict[str, Any]:
    return {
        "name": _DEAD,
        "title": _DEAD,
        "summary": "A message that was put aside: why, from where, when, and all that was in it.",
        "payload": _ref("components/schemas", _DEAD),
        "examples": [{"name": "a_size_that_is_no_number", "payload": _a_dead_letter()}],
    }


def _dead_schema() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "description": (
            "Each field of the message stands behind its letter's own as `original:<name>`, with "
            "its bytes untouched; of a message with very many fields, all in one, `original`."
        ),
        "properties": {
            "code": {**text, "enum": sorted(CODES), "description": "what is wrong, for machines"},
            "detail": {**text, "description": "the same for people; names the field"},
            "stream": {
                **text,
                "pattern": f"^({'|'.join(stream.name for stream in STREAMS)}|producer:.+)$",
                "description": "where it was: one of the four, or a producer's own",
            },
            "id": {**text, "description": "the entry's id on its stream"},
            "group": {**text, "enum": list(DAEMONS), "description": "who put it aside"},
            "at": {**text, "format": "date-time", "description": "when, by the reader's clock"},
        },
        "patternProperties": {"^original(:.*)?$": text},
        "required": ["code", "detail", "stream", "id", "group", "at"],
        "additionalProperties": False,
    }


def _a_dead_letter() -> dict[str, str]:
    """What becomes of the first golden intent with a size that is no number."""
    fields = next(fields for name, fields in _golden(TRADE_INTENT) if name.endswith(".entry"))
    raw = _raw(fields | {"position_size_usd": "1e3"})
    at = datetime.fromisoformat(fields["produced_at"]).astimezone(UTC)
    entry = Entry(TRADE_INTENT, f"{at.timestamp() * 1000:.0f}-0", raw)
    try:
        decode(TRADE_INTENT.contract, raw)
    except BadMessage as bad:
        words = dead_letter(
            entry, code=bad.code, detail=bad.detail, group=TRADE_INTENT.readers[0], at=at
        )
        text = [word if isinstance(word, str) else word.decode() for word in words]
        return dict(zip(text[::2], text[1::2], strict=True))
    raise AssertionError("a size of 1e3 is no plain decimal number")


def _dead_name(stream: Stream) -> str:
    return f"{stream.name}.dead"


def _ref(place: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/{place}/{name}"}
