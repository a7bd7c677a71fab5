"""A fee carries its asset, and counts in the quote of its contract whatever it was taken in."""

from __future__ import annotations

from pathlib import Path

from .desk import BTC, D, desk_at
from .test_check import RIGHTS, check, verdicts

BNB, USDC = "BNBUSDT", "BTCUSDC"


def test_a_fee_in_bnb_is_told_in_bnb_and_counted_by_its_mark(tmp_path: Path) -> None:
    with desk_at(
        tmp_path, symbols={BTC: D(65000), BNB: D(600)}, fee_asset="BNB", fee_price=D(600)
    ) as desk:
        desk.own["symbols"] = [BTC]
        desk.restart()
        desk.ready()
        desk.enter()
        desk.until(desk.holds)
        (fill,) = [r for r in desk.results if "filled_qty" in r]
        assert fill["fee_asset"] == "BNB"
        assert D(fill["fee"]) > 0
        assert abs(D(fill["fee"]) - D(fill["fee_asset_qty"]) * 600) < D("0.00001")
        assert desk.position().fees == D(fill["fee"])


def test_a_fee_in_an_asset_without_a_price_is_shown_beside_and_not_lost(tmp_path: Path) -> None:
    with desk_at(tmp_path, fee_asset="XYZ", fee_price=D(600)) as desk:
        desk.ready()
        desk.enter()
        desk.until(desk.holds)
        (fill,) = [r for r in desk.results if "filled_qty" in r]
        assert (D(fill["fee"]), fill["fee_asset"]) == (D(0), "XYZ")
        assert D(fill["fee_asset_qty"]) > 0


def test_a_contract_in_usdc_has_its_fees_and_its_wallet_in_usdc(tmp_path: Path) -> None:
    with desk_at(
        tmp_path, symbols={USDC: D(65000)}, wallet_asset="USDC", permissions=RIGHTS
    ) as desk:
        desk.own["symbols"] = [USDC]
        desk.restart()
        desk.ready()
        desk.venue.by_hand(USDC, "BUY", D("0.1"))
        desk.until(lambda: desk.holds(USDC))
        desk.venue.by_hand(USDC, "BUY", D("0.1"))
        desk.until(lambda: desk.position(USDC).qty == D("0.2"))
        fill = next(r for r in desk.results if "filled_qty" in r)
        assert fill["fee_asset"] == "USDC"
        assert D(fill["fee"]) == D(fill["fee_asset_qty"]) > 0
        assert "USDC can be used" in check(desk)["balance"][1]
        assert verdicts(check(desk))["balance"] == "ok"


def test_multi_assets_and_bnfcr_are_named_by_the_check(tmp_path: Path) -> None:
    with desk_at(tmp_path, multi_assets=True, wallet_asset="BNFCR", permissions=RIGHTS) as desk:
        found = check(desk)
        assert found["mode"][0] == "fail"
        assert "multi-assets mode" in found["mode"][1]
        assert found["balance"][0] == "fail"
        assert "BNFCR" in found["balance"][1]
