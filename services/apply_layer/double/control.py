"""The double driven from another process: JSON over loopback HTTP under `/double/`.

    GET  state                     positions, books, wallet and marks
    GET  ledger?after=N            the lines after number N
    POST mark     {symbol, price, funding_rate?, contract?}
    POST order    {symbol, side, qty, reduce_only?, client_id?}
    POST stop     {symbol, side, trigger, qty?, book?, client_id?}
    POST cancel   {client_id}
    POST fault    {kind, method?, path?, times?, and the fault's own parameters}
    POST rate     {rate, kinds?}
    POST calm, down {how?}, up
    POST latency  {seconds}
    POST windows  {hold: true | false}    the minutes of the rate limit stand, or go on
Numbers are text. Answers 400 with the reason for what cannot be done.
"""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from aiohttp import web

from services.apply_layer.double.codes import Refused
from services.apply_layer.double.ledger import plain

if TYPE_CHECKING:
    from services.apply_layer.double.server import Double


class Control:
    """What answers under `/double/`."""

    def __init__(self, double: Double) -> None:
        self._double = double

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Serve one call. It runs beside the loop, so that it may wait for it."""
        what = request.path.removeprefix("/double/")
        try:
            text = (await request.read()).decode()
            asked = json.loads(text) if text else {}
            asked |= dict(request.query)
            told = await asyncio.to_thread(self._do, f"{request.method} {what}", asked)
        except Refused as refused:
            told, status = {"code": refused.code, "msg": refused.text}, 400
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            told, status = {"msg": f"{type(error).__name__}: {error}"}, 400
        else:
            status = 200
        return web.json_response(told, status=status)

    def _do(self, what: str, asked: dict[str, Any]) -> Any:
        double = self._double
        match what:
            case "GET state":
                return self._state()
            case "GET ledger":
                after = int(asked.get("after", 0))
                return [line for line in double.ledger if line["n"] > after]
            case "POST mark":
                double.mark(
                    asked["symbol"], Decimal(asked["price"]), _maybe(asked, "funding_rate"),
                    _maybe(asked, "contract"),
                )  # fmt: skip
            case "POST order":
                return {
                    "client_id": double.by_hand(
                        asked["symbol"], asked["side"], Decimal(asked["qty"]),
                        reduce_only=bool(asked.get("reduce_only")),
                        client_id=asked.get("client_id"),
                    )
                }  # fmt: skip
            case "POST stop":
                return {
                    "client_id": double.stop_by_hand(
                        asked["symbol"], asked["side"], Decimal(asked["trigger"]),
                        _maybe(asked, "qty"), book=asked.get("book", "algo"),
                        client_id=asked.get("client_id"),
                    )
                }  # fmt: skip
            case "POST cancel":
                return {"cancelled": double.cancel_by_hand(asked["client_id"])}
            case "POST fault":
                double.faults.script(**asked)
            case "POST rate":
                double.set_fault_rate(float(asked["rate"]), asked.get("kinds"))
            case "POST calm":
                double.faults.clear()
            case "POST down":
                double.down(asked.get("how", "503"))
            case "POST up":
                double.up()
            case "POST latency":
                double.set_latency(float(asked["seconds"]))
            case "POST windows":
                if asked["hold"]:
                    double.hold_windows()
                else:
                    double.free_windows()
            case _:
                raise ValueError(f"{what} is none of the double's controls")
        return {}

    def _state(self) -> dict[str, Any]:
        double = self._double
        return {
            "wallet": plain(double.wallet),
            "positions": {s: plain(double.position(s)) for s in double.config.symbols},
            "marks": {s: plain(double.mark_of(s)) for s in double.config.symbols},
            "open_orders": double.open_orders(),
            "open_algo_orders": double.open_algo_orders(),
        }


def _maybe(asked: dict[str, Any], name: str) -> Decimal | None:
    return Decimal(asked[name]) if asked.get(name) is not None else None
