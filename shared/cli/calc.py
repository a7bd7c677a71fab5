"""`calc`: the formulas at the prompt, one case by flags or many as JSON lines.

Reads its flags or standard input, writes standard output; touches no stream, key or venue.
Numbers are read as Decimal, never through float, and strictly: what is not plain decimal notation
is refused on its own line, and the other lines go on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, BinaryIO, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from shared import formulas
from shared.sides import PositionSide, Side

MAX_LINE_BYTES = 65_536
MAX_NUMBER_CHARS = 64
MAX_MAGNITUDE = 30
"""Numbers from 1e-30 up to below 1e31: wider than any market, narrow enough to compute with."""

_EXIT_MALFORMED = 2
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
_ZERO = Decimal(0)

Case = Mapping[str, object]
Answer = dict[str, object] | float
Choice = TypeVar("Choice", bound=StrEnum)


class Malformed(Exception):
    """A case that cannot be computed: `code` for programs, `detail` for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Formula:
    """The names a case must and may have, and what computes it."""

    required: frozenset[str]
    optional: frozenset[str]
    compute: Callable[[Case], Answer]


# --- one case ---------------------------------------------------------------------------------


def _levels(case: Case) -> Answer:
    levels = formulas.exit_levels(
        side=_choice(case, "side", Side),
        entry_price=_positive(case, "entry_price"),
        leverage=_not_negative(case, "leverage"),
        atr_value=_none_or(_not_negative, case, "atr_value"),
        volatility_factor=_not_negative(case, "volatility_factor", Decimal(1)),
        exchange_divergence=_not_negative(case, "exchange_divergence", _ZERO),
        funding_rate=_number(case, "funding_rate", _ZERO),
        regime=_choice(case, "regime", formulas.Regime, formulas.Regime.UNKNOWN),
    )
    if isinstance(levels, formulas.NoSafeStop):
        return {"lsf": float(levels.lsf), "error": levels.reason}
    return {
        "lsf": float(levels.lsf),
        "sl_pct": float(levels.sl_pct),
        "tp_pct": [float(fraction) for fraction in levels.tp_pct],
        "stop_loss": float(levels.stop_loss),
        "take_profit": [float(price) for price in levels.take_profit],
        "harvest_scheme": [float(share) for share in levels.harvest_scheme],
    }


def _harvest(case: Case) -> Answer:
    side = _choice(case, "side", PositionSide)
    initial_qty = _positive(case, "qty0")
    harvested_qty = _not_negative(case, "harvested")
    entry_price = _positive(case, "entry")
    stop = _none_or(_positive, case, "stop")
    mark_price = _positive(case, "mark")
    lot_step = _positive(case, "lot_step")
    if harvested_qty > initial_qty:
        raise Malformed("bad_number", "harvested: more than qty0")
    if stop == entry_price:
        raise Malformed("bad_number", "stop: at the entry, there is no risk to measure R in")
    r_net = formulas.r_multiple(
        side=side,
        entry_price=entry_price,
        mark_price=mark_price,
        risk_per_unit=formulas.risk_per_unit(entry_price, stop),
    )
    # A case names no venue minimum, so no rung is merged and each is taken in its own name.
    plan = formulas.unmerged_ladder(
        formulas.DEFAULT_LADDER, initial_qty=initial_qty, lot_step=lot_step
    )
    result = formulas.harvest(
        plan, r=r_net, harvested_qty=harvested_qty, remaining_qty=initial_qty - harvested_qty
    )
    return {
        "r_net": float(r_net),
        "action": result.action.name if result.action else "NONE",
        "rung": result.rung.name if result.rung else "NONE",
        "close_qty": f"{result.close_qty:f}",
    }


def _kill_inputs(case: Case) -> formulas.KillParts:
    flip = case["flip"]
    if not isinstance(flip, bool):
        flip = _number(case, "flip")
        if flip not in (0, 1):
            raise Malformed("bad_number", "flip: must be 0 or 1")
    ts_aligned = _number(case, "ts_aligned")
    if abs(ts_aligned) > 1:
        raise Malformed("bad_number", "ts_aligned: must be in [-1, 1]")
    return formulas.kill_parts(
        regime_flip=bool(flip),
        sigma_ratio=float(_not_negative(case, "sigma_ratio")),
        ts_aligned=float(ts_aligned),
        age_s=float(_not_negative(case, "age_s")),
    )


def _kill(case: Case) -> Answer:
    return _kill_inputs(case).score


LEVELS = Formula(
    frozenset({"side", "entry_price", "leverage"}),
    frozenset(
        {"atr_value", "volatility_factor", "exchange_divergence", "funding_rate", "regime"}
    ),
    _levels,
)
HARVEST = Formula(
    frozenset({"side", "qty0", "harvested", "entry", "stop", "mark", "lot_step"}),
    frozenset(),
    _harvest,
)
KILL = Formula(
    frozenset({"flip", "sigma_ratio", "ts_aligned", "age_s"}),
    frozenset(),
    _kill,
)


