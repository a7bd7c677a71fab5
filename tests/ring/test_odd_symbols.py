"""Six processes on paper, with symbols of every script: the ladder is taken of each."""

from __future__ import annotations

from pathlib import Path

from services.market_feed.klines import load
from shared.cli.demo_market import SYMBOL, write_candles
from shared.cli.ring import replay_environment
from shared.streams import APPLY_RESULT, position_key
from tests.symbols.odd import CHINESE, QUARTERLY

from .live import SEED, a_ring, a_server, call, climb, quantum, texts

ODD = (CHINESE, QUARTERLY)
SEEDS = "".join(SEED.replace(SYMBOL, symbol) for symbol in ODD)


def write_all(folder: Path) -> list[str]:
    """The climb as a candle file of each symbol, named as official files are."""
    path, _ = write_candles(folder, climb())
    rows = path.read_text(encoding="ascii")
    files = []
    for symbol in ODD:
        file = folder / f"{symbol}-1m-2025-06.csv"
        file.write_text(rows, encoding="ascii")
        files.append(str(file))
    assert set(load(files).by_symbol) == set(ODD)
    return files


def test_the_ladder_of_each_is_taken_on_paper_and_every_command_shows_it(tmp_path: Path) -> None:
    replay = replay_environment(write_all(tmp_path), speed="max", until_end=True)
    with (
        a_server(tmp_path, appendfsync="no") as server,
        a_ring(server, tmp_path, settings=SEEDS, environment=replay) as live,
    ):
        live.until_the_end()
        for symbol in ODD:
            fills = [
                result["reason"]
                for result in texts(live.client, APPLY_RESULT)
                if result["symbol"] == symbol and result["status"] == "FILLED"
            ]
            assert fills == ["PARTIAL_25", "PARTIAL_50", "PARTIAL_75"]
            assert call(live.client, "EXISTS", position_key(symbol)) == 1
        environment = {"REDIS_URL": server.url}
        for words in (
            *(("why", symbol) for symbol in ODD),
            *(("history", symbol) for symbol in ODD),
            ("positions",),
            ("tail", "--no-follow", "--last", "200"),
            ("top", "--once"),
        ):
            told = quantum(*words, environment=environment)
            assert "Traceback" not in told.stderr, words
            if words[0] != "history":
                assert any(symbol in told.stdout for symbol in ODD), (words, told.stdout)
        assert not [d for d in live.ring.daemons if "crashed" in live.events(d)]
