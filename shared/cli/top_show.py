"""How `quantum top` shows what stands, as text of a given width. Pure; reads and writes nothing.

Every state has a sign or a word besides its colour, and the colours are the terminal's own sixteen.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from rich.text import Text

from shared.decisions import Mode
from shared.overview.values import Alarm, Daemon, Event, Group, Overview, Position, Rung, Stream
from shared.symbols import padded
from shared.why.words import clock, plain, safe, span

#: Alarms that are shown at once; the head must leave room for the rest.
_ALARMS = 4
_MODES = {
    Mode.RUN: "bold green",
    Mode.EXITS_ONLY: "bold black on yellow",
    Mode.HALT: "bold white on red",
}
_DAEMONS = {"up": ("●", "green"), "lost": ("✖", "bold red"), "off": ("○", "dim")}
_RUNGS = {
    "taken": ("●", "green"),
    "due": ("◆", "bold red"),
    "next": ("○", "cyan"),
    "ahead": ("○", "dim"),
    "merged": ("×", "yellow"),
}
LEGEND = (
    "The bar is the position in R: ━ from the entry │ to the price ▲, ┃ the stop; rungs: "
    "● taken, ◆ due, ○ ahead, × too small and left to the next."
)


def head(overview: Overview, server: str, symbol: str = "") -> list[Text]:
    """The mode, the server and the venue in one line, then what is wrong, the worst first."""
    mode = overview.mode_text if overview.mode_text is not None else overview.mode.value
    line = Text.assemble((f" {safe(mode)} ", _MODES[overview.mode]))
    if mode not in Mode.__members__:
        line.append(f" is no mode and counts as {overview.mode}", "yellow")
    entries = overview.venue.entries
    if entries:
        line.append(f"  entries {entries}", "yellow" if entries == "barred" else "")
    pnl = sum((position.unrealized_pnl for position in overview.positions), Decimal(0))
    if overview.positions:
        line.append(f"  unrealised {pnl:+.2f}")
    line.append(f"  {overview.now:%d %b %H:%M:%S} UTC", "dim")
    line.append(f"  {server}", "dim")
    if symbol:
        line.append(f"  only {symbol}", "bold cyan")
    return [line, *wrong(overview)]


def wrong(overview: Overview) -> Iterator[Text]:
    """What is wrong, a line each, and whether anybody looks."""
    alarms = overview.watch.alarms
    for alarm in alarms[:_ALARMS]:
        yield Text(f"✖ {alarm_words(alarm, overview)}", "bold red")
    if len(alarms) > _ALARMS:
        yield Text(f"✖ and {len(alarms) - _ALARMS} alarms more", "bold red")
    for line in overview.unreadable:
        yield Text(f"✖ cannot be read: {safe(str(line))}", "red")
    for symbol, text in overview.venue.quarantined.items():
        yield Text(f"! left alone: {safe(symbol)}, {text}", "red")
    for symbol, text in overview.venue.over_cap.items():
        yield Text(f"! over its cap: {safe(symbol)}, {text}", "bold red")
    for code, text in overview.venue.barriers.items():
        yield Text(f"! no entry: {safe(code)}, {text}", "yellow")
    for order, text in overview.venue.unknown_orders.items():
        yield Text(f"! order in doubt: {order}, {text}", "yellow")
    watch = overview.watch
    if watch.state == "off":
        yield Text("○ no alarms: watcher does not run, so nobody looks", "yellow")
    elif watch.state == "stale":
        assert watch.seen_at is not None
        age = span((overview.now - watch.seen_at).total_seconds())
        yield Text(f"! watcher has not looked for {age}: what it said may be old", "yellow")
    elif not alarms:
        yield Text("● no alarms", "green")


def alarm_words(alarm: Alarm, overview: Overview) -> str:
    """An alarm in a line: how long it has lasted, what it is and where, and what watcher says."""
    since = overview.now if alarm.since is None else alarm.since
    lasting = span((overview.now - since).total_seconds())
    what = " ".join(filter(None, (alarm.name.replace("_", " "), alarm.subject)))
    return f"{lasting:<10} {what}: {alarm.text}"


def position(one: Position, overview: Overview, width: int, *, marked: bool = False) -> list[Text]:
    """A position in three lines: what it is, its bar, and what it waits for."""
    gain = "green" if one.r_net > 0 else "red"
    first = Text.assemble(
        "▶ " if marked else "  ",
        (padded(safe(one.symbol), 10), "bold reverse" if marked else "bold"),
        " ",
        f"{one.side:<5} {plain(one.qty)} of {plain(one.initial_qty)}  ",
        f"{_price(one.entry_price)} → {_price(one.mark_price)}  ",
        (f"{one.r_net:+.2f} R", f"bold {gain}"),
        (f"  {one.unrealized_pnl:+.2f}", gain),
    )
    if one.kill_score is not None:
        hot = float(one.kill_score) >= one.kill_threshold
        first.append(f"  kill {one.kill_score:.2f}", "bold red" if hot else "dim")
    bar = r_bar(one, max(width - 2, 20))
    return [first, Text("  ") + bar, Text("  ") + waiting(one, overview)]


def _price(price: Decimal) -> str:
    return plain(round(price, 8))


def r_bar(one: Position, width: int) -> Text:
    """The position on a line of R, from a full loss to a bit beyond the last rung.

    Signs that fall on one place hide each other: the price is seen first, then the stop, the rungs.
    """
    stop_r = one.stop_r or Decimal(0)
    low = min(Decimal(-1), one.r_net, stop_r)
    high = max(Decimal(1), one.r_max, stop_r, *(rung.r_level for rung in one.rungs))
    high *= Decimal("1.05")

    def place(r: Decimal) -> int:
        return int((r - low) / (high - low) * (width - 1))

    zero, now = place(Decimal(0)), place(one.r_net)
    signs = [("─", "dim")] * width
    for at in range(min(zero, now), max(zero, now)):
        signs[at] = ("━", "green" if now > zero else "red")
    signs[zero] = ("│", "")
    for rung in one.rungs:
        at, (sign, style) = place(rung.r_level), _RUNGS[rung.state]
        label = f"{rung.r_level:.3g}"[: width - at - 1]
        signs[at : at + 1 + len(label)] = [(sign, style), *((digit, "dim") for digit in label)]
    if one.stop_r is not None:
        signs[place(one.stop_r)] = ("┃", "bold yellow")
    signs[now] = ("▲", "bold")
    return Text.assemble(*signs)


def waiting(one: Position, overview: Overview) -> Text:
    """What protects a position and what comes next."""
    if one.naked:
        since = one.naked_since
        lasting = "" if since is None else f" for {span((overview.now - since).total_seconds())}"
        text = Text(f"✖ NO STOP{lasting}", "bold red")
        refused = overview.venue.stops_refused.get(one.symbol)
        if refused:
            text.append(f": {refused}", "red")
        return text
    text = Text.assemble(
        "stop ",
        (f"{_price(one.stop_loss or Decimal(0))}", "yellow"),
        f" ({one.stop_r:+.2f} R, {one.stop_away_pct} % away)",
    )
    due = [rung for rung in one.rungs if rung.state == "due"]
    coming = [rung for rung in one.rungs if rung.state == "next"]
    if one.awaiting:
        text.append(f"; asked for: {' '.join(one.awaiting)}", "cyan")
    elif due:
        text.append(f"; {due[-1].name} is due, R was {one.r_max:.2f}", "bold red")
    elif coming:
        text.append(f"; {_next(coming[0])}")
    else:
        text.append("; every rung is taken")
    if one.refusals:
        text.append(f"; refused {one.refusals} times", "yellow")
    return text


def _next(rung: Rung) -> str:
    if rung.price <= 0:
        return f"{rung.name} is out of reach"
    return f"{rung.name} at {_price(rung.price)}, {rung.away_pct} % away"


def streams(overview: Overview) -> list[Text]:
    """A line for each stream: its length, its last entry, and who is behind."""
    return [_stream(stream, overview) for stream in overview.streams]


def _stream(stream: Stream, overview: Overview) -> Text:
    line = Text.assemble((f"{stream.name:<13}", "bold"), f"{stream.length:>6}")
    if stream.last_at is None:
        line.append("  no entry", "dim")
    else:
        age = max((overview.now - stream.last_at).total_seconds(), 0)
        line.append(f"  {span(age) + ' ago':<13}", "dim")
    if stream.dead:
        line.append(f"  {stream.dead} dead", "bold red")
    behind = [group for group in stream.groups if not idle(group)]
    if not behind:
        line.append("  ● all read", "green")
    for group in behind:
        line.append("  " + group_words(group), "yellow" if group.exists else "dim")
    return line


def idle(group: Group) -> bool:
    """Whether a daemon has finished all there is of a stream."""
    return group.exists and not group.pending and group.lag == 0


def group_words(group: Group) -> str:
    """How far a daemon is behind."""
    if not group.exists:
        return f"{group.daemon} never read"
    lag = "?" if group.lag is None else group.lag
    since = "" if group.oldest_age_s is None else f" for {span(group.oldest_age_s)}"
    pending = f"+{group.pending} pending" if group.pending else ""
    return f"{group.daemon} {lag}{pending}{since}"


def daemons(overview: Overview, *, brief: bool = False) -> list[Text]:
    """Every program by its heartbeat; not `brief` also how long each has been up.

    Those that are lost come first: where room is short, they are what must be seen.
    """
    lost_first = sorted(overview.daemons, key=lambda daemon: daemon.state != "lost")
    return [_daemon(daemon, overview, brief=brief) for daemon in lost_first]


def _daemon(daemon: Daemon, overview: Overview, *, brief: bool) -> Text:
    sign, style = _DAEMONS[daemon.state]
    text = Text(f"{sign} {daemon.name}", style)
    if daemon.state == "lost":
        text.append(" never seen" if daemon.age_s is None else f" lost {span(daemon.age_s)}")
    elif daemon.state == "off":
        text.append(" off")
    elif daemon.started_at is not None and not brief:
        up = span((overview.now - daemon.started_at).total_seconds())
        text.append(f" {up}", "dim")
    return text


def event(one: Event, overview: Overview) -> Text:
    """An entry in a line."""
    line = Text.assemble(
        (f"{clock(one.at, overview.now)}  ", "dim"),
        (padded(one.symbol, 12), "bold"),
        (one.line, "" if one.readable else "red"),
    )
    if one.name:
        line.append(f"  {one.name}", "dim")
    return line


def of_symbol(overview: Overview, symbol: str) -> tuple[list[Position], list[Event]]:
    """The positions, those without a stop first, and the events that have `symbol` in theirs."""
    return (
        sorted((one for one in overview.positions if symbol in one.symbol), key=_covered),
        [event for event in overview.events if symbol in event.symbol],
    )


def _covered(one: Position) -> bool:
    return not one.naked


def frame(overview: Overview, server: str, width: int, symbol: str = "") -> list[Text]:
    """All of it as lines, for a terminal that is only written to."""
    positions, events = of_symbol(overview, symbol)
    lines = [*head(overview, server, symbol), Text()]
    lines += [line for one in positions for line in position(one, overview, width)]
    lines += [] if positions else [nothing_held(symbol)]
    lines += [Text(), *streams(overview), Text(), Text("  ").join(daemons(overview)), Text()]
    lines += [event(one, overview) for one in events]
    return lines


def nothing_held(symbol: str) -> Text:
    """What stands where no position is shown."""
    return Text(f"No position of {symbol} is open." if symbol else "No position is open.", "dim")
