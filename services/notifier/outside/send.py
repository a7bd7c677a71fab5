"""One notice to one receiver, in a process of its own, by apprise.

Reads a job from standard input, as JSON: `url`, and `title`, `body` and `type` unless the address
is only looked at. Its output goes nowhere, and what came of it is the exit status: whatever a
plug-in of apprise would say may hold the address, and with it a token.
"""

from __future__ import annotations

import json
import signal
import sys

import apprise

ARRIVED, REFUSED, NO_ADDRESS = 0, 1, 78


def main() -> int:
    """Hand the notice over; 0 if it was taken, 1 if not, 78 if apprise knows no such address."""
    # systemd signals every process of a unit; the daemon waits for what is on its way.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    job = json.load(sys.stdin)
    receiver = apprise.Apprise()
    if not receiver.add(job["url"]):
        return NO_ADDRESS
    if "body" not in job:
        return ARRIVED
    taken = receiver.notify(
        body=job["body"],
        title=job["title"],
        notify_type=apprise.NotifyType(job["type"]),
        body_format=apprise.NotifyFormat.TEXT,
    )
    return ARRIVED if taken else REFUSED


if __name__ == "__main__":
    sys.exit(main())
