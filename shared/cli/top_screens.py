"""What opens over the view of `quantum top`: why of a position, the switch, the help."""

from __future__ import annotations

import io
from typing import ClassVar

from redis.exceptions import NoPermissionError, RedisError
from rich.console import Console
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from shared.cli.desk import Desk
from shared.cli.operate import MEANING, switch
from shared.cli.top_show import LEGEND
from shared.cli.why_show import show
from shared.decisions import Mode
from shared.sections import terms_of
from shared.settings import SettingsError
from shared.why.findings import findings_of
from shared.why.read import read_picture
from shared.why.sound import sound_story
from shared.why.story import Story
from shared.why.words import safe

KEYS = """\
up, down      mark a position
Enter, w      why: its story, and what it waits for
/             only symbols that have this in their name; Escape shows all
m             turn the operator's switch: run, exits-only, halt
p             pause: nothing is read until p again
q, Ctrl-C     quit
"""


class Why(ModalScreen[None]):
    """The text of `quantum why`, to scroll through."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,w", "dismiss", "back", key_display="Escape"),
        Binding("r", "ask", "read again"),
    ]
    DEFAULT_CSS = """
    #page { padding: 0 1; background: ansi_default; scrollbar-size-vertical: 1;
            scrollbar-gutter: stable; }
    """

    def __init__(self, desk: Desk, symbol: str) -> None:
        super().__init__()
        self._desk = desk
        self._symbol = symbol
        self._story: Story | None = None

    def compose(self) -> ComposeResult:
        """A page that scrolls."""
        with VerticalScroll(id="page"):
            yield Static(Text(f"reading all that the streams tell of {self._symbol}"), id="story")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Read it at once."""
        self.query_one("#page").focus()
        self.action_ask()

    @work(thread=True, exclusive=True)
    def action_ask(self) -> None:
        """Read the story; it takes as long as the streams are."""
        try:
            terms = terms_of(self._desk.settings, self._symbol)
            story = sound_story(read_picture(self._desk.client, self._symbol, terms))
        except (RedisError, SettingsError) as error:
            self.call_later(self._say, Text.assemble((str(error), "red")))
        else:
            self.call_later(self._tell, story)

    def on_resize(self) -> None:
        """The lines are as long as there is room for."""
        if self._story is not None:
            self._tell(self._story)

    def _tell(self, story: Story) -> None:
        if not self.query("#story"):  # Closed before it was read.
            return
        self._story = story
        page = io.StringIO()
        width = max(self.query_one("#page").scrollable_content_region.width, 20)
        console = Console(
            file=page, width=width, highlight=False, force_terminal=True, color_system="standard"
        )
        show(story, findings_of(story), on=console)
        self._say(Text.from_ansi(page.getvalue()))

    def _say(self, text: Text) -> None:
        for story in self.query("#story").results(Static):
            story.update(text)


class Box(ModalScreen[None]):
    """A small window in the middle."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss", "back")]
    DEFAULT_CSS = """
    Box { align: center middle; }
    #box { width: 76; max-width: 96%; height: auto; max-height: 96%; padding: 1 2;
           border: solid ansi_cyan; background: ansi_default; }
    #box OptionList { border: none; height: auto; padding: 0; background: ansi_default; }
    """


class Help(Box):
    """The keys, and what the signs mean."""

    def compose(self) -> ComposeResult:
        """One text."""
        with Vertical(id="box"):
            yield Static(f"{KEYS}\n{LEGEND}\n\nEscape closes this.", markup=False)


class Switch(Box):
    """The operator's switch: a mode is chosen, and asked for once more, before it is turned."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "turn", "turn it")]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._wanted: Mode | None = None

    def compose(self) -> ComposeResult:
        """The three modes, and the question."""
        with Vertical(id="box"):
            yield Static("Which mode? Escape leaves it as it is.\n")
            yield OptionList(
                *(Option(f"{mode:<10}  {MEANING[mode]}", id=mode.name) for mode in Mode),
                compact=True,
            )
            yield Static(id="question")

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """Ask before anything is done."""
        self._wanted = Mode[message.option_id or ""]
        self._say(
            f"\nTurn the switch to {self._wanted}? y does it, Escape does not.", "bold yellow"
        )

    @work(thread=True, exclusive=True)
    def action_turn(self) -> None:
        """Turn it to what was chosen, and say what came of it."""
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        try:
            before = switch(self._desk.client, wanted)
        except NoPermissionError as error:
            told = (
                f"\nNot turned: this user of the server may not. {error}\n"
                f"As its administrator: quantum mode {wanted.value.lower().replace('_', '-')}"
            )
            self.call_later(self._say, told, "bold red")
        except RedisError as error:
            told = f"\nNo answer, so it may or may not be turned: {error}"
            self.call_later(self._say, told, "bold red")
        else:
            was = safe(before or Mode.RUN)
            told = f"\nThe mode is {wanted}. It was {was}. Escape closes this."
            self.call_later(self._say, told, "bold green")

    def _say(self, text: str, style: str) -> None:
        for question in self.query("#question").results(Static):
            question.update(Text.assemble((text, style)))
