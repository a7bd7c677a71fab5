"""Redis as deploy/redis installs it: the ring runs on it, people can look, passwords are kept."""

from __future__ import annotations

import itertools
import json
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ResponseError,
)

from shared.bus import BusDown, Commit, RedisBus
from shared.cli.demo_market import SYMBOL, write_candles
from shared.metrics import RunnerMetrics
from shared.session import Session
from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    DAEMONS,
    MARKET_TICK,
    MODE_KEY,
    TRADE_INTENT,
    harvest_key,
    position_key,
    producer_key,
    producer_stream,
)
from tests.deploy.redis_users import (
    DEPLOYED,
    TESTER,
    USERS,
    Guarded,
    a_guarded_ring,
    a_guarded_server,
    environment_of,
    set_passwords,
)
from tests.ring.live import (
    CLIMB_LADDER,
    SEED,
    call,
    climb,
    eventually,
    is_quiet,
    ladder,
    texts,
)

ROOT = Path(__file__).parents[2]
#: What the client says of itself when it connects; nobody needs it, and it goes on without.
UNASKED = b"client|setinfo"
#: Each has one entry that is no message, which its first reader puts aside.
SPOILED = (MARKET_TICK, TRADE_INTENT, APPLY_PLAN)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One server for the tests of this file."""
    with a_guarded_server(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture
def tester(guarded: Guarded) -> Iterator[Redis]:
    """The server as installed and without data, as one that may do everything sees it."""
    with guarded.client(TESTER) as client:
        client.flushall()
        call(client, "ACL", "LOG", "RESET")
        yield client
        # What a test took from a user, and what it did to the memory, is as it was.
        call(client, "CONFIG", "SET", "maxmemory", "512mb")
        call(client, "ACL", "LOAD")


def refused(client: Redis) -> set[tuple[str, str]]:
    """What the server has refused to whom since the start: user and command or key."""
    client.set_response_callback("ACL LOG", lambda reply, **_: reply)
    rows = [dict(zip(row[::2], row[1::2], strict=True)) for row in call(client, "ACL LOG")]
    return {
        (row[b"username"].decode(), row[b"object"].decode())
        for row in rows
        if row[b"object"] != UNASKED
    }


def climb_and_fall() -> Iterator[float]:
    """Through all rungs, and then through the stop, which ends the position."""
    return itertools.chain(climb(), (14.1 - 0.2 * minute for minute in range(12)))


def test_a_position_is_harvested_and_closed_by_six_daemons_each_with_its_own_rights(
    guarded: Guarded, tester: Redis, tmp_path: Path
) -> None:
    for stream in SPOILED:
        call(tester, "XADD", stream.key, "*", "not", "a message")
    candles = write_candles(tmp_path, climb_and_fall())[0]
    with a_guarded_ring(guarded, tmp_path, settings=SEED, candles=candles) as ring:

        def until(condition: Callable[[], Any], what: str) -> None:
            def holds() -> Any:
                ring.watch()
                return condition()

            eventually(holds, f"{what}; logs in {ring.logs}")

        until(lambda: ladder(tester), "the first rung")
        # Whoever comes back takes over its state and finishes what was delivered to it.
        for daemon in ("harvest_brain", "apply_layer"):
            ring.by_daemon[daemon].kill(daemon)
        feed = ring.by_daemon["market_feed"]
        until(lambda: feed.status("market_feed") is not None, "the end of the replay")
        until(lambda: is_quiet(tester), "a quiet ring")
        assert feed.status("market_feed") == 0
        logs = {daemon: ring.log(daemon) for daemon in DAEMONS}
    assert ladder(tester) == CLIMB_LADDER
    assert [result["status"] for result in texts(tester, APPLY_RESULT)].count("STOPPED_OUT") == 1
    assert tester.exists(position_key(SYMBOL), harvest_key(SYMBOL)) == 0
    assert [tester.xlen(stream.dead_key) for stream in SPOILED] == [1] * len(SPOILED)
    assert refused(tester) == set()
    for daemon, log in logs.items():
        assert '"event": "started"' in log, daemon
        assert "server_unavailable" not in log
        assert "housekeeping_put_off" not in log


def test_a_ring_without_one_right_says_which_and_waits(guarded: Guarded, tester: Redis) -> None:
    """So a missing right cannot pass unseen by the test above."""
    call(tester, "ACL", "SETUSER", "harvest_brain", "clearselectors")
    bus = RedisBus(guarded.url("harvest_brain"), "harvest_brain")
    with pytest.raises(Exception, match="lacks a right"):
        bus.acquire()
    bus.close()
    assert ("harvest_brain", "fcall") in refused(tester)


def test_the_operator_sees_positions_and_checks_what_an_operator_may(
    guarded: Guarded, tester: Redis
) -> None:
    record = {
        "position_id": "BTCUSDT-1", "symbol": "BTCUSDT", "side": "LONG", "qty": "1",
        "initial_qty": "1", "harvested_qty": "0", "entry_price": "10", "initial_stop": "9",
        "stop_loss": "9", "leverage": "1", "current_price": "12.01", "realized_pnl": "0",
        "fees": "0", "funding": "0",
        "opened_at": "2026-07-01T00:00:00.000+00:00", "updated_at": "2026-07-01T00:00:00.000+00:00",
    }  # fmt: skip
    call(tester, "HSET", position_key("BTCUSDT"), *(w for pair in record.items() for w in pair))
    seen = guarded.quantum("operator", "positions", "--json")
    rows = [(row["symbol"], row["r_net"]) for row in json.loads(seen.stdout)]
    assert (seen.returncode, rows) == (0, [("BTCUSDT", "2")])
    # Only what needs CONFIG and FUNCTION is left to the administrator.
    assert verdicts(guarded, "operator") == {
        "server": "ok", "mode": "ok", "durability": "warn", "memory": "warn", "library": "warn",
    }  # fmt: skip
    assert refused(tester) == {("operator", "config|get"), ("operator", "function|list")}


def test_the_administrator_finds_the_server_ready_and_turns_the_switch(
    guarded: Guarded, tester: Redis
) -> None:
    every = ("server", "durability", "memory", "library", "mode")
    assert verdicts(guarded, "administrator") == dict.fromkeys(every, "ok")
    with guarded.client("administrator") as client:
        call(client, "SET", MODE_KEY, "EXITS_ONLY")
        bus = RedisBus(guarded.url("intent_bridge"), "intent_bridge")
        assert bus.mode() == "EXITS_ONLY"
        bus.close()
    assert guarded.quantum("operator", "init").returncode != 0


def test_the_administrator_puts_a_dead_letter_back_in_one_transaction_and_drops_another(
    guarded: Guarded, tester: Redis
) -> None:
    first, second = (call(tester, "XADD", TRADE_INTENT.dead_key, "*", "a", "b") for _ in "12")
    with guarded.client("administrator") as client:
        with client.pipeline() as transaction:
            transaction.watch(TRADE_INTENT.dead_key)  # type: ignore[no-untyped-call]
            transaction.multi()
            transaction.xadd(TRADE_INTENT.key, {"a": "b"})
            transaction.xdel(TRADE_INTENT.dead_key, first)
            transaction.execute()
        assert call(client, "XDEL", TRADE_INTENT.dead_key, second) == 1
        for words in (("XTRIM", TRADE_INTENT.key, "MAXLEN", 0), ("XREADGROUP", TRADE_INTENT.key)):
            with pytest.raises((NoPermissionError, ResponseError)):
                call(client, *words)
    assert (tester.xlen(TRADE_INTENT.key), tester.xlen(TRADE_INTENT.dead_key)) == (1, 0)


def verdicts(guarded: Guarded, user: str) -> dict[str, str]:
    """What `quantum check` says of the server, to this user."""
    told = guarded.quantum(user, "check", "--json")
    assert told.returncode == 0, told.stderr
    findings = {one["what"]: one["verdict"] for one in json.loads(told.stdout)["findings"]}
    return {what: findings[what] for what in findings.keys() & {
        "server", "durability", "memory", "library", "mode",
    }}  # fmt: skip


def test_the_server_is_durable_bounded_and_has_no_port(tester: Redis) -> None:
    wanted = {
        "port": "0", "appendonly": "yes", "appendfsync": "always", "save": "",
        "no-appendfsync-on-rewrite": "no", "maxmemory": str(512 * 2**20),
        "maxmemory-policy": "noeviction", "databases": "1", "acl-pubsub-default": "resetchannels",
    }  # fmt: skip
    found: Any = {name: tester.config_get(name) for name in wanted}
    assert {name: value[name] for name, value in found.items()} == wanted


def test_at_the_limit_of_memory_commits_wait_and_trimming_goes_on(
    guarded: Guarded, tester: Redis
) -> None:
    for _ in range(300):
        call(tester, "XADD", MARKET_TICK.key, "*", "field", "value")
    bus = RedisBus(guarded.url("market_feed"), "market_feed")
    bus.acquire()
    call(tester, "CONFIG", "SET", "maxmemory", "1")
    commit = Commit(published=[(MARKET_TICK.key, ["field", "value"])])
    with pytest.raises(BusDown, match="maxmemory"):
        bus.commit(commit)
    with guarded.client("market_feed") as client:
        assert call(client, "FCALL", "quantum_trim", 1, MARKET_TICK.key, 0) == 200
    call(tester, "CONFIG", "SET", "maxmemory", "512mb")
    bus.commit(commit)
    bus.close()
    assert tester.xlen(MARKET_TICK.key) == 101


def test_a_server_that_is_killed_comes_back_with_what_was_committed_and_the_same_users(
    guarded: Guarded, tester: Redis
) -> None:
    """Redis 7.0 replays a commit only where the user `default`, though off, has the rights."""
    bus = RedisBus(guarded.url("exitbrain"), "exitbrain")
    bus.acquire()
    bus.commit(Commit(documents={"a": b"1"}))
    guarded.server.kill()
    guarded.server.restart()
    eventually(lambda: has_loaded(tester), "the data is loaded")
    assert bus.acquire() == {"a": b"1"}
    bus.close()
    users = [line.decode().split() for line in call(tester, "ACL", "LIST")]
    [default] = [words for words in users if words[1] == "default"]
    assert {"off", "~*", "+@all"} <= set(default)
    assert [word for word in default if word == "nopass" or word[0] in "#>"] == []


def has_loaded(client: Redis) -> bool:
    """Whether the server has read its data back; it answers as soon as it has begun to."""
    try:
        return bool(client.ping())
    except (BusyLoadingError, ConnectionError):
        return False


def test_passwords_are_kept_until_a_new_one_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "users"
    assert "exitbrain.env" in set_passwords(folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(before) == {"users.acl", *(f"{user}.env" for user in USERS)}
    passwords = [environment_of(folder, user)["REDIS_URL"].split(":")[2] for user in DAEMONS]
    assert len(set(passwords)) == len(DAEMONS)
    assert "nothing changed" in set_passwords(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    set_passwords(folder, "--new", "exitbrain")
    after = {path.name: path.read_text() for path in folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"exitbrain.env", "users.acl"}


def test_nobody_but_root_reads_a_password_and_the_server_reads_hashes_alone(tmp_path: Path) -> None:
    set_passwords(tmp_path)
    for user in USERS:
        env_file = tmp_path / f"{user}.env"
        assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    acl = tmp_path / "users.acl"
    assert stat.S_IMODE(acl.stat().st_mode) == 0o640
    for user in USERS:
        password = re.findall(r":([0-9a-f]{64})@", environment_of(tmp_path, user)["REDIS_URL"])
        assert password
        assert password[0] not in acl.read_text(encoding="utf-8")


def test_a_running_server_takes_new_passwords_from_its_administrator(guarded: Guarded) -> None:
    old = guarded.url("operator")
    with guarded.client("administrator") as client:
        guarded.set_passwords("--new", "operator")
        call(client, "ACL", "LOAD")
    with guarded.client("operator") as client:
        assert call(client, "ACL", "WHOAMI") in ("operator", b"operator")
    with (
        Redis.from_url(old) as with_the_old_one,
        pytest.raises(Exception, match=r"WRONGPASS|invalid"),
    ):
        with_the_old_one.ping()


def test_no_password_and_no_way_around_one_stands_in_the_repository() -> None:
    source = (DEPLOYED / "users.acl").read_text(encoding="utf-8")
    rights = [line for line in source.splitlines() if not line.lstrip().startswith("#")]
    # Off and without a password, it is the server's own user: see the test of a killed server.
    rights.remove("user default off ~* &* +@all")
    assert re.findall(r"nopass|[>#]\S+|allkeys|allcommands|\+@\w+|~\*", "\n".join(rights)) == []
    assert sum(line.startswith("user ") for line in rights) == len(USERS)


def test_what_the_documents_let_people_type_they_may_type(tester: Redis) -> None:
    shown = (DEPLOYED / "README.md").read_text(encoding="utf-8")
    typed = re.findall(r"^redis-cli .*--user (\w+) (.*)$", shown, flags=re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for words in re.findall(r"redis-cli ((?:X|H)[^#`\n\\]*)", readme):
        # Entries are sent by a user of the producer's own.
        if not words.startswith("XADD"):
            typed.append(("operator", words))
    typed += [("administrator", words) for words in re.findall(r"redis-cli (SET [^#\n]*)", readme)]
    for user, words in typed:
        said = call(tester, "ACL", "DRYRUN", user, *words.split())
        assert said in ("OK", b"OK"), (user, words)
    assert len(typed) >= 15


def test_users_of_ones_own_get_a_password_and_stay_over_an_upgrade(tmp_path: Path) -> None:
    own = tmp_path / "own-users.acl"
    own.write_text("user mine on\n    (+xadd %W~quantum:stream:trade.intent)\n", encoding="utf-8")
    assert "mine.env" in set_passwords(tmp_path)
    assert environment_of(tmp_path, "mine").keys() == {"REDIS_URL", "REDISCLI_AUTH"}
    *_, last = (tmp_path / "users.acl").read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(
        r"user mine on #[0-9a-f]{64} \(\+xadd %W~quantum:stream:trade\.intent\)", last
    )
    assert "nothing changed" in set_passwords(tmp_path)
    assert "mine.env" in set_passwords(tmp_path, "--new", "mine")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user exitbrain on\n    (+get ~*)\n", "exitbrain is a user of the suite"),
        ("user mine on\nuser mine on\n", "not the beginning of a user: user mine on"),
        ("    (+xadd ~a)\n", "rights of nobody: (+xadd ~a)"),
        ("mine on\n", "not the beginning of a user: mine on"),
    ],
)
def test_a_mistake_in_the_file_of_ones_own_users_is_named_and_changes_nothing(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "own-users.acl").write_text(text, encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        set_passwords(tmp_path)
    assert f"{tmp_path / 'own-users.acl'}: {said}" in refused.value.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["own-users.acl"]


def test_every_file_means_the_same_places() -> None:
    files = {
        path.name: path.read_text(encoding="utf-8")
        for path in DEPLOYED.rglob("*.*")
        if path.is_file()
    }
    conf = dict(re.findall(r"^(\w+) (\S+)$", files["redis.conf"], flags=re.MULTILINE))
    made = dict(re.findall(r"^d (\S+) (.*) -$", files["tmpfiles.conf"], flags=re.MULTILINE))
    socket, acl = Path(conf["unixsocket"]), Path(conf["aclfile"])
    # The group of the folder, and so of the socket, is the daemons' and not the server's own.
    assert made == {
        str(socket.parent): "2750 redis quantum",
        conf["dir"]: "0700 redis redis",
        str(acl.parent): "0750 root redis",
    }
    assert conf["unixsocketperm"] == "770"
    unit = files["quantum.conf"]
    assert f"\nReadWritePaths={socket.parent}\n" in unit
    assert f"redis-server {acl.parent}/redis.conf --supervised systemd" in unit
    script = files["set_passwords.py"]
    assert f'"{socket}"' in script
    assert f'"{acl.parent}"' in script


def test_nobody_brings_a_huge_word_into_the_servers_memory(guarded: Guarded) -> None:
    with (
        guarded.client(TESTER) as client,
        pytest.raises((ConnectionError, ResponseError)),
    ):
        call(client, "XADD", producer_key("my_signals"), "*", "a", "x" * 2_000_000)
    with guarded.client(TESTER) as client:
        assert not client.exists(producer_key("my_signals"))


def test_a_producer_that_has_filled_the_server_is_cut_and_the_bridge_goes_on(
    guarded: Guarded,
) -> None:
    stream = producer_stream("my_signals")
    bus = RedisBus(guarded.url("intent_bridge"), "intent_bridge", producers=(stream,))
    session = Session(
        bus, "intent_bridge", metrics=RunnerMetrics(), stop=Event(), producers=(stream,)
    )
    with guarded.client(TESTER) as client:
        session.acquire()
        for _ in range(80):
            call(client, "XADD", stream.key, "*", "a", "x" * 500_000)
        used: Any = client.info("memory")["used_memory"]
        call(client, "CONFIG", "SET", "maxmemory", used - 5_000_000)
        try:
            with pytest.raises(OutOfMemoryError):
                call(client, "XADD", stream.key, "*", "a", "b")
            session.commit(Commit(documents={"a/b": b"1"}))
            assert client.xlen(stream.key) * 500_000 <= 16_000_000
        finally:
            call(client, "CONFIG", "SET", "maxmemory", "512mb")
            client.delete(stream.key)
            session.commit(Commit(documents={"a/b": None}))
            bus.close()
