"""A stream whose ids were driven up, mended: `quantum_mend` asked, and its answer as values.

Anyone who may append to a stream can give an entry the highest id that there is, and then nothing
can be appended any more. The Function gives such entries ordinary ids again, in their order, and
puts each group where it was: nothing is lost and nothing is delivered twice. A dead letter on the
stream's own dead letters tells of it. A daemon mends what it cannot write to; `quantum repair` does
it by hand, for ids that are merely ahead of the clock as well.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from redis import Redis

from shared.bus.client import call
from shared.contracts.values import format_timestamp
from shared.streams import DEAD_SUFFIX, name_of

#: The highest milliseconds that an id of a clock may have: the year 33658. No clock is asked.
HIGHEST_MS = 10**15 - 1
#: The code of the dead letter that tells of it.
ID_AHEAD = "id_ahead"


class Mended(NamedTuple):
    """One stream that was mended: its last id before and now, and how many entries have new ids."""

    key: str
    last_before: str
    last: str
    entries: int


def mend(
    client: Redis, key: str, dead_key: str, *, by: str, highest_ms: int = HIGHEST_MS
) -> list[Mended]:
    """Mend a stream and its dead letters, or with both the same dead letters; says what it mended.

    Raises:
        redis.exceptions.RedisError: nothing was mended.
    """
    stream, now = name_of(key.removesuffix(DEAD_SUFFIX)), format_timestamp(datetime.now(UTC))
    rows = call(
        client, "FCALL", "quantum_mend", 2, key, dead_key, highest_ms, stream, by, now, ID_AHEAD
    )
    return [
        Mended(where.decode(), before.decode(), now.decode(), entries)
        for where, before, now, entries in rows
    ]