def answer(formula: Formula, case: Case) -> Answer:
    """The answer of `formula` to one case. Raises Malformed for names or values it refuses."""
    unknown = sorted(case.keys() - formula.required - formula.optional)
    if unknown:
        raise Malformed("unknown_field", ", ".join(_shown(name) for name in unknown))
    missing = sorted(formula.required - case.keys())
    if missing:
        raise Malformed("missing_field", ", ".join(missing))
    return formula.compute(case)


# --- strict values ----------------------------------------------------------------------------


def _decimal(literal: str) -> Decimal:
    """A finite number in JSON's own notation. Raises Malformed for anything else."""
    if len(literal) > MAX_NUMBER_CHARS or not _NUMBER.fullmatch(literal):
        raise Malformed("bad_number", _shown(literal))
    number = Decimal(literal)
    if abs(number.adjusted()) > MAX_MAGNITUDE:
        raise Malformed("bad_number", f"{_shown(literal)} is out of range")
    return number


def _number(case: Case, name: str, default: Decimal | None = None) -> Decimal:
    value = case.get(name, default)
    try:
        if isinstance(value, str):
            return _decimal(value)
    except Malformed as error:
        raise Malformed(error.code, f"{name}: {error.detail}") from None
    if not isinstance(value, Decimal):
        raise Malformed("bad_number", f"{name}: must be a number")
    return value


def _positive(case: Case, name: str) -> Decimal:
    number = _number(case, name)
    if number <= 0:
        raise Malformed("bad_number", f"{name}: must be positive")
    return number


def _not_negative(case: Case, name: str, default: Decimal | None = None) -> Decimal:
    number = _number(case, name, default)
    if number < 0:
        raise Malformed("bad_number", f"{name}: must not be negative")
    return number


def _none_or(
    read: Callable[[Case, str], Decimal], case: Case, name: str
) -> Decimal | None:
    return None if case.get(name) is None else read(case, name)


