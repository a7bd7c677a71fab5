"""`calc`: the formulas at the prompt, one case by flags or many as JSON lines.

Reads its flags or standard input, writes standard output; touches no stream, key or venue.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, BinaryIO, Generic, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from shared import formulas
from shared.cli.strict_json import (
    Case,
    Malformed,
    check_names,
    choice,
    none_or,
    not_negative,
    number,
    parse_case,
    positive,
    read_lines,
)
from shared.sides import PositionSide, Side

_EXIT_MALFORMED = 2

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Calculation(Generic[Result]):
    """The names a case must and may have, what computes it, and how its result is shown."""

    required: frozenset[str]
    optional: frozenset[str]
    compute: Callable[[Case], Result]
    as_json: Callable[[Result], object]
    as_table: Callable[[Result], Table]

    def result(self, case: Case) -> Result:
        """The result of one case. Raises Malformed for names or values it refuses."""
        check_names(case, required=self.required, optional=self.optional)
        return self.compute(case)


@dataclass(frozen=True, slots=True)
class HarvestResult:
    """R and what the ladder says at it."""

    r_net: Decimal
    harvest: formulas.Harvest


def _levels(case: Case) -> formulas.ExitLevels | formulas.NoSafeStop:
    # Only what the formula itself does not clip is checked for its range.
    return formulas.exit_levels(
        side=choice(case, "side", Side),
        entry_price=positive(case, "entry_price"),
        leverage=not_negative(case, "leverage"),
        atr_value=none_or(not_negative, case, "atr_value"),
        volatility_factor=number(case, "volatility_factor", Decimal(1)),
        exchange_divergence=number(case, "exchange_divergence", Decimal(0)),
        funding_rate=number(case, "funding_rate", Decimal(0)),
        regime=choice(case, "regime", formulas.Regime, formulas.Regime.UNKNOWN),
    )


def _levels_json(levels: formulas.ExitLevels | formulas.NoSafeStop) -> object:
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


def _levels_table(levels: formulas.ExitLevels | formulas.NoSafeStop) -> Table:
    title = f"LSF {levels.lsf:.4f}"
    if isinstance(levels, formulas.NoSafeStop):
        return _table(title, ["refused", levels.reason])
    table = _table(title, ["level", "price", "distance", "share"])
    table.add_row("stop", f"{levels.stop_loss:.8g}", f"{levels.sl_pct:.2%}", "100%")
    targets = zip(levels.take_profit, levels.tp_pct, levels.harvest_scheme, strict=True)
    for index, (price, fraction, share) in enumerate(targets, start=1):
        table.add_row(f"target {index}", f"{price:.8g}", f"{fraction:.2%}", f"{share:.0%}")
    return table


def _harvest(case: Case) -> HarvestResult:
    initial_qty, harvested_qty = positive(case, "qty0"), not_negative(case, "harvested")
    if harvested_qty > initial_qty:
        raise Malformed("bad_number", "harvested: more than qty0")
    entry_price, stop = positive(case, "entry"), none_or(positive, case, "stop")
    if stop == entry_price:
        raise Malformed("bad_number", "stop: at the entry, there is no risk to measure R in")
    r_net = formulas.r_multiple(
        side=choice(case, "side", PositionSide),
        entry_price=entry_price,
        mark_price=positive(case, "mark"),
        risk_per_unit=formulas.risk_per_unit(entry_price, stop),
    )
    # A case names no venue minimum, so no rung is merged and each is taken in its own name.
    plan = formulas.unmerged_ladder(
        formulas.DEFAULT_LADDER, initial_qty=initial_qty, lot_step=positive(case, "lot_step")
    )
    harvested = formulas.harvest(
        plan, r=r_net, harvested_qty=harvested_qty, remaining_qty=initial_qty - harvested_qty
    )
    return HarvestResult(r_net, harvested)


def _harvest_json(result: HarvestResult) -> object:
    return {
        "r_net": float(result.r_net),
        "action": _name(result.harvest.action),
        "rung": _name(result.harvest.rung),
        "close_qty": f"{result.harvest.close_qty:f}",
    }


def _harvest_table(result: HarvestResult) -> Table:
    table = _table("Harvest", ["R", "rung reached", "action", "close"])
    table.add_row(
        f"{result.r_net:.2f}",
        _name(result.harvest.rung),
        _name(result.harvest.action),
        f"{result.harvest.close_qty:f}",
    )
    return table


def _name(rung: formulas.Rung | None) -> str:
    return rung.name if rung else "NONE"


def _kill(case: Case) -> formulas.KillParts:
    flip = case["flip"] if isinstance(case["flip"], bool) else number(case, "flip")
    if flip not in (0, 1):
        raise Malformed("bad_number", "flip: must be 0 or 1")
    return formulas.kill_parts(
        regime_flip=bool(flip),
        sigma_ratio=float(number(case, "sigma_ratio")),
        ts_aligned=float(number(case, "ts_aligned")),
        age_s=float(number(case, "age_s")),
    )


def _kill_json(parts: formulas.KillParts) -> object:
    return parts.score


def _kill_table(parts: formulas.KillParts) -> Table:
    table = _table("Kill score", ["term", "weighted"])
    table.add_row("bias", f"{parts.bias:+.3f}")
    table.add_row("regime flip", f"{parts.regime_flip:+.3f}")
    table.add_row("sigma spike", f"{parts.sigma_spike:+.3f}")
    table.add_row("trend strength drop", f"{parts.ts_drop:+.3f}")
    table.add_row("age", f"{parts.age:+.3f}", end_section=True)
    verdict = "close" if parts.score >= formulas.KILL_THRESHOLD else "hold"
    table.add_row(f"K ({verdict})", f"{parts.score:.4f}")
    return table


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


LEVELS = Calculation(
    frozenset({"side", "entry_price", "leverage"}),
    frozenset({"atr_value", "volatility_factor", "exchange_divergence", "funding_rate", "regime"}),
    _levels,
    _levels_json,
    _levels_table,
)
HARVEST = Calculation(
    frozenset({"side", "qty0", "harvested", "entry", "stop", "mark", "lot_step"}),
    frozenset(),
    _harvest,
    _harvest_json,
    _harvest_table,
)
KILL = Calculation(
    frozenset({"flip", "sigma_ratio", "ts_aligned", "age_s"}),
    frozenset(),
    _kill,
    _kill_json,
    _kill_table,
)

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
        help="Read JSON lines from standard input. This is the default when no other flag is given "
        "and standard input is not a terminal. Blank lines are skipped. A malformed line answers "
        '{"error": ..., "detail": ...} in its place, and the exit code is then 2.',
    ),
]


@calc.command()
def levels(
    *,
    side: Annotated[str | None, typer.Option(help="BUY or SELL.")] = None,
    entry_price: Annotated[str | None, typer.Option(help="Entry price.")] = None,
    leverage: Annotated[str | None, typer.Option(help="Leverage: 10 is 10x.")] = None,
    atr_value: Annotated[str | None, typer.Option(help="ATR, a price. Default 2 %.")] = None,
    volatility_factor: Annotated[str | None, typer.Option(help="Default 1, normal.")] = None,
    exchange_divergence: Annotated[str | None, typer.Option(help="0 to 1. Default 0.")] = None,
    funding_rate: Annotated[str | None, typer.Option(help="Longs pay it. Default 0.")] = None,
    regime: Annotated[
        str | None, typer.Option(help="RANGE, NORMAL, UNKNOWN, TREND, BULL or BEAR.")
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
    _run(LEVELS, case, json_lines=json_lines)


@calc.command()
def harvest(
    *,
    side: Annotated[str | None, typer.Option(help="LONG or SHORT.")] = None,
    qty0: Annotated[str | None, typer.Option(help="Initial quantity.")] = None,
    harvested: Annotated[str | None, typer.Option(help="Harvested so far. Default 0.")] = None,
    entry: Annotated[str | None, typer.Option(help="Entry price.")] = None,
    stop: Annotated[str | None, typer.Option(help="Initial stop. Default 2 % of risk.")] = None,
    mark: Annotated[str | None, typer.Option(help="Mark price.")] = None,
    lot_step: Annotated[str | None, typer.Option(help="Quantity step of the venue.")] = None,
    json_lines: JsonLines = False,
) -> None:
    """R, and what the ladder closes at it.

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
    defaults: Case = {"harvested": "0", "stop": None} if case else {}
    _run(HARVEST, {**defaults, **case}, json_lines=json_lines)


