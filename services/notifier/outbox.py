"""What one receiver is told, when, and how much at a time. Pure.

News waits by topic until the receiver is free, so that a flood becomes a few notices and a receiver
that is away for an hour is not flooded when it is back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta, tzinfo

from services.notifier.values import (
    Bundle,
    Counted,
    Kind,
    Line,
    News,
    Notice,
    Outbox,
    Severity,
)
from services.notifier.writing import summary, written

#: News of one topic that is told word by word; of the rest only how much it was.
LINES_MAX = 5
#: Alarms kept word by word among what is told in sum, because they could not be handed over.
ALARMS_MAX = 20
#: A sum is told when it has stopped growing: a backlog is read in pages.
SETTLED_AFTER = timedelta(seconds=2)
_RETRY_FIRST_S, _RETRY_LONGEST_S = 2.0, 60.0


@dataclass(frozen=True, slots=True)
class Quiet:
    """The hours of a day, by the clock of `Policy.zone`, in which only what is urgent is told."""

    start: time
    end: time

    def covers(self, local: time) -> bool:
        """Whether a time of day is among them; they may go past midnight."""
        if self.start <= self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end


@dataclass(frozen=True, slots=True)
class Policy:
    """What is told, and how much of it. An empty `kinds` or `symbols` means all of them.

    At most `per_minute` notices a minute, and up to `burst` at once after a while without any.
    Of a topic that was told, what follows within `gather` is told together. News older than
    `stale_after` is told in sum.
    """

    kinds: frozenset[Kind] = frozenset()
    symbols: frozenset[str] = frozenset()
    min_severity: Severity = Severity.INFO
    quiet: Quiet | None = None
    zone: tzinfo = UTC
    per_minute: int = 20
    burst: int = 5
    gather: timedelta = timedelta(seconds=15)
    stale_after: timedelta = timedelta(minutes=10)

    def wants(self, news: News) -> bool:
        """Whether it is to be told at all."""
        return news.severity is Severity.URGENT or (
            news.severity >= self.min_severity
            and (not self.kinds or news.kind in self.kinds)
            and (not self.symbols or news.symbol is None or news.symbol in self.symbols)
        )

    def is_quiet(self, now: datetime) -> bool:
        """Whether it is one of the quiet hours."""
        return self.quiet is not None and self.quiet.covers(now.astimezone(self.zone).time())


def added(outbox: Outbox, news: News, now: datetime, policy: Policy) -> Outbox:
    """The outbox with one more piece of news in it."""
    own = Bundle(
        news.severity,
        news.at,
        news.at,
        {news.kind: 1},
        (Line(news.at, news.text),),
        news.realised,
    )
    if _in_sum(own, now, policy):
        return _summed(outbox, own, now)
    topic = f"{news.kind}.{news.topic}"
    return replace(
        outbox, waiting={**outbox.waiting, topic: _joined(outbox.waiting.get(topic), own)}
    )


def _in_sum(news: Bundle, now: datetime, policy: Policy) -> bool:
    if news.severity is Severity.URGENT:
        return False
    return policy.is_quiet(now) or now - news.since > policy.stale_after


def _joined(before: Bundle | None, more: Bundle, lines_max: int = LINES_MAX) -> Bundle:
    if before is None:
        return more
    tally = dict(before.tally)
    for kind, count in more.tally.items():
        tally[kind] = tally.get(kind, 0) + count
    return Bundle(
        max(before.severity, more.severity),
        min(before.since, more.since),
        max(before.until, more.until),
        tally,
        (*before.lines, *more.lines)[:lines_max],
        before.realised + more.realised,
    )


def _summed(outbox: Outbox, more: Bundle, now: datetime) -> Outbox:
    """Count it; only an alarm keeps its words."""
    if more.severity is not Severity.URGENT:
        more = replace(more, lines=())
    return replace(outbox, summed=_joined(outbox.summed, more, ALARMS_MAX), summed_at=now)


def until(outbox: Outbox, now: datetime, policy: Policy) -> Outbox:
    """The outbox without waits that are longer than any wait is: the clock was set back."""
    longest = now + timedelta(seconds=_RETRY_LONGEST_S)
    paced = now + timedelta(minutes=1) / policy.per_minute * policy.burst
    return replace(
        outbox,
        try_at=None if outbox.try_at is None or outbox.try_at > longest else outbox.try_at,
        paced_until=outbox.paced_until and min(outbox.paced_until, paced),
        told_at={topic: min(at, now) for topic, at in outbox.told_at.items()},
        summed_at=outbox.summed_at and min(outbox.summed_at, now),
    )


def due(
    outbox: Outbox, now: datetime, policy: Policy
) -> tuple[Outbox, Notice | None, list[Counted]]:
    """What is to be handed over now, if anything; it is in flight then."""
    if outbox.in_flight or (outbox.try_at is not None and now < outbox.try_at):
        return outbox, None, []
    counted: list[Counted] = []
    if outbox.notice is not None and _is_given_up(outbox.notice, now, policy):
        counted = _counted(outbox.notice, "given_up")
        outbox = replace(_summed(outbox, outbox.notice.news, now), notice=None)
    if outbox.notice is None:
        outbox = _compose(_put_aside(outbox, now, policy), now, policy)
    if outbox.notice is None:
        return outbox, None, counted
    return replace(outbox, in_flight=True), outbox.notice, counted


def _is_given_up(notice: Notice, now: datetime, policy: Policy) -> bool:
    """Whether its words are not tried any more: what it tells is told in sum."""
    if now - notice.at > policy.stale_after:
        return True
    return policy.is_quiet(now) and notice.severity is not Severity.URGENT


def _put_aside(outbox: Outbox, now: datetime, policy: Policy) -> Outbox:
    """Leave for the sum whatever has become too old, or may not be told at this hour."""
    late = [topic for topic, news in outbox.waiting.items() if _in_sum(news, now, policy)]
    for topic in late:
        outbox = _summed(outbox, outbox.waiting[topic], now)
    if not late:
        return outbox
    waiting = {topic: news for topic, news in outbox.waiting.items() if topic not in late}
    return replace(outbox, waiting=waiting)


def _compose(outbox: Outbox, now: datetime, policy: Policy) -> Outbox:
    """Make the next notice, if there is news and the rate limit leaves room for it."""
    interval = timedelta(minutes=1) / policy.per_minute
    paced_until = max(outbox.paced_until or now, now)
    if paced_until - now > interval * (policy.burst - 1):
        return outbox
    told_at = {t: at for t, at in outbox.told_at.items() if now - at < policy.gather}
    topics = [
        topic
        for topic, news in outbox.waiting.items()
        if news.severity is Severity.URGENT or topic not in told_at
    ]
    first = max(
        topics, key=lambda t: (outbox.waiting[t].severity, -outbox.waiting[t].since.timestamp()),
        default=None,
    )  # fmt: skip
    urgent = first is not None and outbox.waiting[first].severity is Severity.URGENT
    if not urgent and _sum_is_due(outbox, now, policy) and outbox.summed is not None:
        notice = summary(outbox.summed, now, policy.zone)
        outbox = replace(outbox, summed=None, summed_at=None)
    elif first is not None:
        notice = written(outbox.waiting[first], now, policy.zone)
        waiting = {topic: news for topic, news in outbox.waiting.items() if topic != first}
        outbox = replace(outbox, waiting=waiting)
        told_at[first] = now
    else:
        return outbox
    return replace(outbox, notice=notice, paced_until=paced_until + interval, told_at=told_at)


def _sum_is_due(outbox: Outbox, now: datetime, policy: Policy) -> bool:
    if outbox.summed is None or outbox.summed_at is None:
        return False
    if outbox.summed.severity is Severity.URGENT:
        return True
    return not policy.is_quiet(now) and now - outbox.summed_at >= SETTLED_AFTER


def handed(outbox: Outbox, *, arrived: bool, now: datetime) -> tuple[Outbox, list[Counted]]:
    """What follows from the end of a handing over: the notice is done with, or tried again."""
    if outbox.notice is None or not outbox.in_flight:
        return outbox, []
    if arrived:
        done = replace(outbox, notice=None, in_flight=False, failures=0, try_at=None)
        return done, _counted(outbox.notice, "told")
    wait_s = min(_RETRY_FIRST_S * 2.0**outbox.failures, _RETRY_LONGEST_S)
    failures = min(outbox.failures + 1, 30)
    try_at = now + timedelta(seconds=wait_s)
    return replace(outbox, in_flight=False, failures=failures, try_at=try_at), []


def _counted(notice: Notice, outcome: str) -> list[Counted]:
    return [Counted(kind, outcome, count) for kind, count in notice.news.tally.items()]
