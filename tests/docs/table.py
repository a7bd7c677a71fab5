"""Which commands of the documents are not run as they stand, and what holds them instead.

A command of a document is run by test_commands.py, in the document's order, in one shell, and
must end with 0. So most commands need no row here. A row is for

- `Run`: it is run, but otherwise than it stands (`instead`, where `{command}` is the command),
  ends with another status, or must say something (`says`: each of these words in its output);
- `Elsewhere`: it is not run here, because of a reason, and `by` holds it: a test, written
  `tests/…/test_file.py::test_name`, or a file of the repository that runs it.

The key is the command on one line, with single blanks and without its remark; `*` stands for
anything, and the first row that fits counts. Only programs in `PROGRAMS` are run without a row: a
command that nobody has thought about is not typed, and fails until it has one. A row that fits no
command of any document fails, too: the document has moved on.

Where the commands run: in a fresh folder that looks like a checkout (`.venv/bin/quantum`, `deploy`
and so on), with a fresh HOME, with REDIS_URL and `redis-cli` leading to a server of the test's own,
where `sudo` before them changes nothing.
`STAGES` says for a document what is there; without an entry a ring of processes trades BTCUSDT on
that server (from the first command on that asks it), and the candle files of `CANDLES` lie ready.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

#: What is run without a row: it changes nothing outside the test's own server and folder.
PROGRAMS = ("quantum", ".venv/bin/quantum", "redis-cli", "quantum-redis-cli", "set", "echo")

#: Candle files that the documents speak of; each is a quiet day, a climb and a fall.
CANDLES = ("BTCUSDT-1m-2025-06.csv.gz", "SOLUSDT-1m-2025-06.csv.gz")

_ASSIGNMENT = re.compile(r"[A-Za-z_]+=")

Stage = Literal["ring", "users"]
#: `users` is the server of deploy/redis with its users and passwords, and no ring on it.
STAGES: dict[str, Stage] = {"deploy/redis/README.md": "users"}


@dataclass(frozen=True, slots=True)
class Run:
    """Run it, but not just as it stands, or look at what it says."""

    instead: str = "{command}"
    status: int = 0
    says: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Do not run it, because of this; `by` is the test or the file that holds it."""

    because: str
    by: str


_PRODUCERS = "tests/producers/test_producing_intents.py"
#: Installs on a booted machine, as deploy/install.sh does what a document says step by step.
_BOOTED = "tests/boot/evening.py"
_ROOT = "it changes the machine and needs root"
_NO_END = "it runs until somebody ends it"

