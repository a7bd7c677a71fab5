"""What apply_layer's own documents tell of a symbol: orders under way, since when naked, rules.

Reads `quantum:state:apply_layer`; writes nothing. A document that makes no sense is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from shared.reading import Reading
from shared.records import figure, moment
from shared.streams import state_key
from shared.why.picture import Order, Rules

#: What an order is for, as apply_layer keeps it.
_LEGS = {"e": "entry", "x": "exit", "s": "stop", "t": "target", "f": "forced close"}


def of_journal(reading: Reading, symbol: str) -> dict[str, Any]:
    """What apply_layer's own documents tell of a symbol."""
    key = state_key("apply_layer")
    journal = reading.hash(key)
    return {
        "orders": tuple(_orders(reading, journal, symbol)),
        "naked_since": reading.made(
            f"{key} positions/{symbol}",
            lambda: naked_since(journal.get(f"positions/{symbol}")),
            None,
        ),
        "left_alone": reading.made(
            f"{key} left_alone/{symbol}", lambda: _left_alone(journal, symbol), None
        ),
        "rules": reading.made(
            f"{key} rules/{symbol}", lambda: rules_in(journal.get(f"rules/{symbol}")), None
        ),
    }


def _orders(reading: Reading, journal: Mapping[str, str], symbol: str) -> Iterator[Order]:
    for name, document in journal.items():
        if name.startswith("orders/"):
            what = f"{state_key('apply_layer')} {name}"
            order = reading.made(what, partial(_order, document, symbol), None)
            if order is not None:
                yield order


def _order(document: str, symbol: str) -> Order | None:
    """An order of a symbol as apply_layer keeps it; None for one of another symbol."""
    sent = json.loads(document)
    request, doubt = sent["request"], sent["doubt"] or {}
    if request["symbol"] != symbol:
        return None
    trigger = request["trigger_price"]
    return Order(
        client_order_id=request["client_order_id"],
        leg=_LEGS[sent["leg"]],
        plan_id=sent["plan_id"],
        action=sent["action"],
        accepted=sent["accepted"],
        sent_at=_moment(request["sent_at"]),
        trigger_price=None if trigger is None else figure(trigger),
        doubt=doubt.get("reason", ""),
        doubt_since=_moment(doubt.get("since")),
    )


def naked_since(document: str | bytes | None) -> datetime | None:
    """Since when a position has had no stop, by apply_layer's own document of it."""
    return None if document is None else _moment(json.loads(document)["unprotected_since"])


def rules_in(document: str | bytes | None) -> Rules | None:
    """The venue's rules for a symbol, by apply_layer's own document of them."""
    if document is None:
        return None
    stated = json.loads(document)
    names = [field.name for field in fields(Rules)]
    return Rules(**{name: figure(stated[name]) for name in names})


def _left_alone(journal: Mapping[str, str], symbol: str) -> Decimal | None:
    document = journal.get(f"left_alone/{symbol}")
    return None if document is None else figure(json.loads(document))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else moment(text)
