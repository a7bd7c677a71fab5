"""The measurement of a stage: it measures what it says, and never touches a server with data."""

from __future__ import annotations

import pytest
from redis import Redis

from shared.cli.bench_stage import STAGES, measure


def test_every_stage_is_measured_beside_the_bare_loop(redis_url: str) -> None:
    figures = measure(redis_url, messages=200, rounds=1)
    assert [figure.name for figure in figures] == [stage.name for stage in STAGES]
    for figure in figures:
        assert figure.ratio == pytest.approx(figure.stage / figure.bare)
        assert figure.ratio > 0
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_a_server_that_holds_data_is_left_alone(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.set("theirs", "1")
        with pytest.raises(ValueError, match="holds data"):
            measure(redis_url, messages=100, rounds=1)
        assert client.get("theirs") == b"1"
