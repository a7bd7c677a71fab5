"""The keys show nowhere: not in a log, a metric, a stream, a record, an error or the ledger."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from services.apply_layer.binance.check import findings
from services.apply_layer.binance.client import NoAnswer, VenueError
from services.apply_layer.settings import ApplyLayerSettings

from .desk import BTC, KEY, SECRET, D, Desk, desk_at


def everything(desk: Desk, logs: str, folder: Path) -> str:
    streams = [
        repr(entry) for log in desk.server.logs.values() for entry in log.entries
    ]  # fmt: skip
    hashes = [repr(fields) for fields in desk.server.hashes.values()]
    metrics = generate_latest(desk.metrics.registry).decode()
    ledger = (folder / "ledger.jsonl").read_text()
    return "\n".join(
        (logs, *streams, *hashes, metrics, ledger, desk.story(), repr(vars(desk.outside)))
    )


def test_keys_show_in_nothing_that_a_day_of_trading_and_failing_leaves_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        with desk_at(tmp_path) as desk:
            desk.ready()
            desk.enter()
            desk.until(desk.holds)
            faults: list[dict[str, Any]] = [
                {"kind": "code", "code": -2015},
                {"kind": "code", "code": -1022},
                {"kind": "http_502"},
                {"kind": "executed_then_timed_out"},
            ]
            for fault in faults:
                kind = fault.pop("kind")
                desk.venue.faults.script(kind, method="POST", path="/fapi/v1/order", **fault)
                desk.leave("PARTIAL_25", qty=D("0.005"))
                desk.until(desk.quiet)
            desk.venue.down()
            desk.until(lambda: "venue_unreachable" in desk.state.barriers)
            desk.venue.up()
            desk.until(lambda: BTC in desk.state.positions and desk.holds())
            shown = everything(desk, "".join(capfd.readouterr()) + heard.getvalue(), tmp_path)
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger().setLevel(logging.WARNING)
    assert "order_unknown" in shown
    assert KEY not in shown
    assert SECRET not in shown


def test_errors_of_the_venue_carry_no_key(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        client = desk.outside._client
        for kind, more in (("code", {"code": -2014}), ("http_502", {}), ("code", {"code": -1006})):
            desk.venue.faults.script(kind, method="GET", path="/fapi/v3/balance", times=3, **more)
            with pytest.raises((VenueError, NoAnswer)) as caught:
                client.call("fapiPrivateV3GetBalance")
            chain: list[str] = []
            error: BaseException | None = caught.value
            while error is not None:
                chain.append(repr(error))
                error = None if error.__suppress_context__ else error.__context__
            assert KEY not in "".join(chain)
            assert SECRET not in "".join(chain)


def test_the_check_shows_no_key(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        own = ApplyLayerSettings.model_validate(desk.own | {"live": desk.live})
        assert KEY not in repr(list(findings(own)))
        assert KEY not in repr(own)


def test_a_daemon_whose_key_is_wrong_ends_or_waits_without_showing_it(tmp_path: Path) -> None:
    with desk_at(tmp_path, api_key="another") as desk:
        code = (
            "from services.apply_layer.binance.check import findings\n"
            "from services.apply_layer.settings import ApplyLayerSettings\n"
            "import json, sys\n"
            "own = ApplyLayerSettings.model_validate(json.loads(sys.stdin.read()))\n"
            "print(list(findings(own)))\n"
        )
        told = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(desk.own | {"live": desk.live}),
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            timeout=60,
            check=True,
        )
        assert "-2015" in told.stdout or "-2014" in told.stdout
        assert KEY not in told.stdout + told.stderr
