"""The live view of `quantum top`: it looks once a second, in a thread, and shows what it saw."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import ClassVar

from redis.exceptions import RedisError
from rich.text import Text
from rich.traceback import Traceback
from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from shared.cli import top_show
from shared.cli.desk import Desk
from shared.cli.top_screens import Help, Switch, Why
from shared.overview.values import Overview
from shared.symbols import as_typed

LOOK_EVERY_S = 1.0
#: Without an answer for so long, what is shown counts as old.
_OLD_AFTER_S = 3.0


class Looked(Message):
    """What a look at the server brought."""

    def __init__(self, overview: Overview) -> None:
        super().__init__()
        self.overview = overview


class Unanswered(Message):
    """The server could not be asked, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Positions(OptionList):
    """The list of positions; it says so when there is more room for their bars, or less."""

    class Resized(Message):
        """The room has changed."""

    def on_resize(self) -> None:
        """Tell the view."""
        self.post_message(self.Resized())


class Top(App[None]):
    """One screen of all that stands; what is on it is made by `top_show`."""

    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (130, "-wide")]  # noqa: RUF012 - as declared
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "why", "why"),
        Binding("slash", "filter", "symbol", key_display="/"),
        Binding("m", "switch", "mode"),
        Binding("p", "pause", "pause"),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q,ctrl+c", "quit", "quit", key_display="q"),
        Binding("escape", "clear", "", show=False),
    ]
    CSS = """
    Screen { layout: vertical; }
    #head, .pane { text-wrap: nowrap; text-overflow: ellipsis; }
    #head { height: auto; max-height: 9; padding: 0 1; }
    #positions { border: none; border-top: solid ansi_bright_black; height: 1fr; min-height: 5;
                 padding: 0; background: ansi_default; scrollbar-size-vertical: 1;
                 scrollbar-gutter: stable; }
    #positions > .option-list--option { padding: 0 1; }
    #positions > .option-list--option-highlighted, #positions > .option-list--option-hover,
    #positions:focus > .option-list--option-highlighted {
        background: ansi_default; color: ansi_default; text-style: none;
    }
    .pane { border-top: solid ansi_bright_black; padding: 0 1; height: auto; }
    #positions, .pane { border-title-color: ansi_bright_black; }
    #body { layout: vertical; height: 1fr; }
    #side { layout: vertical; height: auto; }
    #events { height: 20%; min-height: 5; }
    .-wide #body { layout: horizontal; }
    .-wide #side { width: 60; height: 100%; }
    .-wide #positions { width: 1fr; }
    .-wide #events { height: 35%; }
    #ask { display: none; height: 1; border: none; padding: 0 1; }
    #ask.asking { display: block; }
    """

    def __init__(
        self, desk: Desk, read: Callable[[], Overview], server: str, symbol: str = ""
    ) -> None:
        # The terminal's own colours: right on a light one, too, and with sixteen of them, or none.
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.desk = desk
        self.overview: Overview | None = None
        self.symbol = symbol
        self.paused = False
        self._read = read
        self._server = server
        self._looking = False
        self._trouble = ""
        self._looked_at = time.monotonic()

    def _fatal_error(self) -> None:
        """A bug: the screen is given back first. No values of variables: one may be a password."""
        self.panic(Traceback(show_locals=False))

    def compose(self) -> ComposeResult:
        """The panes, from the top to the bottom of a narrow terminal."""
        yield Static(id="head")
        with Container(id="body"):
            yield Positions(id="positions", compact=True)
            with Container(id="side"):
                yield Static(id="streams", classes="pane")
                yield Static(id="daemons", classes="pane")
        yield Static(id="events", classes="pane")
        yield Input(
            id="ask", placeholder="part of a symbol; Enter shows it, Escape all", compact=True
        )
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin to look; the terminal is put back however the program is told to end."""
        for name in ("positions", "streams", "daemons", "events"):
            self.query_one(f"#{name}").border_title = name
        self.query_one("#positions").focus()
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.exit)
        self._tick()
        self.set_interval(LOOK_EVERY_S, self._tick)

    def _tick(self) -> None:
        if not self._looking and not self.paused:
            self._looking = True
            self._look()
        self._show_head()

    @work(thread=True)
    def _look(self) -> None:
        try:
            self.post_message(Looked(self._read()))
        except RedisError as error:
            self.post_message(Unanswered(str(error)))

    def on_looked(self, message: Looked) -> None:
        """Show what was seen."""
        self._looking, self._trouble, self._looked_at = False, "", time.monotonic()
        self.overview = message.overview
        self.show_all()

    def on_unanswered(self, message: Unanswered) -> None:
        """Say so; what was seen last stays, as what it is."""
        self._looking, self._trouble = False, message.reason
        self._show_head()

    def on_positions_resized(self) -> None:
        """The bars are as long as there is room for."""
        self.show_all()

    def show_all(self) -> None:
        """Fill every pane from what was seen last."""
        self._show_head()
        overview = self.overview
        if overview is None or not self._stands:
            return
        _, events = top_show.of_symbol(overview, self.symbol)
        self._show_positions(overview)
        self._fill("streams", top_show.streams(overview))
        brief = self.screen_stack[0].has_class("-narrow")
        words = top_show.daemons(overview, brief=brief)
        self._fill("daemons", _side_by_side(words, self._width("daemons"), even=not brief))
        self._fill("events", [top_show.event(one, overview) for one in events])

    @property
    def _stands(self) -> bool:
        """Whether all panes are there; when the view ends, an answer may come after they went."""
        return len(self.query("#head, #positions, .pane")) == 5

    def _show_head(self) -> None:
        if not self._stands:
            return
        age_s = time.monotonic() - self._looked_at
        lines: list[Text] = []
        if self.paused:
            lines.append(Text(" PAUSED: nothing is read; p goes on ", "reverse"))
        elif self._trouble or age_s > _OLD_AFTER_S:
            reason = self._trouble or "it does not answer"
            told = f" NO NEWS for {age_s:.0f} s: {self._server}: {reason} "
            lines.append(Text(told, "bold white on red"))
        if self.overview is not None:
            lines += top_show.head(self.overview, self._server, self.symbol)
        elif not lines:
            lines.append(Text(f"asking {self._server}", "dim"))
        self._fill("head", lines)

    def _show_positions(self, overview: Overview) -> None:
        shown, _ = top_show.of_symbol(overview, self.symbol)
        pane = self.query_one(Positions)
        width = self._width("positions") - 2
        chosen = self.chosen
        rows = {}
        for one in shown:
            lines = top_show.position(one, overview, width, marked=one.symbol == chosen)
            for line in lines:
                line.truncate(width, overflow="ellipsis")
            rows[one.symbol] = Text("\n").join(lines)
        if [option.id for option in pane.options] == list(rows):
            for symbol, text in rows.items():
                pane.replace_option_prompt(symbol, text)
            return
        pane.clear_options()
        pane.add_options([Option(text, id=symbol) for symbol, text in rows.items()])
        if not rows:
            pane.add_option(Option(top_show.nothing_held(self.symbol), disabled=True))
        else:
            pane.highlighted = pane.get_option_index(chosen) if chosen in rows else 0

    @property
    def chosen(self) -> str | None:
        """The symbol of the position that is marked."""
        option = self.query_one(Positions).highlighted_option
        return option.id if option is not None else None

    def _width(self, name: str) -> int:
        return max(self.query_one(f"#{name}").scrollable_content_region.width, 20)

    def _fill(self, name: str, lines: list[Text]) -> None:
        text = Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
        self.query_one(f"#{name}", Static).update(text)

    @on(Positions.OptionHighlighted, "#positions")
    def move_mark(self) -> None:
        """Move the mark."""
        self.show_all()

    @on(Positions.OptionSelected, "#positions")
    def action_why(self) -> None:
        """Tell the story of the position that is marked; Enter asks for it, too."""
        if self.chosen is not None:
            self.push_screen(Why(self.desk, self.chosen))

    def action_switch(self) -> None:
        """Turn the operator's switch, after a question."""
        self.push_screen(Switch(self.desk))

    def action_help(self) -> None:
        """Tell the keys and the signs."""
        self.push_screen(Help())

    def action_pause(self) -> None:
        """Stand still, or go on."""
        self.paused = not self.paused
        self._looked_at = time.monotonic()
        self._tick()

    def action_filter(self) -> None:
        """Ask for a part of a symbol."""
        ask = self.query_one("#ask", Input)
        ask.value = self.symbol
        ask.add_class("asking")
        ask.focus()

    def action_clear(self) -> None:
        """Show every symbol again."""
        self._filter_by("")

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Show what was asked for."""
        self._filter_by(as_typed(message.value))

    def _filter_by(self, symbol: str) -> None:
        self.query_one("#ask").remove_class("asking")
        self.query_one("#positions").focus()
        self.symbol = symbol
        self.show_all()


def _side_by_side(words: list[Text], width: int, *, even: bool) -> list[Text]:
    """Words in lines of a width; `even` makes columns of them."""
    widest = max(word.cell_len for word in words)
    lines = [Text()]
    for word in words:
        padded = word.copy()
        padded.pad_right(2 + (widest - word.cell_len if even else 0))
        if lines[-1] and lines[-1].cell_len + word.cell_len > width:
            lines.append(Text())
        lines[-1].append_text(padded)
    return lines
