"""Who is answered and who is not, and what goes over the wire."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis

from services.dashboard.web.board import SYMBOLS_MAX, VIEWERS_MAX
from shared.daemon import EXIT_SETTINGS
from shared.streams import MARKET_TICK, heartbeat_key, position_key
from tests.cli.small_ring import SYMBOL, SmallRing
from tests.daemon.manager import a_manager
from tests.dashboard.site import a_dashboard, environment
from tests.deploy.redis_users import a_guarded_server
from tests.ring.live import a_server, eventually

STATIC = Path(__file__).parents[2] / "services/dashboard/static"


def get(
    site: str, path: str, *, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one answer; the headers are as a browser of today sends them."""
    with connection(site) as asked:
        asked.request(method, path, headers={n.replace("_", "-"): v for n, v in headers.items()})
        answer = asked.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()


@contextmanager
def connection(site: str) -> Iterator[http.client.HTTPConnection]:
    place = urlsplit(site)
    opened = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def events(site: str, path: str = "/events", **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a page as they come, each with its id, name and data."""
    with connection(site) as asked:
        asked.request("GET", path, headers={n.replace("_", "-"): v for n, v in headers.items()})
        answer = asked.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.headers["Content-Type"] == "text/event-stream"
        yield parsed(answer)


def parsed(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    fields: dict[str, Any] = {}
    for line in answer:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = json.loads(value) if name == "data" else value
        elif fields:
            if "data" in fields:
                yield fields
            fields = {}


@pytest.mark.parametrize("host", ["localhost:9480", "127.0.0.1", "[::1]:9480", "ring.example:80"])
def test_it_answers_to_this_machines_own_names_and_those_of_the_settings(
    site: str, host: str
) -> None:
    assert get(site, "/healthz", Host=host)[0] in (200, 503)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9480", "[::2]", ""]
)
@pytest.mark.parametrize("path", ["/", "/events", "/healthz", "/static/page.css", "/nowhere"])
def test_a_page_that_was_asked_for_by_another_name_tells_nothing(
    site: str, host: str, path: str
) -> None:
    status, headers, body = get(site, path, Host=host)
    assert status == 421
    assert "quantum:" not in body
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/events", "/healthz"])
def test_nothing_but_looking_is_answered(site: str, method: str, path: str) -> None:
    assert get(site, path, method=method)[0] == 405


@pytest.mark.parametrize("path", ["/", f"/symbol/{SYMBOL}", "/healthz", "/static/live.js", "/no"])
def test_every_answer_lets_a_browser_run_our_own_files_alone(site: str, path: str) -> None:
    _, headers, _ = get(site, path)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in headers
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/symbol/<script>",
        "/symbol/btcusdt",
        "/symbol/%2e%2e",
        "/symbol/A%2fB",
        "/symbol/A%00",
        "/events/btcusdt",
        "/events/../healthz/x",
        "/static/",
        "/static/../__main__.py",
        "/static/%2e%2e/settings.py",
        "/static/vendor/%2e%2e/%2e%2e/settings.py",
    ],
)
def test_what_is_no_page_of_ours_is_not_found(site: str, path: str) -> None:
    assert get(site, path)[0] in (403, 404)


def test_a_browser_that_comes_again_is_told_what_it_does_not_have(
    ring: SmallRing, site: str
) -> None:
    with events(site) as told:
        first = next(told)
    assert first["event"] == "overview"
    assert first["data"]["age_s"] < 5
    with events(site, Last_Event_ID=first["id"]) as told:
        assert number(next(told)["id"]) > number(first["id"])
    # Of an instance that is gone nothing counts.
    with events(site, Last_Event_ID="0.999999999") as told:
        assert next(told)["data"]["page"]["now"]


def number(id_: str) -> int:
    return int(id_.rpartition(".")[2])


def test_twenty_browsers_cost_redis_no_more_than_one(ring: SmallRing, site: str) -> None:
    def commands_for(viewers: int) -> float:
        """Commands that reading the ring costs for each frame, with so many looking."""
        with ExitStack() as open_:
            streams = [open_.enter_context(events(site)) for _ in range(viewers)]
            first, *_ = [next(stream) for stream in streams]
            before = calls(ring.client)
            for _ in range(8):
                last = next(streams[0])
            return (calls(ring.client) - before) / (number(last["id"]) - number(first["id"]))

    assert commands_for(20) < 1.5 * commands_for(1)


def calls(client: Redis) -> int:
    told: Any = client.info("stats")
    return int(told["total_commands_processed"])


def test_more_browsers_and_symbols_than_may_look_are_turned_away(
    ring: SmallRing, site: str
) -> None:
    with ExitStack() as open_:
        for at in range(SYMBOLS_MAX):
            open_.enter_context(events(site, f"/events/S{at}USDT"))
        assert get(site, "/events/ONEMORE")[0] == 503
        for _ in range(VIEWERS_MAX - SYMBOLS_MAX):
            open_.enter_context(events(site))
        status, _, text = get(site, "/events")
        assert (status, text) == (503, f"{VIEWERS_MAX} pages are open already\n")

    def has_room() -> bool:
        with connection(site) as asked:
            asked.request("GET", "/events")
            return asked.getresponse().status == 200

    eventually(has_room, "those who have left make room")


def test_its_health_is_whether_redis_is_read(tmp_path: Path) -> None:
    with a_server(tmp_path, appendfsync="no") as server:
        server.stop()
        with a_dashboard(server.url, tmp_path) as site:
            assert get(site, "/healthz")[0] == 503
            with events(site) as told:
                assert next(told)["event"] == "down"
            server.restart()
            eventually(lambda: get(site, "/healthz")[0] == 200, "it reads again")
            # Who comes now is not told of what is over.
            with events(site) as told:
                assert next(told)["event"] == "overview"


def test_a_record_that_makes_no_sense_hides_nothing_else(ring: SmallRing, site: str) -> None:
    ring.client.hset("quantum:position:BADUSDT", "symbol", "BADUSDT")
    with events(site, "/events/BADUSDT") as told:
        story = next(event for event in told if event["event"] == "symbol")
        overview = next(event for event in told if event["event"] == "overview")
    assert story["data"]["page"]["reason"]["code"] == "record_unreadable"
    assert [one["symbol"] for one in overview["data"]["page"]["positions"]] == [SYMBOL]
    assert "BADUSDT" in json.dumps(overview["data"]["page"]["notices"])


def test_a_stop_that_is_gone_is_not_drawn_as_one_that_stands(ring: SmallRing, site: str) -> None:
    ring.client.hdel(position_key(SYMBOL), "stop_loss")
    with events(site, f"/events/{SYMBOL}") as told:
        charts = (e["data"]["page"]["chart"] for e in told if e["event"] == "symbol")
        chart = next(chart for chart in charts if chart["at"])
    (_, stood), (gone_at, gone) = chart["stops"]
    assert (stood, gone) == (12.0736, None)
    assert gone_at <= chart["at"][-1]


def test_it_reads_as_its_own_user_who_may_change_nothing_but_its_heartbeat(tmp_path: Path) -> None:
    with (
        a_guarded_server(tmp_path / "guarded") as guarded,
        guarded.client("tester") as client,
    ):
        ring = SmallRing(guarded.url("tester"), {})
        ring.tick("12.32")
        with a_dashboard(guarded.url("dashboard"), tmp_path) as site:
            with events(site, f"/events/{SYMBOL}") as told:
                assert {next(told)["event"], next(told)["event"]} <= {"overview", "symbol"}
                next(event for event in told if event["event"] == "symbol")
            eventually(lambda: client.exists(heartbeat_key("dashboard")), "its heartbeat")
            names: Any = client.keys("*")
            assert set(names) == {MARKET_TICK.key.encode(), heartbeat_key("dashboard").encode()}
            refused: Any = client.execute_command("ACL", "LOG")  # type: ignore[no-untyped-call]
            assert refused == []
        ring.client.close()


def test_it_serves_on_the_socket_that_systemd_hands_over(redis_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door, a_manager(tmp_path) as manager:
        port = door.getsockname()[1]
        own = {"REDIS_URL": redis_url, "WATCHDOG_USEC": "2000000"}
        manager.start("-m", "services.dashboard", environment=own, handed=door, under="http")
        manager.until_said("READY=1")
        manager.until_said("WATCHDOG=1", times=2)
        eventually(lambda: get(f"http://127.0.0.1:{port}", "/healthz")[0] == 200, "its health")
        with events(f"http://127.0.0.1:{port}") as told:
            next(told)
            began = time.monotonic()
            manager.signal(signal.SIGTERM)
            assert manager.ends() == 0
            assert time.monotonic() - began < 5


def test_a_port_that_is_taken_is_named(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-m", "services.dashboard"],
            env=environment(redis_url, {"QUANTUM_DASHBOARD__PORT": port}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == EXIT_SETTINGS
    assert ended.stderr == f"dashboard.port: 127.0.0.1:{port}: Address already in use\n"


def test_the_files_of_others_are_what_their_table_says() -> None:
    vendor = STATIC / "vendor"
    table = (vendor / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\S+)` .* `([0-9a-f]{64})` \|$", table, flags=re.MULTILINE))
    known = {"README.md", "LICENSE-uPlot"}
    files = {path for path in vendor.iterdir() if path.name not in known}
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files} == told


def test_our_own_files_name_no_other_machine() -> None:
    for path in STATIC.glob("*.*"):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"^\s*//.*|\s// .*$", "", text, flags=re.MULTILINE), path
        assert "innerHTML" not in text, path
