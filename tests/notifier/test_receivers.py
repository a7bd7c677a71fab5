"""Who is told stands in a file that only its owner reads, and its tokens stand nowhere else."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.notifier.outside.addresses import read_addresses
from services.notifier.outside.receivers import Receivers
from services.notifier.settings import NotifierSettings
from services.notifier.values import Severity
from shared.bus import load_library
from shared.daemon import EXIT_SETTINGS
from shared.settings import Settings, SettingsError
from tests.ring.live import a_client, quantum
from tests.ring.test_metrics_and_logs import free_range, named, scrape

from .desk import say
from .living import a_notifier, write_receivers
from .phone import TOKEN, Phone, a_phone

FILL, REFUSAL = "apply.result.filled", "apply.plan.skip_entry"


@pytest.fixture
def phone() -> Iterator[Phone]:
    with a_phone() as on:
        yield on


def private(folder: Path, text: str) -> str:
    """A file of receivers that only its owner reads."""
    path = folder / "receivers.txt"
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


def test_a_receiver_is_named_by_its_line_and_the_scheme_of_its_address(tmp_path: Path) -> None:
    text = f"# phones\n\nTGRAM://{TOKEN}/1\n  slack://{TOKEN}/b/c  \n"
    addresses = read_addresses(private(tmp_path, text), None)
    assert [address.name for address in addresses] == ["3 tgram", "4 slack"]
    assert addresses[1].url == f"slack://{TOKEN}/b/c"
    assert TOKEN not in repr(addresses)


def test_the_credential_of_systemd_is_read_where_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "notices").write_text("json://here/\n")
    assert [a.name for a in read_addresses(None, str(tmp_path))] == ["1 json"]
    other = private(tmp_path, "mailto://there/")
    assert [a.name for a in read_addresses(other, str(tmp_path))] == ["1 mailto"]


def test_there_may_be_nobody_to_tell(tmp_path: Path) -> None:
    (tmp_path / "notices").write_text("\n")
    assert read_addresses(None, str(tmp_path)) == []
    assert read_addresses(None, None) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_may_read_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path, f"json://{TOKEN}/")
    Path(path).chmod(mode)
    with pytest.raises(SettingsError, match=r"may read the addresses.*chmod 600"):
        read_addresses(path, None)


@pytest.mark.parametrize("line", [TOKEN, f"://{TOKEN}", "json://", f"{TOKEN}é", f"a b://{TOKEN}"])
def test_a_line_that_is_no_address_is_named_and_never_shown(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_addresses(private(tmp_path, f"# phones\n{line}\n"), None)
    assert "line 2 is no address" in str(refused.value) or "ASCII" in str(refused.value)
    assert TOKEN not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_address_that_apprise_does_not_know_is_named_and_never_shown(tmp_path: Path) -> None:
    path = private(tmp_path, f"json://host/\nunheardof://{TOKEN}/\n")
    with pytest.raises(SettingsError) as refused:
        Receivers(read_addresses(path, None), timeout_s=20).check()
    assert str(refused.value) == (
        "notifier: apprise does not understand the unheardof address in line 2"
    )


def test_without_apprise_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"quantum-trader\[notices\]"):
        Receivers([], timeout_s=20)


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("quiet_hours", "22:00", "two times of day"),
        ("quiet_hours", "24:00-07:00", "two times of day"),
        ("quiet_hours", "07:00-07:00", "two times of day"),
        ("time_zone", "Europe/Atlantis", "no zone that this machine knows"),
        ("time_zone", "../etc/passwd", "no zone that this machine knows"),
        ("kinds", ["fills"], "'fill'"),
        ("min_severity", "loud", "'urgent'"),
        ("per_minute", 0, "greater than"),
        ("urls", ["json://x"], "no such setting"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(setting: str, value: object, says: str) -> None:
    settings = Settings({"notifier": {setting: value}}, "quantum.toml")
    with pytest.raises(SettingsError, match=f"quantum.toml: notifier.{setting}.*{says}"):
        settings.section("notifier", NotifierSettings)


def test_what_hands_a_notice_over_knows_nothing_of_the_server_or_of_other_secrets(
    tmp_path: Path, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REDIS_URL", "QUANTUM_CONFIG", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"):
        monkeypatch.setenv(name, TOKEN)
    phone.hangs = True
    receivers = Receivers(read_addresses(private(tmp_path, phone.address), None), timeout_s=20)
    for name in receivers.names:
        receivers.send(name, title="a", body="b", severity=Severity.INFO)
    pid = receivers._under_way["1 json"].process.pid
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    receivers.close()
    assert b"PATH=" in environment
    assert TOKEN.encode() not in environment + arguments


def test_a_test_notice_says_of_each_receiver_whether_it_arrived(
    tmp_path: Path, phone: Phone
) -> None:
    with a_phone() as off:
        pass
    path = write_receivers(tmp_path, phone, off)
    told = quantum("notify", "--test", "--receivers", str(path))
    assert told.returncode == 1
    first, second = told.stdout.splitlines()
    assert first == "line 2, json: it arrived"
    assert second.startswith("line 3, json: it was not taken")
    assert phone.titles == ["Test"]
    assert TOKEN not in told.stdout + told.stderr
    known = quantum("notify", "--json", "--receivers", str(write_receivers(tmp_path, phone)))
    assert (known.returncode, json.loads(known.stdout)) == (
        0, [{"receiver": "2 json", "test": None}],
    )  # fmt: skip
    assert len(phone.received) == 1


def test_without_receivers_the_command_says_where_they_belong() -> None:
    told = quantum("notify")
    assert told.returncode == EXIT_SETTINGS
    assert "mode 0600" in told.stderr


def test_a_notifier_that_is_killed_goes_on_where_it_was_and_no_token_shows_anywhere(
    redis_url: str, tmp_path: Path, phone: Phone
) -> None:
    with a_client(redis_url) as client:
        load_library(client)
    port = free_range(9)
    settings = {"QUANTUM_METRICS__BASE_PORT": str(port)}
    with a_notifier(redis_url, tmp_path, write_receivers(tmp_path, phone), settings) as living:
        living.until_it_listens()
        say(living.client, FILL)
        living.until(lambda: len(phone.lines) == 1, "a notice")
        phone.status = 500
        say(living.client, REFUSAL)
        living.until(
            lambda: any(named(scrape(port + 7), "quantum_notices_failures").values()), "a failure"
        )
        figures = scrape(port + 7)
        living.ring.kill("notifier")
        phone.status = 200
        living.until(lambda: len(phone.lines) == 2, "the other notice")
        command = Path(f"/proc/{living.ring.pid('notifier')}/cmdline").read_bytes()
    assert [line.partition(":")[0] for line in phone.lines] == ["BTCUSDT", "BTCUSDT"]
    log = living.log.read_text(encoding="utf-8")
    assert '"event": "notice_not_taken"' in log
    for text in (log, repr(figures), command.decode()):
        assert TOKEN not in text


def test_a_notifier_that_is_told_to_stop_waits_for_what_is_on_its_way(
    redis_url: str, tmp_path: Path, phone: Phone
) -> None:
    with a_client(redis_url) as client:
        load_library(client)
    with a_notifier(redis_url, tmp_path, write_receivers(tmp_path, phone)) as living:
        living.until_it_listens()
        phone.hangs = True
        say(living.client, FILL)
        living.until(lambda: phone.asked, "a notice on its way")
        # As systemd does it: every process of the unit gets the signal.
        pid = living.ring.pid("notifier")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) == 1
        for told in (pid, *map(int, children)):
            os.kill(told, signal.SIGTERM)
        phone.go_on.set()
        living.until(lambda: living.ring.status("notifier") is not None, "its end")
        assert living.ring.status("notifier") == 0
    phone.hangs = False
    with a_notifier(redis_url, tmp_path, write_receivers(tmp_path, phone)) as living:
        living.until_it_listens()
        say(living.client, REFUSAL)
        living.until(lambda: "open_positions_cap" in "".join(phone.lines), "the next notice")
    # The phone said that it had taken the first one, so that one is not told again.
    assert len(phone.lines) == 1


def test_a_notifier_with_nobody_to_tell_says_so_and_stays(redis_url: str, tmp_path: Path) -> None:
    with a_client(redis_url) as client:
        load_library(client)
    with a_notifier(redis_url, tmp_path, write_receivers(tmp_path)) as living:
        living.until_it_listens()
        say(living.client, FILL)
        assert "nobody_is_told" in living.log.read_text(encoding="utf-8")
