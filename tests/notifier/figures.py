"""`python -m tests.notifier.figures`: how soon a phone is told, what a flood costs, and idling."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from shared.streams import APPLY_PLAN, state_key
from tests.ring.live import a_client, a_server, call
from tests.ring.messages import golden

from .desk import say
from .living import Living, a_notifier, write_receivers
from .phone import a_phone

_FLOOD = 5000
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_s(living: Living) -> float:
    """What the daemon has used so far, with those that handed its notices over."""
    fields = Path(f"/proc/{living.ring.pid('notifier')}/stat").read_text().rpartition(")")[2]
    return sum(map(int, fields.split()[11:15])) / _TICKS_A_SECOND


def main() -> None:
    """Print the figures of one run."""
    with tempfile.TemporaryDirectory() as name, a_phone() as phone:
        folder = Path(name)
        with (
            a_server(folder) as server,
            a_notifier(server.url, folder, write_receivers(folder, phone)) as living,
        ):
            living.until_it_listens()
            began = time.monotonic()
            say(living.client, "apply.result.filled")
            living.until(lambda: phone.lines, "a notice")
            told_s = time.monotonic() - began
            settled = time.monotonic() + 3
            living.until(lambda: time.monotonic() > settled, "the end of the handing over")
            idle_from, idle_until = cpu_s(living), time.monotonic() + 10
            living.until(lambda: time.monotonic() > idle_until, "ten seconds")
            idle = (cpu_s(living) - idle_from) / 10
            client = a_client(server.url)
            pipeline = client.pipeline(transaction=False)
            for number in range(_FLOOD):
                fields = golden("apply.plan.skip_entry", plan_id=f"flood.{number}").fields
                pipeline.xadd(APPLY_PLAN.key, dict(fields))  # type: ignore[arg-type]
            began, used = time.monotonic(), cpu_s(living)
            pipeline.execute()
            cursor = f'"heard":{_FLOOD}'.encode()
            key, field = state_key("notifier"), f"cursors/{APPLY_PLAN.key}"
            living.until(lambda: cursor in (call(client, "HGET", key, field) or b""), "all of it")
            heard_s = time.monotonic() - began
            living.until(lambda: any(" more" in line for line in phone.lines), "what is left")
            living.until(lambda: time.monotonic() > began + 20, "what else there is")
            used = cpu_s(living) - used
            status = Path(f"/proc/{living.ring.pid('notifier')}/status").read_text()
            memory = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            client.close()
        sys.stdout.write(
            f"from the stream to the phone: {told_s:.2f} s\n"
            f"idle: {idle:.1%} of a core, {memory.partition(':')[2].strip()} resident\n"
            f"{_FLOOD} refusals: heard in {heard_s:.2f} s, {len(phone.received) - 1} notices, "
            f"{used:.1f} s of a core for all of it\n"
        )


if __name__ == "__main__":
    main()
