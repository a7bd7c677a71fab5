"""Finds an installed strategy by name; called once, by the wiring. Reads package metadata."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from services.trading_bot.strategies import Strategy

GROUP = "quantum.strategies"


class StrategyNotUsable(Exception):
    """No strategy can be had by this name; the text says why and what there is instead."""


def load_strategy(name: str) -> Strategy:
    """Make the strategy that an installed package offers under `name` in `quantum.strategies`.

    An entry names a class, or any callable, that makes a strategy without arguments.

    Raises:
        StrategyNotUsable: the name is unknown or offered twice, or what it leads to cannot be
            imported or is no strategy.
    """
    entry = _entry(name)
    try:
        make = entry.load()
    except (ImportError, AttributeError) as error:
        message = f"strategy {name} ({entry.value}) cannot be imported: {error}"
        raise StrategyNotUsable(message) from error
    strategy = make() if callable(make) else make
    if not isinstance(strategy, Strategy):
        raise StrategyNotUsable(f"strategy {name} ({entry.value}) has no name or no signal()")
    return strategy


def _entry(name: str) -> EntryPoint:
    offered = entry_points(group=GROUP)
    # The same entry is seen twice where a package is installed in two places of the path.
    found = {entry.value: entry for entry in offered if entry.name == name}
    if not found:
        names = ", ".join(sorted(offered.names)) or "none"
        raise StrategyNotUsable(f"no strategy is called {name!r}; installed in {GROUP}: {names}")
    if len(found) > 1:
        values = " and ".join(sorted(found))
        raise StrategyNotUsable(f"strategy {name} is offered twice: by {values}; remove one")
    return next(iter(found.values()))
