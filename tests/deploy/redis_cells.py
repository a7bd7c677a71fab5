"""Every user x command x key of the deployed Redis: what it should say, and what the server says.

What should be allowed is worked out here from shared/streams.py and from what the bus asks of a
server, without a look at deploy/redis/users.acl. What is allowed is asked of a real server, by
ACL DRYRUN, for each command that the server has.

`python -m tests.deploy.redis_cells` counts the cells and prints those that are wrong.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    DAEMONS,
    MODE_KEY,
    STREAMS,
    VENUE_KEY,
    WATCH_KEY,
    harvest_key,
    heartbeat_key,
    inputs_of,
    position_key,
    producer_key,
    state_key,
)
from tests.deploy.redis_users import LOOKERS, USERS, a_guarded_server
from tests.ring.live import call

SYMBOL = "BTCUSDT"
#: The key of a command that takes none.
KEYLESS = "-"
RECORDS = {
    "apply_layer": (position_key(SYMBOL), position_key("1000PEPEUSDT"), VENUE_KEY),
    "harvest_brain": (harvest_key(SYMBOL),),
}
#: The stream of some producer outside.
PRODUCER = producer_key("my_signals")
OBEY_MODE = ("intent_bridge", "apply_layer")
RING_KEYS = (
    *(key for stream in STREAMS for key in (stream.key, stream.dead_key)),
    *(state_key(daemon) for daemon in (*DAEMONS, "notifier")),
    *(heartbeat_key(daemon) for daemon in (*DAEMONS, *LOOKERS)),
    *(key for keys in RECORDS.values() for key in keys),
    MODE_KEY,
    WATCH_KEY,
    PRODUCER,
)
#: What is asked of a stream to mend it.
MENDING = (
    "xinfo|stream xinfo|groups xrange xrevrange xpending type exists "
    "xadd xdel xack xsetid xgroup|setid xclaim"
)
#: Keys that look like the ring's, or not; the operator may read what begins with the prefix.
STRANGE_KEYS = (
    f"{STREAMS[0].key}2",
    f"{STREAMS[0].key}.dead.dead",
    STREAMS[0].key.upper(),
    state_key("dashboard"),
    "quantum:positions",
    "quantum",
    "another-application",
)
KEYS = (*RING_KEYS, *STRANGE_KEYS)

Rights = dict[str, set[str]]


def daemon_rights(daemon: str) -> Rights:
    """What a daemon needs: each command with the keys that it gives it."""
    inputs = [stream.key for stream in inputs_of(daemon)]
    outputs = [stream.key for stream in STREAMS if daemon in stream.writers]
    # Any reader puts aside what it finds trimmed, or what has killed it too often.
    letters = [stream.dead_key for stream in inputs_of(daemon)]
    trimmed = [
        key
        for stream in STREAMS
        if stream.writers[0] == daemon
        for key in (stream.key, stream.dead_key)
    ]
    mended = [*letters, *outputs]
    mended += [stream.dead_key for stream in STREAMS if daemon in stream.writers]
    streams = [stream.key for stream in STREAMS]
    producers = [PRODUCER] if daemon == "intent_bridge" else []
    state, records = [state_key(daemon)], list(RECORDS.get(daemon, ()))

    rights: Rights = defaultdict(set)
    _give(rights, "time", [KEYLESS])
    # Acquire, commit, and the look at the epoch that goes with each read.
    _give(rights, "hget hmget hgetall hset hdel type", state)
    _give(rights, "xgroup|create xreadgroup xpending xack type", [*inputs, *producers])
    _give(rights, MENDING, mended)
    _give(rights, "hset del type", records)
    if daemon in OBEY_MODE:
        _give(rights, "get", [MODE_KEY])
    # The sign that it goes round.
    _give(rights, "hset expire", [heartbeat_key(daemon)])
    # Trim, and the measure of every group's backlog.
    _give(rights, "xlen xtrim xpending xinfo|stream xinfo|groups", trimmed)
    _give(rights, "exists xinfo|stream xinfo|groups", streams)
    _give(rights, "exists xlen xtrim memory|usage xinfo|stream xinfo|groups", producers)
    _give(rights, "fcall", [*state, *streams, *mended, *records, *trimmed, *producers])
    return rights


def watcher_rights() -> Rights:
    """What watcher needs to look at everything and to say what it saw."""
    rights: Rights = defaultdict(set)
    _give(rights, "info time scan", [KEYLESS])
    ours = [key for key in KEYS if key.startswith("quantum:")]
    _give(rights, "get hgetall hmget exists", ours)
    _give(rights, "xlen xrange xrevrange xread xpending xinfo|stream xinfo|groups", ours)
    _give(rights, "hset hdel", [WATCH_KEY])
    _give(rights, "hset expire", [heartbeat_key("watcher")])
    return rights


def notifier_rights() -> Rights:
    """What notifier needs to hear what it tells of, and to remember what it has told."""
    rights: Rights = defaultdict(set)
    state = [state_key("notifier")]
    _give(rights, "time", [KEYLESS])
    _give(rights, "hget hmget hgetall hset hdel type fcall", state)
    _give(rights, "hset expire", [heartbeat_key("notifier")])
    heard = [APPLY_PLAN.key, APPLY_RESULT.key, *(stream.dead_key for stream in STREAMS)]
    _give(rights, "xread xinfo|stream", heard)
    _give(rights, "get", [MODE_KEY])
    _give(rights, "hgetall", [VENUE_KEY, WATCH_KEY])
    return rights


def dashboard_rights() -> Rights:
    """What dashboard needs to look at everything that a page shows."""
    rights: Rights = defaultdict(set)
    _give(rights, "time scan", [KEYLESS])
    ours = [key for key in KEYS if key.startswith("quantum:")]
    _give(rights, "get hgetall hmget exists", ours)
    _give(rights, "xlen xrange xrevrange xpending", ours)
    _give(rights, "xinfo|stream xinfo|groups xinfo|consumers", ours)
    _give(rights, "hset expire", [heartbeat_key("dashboard")])
    return rights


def operator_rights() -> Rights:
    """What a person needs to look at everything."""
    rights: Rights = defaultdict(set)
    _give(rights, "ping info time scan command|docs acl|whoami", [KEYLESS])
    ours = [key for key in KEYS if key.startswith("quantum:")]
    _give(rights, "type exists get hget hmget hgetall hlen", ours)
    _give(rights, "xrange xrevrange xlen xread xpending", ours)
    _give(rights, "xinfo|stream xinfo|groups xinfo|consumers fcall_ro", ours)
    return rights


def administrator_rights() -> Rights:
    """What a person needs who looks as well, sets up, switches, sends messages anew, and resets."""
    rights = operator_rights()
    _give(rights, "config|get function|load function|list acl|load acl|log", [KEYLESS])
    _give(rights, "bgsave lastsave multi exec discard unwatch", [KEYLESS])
    _give(rights, "set del", [MODE_KEY])
    streams = [key for stream in STREAMS for key in (stream.key, stream.dead_key)]
    _give(rights, f"fcall {MENDING}", [*streams, PRODUCER])
    stays = (MODE_KEY, state_key("notifier"), *map(heartbeat_key, (*DAEMONS, *LOOKERS)))
    _give(rights, "watch del", [key for key in RING_KEYS if key not in stays])
    return rights


def _give(rights: Rights, commands: str, keys: Iterable[str]) -> None:
    for command in commands.split():
        rights[command].update(keys)


def expected_rights() -> dict[str, Rights]:
    """The rights of every user."""
    return {
        **{daemon: daemon_rights(daemon) for daemon in DAEMONS},
        "watcher": watcher_rights(),
        "notifier": notifier_rights(),
        "dashboard": dashboard_rights(),
        "operator": operator_rights(),
        "administrator": administrator_rights(),
    }


@dataclass(frozen=True)
class Command:
    """One command of the server, or one of its subcommands (`xinfo|groups`)."""

    name: str
    arity: int
    flags: frozenset[str]
    key_specs: tuple[dict[str, Any], ...]

    @property
    def takes_keys(self) -> bool:
        """Whether the server checks a key of it."""
        return any("not_key" not in spec["flags"] for spec in self.key_specs)

    def words(self, key: str) -> list[str]:
        """The command in full, with `key` wherever a key stands."""
        if self.name in _BY_HAND:
            return [word.replace("KEY", key) for word in _BY_HAND[self.name].split()]
        words = dict(enumerate(self.name.split("|")))
        for spec in self.key_specs:
            _place(words, spec, key)
        length = max(abs(self.arity), max(words) + 1)
        return [words.get(at, "1") for at in range(length)]


#: Where the key stands cannot be told from the server's description.
_BY_HAND = {
    "migrate": "MIGRATE host 1 KEY 0 1",
}


def _place(words: dict[int, str], spec: dict[str, Any], key: str) -> None:
    search, find = spec["begin_search"], spec["find_keys"]
    if search["type"] == "index":
        at = search["spec"]["index"]
    elif search["type"] == "keyword":
        start = search["spec"]["startfrom"]
        at = start if start > 0 else max(words) + 1
        words[at] = search["spec"]["keyword"]
        at += 1
    else:
        return
    if find["type"] == "keynum":
        words[at + find["spec"]["keynumidx"]] = "1"
        words[at + find["spec"]["firstkey"]] = key
    elif find["type"] == "range":
        # A last key that is counted from the end of the words is the first one here.
        for offset in range(0, max(find["spec"]["lastkey"], 0) + 1, find["spec"]["keystep"] or 1):
            words[at + offset] = key


def commands(client: Redis) -> list[Command]:
    """Every command of the server and every subcommand."""
    client.set_response_callback("COMMAND", lambda reply, **_: reply)
    found = []
    rows: list[Any] = list(call(client, "COMMAND"))
    while rows:
        name, arity, flags, *_, key_specs, subcommands = rows.pop()
        rows.extend(subcommands)
        # A container is no command of its own.
        if not subcommands:
            found.append(
                Command(
                    name.decode(),
                    arity,
                    frozenset(flag.decode() for flag in flags),
                    tuple(_dict(spec) for spec in key_specs),
                )
            )
    return sorted(found, key=lambda command: command.name)


def _dict(flat: list[Any]) -> dict[str, Any]:
    """A map as RESP 2 sends it, with its inner maps."""
    plain = [item.decode() if isinstance(item, bytes) else item for item in flat]
    pairs = dict(zip(plain[::2], plain[1::2], strict=True))
    if "flags" in pairs:
        pairs["flags"] = {flag.decode() for flag in pairs["flags"]}
    return {k: _dict(v) if isinstance(v, list) and k != "flags" else v for k, v in pairs.items()}


@dataclass(frozen=True)
class Cell:
    """One user, one command, one key: whether it should be allowed, and what the server said."""

    user: str
    command: str
    key: str
    expected: bool
    said: str

    @property
    def wrong(self) -> bool:
        """Whether the server does otherwise."""
        return self.expected != (self.said == "OK")


def cells(client: Redis) -> Iterator[Cell]:
    """Every cell, asked of the server."""
    known = commands(client)
    for user, rights in expected_rights().items():
        asked = [
            (command, key, command.words(key))
            for command in known
            for key in (KEYS if command.takes_keys else (KEYLESS,))
        ]
        pipeline = client.pipeline(transaction=False)
        for _, _, words in asked:
            pipeline.execute_command("ACL", "DRYRUN", user, *words)  # type: ignore[no-untyped-call]
        for (command, key, _), said in zip(
            asked, pipeline.execute(raise_on_error=False), strict=True
        ):
            if isinstance(said, ResponseError):
                raise said
            # Logging in and out is open to everyone, always.
            open_to_all = "no_auth" in command.flags
            expected = open_to_all or key in rights.get(command.name, ())
            yield Cell(user, command.name, key, expected, said.decode())


def main() -> int:
    """Count them; 0 when none is wrong."""
    with (
        tempfile.TemporaryDirectory() as folder,
        a_guarded_server(Path(folder)) as guarded,
        guarded.client("tester") as client,
    ):
        info: Any = client.info("server")
        known = commands(client)
        asked = list(cells(client))
    name = "Valkey" if "valkey_version" in info else "Redis"
    wrong = [cell for cell in asked if cell.wrong]
    sys.stdout.writelines(f"wrong: {cell}\n" for cell in wrong)
    sys.stdout.write(
        f"{name} {info.get('valkey_version', info['redis_version'])}: {len(USERS)} users, "
        f"{len(known)} commands ({sum(c.takes_keys for c in known)} of them with {len(KEYS)} keys "
        f"each): {len(asked)} cells, {sum(cell.expected for cell in asked)} allowed, "
        f"{len(wrong)} wrong\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
