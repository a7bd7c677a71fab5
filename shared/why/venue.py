"""What the venue and its record say of a symbol: stops, orders in doubt, barriers, quarantine.

Pure; reads and writes nothing. These are causes: they stand before the queues that they hold up.
"""

from __future__ import annotations

from collections.abc import Iterator

from shared.why.story import Held, Story
from shared.why.words import Finding, clock, safe, span

#: How long a position may stand without a stop while one is placed, in seconds.
_NAKED_S = 2.0
#: Barriers that hold back more than entries.
_NOTHING_PASSES = ("venue_unreachable", "credentials", "banned", "rate_limited", "hedge_mode")


def stop_missing(story: Story, held: Held) -> Iterator[Finding]:
    if held.stop_loss is not None:
        return
    picture = story.picture
    text = "no live stop stands for this position"
    if picture.naked_since is not None:
        text += f" since {clock(picture.naked_since, picture.now)}"
        text += f", {span(picture.age_s(picture.naked_since))}"
    sent = [order for order in picture.orders if order.leg in ("stop", "forced close")]
    for order in sent:
        how = f"is unknown: {order.doubt}" if order.doubt else "has no answer yet"
        text += f"; the {order.leg} {order.client_order_id} {how}"
    refused = picture.venue.get(f"stop_refused.{picture.symbol}")
    if refused is not None:
        text += f"; {safe(refused)}"
    elif not sent:
        text += "; none is on its way, though apply_layer places one every second"
    young = picture.naked_since is not None and picture.age_s(picture.naked_since) < _NAKED_S
    yield Finding("stop_missing", "wait" if young else "fail", text)


def unknown_orders(story: Story) -> Iterator[Finding]:
    """Orders that may have been executed, as the journal or the record of the venue has them."""
    picture = story.picture
    told = set()
    for order in picture.orders:
        if order.doubt:
            told.add(order.client_order_id)
            since = order.doubt_since or picture.now
            text = (
                f"the {order.leg} {order.client_order_id} ({order.action}) may have been executed "
                f"or not, since {clock(since, picture.now)}: {order.doubt}. Nothing is sent again "
                "before the venue has shown it, or denied it twice"
            )
            yield Finding("order_unknown", "fail", text)
    for name, since_when in picture.venue.items():
        order_id = name.removeprefix("unknown.")
        own = name.startswith("unknown.") and since_when.startswith(f"{picture.symbol} ")
        if own and order_id not in told:
            text = f"the order {order_id} may have been executed or not: {since_when}"
            yield Finding("order_unknown", "fail", text)


def venue_away(story: Story) -> Iterator[Finding]:
    """What keeps exits from the venue as well."""
    for code, text in _named("barrier.", story):
        if code in _NOTHING_PASSES:
            yield Finding("venue_away", "fail", f"nothing reaches the venue now: {code}, {text}")


def entries_barred(story: Story) -> Iterator[Finding]:
    """Why the venue takes no entries, in its own words, each by its code."""
    for code, text in _named("barrier.", story):
        yield Finding("entries_barred", "warn", f"the venue takes no entries now: {code}, {text}")


def quarantined(story: Story) -> Iterator[Finding]:
    """Why the symbol is left alone, and what to do."""
    for symbol, text in _named("quarantine.", story):
        if symbol == story.picture.symbol:
            told = f"{safe(symbol)} is in quarantine and left alone: {text}"
            yield Finding("symbol_quarantined", "fail", told)


def over_cap(story: Story) -> Iterator[Finding]:
    """What is held beyond its caps."""
    for symbol, text in _named("over_cap.", story):
        if symbol == story.picture.symbol:
            yield Finding("over_cap", "fail", f"more is held than its caps allow: {text}")


def _named(prefix: str, story: Story) -> Iterator[tuple[str, str]]:
    for name, text in story.picture.venue.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), safe(text)
