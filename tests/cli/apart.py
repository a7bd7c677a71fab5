"""apply_layer's own decider on a server, without a venue: a test says what the venue said.

For what the paper venue never does: an order without an answer, a past that does not reach back.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from services.apply_layer.decider import decide
from services.apply_layer.exchange import (
    OrderAccepted,
    OrderType,
    PlaceOrder,
    SymbolRules,
    VenuePosition,
    VenueSnapshot,
)
from services.apply_layer.looked import Looked
from services.apply_layer.state import Policy, State
from shared.bus.client import call
from shared.contracts import Message, encode
from shared.decisions import Received, Record
from shared.state import StateCodec
from shared.streams import BY_NAME, inputs_of, state_key


class ApplyApart:
    """What it decides is on the server at once: messages, records and its own documents."""

    def __init__(self, client: Redis, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.state = State()
        self.asked_for: list[PlaceOrder] = []
        self._client = client

    def hear(self, event: Any, at: datetime) -> None:
        """Decide one event, and commit what comes of it."""
        before = self.state
        self.state, outputs = decide(before, Received(event, at), self.policy)
        for output in outputs:
            if isinstance(output, Message):
                words = [word for pair in encode(output) for word in pair]
                call(self._client, "XADD", BY_NAME[output.stream_name].key, "*", *words)
            elif isinstance(output, Record):
                self._record(output)
            elif isinstance(output, PlaceOrder):
                self.asked_for.append(output)
        for name, document in StateCodec(State).changes(before, self.state).items():
            if document is None:
                call(self._client, "HDEL", state_key("apply_layer"), name)
            else:
                call(self._client, "HSET", state_key("apply_layer"), name, document)

    def accept(self, at: datetime) -> None:
        """The venue holds every stop that was asked for."""
        for order in self.asked_for:
            if order.type is OrderType.STOP_MARKET:
                self.hear(OrderAccepted(order.client_order_id, order.symbol, "1", at), at)
        self.asked_for.clear()

    def attend(self) -> None:
        """It reads all there is, as its process would, and waits for more."""
        for stream in inputs_of("apply_layer"):
            with suppress(ResponseError):
                call(self._client, "XGROUP", "CREATE", stream.key, "apply_layer", "0", "MKSTREAM")
            call(self._client, "XREADGROUP", "GROUP", "apply_layer", "apply_layer", "NOACK",
                 "STREAMS", stream.key, ">")  # fmt: skip

    def _record(self, record: Record) -> None:
        call(self._client, "DEL", record.key)
        if record.fields:
            words = [word for pair in record.fields.items() for word in pair]
            call(self._client, "HSET", record.key, *words)


def look(at: datetime, rules: SymbolRules, *positions: VenuePosition) -> Looked:
    """The first look at a venue whose answers may be late."""
    snapshot = VenueSnapshot(
        at=at,
        wallet=Decimal(10_000),
        positions=positions,
        open_orders=(),
        rules=(rules,),
        conclusive=False,
    )
    return Looked(snapshot, starting=True)
