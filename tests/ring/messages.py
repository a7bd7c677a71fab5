"""Messages as a stranger would send them: raw, field by field, with redis-cli's own words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from redis import Redis

from shared.streams import BY_NAME, Stream

from .live import call, now_text

Raw = Sequence[tuple[bytes, bytes]]

GOLDEN = Path(__file__).parents[2] / "shared/contracts/golden"
_number = count(1)


@dataclass(frozen=True)
class Sample:
    """A good message of a stream, to be sent as it is or spoilt."""

    stream: Stream
    fields: Mapping[str, str]

    def but(self, **changes: str) -> Sample:
        """The same with other values."""
        return Sample(self.stream, {**self.fields, **changes})

    def without(self, name: str) -> Sample:
        """The same without one field."""
        return Sample(self.stream, {k: v for k, v in self.fields.items() if k != name})

    @property
    def flat(self) -> Raw:
        """As stream fields."""
        return [(name.encode(), value.encode()) for name, value in self.fields.items()]

    @property
    def wrapped(self) -> Raw:
        """As JSON in one field."""
        return payload(json.dumps(dict(self.fields)))

    def wrapped_with(self, field: str, literal: str) -> Raw:
        """As JSON, with `literal` as it is where the value of `field` would stand."""
        members = {k: json.dumps(v) for k, v in self.fields.items()} | {field: literal}
        return payload("{" + ", ".join(f'"{name}": {text}' for name, text in members.items()) + "}")


def payload(text: str | bytes) -> Raw:
    """One field that holds all the others."""
    return [(b"payload", text.encode() if isinstance(text, str) else text)]


def golden(name: str, **changes: str) -> Sample:
    """A golden message, produced now."""
    pairs = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    stream = BY_NAME[".".join(name.split(".")[:2])]
    return Sample(stream, {**dict(pairs), "produced_at": now_text(), **changes})


def tick(symbol: str, price: str) -> Sample:
    """A price of now."""
    name = f"{symbol}-{next(_number)}"
    return golden(
        "market.tick.bare", symbol=symbol, mark_price=price, tick_id=name, timestamp=now_text()
    )


def entry_intent(symbol: str, price: str, **changes: str) -> Sample:
    """A wish to buy for 300 at a leverage of 10; older than any `tick`, so that it fills at it."""
    own = {
        "symbol": symbol,
        "intent_id": f"stranger.{symbol}.{next(_number)}",
        "entry_price": price,
        "position_size_usd": "300",
        "leverage": "10",
        "atr_value": "0",
    }
    return golden("trade.intent.entry", **{**own, **changes})


def send(client: Redis, message: Sample) -> str:
    """Send it flat; returns the entry's id."""
    return send_raw(client, message.stream, message.flat)


def send_raw(client: Redis, stream: Stream, raw: Raw) -> str:
    """Send fields as they are; returns the entry's id."""
    words = [word for pair in raw for word in pair]
    return str(call(client, "XADD", stream.key, "*", *words), "ascii")
