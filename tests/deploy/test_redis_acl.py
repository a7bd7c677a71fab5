"""The users of deploy/redis/users.acl: each may do what it needs, and nothing else at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from shared.bus import Commit, NotReady, RedisBus, connect
from shared.bus.client import library_code
from shared.streams import (
    DAEMONS,
    HEARTBEAT_KEPT_S,
    MODE_KEY,
    STREAMS,
    Stream,
    heartbeat_key,
    inputs_of,
    state_key,
)
from tests.deploy.redis_cells import (
    KEYS,
    OBEY_MODE,
    RECORDS,
    RING_KEYS,
    Command,
    cells,
    commands,
    daemon_rights,
    expected_rights,
)
from tests.deploy.redis_users import PEOPLE, TESTER, USERS, Guarded, a_guarded_server
from tests.ring.live import call

BUS = Path(__file__).parents[2] / "shared/bus"
STREAM_KEYS = [key for stream in STREAMS for key in (stream.key, stream.dead_key)]
HASH_KEYS = [key for key in RING_KEYS if key not in (*STREAM_KEYS, MODE_KEY)]
#: How the server refuses a command, a key, a command inside a function, and the library a commit.
#: Redis 7.0 has words of its own for the third, which the bus passes on as they are.
REFUSED = r"no permissions|No permissions|no right to|user executing the script can't"
NOT_DONE = (NotReady, ResponseError)
#: What nobody but root on the machine does to this server, and most of it not even root.
FOR_NOBODY = [
    ("EVAL", "return 1", "0"),
    ("EVAL_RO", "return 1", "0"),
    ("EVALSHA", "0" * 40, "0"),
    ("SCRIPT", "LOAD", "return 1"),
    ("FUNCTION", "DELETE", "quantum"),
    ("FUNCTION", "FLUSH"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("CONFIG", "REWRITE"),
    ("KEYS", "*"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("SWAPDB", "0", "0"),
    ("ACL", "SETUSER", "default", "on", "nopass", "+@all", "~*"),
    ("ACL", "LIST"),
    ("CLIENT", "KILL", "ID", "1"),
    ("CLIENT", "LIST"),
    ("SHUTDOWN", "NOSAVE"),
    ("REPLICAOF", "127.0.0.1", "1"),
    ("DEL", state_key("notifier")),
    ("PUBLISH", "channel", "message"),
]
FOR_ADMINISTRATOR = [
    ("FUNCTION", "LOAD", "REPLACE", "#!lua name=quantum"),
    ("FUNCTION", "LIST"),
    ("CONFIG", "GET", "*"),
    ("ACL", "LOAD"),
    ("ACL", "LOG"),
    ("BGSAVE",),
    ("SET", MODE_KEY, "HALT"),
    ("DEL", MODE_KEY),
    ("DEL", STREAMS[0].key),
    ("MULTI",),
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One server for the tests of this file."""
    with a_guarded_server(tmp_path_factory.mktemp("acl")) as started:
        yield started


@pytest.fixture
def tester(guarded: Guarded) -> Iterator[Redis]:
    """The server without data, as one that may do everything sees it."""
    with guarded.client(TESTER) as client:
        client.flushall()
        yield client


@pytest.fixture
def every_command(tester: Redis) -> list[Command]:
    return commands(tester)


def test_every_user_may_give_exactly_the_commands_that_it_needs_on_exactly_its_keys(
    tester: Redis,
) -> None:
    asked = list(cells(tester))
    assert [cell for cell in asked if cell.wrong] == []
    # A check that asks of nothing finds nothing.
    assert {cell.user for cell in asked} == set(USERS)
    assert len(asked) > len(USERS) * len(KEYS) * 100


def test_the_server_finds_in_each_command_asked_about_the_key_that_was_put_there(
    tester: Redis, every_command: list[Command]
) -> None:
    with_keys = [command for command in every_command if command.takes_keys]
    for command in with_keys:
        found = call(tester, "COMMAND", "GETKEYS", *command.words("the-key"))
        assert {str(key, "utf-8") for key in found} == {"the-key"}, command.name
    assert {"xadd", "fcall", "hset", "rename", "lcs", "xreadgroup"} <= {c.name for c in with_keys}


def test_the_daemons_together_may_give_the_commands_that_the_bus_gives_and_no_other(
    every_command: list[Command],
) -> None:
    python = (BUS / "redis.py").read_text(encoding="utf-8")
    known = {command.name for command in every_command}
    words = {word.lower() for word in re.findall(r'"([A-Z]+)"', python)}
    words |= {"|".join(pair).lower() for pair in re.findall(r'"([A-Z]+)", "([A-Z]+)"', python)}
    methods = {m.replace("_", "|") for m in re.findall(r"self\._\w+\.(x?[a-z_]+)\(", python)}
    lua = library_code()
    called = re.findall(r"redis\.call\('(\w+)'(?:, '([A-Z]+)')?", lua)
    asked_before = re.findall(r"command = \{ '(\w+)'", lua)
    from_lua = {"|".join(filter(None, pair)).lower() for pair in called}
    given = set().union(*(daemon_rights(daemon) for daemon in DAEMONS))
    assert given == ((words | methods) & known) | from_lua | {c.lower() for c in asked_before}