def _choice(
    case: Case, name: str, choices: type[Choice], default: Choice | None = None
) -> Choice:
    value = case.get(name, default)
    for choice in choices:
        if isinstance(value, str) and value == choice.value:
            return choice
    raise Malformed("bad_value", f"{name}: must be one of {', '.join(choices)}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= MAX_NUMBER_CHARS else f"{text[:MAX_NUMBER_CHARS]}...")


# --- JSON lines -------------------------------------------------------------------------------


def parse_case(line: bytes) -> Case:
    """One JSON object with Decimal numbers. Raises Malformed (not_json, duplicate_key, ...)."""
    if len(line) > MAX_LINE_BYTES:
        raise Malformed("too_long", f"a line holds at most {MAX_LINE_BYTES} bytes")
    try:
        case = json.loads(
            line.decode("utf-8"),
            parse_float=_decimal,
            parse_int=_decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError:
        raise Malformed("not_json", "the line is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Malformed("not_json", f"{error.msg} at column {error.colno}") from None
    except RecursionError:
        raise Malformed("not_json", "nested too deeply") from None
    if not isinstance(case, dict):
        raise Malformed("not_an_object", "a line holds one JSON object")
    return case


def answer_lines(formula: Formula, source: BinaryIO) -> Iterator[tuple[Answer, bool]]:
    """For every line that is not blank, its answer or error, and whether it was well formed."""
    for line in _lines(source):
        try:
            yield answer(formula, parse_case(line)), True
        except Malformed as error:
            yield {"error": error.code, "detail": error.detail}, False


def _lines(source: BinaryIO) -> Iterator[bytes]:
    """Lines without blank ones; of a line over the limit only the start, to be refused."""
    while line := source.readline(MAX_LINE_BYTES + 1):
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = source.readline(MAX_LINE_BYTES + 1)
        if line.strip():
            yield line


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    case: dict[str, object] = {}
    for name, value in pairs:
        if name in case:
            raise Malformed("duplicate_key", _shown(name))
        case[name] = value
    return case


def _refuse_constant(literal: str) -> object:
    raise Malformed("bad_number", literal)


# --- commands ---------------------------------------------------------------------------------

calc = typer.Typer(
    name="calc",
    no_args_is_help=True,
    help="Compute exit levels, a harvest or a kill score. With flags: one case, as a table. "
    "Without flags: cases as JSON lines on standard input, one result per line.",
)

JsonLines = Annotated[
    bool,
    typer.Option(
        "--json-lines",
        help="Read JSON lines from standard input. The default when no flag is given and "
        "standard input is not a terminal. Blank lines are skipped. A malformed line answers "
        '{"error": ..., "detail": ...} in its place, and the exit code is 2 at the end.',
    ),
]
Text = str | None


@calc.command()
def levels(
    *,
    side: Annotated[Text, typer.Option(help="BUY or SELL.")] = None,
    entry_price: Annotated[Text, typer.Option(help="Price of the entry.")] = None,
    leverage: Annotated[Text, typer.Option(help="Leverage, 10 for 10x.")] = None,
    atr_value: Annotated[Text, typer.Option(help="ATR as a price; 2 % if absent.")] = None,
    volatility_factor: Annotated[Text, typer.Option(help="1 is normal. Default 1.")] = None,
    exchange_divergence: Annotated[Text, typer.Option(help="0 to 1. Default 0.")] = None,
    funding_rate: Annotated[Text, typer.Option(help="Fraction longs pay. Default 0.")] = None,
    regime: Annotated[
        Text, typer.Option(help="RANGE, NORMAL, UNKNOWN, TREND, BULL or BEAR.")
    ] = None,
    json_lines: JsonLines = False,
) -> None:
    """The stop and three targets of an entry, unrounded.

    JSON names are the flags' with underscores. A leverage that leaves no safe stop is an answer,
    {"lsf": ..., "error": "no_safe_stop"}, not a malformed line.
    """
    case = _given(
        side=side,
        entry_price=entry_price,
        leverage=leverage,
        atr_value=atr_value,
        volatility_factor=volatility_factor,
        exchange_divergence=exchange_divergence,
        funding_rate=funding_rate,
        regime=regime,
    )
    _run(LEVELS, case, json_lines=json_lines, show=_levels_table)


@calc.command()
def harvest(
    *,
    side: Annotated[Text, typer.Option(help="LONG or SHORT.")] = None,
    qty0: Annotated[Text, typer.Option(help="Initial quantity.")] = None,
    harvested: Annotated[Text, typer.Option(help="Harvested so far. Default 0.")] = None,
    entry: Annotated[Text, typer.Option(help="Entry price.")] = None,
    stop: Annotated[Text, typer.Option(help="Initial stop; 2 % of risk if absent.")] = None,
    mark: Annotated[Text, typer.Option(help="Mark price.")] = None,
    lot_step: Annotated[Text, typer.Option(help="The venue's quantity step.")] = None,
    json_lines: JsonLines = False,
) -> None:
    """R and what the ladder closes now.

    JSON names are the flags' with underscores, all of them required; `stop` may be null.
    """
    case = _given(
        side=side,
        qty0=qty0,
        harvested=harvested,
        entry=entry,
        stop=stop,
        mark=mark,
        lot_step=lot_step,
    )
    if case:
        case = {"harvested": "0", "stop": None, **case}
    _run(HARVEST, case, json_lines=json_lines, show=_harvest_table)


@calc.command()
def kill(
    *,
    flip: Annotated[Text, typer.Option(help="Regime flip, 0 or 1.")] = None,
    sigma_ratio: Annotated[Text, typer.Option(help="Volatility over its reference.")] = None,
    ts_aligned: Annotated[Text, typer.Option(help="Trend strength in favour, -1 to 1.")] = None,
    age_s: Annotated[Text, typer.Option(help="Age of the position in seconds.")] = None,
    json_lines: JsonLines = False,
) -> None:
    """The kill score; from 0.6 on the whole position is closed.

    JSON names are the flags' with underscores, all of them required. The answer to a line is a
    bare number.
    """
    case = _given(flip=flip, sigma_ratio=sigma_ratio, ts_aligned=ts_aligned, age_s=age_s)
    _run(KILL, case, json_lines=json_lines, show=_kill_table)


def _given(**flags: str | None) -> Case:
    return {name: value for name, value in flags.items() if value is not None}


def _run(
    formula: Formula, case: Case, *, json_lines: bool, show: Callable[[Case, Answer], Table]
) -> None:
    if case and json_lines:
        raise typer.BadParameter("give the flags of one case or --json-lines, not both")
    if case:
        _run_one(formula, case, show)
        return
    source = typer.get_binary_stream("stdin")
    if source.isatty() and not json_lines:
        raise typer.BadParameter("give the flags of one case, or pipe JSON lines (see --help)")
    _run_lines(formula, source)


def _run_one(formula: Formula, case: Case, show: Callable[[Case, Answer], Table]) -> None:
    try:
        result = answer(formula, case)
    except Malformed as error:
        raise typer.BadParameter(str(error)) from None
    Console().print(show(case, result))


def _run_lines(formula: Formula, source: BinaryIO) -> None:
    all_well_formed = True
    for result, well_formed in answer_lines(formula, source):
        typer.echo(json.dumps(result, allow_nan=False))
        all_well_formed = all_well_formed and well_formed
    if not all_well_formed:
        raise typer.Exit(_EXIT_MALFORMED)


# --- tables for people ------------------------------------------------------------------------


def _levels_table(case: Case, result: Answer) -> Table:
    assert isinstance(result, dict)
    return Table()
