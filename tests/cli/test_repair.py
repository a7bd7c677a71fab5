"""`quantum repair`: a stream whose ids are ahead of the clock is mended, and nothing else."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from shared.bus.client import call
from shared.cli import app
from shared.streams import STREAMS, TRADE_INTENT, producer_key
from tests.worlds import RedisWorld

YEAR_2100 = "4102444800000-7"
HIGHEST = f"{2**64 - 1}-{2**64 - 1}"


@pytest.fixture
def world(redis_world: RedisWorld, monkeypatch: pytest.MonkeyPatch) -> RedisWorld:
    monkeypatch.setenv("REDIS_URL", redis_world.url)
    return redis_world


def run(*words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["repair", *words], input=answer)


def put(world: RedisWorld, key: str, id_: str) -> None:
    call(world.client, "XADD", key, id_, "n", "1")


def last_ms(world: RedisWorld, key: str) -> int:
    id_ = world.add(key, {"n": "2"})
    return int(id_.partition("-")[0])


def test_where_no_id_is_ahead_nothing_is_done(world: RedisWorld) -> None:
    for stream in STREAMS:
        world.add(stream.key, {"n": "1"})
    said = run()
    assert (said.exit_code, said.output) == (0, "No stream is ahead of the clock.\n")


@pytest.mark.parametrize("id_", [YEAR_2100, HIGHEST])
def test_every_stream_whose_ids_are_ahead_is_named_and_mended(world: RedisWorld, id_: str) -> None:
    keys = [key for stream in STREAMS for key in (stream.key, stream.dead_key)]
    keys.append(producer_key("my_signals"))
    for key in keys:
        put(world, key, id_)
    said = run(answer="y\n")
    assert said.exit_code == 0, said.output
    for key in keys:
        assert last_ms(world, key) < 4_000_000_000_000
        assert world.entries(key)[0] == {"n": "1"}
    for stream in STREAMS:
        assert f"{stream.name}: its last id is {id_}" in said.output
        codes = [letter.get("code") for letter in world.entries(stream.dead_key)]
        assert "id_ahead" in codes
    assert run().output == "No stream is ahead of the clock.\n"


def test_it_asks_first(world: RedisWorld) -> None:
    put(world, TRADE_INTENT.key, HIGHEST)
    assert run(answer="n\n").exit_code == 1
    assert call(world.client, "XRANGE", TRADE_INTENT.key, HIGHEST, HIGHEST)
    assert run("--yes").exit_code == 0
    assert not call(world.client, "XRANGE", TRADE_INTENT.key, HIGHEST, HIGHEST)
