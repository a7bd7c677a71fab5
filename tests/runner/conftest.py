"""The worlds that the runner is tried in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.worlds import MemoryWorld, RedisWorld, World


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each test runs twice: in memory and on a real server."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    on_server = RedisWorld(request.getfixturevalue("redis_url"))
    yield on_server
    on_server.close()


@pytest.fixture
def redis_world(redis_url: str) -> Iterator[RedisWorld]:
    """For what only a real server does."""
    on_server = RedisWorld(redis_url)
    yield on_server
    on_server.close()