@calc.command()
def kill(
    *,
    flip: Annotated[str | None, typer.Option(help="Regime flip: 0 or 1.")] = None,
    sigma_ratio: Annotated[str | None, typer.Option(help="Volatility / reference.")] = None,
    ts_aligned: Annotated[str | None, typer.Option(help="Trend strength in favour.")] = None,
    age_s: Annotated[str | None, typer.Option(help="Age of the position, seconds.")] = None,
    json_lines: JsonLines = False,
) -> None:
    """The kill score; from 0.6 on the whole position is closed.

    JSON names are the flags' with underscores, all of them required; each answer is a bare number.
    """
    case = _given(flip=flip, sigma_ratio=sigma_ratio, ts_aligned=ts_aligned, age_s=age_s)
    _run(KILL, case, json_lines=json_lines)


def _given(**flags: str | None) -> Case:
    return {name: value for name, value in flags.items() if value is not None}


def _run(calculation: Calculation[Result], case: Case, *, json_lines: bool) -> None:
    if case and json_lines:
        raise typer.BadParameter("give the flags of one case or --json-lines, not both")
    if case:
        _run_one(calculation, case)
        return
    source = typer.get_binary_stream("stdin")
    if source.isatty() and not json_lines:
        raise typer.BadParameter("give the flags of one case, or pipe JSON lines (see --help)")
    _run_lines(calculation, source)


def _run_one(calculation: Calculation[Result], case: Case) -> None:
    try:
        result = calculation.result(case)
    except Malformed as error:
        raise typer.BadParameter(str(error)) from None
    Console().print(calculation.as_table(result))


def _run_lines(calculation: Calculation[Result], source: BinaryIO) -> None:
    malformed_count = 0
    for line in read_lines(source):
        try:
            answer = calculation.as_json(calculation.result(parse_case(line)))
        except Malformed as error:
            malformed_count += 1
            answer = {"error": error.code, "detail": error.detail}
        typer.echo(json.dumps(answer, allow_nan=False))
    if malformed_count:
        raise typer.Exit(_EXIT_MALFORMED)
