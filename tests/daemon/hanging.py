"""A daemon whose decider goes round for good at the tick `hang`, and says so before.

`python -m tests.daemon.hanging` runs it as harvest_brain, as its own `__main__` would.
"""

from __future__ import annotations

import sys

from shared.daemon import run_service
from tests.runner.counting import Policy, service


def hang_at(tick_id: str) -> None:
    if tick_id == "hang":
        sys.stderr.write("in hand\n")
        sys.stderr.flush()
    while tick_id == "hang":
        pass


def main() -> None:
    own = Policy(on_decide=hang_at)
    run_service("harvest_brain", lambda _settings, _metrics: service(own), lambda _settings: own)


if __name__ == "__main__":
    main()
