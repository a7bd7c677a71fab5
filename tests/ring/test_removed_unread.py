"""An exit that somebody removed before it was read is told, and asked for again."""

from __future__ import annotations

from decimal import Decimal

from shared.bus.client import call
from shared.streams import TRADE_INTENT, position_key
from tests.cli.small_ring import SYMBOL, SmallRing, a_small_ring, at_r, seed
from tests.ring.live import eventually, texts
from tests.worlds import RedisWorld


def exits(ring: SmallRing) -> list[dict[str, str]]:
    return [m for m in texts(ring.client, TRADE_INTENT) if m.get("position_id")]


def asked_again(ring: SmallRing) -> bool:
    ring.tick(at_r(2))
    ring.turn("harvest_brain")
    return bool(exits(ring))


def test_an_exit_that_was_removed_unread_is_told_and_asked_for_again(
    redis_world: RedisWorld,
) -> None:
    settings = seed() | {"harvest_brain": {"answer_within_s": "0.2"}}
    with a_small_ring(redis_world.url, settings) as ring:
        ring.tick(at_r(2))
        ring.settle("harvest_brain")
        removed = len(exits(ring))
        assert removed
        call(ring.client, "XADD", TRADE_INTENT.key, "MAXLEN", 1, "*", "a", "b")
        assert exits(ring) == []
        ring.settle("intent_bridge")
        letters = redis_world.entries(TRADE_INTENT.dead_key)
        assert [letter["code"] for letter in letters] == ["trimmed", "missing_field"]
        assert letters[0]["detail"].startswith(f"{removed} entries ")
        eventually(lambda: asked_again(ring), "the exit, asked for again")
        ring.tick(at_r(2))
        ring.settle()
        held = dict(redis_world.hash(position_key(SYMBOL)))
        assert Decimal(held["harvested_qty"]) > 0
