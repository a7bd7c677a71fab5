"""`quantum check --live`: the venue is asked about everything, and no order is placed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.apply_layer.binance.check import findings
from services.apply_layer.settings import ApplyLayerSettings

from .desk import BTC, D, Desk, desk_at

RIGHTS = {"enableFutures": True, "enableWithdrawals": False, "ipRestrict": True}


def check(desk: Desk, **live: Any) -> dict[str, tuple[str, str]]:
    own = ApplyLayerSettings.model_validate(desk.own | {"live": desk.live | live})
    return {what: (verdict, detail) for what, verdict, detail in findings(own)}


def verdicts(found: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {what: verdict for what, (verdict, _) in found.items()}


def test_a_sound_configuration_passes_without_an_order(tmp_path: Path) -> None:
    with desk_at(tmp_path, permissions=RIGHTS) as desk:
        found = check(desk)
        assert set(verdicts(found).values()) == {"ok"}
        assert set(found) == {
            "venue", "clock", "keys", "permissions", "mode", "filters", "balance", "positions",
            "fees",
        }  # fmt: skip
        assert desk.lines("request", method="POST", path="/fapi/v1/order") == []
        assert desk.lines("request", method="POST", path="/fapi/v1/algoOrder") == []


def test_a_key_that_may_withdraw_is_refused_unless_overridden(tmp_path: Path) -> None:
    with desk_at(tmp_path, permissions=RIGHTS | {"enableWithdrawals": True}) as desk:
        assert verdicts(check(desk))["permissions"] == "fail"
        assert verdicts(check(desk, allow_withdrawals=True))["permissions"] == "ok"


@pytest.mark.parametrize(
    ("rights", "verdict"),
    [({"enableFutures": False}, "fail"), ({"ipRestrict": False}, "warn")],
)
def test_other_rights_are_told(tmp_path: Path, rights: dict[str, bool], verdict: str) -> None:
    with desk_at(tmp_path, permissions=RIGHTS | rights) as desk:
        assert verdicts(check(desk))["permissions"] == verdict


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with desk_at(tmp_path, permissions=RIGHTS, wallet=D(0)) as desk:
        desk.venue.faults.script("hedge_mode")
        desk.venue.faults.script("clock_skew", offset_ms=2000)
        desk.own["symbols"] = [BTC, "NOSUCHUSDT"]
        found = check(desk)
        assert verdicts(found)["mode"] == "fail"
        assert verdicts(found)["clock"] == "fail"
        assert verdicts(found)["balance"] == "fail"
        assert "NOSUCHUSDT" in found["filters"][1]


def test_a_venue_that_does_not_answer_is_said_so(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        desk.venue.down()
        assert verdicts(check(desk)) == {"venue": "fail"}


def test_missing_keys_are_said_first(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        assert verdicts(check(desk, key_file=str(tmp_path / "none"))) == {"keys": "fail"}
