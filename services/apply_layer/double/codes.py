"""The venue's refusals: numeric code, text and HTTP status. Pure.

The codes and their meaning are those of Binance USD-M futures.
"""

from __future__ import annotations

UNKNOWN_503 = "Unknown error, please check your request or try again later."
UNAVAILABLE_503 = "Service Unavailable."
INTERNAL_503 = "Internal error; unable to process your request. Please try again."

_TEXTS = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: INTERNAL_503,
    -1003: "Too many requests; please use the websocket for live updates to avoid bans.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; "
    "execution status unknown.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
    -1015: "Too many new orders.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1100: "Illegal characters found in a parameter.",
    -1102: "A mandatory parameter was not sent, was empty/null, or malformed.",
    -1106: "A parameter was sent when not required.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1120: "Invalid interval.",
    -1121: "Invalid symbol.",
    -1125: "This listenKey does not exist.",
    -1127: "Lookup interval is too big.",
    -1131: "recvWindow must be less than 60000.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2019: "Margin is insufficient.",
    -2021: "Order would immediately trigger.",
    -2022: "ReduceOnly Order is rejected.",
    -2027: "Exceeded the maximum allowable position at current leverage.",
    -4003: "Quantity less than or equal to zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4006: "Stop price less than or equal to zero.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id is not valid.",
    -4016: "Limit price can't be higher than the price cap.",
    -4023: "Quantity not increased by step size.",
    -4024: "Limit price can't be lower than the price floor.",
    -4028: "Leverage is not valid.",
    -4045: "Reach max stop order limit.",
    -4046: "No need to change margin type.",
    -4047: "Margin type cannot be changed if there exists open orders.",
    -4048: "Margin type cannot be changed if there exists position.",
    -4059: "No need to change position side.",
    -4061: "Order's position side does not match user's setting.",
    -4068: "Position side cannot be changed if there exists position.",
    -4087: "User can only place reduce only order.",
    -4088: "User can not place order currently.",
    -4108: "Symbol is on delivering or delivered or settling or closed or pre-trading.",
    -4116: "ClientOrderId is duplicated.",
    -4118: "ReduceOnly Order Failed. Please check your existing position and open orders.",
    -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints.",
    -4130: "An open stop or take profit order with GTE and closePosition in the direction is "
    "existing.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    -4136: "Target strategy invalid for orderType MARKET, closePosition true.",
    -4137: "Quantity must be zero with closePosition equals true.",
    -4138: "Reduce only must be true with closePosition equals true.",
    -4140: "Invalid symbol status for opening position.",
    -4142: "REJECT: take profit or stop order will be triggered immediately.",
    -4161: "Leverage reduction is not supported in Isolated Margin Mode with open positions.",
    -4164: "Order's notional must be no smaller than the minimum (unless you choose reduce only).",
    -4166: "Search window is restricted to recent 90 days only.",
    -4168: "Unable to adjust to isolated-margin mode under the Multi-Assets mode.",
    -4171: "No need to change Multi-Assets mode.",
    -4192: "Trade forbidden due to Cooling-off Period.",
    -4400: "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed.",
    -4401: "Compliance restricted account permission: only reduceOnly order is allowed.",
    -5028: "The requested timestamp is outside of the recvWindow of the matching engine.",
}
_HTTP = {-2014: 401, -2015: 401, -1003: 429, -1015: 429, -1008: 503}


class Refused(Exception):
    """An answer that refuses. `retry_after_s` goes into its Retry-After header."""

    def __init__(
        self,
        code: int,
        text: str | None = None,
        *,
        http: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{code}")
        self.code = code
        self.text = text if text is not None else _TEXTS.get(code, "The request was refused.")
        self.http = http if http is not None else _HTTP.get(code, 400)
        self.retry_after_s = retry_after_s


def missing(name: str) -> Refused:
    """A mandatory parameter is not there."""
    return Refused(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def illegal(name: str, pattern: str) -> Refused:
    """A parameter has characters that it may not have."""
    return Refused(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'."
    )