def test_the_operator_may_give_no_command_that_writes(every_command: list[Command]) -> None:
    may = expected_rights()["operator"]
    flags = {command.name: command.flags for command in every_command}
    assert [name for name in may if "write" in flags[name] or "may_replicate" in flags[name]] == []


def test_whoever_does_not_log_in_or_has_another_password_is_refused(guarded: Guarded) -> None:
    with connect(guarded.server.url) as nobody, pytest.raises(AuthenticationError):
        nobody.ping()
    for name in (*USERS, "default"):
        address = guarded.server.url.replace("unix://", f"unix://{name}:guessed@")
        with connect(address) as guesser, pytest.raises(AuthenticationError):
            guesser.ping()


@pytest.mark.parametrize("user", USERS)
def test_nobody_may_run_scripts_change_the_server_or_empty_it(guarded: Guarded, user: str) -> None:
    more = [] if user == "administrator" else FOR_ADMINISTRATOR
    with guarded.client(user) as client:
        for words in (*FOR_NOBODY, *more):
            with pytest.raises(NoPermissionError):
                call(client, *words)


def test_what_could_widen_rights_is_off_even_for_one_who_may_do_everything(tester: Redis) -> None:
    for words in (("DEBUG", "OBJECT", "a"), ("MODULE", "LOAD", "a"), ("CONFIG", "SET", "dir", "/")):
        with pytest.raises(ResponseError, match=r"not allowed|protected"):
            call(tester, *words)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_daemon_may_take_over_read_commit_measure_and_trim_all_that_is_its_own(
    guarded: Guarded, tester: Redis, daemon: str
) -> None:
    inputs = inputs_of(daemon)
    for stream in inputs:
        call(tester, "XADD", stream.key, "*", "field", "value")
    published = [stream.key for stream in STREAMS if daemon in stream.writers]
    published += [stream.dead_key for stream in inputs]
    records = RECORDS.get(daemon, ())
    bus = RedisBus(guarded.url(daemon), daemon)
    try:
        assert bus.acquire() == {}
        commit = Commit(
            published=[(key, ["field", "value"]) for key in published],
            documents={"a": b"1", "b": b"2"},
            records={key: {"symbol": "BTCUSDT"} for key in records},
        )
        for entry in bus.read(count=10, block_ms=1) if inputs else ():
            commit.acknowledged.setdefault(entry.stream.key, []).append(entry.id)
        assert set(commit.acknowledged) == {stream.key for stream in inputs}
        bus.commit(commit)
        assert all(row.pending == 0 for row in bus.backlog() if row.group == daemon)
        bus.commit(Commit(documents={"a": None}, records=dict.fromkeys(records)))
        assert bus.mode() is None if daemon in OBEY_MODE else True
        bus.beat({"at": "now"})
        assert 0 < call(tester, "TTL", heartbeat_key(daemon)) <= HEARTBEAT_KEPT_S
        for stream in STREAMS:
            if stream.writers[0] == daemon:
                bus.trim(stream)
                assert trims(guarded, daemon, stream)
        assert bus.acquire() == {"b": b"2"}
    finally:
        bus.close()
    assert tester.exists(*records) == 0 if records else True


