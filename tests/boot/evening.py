"""The order of the evening: each step does something to the machine and looks at what became."""

from __future__ import annotations

from tests.boot import breaking, installing
from tests.boot.machine import Machine
from tests.boot.scene import RIVER, Scene


def play(machine: Machine) -> None:
    """All of it, from a clean machine to a clean one.

    Raises:
        Failed, AssertionError: something was not as it should be.
    """
    scene = Scene(machine)
    installing.dry_run(scene)
    installing.first_harvest(scene)
    installing.as_installed(scene)
    breaking.live_prices(scene)
    position = scene.open(RIVER)
    breaking.killed(scene, position)
    breaking.hung(scene)
    breaking.rebooted(scene, position)
    installing.upgraded(scene, position)
    installing.not_upgraded(scene)
    breaking.reloaded(scene)
    installing.backed_up(scene)
    breaking.companions(scene)
    breaking.no_alarm(scene)
    breaking.on_the_venue(scene)
    breaking.no_alarm(scene)
    installing.uninstalled(scene)
