"""Every formula answers the reference vectors to 1e-9."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from shared.formulas import (
    DEFAULT_LADDER,
    ExitLevels,
    NoSafeStop,
    exit_levels,
    harvest,
    kill_score,
    planned_ladder,
    r_multiple,
    risk_per_unit,
)
from shared.sides import PositionSide, Side

from .vectors import VECTORS, is_near


@pytest.mark.parametrize("vector", VECTORS["levels"])
def test_exit_levels_match_the_vector(vector: dict[str, Any]) -> None:
    expected = vector["out"]
    levels = exit_levels(**{**vector["in"], "side": Side(vector["in"]["side"])})

    assert is_near(levels.lsf, expected["lsf"])
    if "error" in expected:
        assert isinstance(levels, NoSafeStop)
        assert levels.reason == expected["error"]
        return
    assert isinstance(levels, ExitLevels)
    actual = (levels.sl_pct, levels.stop_loss, *levels.tp_pct, *levels.take_profit)
    wanted = (
        expected["sl_pct"],
        expected["stop_loss"],
        *expected["tp_pct"],
        *expected["take_profit"],
    )
    assert all(is_near(*pair) for pair in zip(actual, wanted, strict=True))
    assert levels.harvest_scheme == tuple(expected["harvest_scheme"])


@pytest.mark.parametrize("vector", VECTORS["harvest"])
def test_the_harvest_matches_the_vector(vector: dict[str, Any]) -> None:
    case, expected = vector["in"], vector["out"]
    r = r_multiple(
        side=PositionSide(case["side"]),
        entry_price=case["entry"],
        mark_price=case["mark"],
        risk_per_unit=risk_per_unit(case["entry"], case["stop"]),
    )
    plan = planned_ladder(
        DEFAULT_LADDER,
        initial_qty=case["qty0"],
        lot_step=Decimal(case["lot_step"]),
        min_qty=Decimal(0),
        min_notional=Decimal(0),
        price_at=lambda _rung: case["entry"],
    )
    result = harvest(
        plan,
        r=r,
        harvested_qty=case["harvested"],
        remaining_qty=case["qty0"] - case["harvested"],
    )

    assert is_near(r, expected["r_net"])
    assert (result.rung.name if result.rung else "NONE") == expected["rung"]
    assert (result.action.name if result.action else "NONE") == expected["action"]
    assert result.close_qty == Decimal(expected["close_qty"])


@pytest.mark.parametrize("vector", VECTORS["kill"])
def test_the_kill_score_matches_the_vector(vector: dict[str, Any]) -> None:
    case = vector["in"]
    score = kill_score(
        regime_flip=int(case["flip"]),
        sigma_ratio=float(case["sigma_ratio"]),
        ts_aligned=float(case["ts_aligned"]),
        age_s=float(case["age_s"]),
    )
    assert is_near(score, vector["out"])