TABLE: dict[str, Run | Elsewhere] = {
    # README.md
    "make demo": Elsewhere("half a minute", "tests/ring/test_demo.py"),
    "make test": Elsewhere("it would run itself", ".ci/run"),
    "sudo apt-get install *": Elsewhere(_ROOT, _BOOTED),
    "sudo deploy/install.sh*": Elsewhere(_ROOT, _BOOTED),
    "make boot-test": Elsewhere("it boots a machine, as root", "tests/boot/__main__.py"),
    "journalctl *": Elsewhere("there are no units here", _BOOTED),
    "quantum tail": Elsewhere(_NO_END, "tests/cli/test_tail.py"),
    "*quantum venue *": Elsewhere(_NO_END, "tests/double/test_ccxt.py"),
    "*quantum mode exits-only": Run(says=("EXITS_ONLY",)),
    "*quantum close BTCUSDT": Run("echo y | {command}"),
    "export REDIS_URL=*": Elsewhere("the test's own server takes its place", "tests/docs/desk.py"),
    "*quantum up --replay FILE --speed 60": Elsewhere(
        _NO_END,
        "tests/ring/test_replay.py::"
        "test_a_replay_at_a_speed_keeps_its_pace_and_ends_with_a_table_for_people",
    ),
    "*quantum up * --config quantum.toml *": Run(
        "env -u REDIS_URL {command}", says=("BTCUSDT │       1 │    1",)
    ),
    # A replay brings a server of its own; the one at REDIS_URL has a ring already.
    "*quantum up --replay *--until-end*": Run(
        "env -u REDIS_URL {command}", says=("Nothing is pending, no dead letters",)
    ),
    # docs/strategies.md
    "sudo /opt/quantum/.venv/bin/python -m pip install *": Run(
        ".venv/bin/python -m pip install --target strategies --upgrade"
        " --no-index --no-deps --no-build-isolation ./breakout"
        " && PYTHONPATH=strategies python -c 'import breakout'"
    ),
    "sudo tee /etc/systemd/system/*": Elsewhere(_ROOT, _BOOTED),
    "sudoedit *": Elsewhere("a person does it", "tests/settings/test_settings.py"),
    ".venv/bin/python -m pip install --no-index * ./breakout": Run(),
    ".venv/bin/python -m pytest breakout": Run(says=("2 passed",)),
    "grep *": Run(),
    # docs/formulas.md
    ".venv/bin/python -m pip install matplotlib": Elsewhere(
        "nothing comes from outside", "tests/docs/test_plots.py"
    ),
    ".venv/bin/python -m tests.docs.draw": Elsewhere(
        "it needs matplotlib",
        "tests/docs/test_plots.py::test_a_plot_that_is_drawn_again_is_the_same",
    ),
    # docs/operations.md
    "git pull": Elsewhere("it fetches from outside", _BOOTED),
    "sudo deploy/redis/*.sh *": Elsewhere(_ROOT, "tests/deploy/test_backup.py"),
    "sudo python3 deploy/redis/set_passwords.py --new apply_layer": Elsewhere(
        _ROOT,
        "tests/deploy/test_redis_as_installed.py::"
        "test_passwords_are_kept_until_a_new_one_is_asked_for",
    ),
    "sudo CREDENTIALS_DIRECTORY=* quantum check --live": Elsewhere(
        "it asks the venue",
        "tests/binance/test_check.py::test_a_sound_configuration_passes_without_an_order",
    ),
    "sudo quantum reset *": Elsewhere(
        "the ring that the other commands ask would be gone",
        "tests/accounts/test_going_live.py::"
        "test_the_documents_way_from_paper_to_a_real_account_mixes_nothing",
    ),
    # docs/producing-intents.md; what runs here is looked at more closely there
    "sudo tee -a /etc/quantum/redis/own-users.acl *": Elsewhere(
        _ROOT,
        f"{_PRODUCERS}::test_the_documents_user_sends_intents_and_does_nothing_else",
    ),
    "sudo python3 deploy/redis/set_passwords.py": Elsewhere(_ROOT, _PRODUCERS),
    "sudo quantum notify --test *": Elsewhere(
        "it asks a receiver",
        "tests/notifier/test_receivers.py::"
        "test_a_test_notice_says_of_each_receiver_whether_it_arrived",
    ),
    "sudo quantum-redis-cli ACL LOAD": Elsewhere(
        _ROOT,
        "tests/deploy/test_redis_as_installed.py::"
        "test_a_running_server_takes_new_passwords_from_its_administrator",
    ),
    # The ring here holds BTCUSDT already.
    "quantum why --intent my_signals.1": Run(status=1, says=("position_exists",)),
    "python3 my_signals.py": Elsewhere(
        "the file is above it", f"{_PRODUCERS}::test_python_sends_an_entry"
    ),
    "node my_signals.mjs": Elsewhere("it needs Node", f"{_PRODUCERS}::test_node_sends_an_entry"),
    "go run main.go": Elsewhere("it needs Go", f"{_PRODUCERS}::test_go_sends_an_entry"),
    # deploy/prometheus/README.md
    "apt-get install prometheus": Elsewhere(_ROOT, "tests/prometheus/test_alerts.py"),
    "install * /etc/prometheus/*": Elsewhere(_ROOT, "tests/prometheus/test_alerts.py"),
    "promtool check config *": Elsewhere(
        "it needs promtool",
        "tests/prometheus/test_rules.py::test_prometheus_takes_the_configuration_and_the_rules",
    ),
    # deploy/redis/README.md
    "apt-get install redis-server": Elsewhere(_ROOT, "tests/deploy/test_redis_as_installed.py"),
    "systemd-sysusers *": Elsewhere(_ROOT, _BOOTED),
    "install -m 6*deploy/redis/*": Elsewhere(_ROOT, _BOOTED),
    "systemd-tmpfiles --create *": Elsewhere(_ROOT, _BOOTED),
    "cp -r deploy/redis/redis-server@quantum.service.d *": Elsewhere(_ROOT, _BOOTED),
    "echo vm.overcommit_memory=1 *": Elsewhere(_ROOT, _BOOTED),
    "*systemctl *": Elsewhere(_ROOT, _BOOTED),
    "sudo usermod *": Elsewhere(_ROOT, _BOOTED),
    "sudo install *": Elsewhere(_ROOT, _BOOTED),
    "python3 deploy/redis/set_passwords.py*": Run("{command} --folder users --group $(id -gn)"),
    ".venv/bin/python -m tests.deploy.redis_cells": Elsewhere(
        "it asks two thousand questions", "tests/deploy/test_redis_acl.py"
    ),
}


def treatment(name: str) -> Run | Elsewhere | None:
    """What to do about a command: the first row that fits, or to run it; None: nobody knows."""
    for key, row in TABLE.items():
        if fits(key, name):
            return row
    known = name.removeprefix("sudo ").split(maxsplit=1)[0] in PROGRAMS
    return Run() if known or _ASSIGNMENT.match(name) else None


def fits(key: str, name: str) -> bool:
    """Whether a key, in which `*` is anything, fits a command."""
    return re.fullmatch(re.escape(key).replace(r"\*", ".*"), name, re.DOTALL) is not None
