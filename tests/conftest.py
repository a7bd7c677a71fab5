"""Fixtures that the whole suite shares: one real server for each test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, settings

from shared.server import LocalServer
from tests.worlds import MemoryWorld, RedisWorld, World

# How long an example takes says more about the machine than about the code: speed has a benchmark.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server of this test process's own; a test that stops a server starts another for itself."""
    folder = tmp_path_factory.mktemp("redis")
    with LocalServer.start(folder, appendfsync="no") as server:
        yield server


@pytest.fixture
def redis_url(redis_server: LocalServer) -> str:
    """The address of a server without data; the functions that were loaded into it remain."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


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