def trims(guarded: Guarded, daemon: str, stream: Stream) -> bool:
    """Fill a stream and its dead letters, finish some for every group, and let the daemon trim."""
    keys = (stream.key, stream.dead_key)
    with guarded.client(TESTER) as tester, guarded.client(daemon) as client:
        tester.delete(*keys)
        ids, _ = [
            [call(tester, "XADD", key, "*", "field", "value") for _ in range(250)] for key in keys
        ]
        for group in stream.readers:
            call(tester, "XGROUP", "CREATE", stream.key, group, "0")
            call(tester, "XREADGROUP", "GROUP", group, group, "STREAMS", stream.key, ">")
            call(tester, "XACK", stream.key, group, *ids[:150])
        removed = call(client, "FCALL", "quantum_trim", 2, *keys, 0, 0)
        # Whole nodes of 100 entries go: of the stream those before the first that is pending.
        return bool(removed == 100 + 200)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_daemon_commits_to_no_stream_state_or_record_that_is_not_its_own(
    guarded: Guarded, tester: Redis, daemon: str
) -> None:
    """Not by the functions either: what they do inside is checked against the caller's rights."""
    may = daemon_rights(daemon)
    bus = RedisBus(guarded.url(daemon), daemon)
    try:
        bus.acquire()
        groups = {key for key in STREAM_KEYS if tester.exists(key)}
        foreign_streams = [key for key in STREAM_KEYS if key not in may["xadd"]]
        for key in foreign_streams:
            with pytest.raises(NOT_DONE, match=REFUSED):
                bus.commit(Commit(published=[(key, ["field", "value"])]))
        assert {key for key in foreign_streams if tester.xlen(key)} == set()
        foreign_hashes = [key for key in HASH_KEYS if key not in may["hset"]]
        for key in foreign_hashes:
            tester.hset(key, "field", "value")
            for record in ({"field": "changed"}, None):
                with pytest.raises(NOT_DONE, match=REFUSED):
                    bus.commit(Commit(records={key: record}))
            assert call(tester, "HGETALL", key) == [b"field", b"value"]
        # Its own documents are changed one by one; the state as a whole is not thrown away.
        with pytest.raises(NOT_DONE, match=REFUSED):
            bus.commit(Commit(records={state_key(daemon): None}))
    finally:
        bus.close()
    assert groups == {stream.key for stream in inputs_of(daemon)}
    assert len(foreign_hashes) >= 6


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_daemon_touches_nothing_of_others_by_bare_commands_or_by_the_functions(
    guarded: Guarded, tester: Redis, daemon: str
) -> None:
    for key in (key for stream in STREAMS for key in (stream.key, stream.dead_key)):
        call(tester, "XADD", key, "*", "field", "value")
    mine = {stream.key for stream in inputs_of(daemon)}
    written = {stream.key for stream in STREAMS if daemon in stream.writers}
    with guarded.client(daemon) as client:
        for other in DAEMONS:
            if other != daemon:
                for attempt in (
                    ("HGETALL", state_key(other)),
                    ("HSET", state_key(other), "_epoch", "1"),
                    ("FCALL", "quantum_acquire", "1", state_key(other), "an intruder"),
                ):
                    with pytest.raises(NoPermissionError):
                        call(client, *attempt)
        for key in mine - written:
            with pytest.raises(NoPermissionError):
                call(client, "XADD", key, "*", "field", "value")
        for stream in STREAMS:
            refused: list[tuple[object, ...]] = [
                ("DEL", stream.key),
                ("XGROUP", "DESTROY", stream.key, "exitbrain"),
            ]
            if stream.key not in written:
                refused += [
                    ("XRANGE", stream.key, "-", "+"),
                    ("XDEL", stream.key, "0-1"),
                    ("XSETID", stream.key, "9-9"),
                    ("XGROUP", "SETID", stream.key, "exitbrain", "$"),
                    (
                        "FCALL",
                        "quantum_mend",
                        2,
                        stream.key,
                        stream.dead_key,
                        1,
                        "a",
                        "b",
                        "c",
                        "d",
                    ),
                ]
            if stream.writers[0] != daemon:
                refused.append(("FCALL", "quantum_trim", 1, stream.key, 0))
                refused.append(("XTRIM", stream.key, "MAXLEN", 0))
            if stream.key not in mine:
                refused.append(("XREAD", "STREAMS", stream.key, "0"))
            for words in refused:
                with pytest.raises(ResponseError, match=REFUSED):
                    call(client, *words)
        with pytest.raises(NoPermissionError):
            call(client, "SET", MODE_KEY, "RUN")
    assert [tester.xlen(key) for key in STREAM_KEYS] == [1] * len(STREAM_KEYS)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_daemon_mends_what_it_writes_when_its_ids_are_driven_up(
    guarded: Guarded, tester: Redis, daemon: str
) -> None:
    bus = RedisBus(guarded.url(daemon), daemon)
    keys = [stream.key for stream in STREAMS if daemon in stream.writers]
    keys += [stream.dead_key for stream in inputs_of(daemon)]
    try:
        bus.acquire()
        for key in keys:
            call(tester, "XADD", key, f"{2**64 - 1}-{2**64 - 1}", "field", "value")
        bus.commit(Commit(published=[(key, ["field", "value"]) for key in keys]))
    finally:
        bus.close()
    for key in keys:
        assert call(tester, "XADD", key, "*", "field", "value")


@pytest.mark.parametrize("person", PEOPLE)
def test_a_person_reads_the_backlog_and_changes_no_state_or_record(
    guarded: Guarded, tester: Redis, person: str
) -> None:
    key, state = STREAMS[0].key, state_key("apply_layer")
    call(tester, "XGROUP", "CREATE", key, "harvest_brain", "0", "MKSTREAM")
    with guarded.client(person) as client:
        [row] = call(client, "FCALL_RO", "quantum_backlog", 1, key)
        assert row[:2] == [key.encode(), b"harvest_brain"]
        for words in (
            ("FCALL_RO", "quantum_acquire", "1", state, "a person"),
            ("FCALL", "quantum_acquire", "1", state, "a person"),
            ("HSET", state, "_epoch", "1"),
            ("HDEL", state, "_epoch"),
            ("HSET", RECORDS["apply_layer"][0], "qty", "1"),
            ("XGROUP", "DESTROY", key, "harvest_brain"),
            ("XTRIM", key, "MAXLEN", 0),
            ("XREADGROUP", "GROUP", "harvest_brain", person, "STREAMS", key, ">"),
        ):
            with pytest.raises(ResponseError):
                call(client, *words)
    assert tester.exists(state) == 0
