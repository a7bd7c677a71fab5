"""What is said to systemd and what is handed over by it, in the words of its protocols."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shared.metrics import RunnerMetrics
from shared.systemd import Supervisor, handed_socket

from .ear import Ear


def test_it_says_that_it_stands_and_that_it_ends(ear: Ear, given: dict[str, str]) -> None:
    supervisor = Supervisor(given)
    supervisor.ready()
    supervisor.stopping()
    assert ear.heard() == ["READY=1", "STOPPING=1"]


def test_a_socket_whose_name_is_no_file_is_spoken_to_as_well() -> None:
    name = f"quantum-test-{os.getpid()}"
    ear = Ear(f"\0{name}")
    Supervisor({"NOTIFY_SOCKET": f"@{name}"}).ready()
    assert ear.heard() == ["READY=1"]
    ear.close()


def test_without_a_supervisor_nothing_is_said_and_one_that_has_gone_harms_nobody(
    tmp_path: Path,
) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        supervisor = Supervisor(environment | {"WATCHDOG_USEC": "1000000"})
        supervisor.ready()
        supervisor.alive()
        supervisor.waits("waits for Redis: away")


def test_the_watchdog_hears_of_it_four_times_in_its_interval_however_often_it_gets_on(
    ear: Ear, given: dict[str, str]
) -> None:
    supervisor = Supervisor(given | {"WATCHDOG_USEC": "400000"})
    until = time.monotonic() + 0.35
    calls = 0
    while time.monotonic() < until:
        supervisor.alive()
        calls += 1
    heard = ear.heard()
    assert set(heard) == {"WATCHDOG=1"}
    assert 2 <= len(heard) <= 4 < calls


@pytest.mark.parametrize("watched", [{}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}])
def test_who_is_not_watched_does_not_speak_to_the_watchdog(
    ear: Ear, given: dict[str, str], watched: dict[str, str]
) -> None:
    Supervisor(given | watched).alive()
    assert ear.heard() == []


def test_people_are_told_in_one_line_and_only_what_is_new(ear: Ear, given: dict[str, str]) -> None:
    supervisor = Supervisor(given)
    supervisor.status("runs")
    supervisor.status("runs")
    supervisor.remark = "new settings are refused:\nfile: one\nfile: two"
    supervisor.status("runs")
    supervisor.remark = ""
    supervisor.status("runs")
    assert ear.heard() == [
        "STATUS=runs",
        "STATUS=runs; new settings are refused: file: one file: two",
        "STATUS=runs",
    ]


def test_a_start_that_waits_for_something_asks_for_more_time_and_once_it_stands_it_does_not(
    ear: Ear, given: dict[str, str]
) -> None:
    supervisor = Supervisor(given | {"WATCHDOG_USEC": "30000000"})
    supervisor.waits("waits for Redis: away")
    assert ear.heard() == [
        "STATUS=waits for Redis: away",
        "EXTEND_TIMEOUT_USEC=60000000",
        "WATCHDOG=1",
    ]
    supervisor.ready()
    ear.heard()
    supervisor.waits("waits for Redis: still away")
    assert ear.heard() == ["STATUS=waits for Redis: still away"]


def test_a_reload_is_told_with_the_moment_at_which_it_began(
    ear: Ear, given: dict[str, str]
) -> None:
    before = time.monotonic_ns() // 1000
    Supervisor(given).reloading()
    told, at = ear.heard()
    assert told == "RELOADING=1"
    assert before <= int(at.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "metrics"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0", "LISTEN_FDNAMES": "metrics"},
        {"LISTEN_PID": str(os.getpid())},
    ],
)
def test_a_socket_that_was_handed_to_another_or_by_another_name_is_not_taken(
    given: dict[str, str],
) -> None:
    assert handed_socket("metrics", given) is None


def test_without_a_port_and_without_a_socket_nothing_is_served() -> None:
    assert RunnerMetrics().serve(0) is None  # type: ignore[func-returns-value]
