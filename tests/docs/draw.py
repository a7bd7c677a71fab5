"""Draw the plots of formulas.md anew: `python -m tests.docs.draw`. Needs matplotlib.

The same curves give the same files, byte for byte, under the same release of matplotlib.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from .curves import PLOTS, Curves, fingerprint

FOLDER = Path(__file__).parents[2] / "docs/plots"

#: Okabe and Ito's colours, which people with any colour vision tell apart.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
#: For words in orange and grey, which would be too light on white.
BROWN, DARK = "#8a5f00", "#444444"
GREY = "#666666"

_STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    # White of its own, so that it reads on a dark page, too.
    "figure.facecolor": "white",
    "font.size": 11,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "quantum-trader",
}
_LEVERAGES = (1, 2, 5, 10, 20, 50, 125)


def lsf(curves: Curves) -> Any:
    """One curve over leverage on a logarithmic scale, with values to read off."""
    figure, axes = plt.subplots(figsize=(7.6, 3.4))
    axes.plot(curves["leverage"], curves["lsf"], color=BLUE)
    for leverage in (1, 5, 10, 20, 50, 125):
        value = curves["lsf"][leverage - 1]
        axes.plot(leverage, value, "o", color=BLUE)
        axes.annotate(
            f"{value:.3f}", (leverage, value), (0, 8), textcoords="offset points",
            ha="left" if leverage == 1 else "right" if leverage == 125 else "center",
        )  # fmt: skip
    axes.set(title="Leverage sensitivity factor", ylabel="LSF", ylim=(0, 0.7))
    _leverage_axis(axes)
    return figure


def levels(curves: Curves) -> Any:
    """Targets above, the stop below zero, and where liquidation would be."""
    figure, axes = plt.subplots(figsize=(7.6, 5.0))
    at = curves["leverage"]
    for number, style in ((3, "-."), (2, "--"), (1, "-")):
        row = curves[f"target {number}"]
        axes.plot(at, row, style, color=GREEN)
        axes.annotate(f"target {number}", (1, row[0]), (2, 5), textcoords="offset points")
    axes.plot(at, [-value for value in curves["stop"]], color=RED)
    axes.annotate("stop", (1, -curves["stop"][0]), (2, -15), textcoords="offset points", color=RED)
    liquidation = [-value for value in curves["liquidation"]]
    axes.fill_between(at, liquidation, -16, color=GREY, alpha=0.25, linewidth=0)
    axes.text(34, -9.5, "liquidated\nhere", color=DARK)
    axes.plot(at, [-value for value in curves["safe"]], ":", color=GREY)
    axes.annotate(
        "80 % of the way", (8.6, -9.1), (-108, -12), textcoords="offset points", color=DARK
    )
    axes.axhline(0, color="black", linewidth=1)
    axes.annotate("entry", (125, 0), (-30, 4), textcoords="offset points")
    axes.set(
        title="Stop and targets of a BUY at an ATR of 2 %",
        ylabel="distance from the entry, %",
        ylim=(-12, 13),
    )
    _leverage_axis(axes)
    return figure


def ladder(curves: Curves) -> Any:
    """What is left, and what it comes to if the price turns back there."""
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(7.6, 6.0), sharex=True, height_ratios=(1, 1.5)
    )
    above.step(curves["R"], curves["left"], where="post", color=BLUE)
    above.fill_between(curves["R"], curves["left"], step="post", color=BLUE, alpha=0.12)
    for r, left in ((2, 75), (4, 50), (6, 25)):
        above.annotate(f"{left} %", (r, left), (6, 5), textcoords="offset points")
    above.set(title="What is left of the position", ylabel="% of the initial quantity")
    above.set_ylim(0, 112)
    below.step(curves["R"], curves["ratchet"], "--", where="post", color=ORANGE)
    below.step(curves["R"], curves["ladder"], where="post", color=BLUE)
    below.step(curves["R"], curves["stop alone"], ":", where="post", color=RED)
    below.annotate("ladder and lock, with the ratchet", (5.0, 3.6), color=BROWN, ha="right")
    below.annotate("ladder and lock", (7.95, 2.55), color=BLUE, ha="right")
    below.annotate("the first stop and nothing else", (7.95, -0.85), color=RED, ha="right")
    below.axhline(0, color="black", linewidth=1)
    below.set(
        title="What it comes to if the price turns there and falls to the stop",
        xlabel="highest R that the position has seen",
        ylabel="R of the whole position",
        xlim=(0, 8),
        ylim=(-1.4, 4.6),
    )
    return figure


def trade(curves: Curves) -> Any:
    """One position from its opening to its end."""
    figure, axes = plt.subplots(figsize=(7.6, 4.4))
    at, price, ratcheted = curves["minute"], curves["price"], curves["ratcheted stop"]
    hit = next(i for i, r in enumerate(price) if r <= ratcheted[i])
    axes.plot(at, price, color=BLUE, linewidth=1.6)
    axes.step(at, curves["stop"], where="post", color=RED)
    axes.step(at[: hit + 1], ratcheted[: hit + 1], "--", where="post", color=ORANGE)
    for index, (before, after) in enumerate(pairwise(curves["left"]), start=1):
        if after < before:
            axes.plot(at[index], price[index], "o", color=GREEN, markersize=8, zorder=3)
            axes.annotate(
                f"{after:.0f} % left", (at[index], price[index]), (-10, 4),
                textcoords="offset points", ha="right",
            )  # fmt: skip
    axes.plot(at[hit], price[hit], "s", color=ORANGE, markersize=7, zorder=3)
    axes.annotate(
        "with the ratchet\nthe rest goes here", (at[hit], price[hit]), (12, 2),
        textcoords="offset points", color=BROWN,
    )  # fmt: skip
    axes.plot(at[-1], price[-1], "s", color=RED, markersize=7, zorder=3)
    axes.annotate(
        "without it, here", (at[-1], price[-1]), (4, -19),
        textcoords="offset points", ha="right", color=RED,
    )  # fmt: skip
    axes.annotate("stop: at 1.5 R the lock moves it", (62, -0.55), color=RED)
    axes.annotate("stop with the ratchet", (205, 4.15), color=BROWN)
    axes.annotate("price", (at[243], price[243]), (-12, 5), textcoords="offset points", color=BLUE)
    axes.set(title="A whole trade", xlabel="minutes", ylabel="R", ylim=(-1.5, 8.6), xlim=(0, 525))
    return figure


def kill(curves: Curves) -> Any:
    """Two bands, one for each answer to whether the regime flipped, and the threshold between."""
    figure, axes = plt.subplots(figsize=(7.6, 4.2))
    at = curves["sigma ratio"]
    for flipped, colour, said in (
        (1, RED, "the regime flipped"),
        (0, BLUE, "it did not"),
    ):
        best, worst = curves[f"flip {flipped} best"], curves[f"flip {flipped} worst"]
        axes.fill_between(at, best, worst, color=colour, alpha=0.18, linewidth=0)
        axes.plot(at, worst, color=colour)
        axes.plot(at, best, "--", color=colour)
        axes.annotate(said, (0.55, (best[0] + worst[0]) / 2), color=colour, va="center")
        axes.annotate(
            "a day old, trend against it", (3.95, worst[-1]), (0, 5),
            textcoords="offset points", ha="right",
        )  # fmt: skip
        axes.annotate(
            "new, trend with it", (3.95, best[-1]), (0, -14),
            textcoords="offset points", ha="right",
        )  # fmt: skip
    axes.axhline(0.6, color="black", linewidth=1.4)
    axes.annotate("from 0.6 on all of it is closed", (3.95, 0.6), (0, -14),
                  textcoords="offset points", ha="right")  # fmt: skip
    axes.set(
        title="Kill score",
        xlabel="volatility, short over reference (sigma ratio)",
        ylabel="K",
        xlim=(0.5, 4),
        ylim=(0, 1),
    )
    return figure


def flip(curves: Curves) -> Any:
    """Price, trend strength and kill score over the same minutes."""
    figure, (price, trend, score) = plt.subplots(3, 1, figsize=(7.6, 7.0), sharex=True)
    at = curves["minute"]
    price.plot(at, curves["close"], color=BLUE)
    price.set(title="A market that turns", ylabel="close")
    trend.plot(at, curves["ts"], color=BLUE)
    for level in (0.5, -0.5):
        trend.axhline(level, color=GREY, linestyle=":", linewidth=1.4)
    trend.axhspan(-0.3, 0.3, color=GREY, alpha=0.15, linewidth=0)
    for where, said in (((357, 0.56), "a trend with it"), ((357, 0.1), "no trend")):
        trend.annotate(said, where, color=DARK, ha="right")
    trend.annotate("a trend against it", (62, -0.72), color=DARK)
    trend.set(title="Trend strength of the last 60 minutes", ylabel="ts", ylim=(-1.05, 1.05))
    turn = curves["flipped"].index(1.0)
    score.plot(at[: turn + 1], curves["kill"][: turn + 1], color=RED)
    score.plot(at[turn:], curves["kill"][turn:], color=RED, alpha=0.3)
    score.axhline(0.6, color="black", linewidth=1.4)
    score.set(title="Kill score of a LONG", ylabel="K", xlabel="minutes", ylim=(0, 1))
    for axes in (price, trend, score):
        axes.axvline(at[turn], color=RED, linewidth=1.2, linestyle="--")
    score.annotate(
        "no trend at 5 closes in a row,\nafter one in its favour: all is closed", (at[turn], 0.28),
        (-8, 0), textcoords="offset points", color=RED, ha="right",
    )  # fmt: skip
    price.set_xlim(at[0], at[-1])
    return figure


DRAWN: dict[str, Callable[[Curves], Any]] = {
    "lsf": lsf,
    "levels": levels,
    "ladder": ladder,
    "trade": trade,
    "kill": kill,
    "flip": flip,
}


def _leverage_axis(axes: Any) -> None:
    axes.set(xlabel="leverage", xscale="log", xlim=(1, 130))
    axes.set_xticks(_LEVERAGES, [f"{leverage}x" for leverage in _LEVERAGES])
    axes.set_xticks([], minor=True)


def draw(folder: Path, form: str = "svg") -> None:
    """Draw every plot into a folder."""
    mpl.use("svg" if form == "svg" else "agg")
    with mpl.rc_context(_STYLE):
        for name, drawing in DRAWN.items():
            figure = drawing(PLOTS[name]())
            about = {
                "Creator": "tests/docs/draw.py",
                "Date": None,
                "Description": fingerprint(name),
            }
            figure.savefig(
                folder / f"{name}.{form}", metadata=about if form == "svg" else None, dpi=110
            )
            plt.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
