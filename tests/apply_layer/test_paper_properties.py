"""What holds on the paper venue whatever is asked: ledger, position, purity and protection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.apply_layer.exchange import (
    CancelOrder,
    FundingPaid,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderRejected,
    OrderType,
    PlaceOrder,
    VenueEvent,
)
from services.apply_layer.paper import cancel, on_mark, place
from services.apply_layer.paper_account import (
    PaperAccount,
    PaperBook,
    PaperPolicy,
    PaperWallet,
    new_account,
)
from services.apply_layer.paper_rules import default_rules
from shared.sides import Side

D = Decimal
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SYMBOLS = ("RIVERUSDT", "SOLUSDT")
#: Amounts are whole multiples of this, so that adding them up is exact.
SMALLEST = D("1E-8")
POLICY = PaperPolicy(initial_wallet=D(500), slippage_bps=D(5))
BOOKS = TypeAdapter(PaperBook)
WALLETS = TypeAdapter(PaperWallet)


@dataclass(frozen=True, slots=True)
class Mark:
    symbol: str
    price: Decimal
    at: datetime
    funding_rate: Decimal | None


Request = PlaceOrder | CancelOrder | Mark

symbols = st.sampled_from(["RIVERUSDT", *SYMBOLS])
times = st.integers(0, 3000).map(lambda minutes: START + timedelta(minutes=minutes))
# Few prices and few ids, so that orders meet marks and each other.
prices = st.integers(80, 120).map(lambda tenths: D(tenths) / 10)
client_order_ids = st.sampled_from(["MA0", "ST1", "ST2", "TA1"])


def order_of(  # noqa: PLR0917 -- st.builds passes them by position
    symbol: str, reduce_only: bool, usual_side: bool, order_type: OrderType, size: int, at: datetime
) -> PlaceOrder:
    """Entries mostly buy and exits mostly sell, so that many exits meet a position."""
    return PlaceOrder(
        client_order_id=f"{order_type[:2]}{size % 3}",
        symbol=symbol,
        side=Side.SELL if reduce_only is usual_side else Side.BUY,
        type=order_type,
        qty=D(size) / 100,
        reduce_only=reduce_only,
        at=at,
        trigger_price=None if order_type is OrderType.MARKET else D(80 + size % 41) / 10,
        leverage=1 + size % 7 * 8,
    )


orders = st.builds(
    order_of,
    symbols,
    st.booleans(),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([OrderType.MARKET, *OrderType]),
    st.integers(50, 2000),
    times,
)
marks = st.builds(
    Mark,
    symbol=symbols,
    price=prices,
    at=times,
    funding_rate=st.none() | st.integers(-30, 30).map(lambda bps: D(bps) / 10000),
)
cancels = st.builds(CancelOrder, client_order_id=client_order_ids, symbol=symbols, at=times)


def in_time(requests: list[Request]) -> list[Request]:
    return sorted(requests, key=lambda request: request.at)


sequences = st.lists(
    orders | orders | marks | marks | marks | cancels, min_size=20, max_size=40
).map(in_time)


def apply(account: PaperAccount, request: Request) -> tuple[PaperAccount, tuple[VenueEvent, ...]]:
    if isinstance(request, PlaceOrder):
        return place(account, POLICY, request)
    if isinstance(request, CancelOrder):
        return cancel(account, request)
    return on_mark(
        account,
        POLICY,
        request.symbol,
        request.price,
        request.at,
        funding_rate=request.funding_rate,
    )


Steps = list[tuple[PaperAccount, Request, tuple[VenueEvent, ...], PaperAccount]]


def run(requests: Iterable[Request]) -> Steps:
    """Every step: the account before, the request, the facts and the account after."""
    account = new_account(POLICY)
    steps: Steps = []
    for request in requests:
        after, events = apply(account, request)
        steps.append((account, request, events, after))
        account = after
    return steps


def signed_position(account: PaperAccount, symbol: str) -> Decimal:
    position = account.book(symbol).position
    return position.qty if position else D(0)


def fills_of(events: Iterable[VenueEvent]) -> list[OrderFilled]:
    return [fact for fact in events if isinstance(fact, OrderFilled)]


def check_ledger(steps: Steps) -> list[VenueEvent]:
    """The wallet is the sum of the facts and of the books; the position is the sum of the fills."""
    facts: list[VenueEvent] = []
    earned = D(0)
    held = dict.fromkeys(SYMBOLS, D(0))
    for _, _, events, account in steps:
        facts += events
        for fact in events:
            if isinstance(fact, FundingPaid):
                earned += fact.amount
                assert fact.amount % SMALLEST == 0
            elif isinstance(fact, OrderFilled):
                earned += fact.realized_pnl - fact.fee
                assert fact.realized_pnl % SMALLEST == fact.fee % SMALLEST == 0
                held[fact.symbol] += fact.qty * fact.side.sign
        books = account.books.values()
        sums = sum((book.realized_pnl - book.fees + book.funding for book in books), D(0))
        assert account.wallet.balance - account.wallet.initial == earned == sums
        assert {symbol: signed_position(account, symbol) for symbol in SYMBOLS} == held
    return facts


def check_exits(steps: Steps) -> None:
    """A reduce-only fill brings the position nearer to zero and never past it."""
    for before, _, events, _ in steps:
        held = {symbol: signed_position(before, symbol) for symbol in SYMBOLS}
        for fact in fills_of(events):
            was = held[fact.symbol]
            held[fact.symbol] = now = was + fact.qty * fact.side.sign
            if fact.reduce_only:
                assert abs(now) < abs(was)
                assert now * was >= 0


def check_cash(steps: Steps) -> None:
    """What a symbol realised, when it is flat, is the cash that its fills moved."""
    cash = dict.fromkeys(SYMBOLS, D(0))
    for _, _, events, account in steps:
        for fact in fills_of(events):
            cash[fact.symbol] -= fact.qty * fact.side.sign * fact.price
        for symbol in SYMBOLS:
            book = account.book(symbol)
            if book.position is None:
                assert abs(book.realized_pnl - cash[symbol]) < D("1E-6")


def kinds_of(facts: Iterable[VenueEvent]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for fact in facts:
        if isinstance(fact, OrderFilled):
            kind = "forced" if fact.forced else fact.type.value
            kinds[f"{kind} {'exit' if fact.reduce_only else 'entry'}"] += 1
        else:
            kinds[getattr(fact, "reason", type(fact).__name__)] += 1
    return kinds


@given(sequences)
def test_the_wallet_is_the_ledger_and_the_position_is_the_fills(requests: list[Request]) -> None:
    for kind in kinds_of(check_ledger(run(requests))):
        event(kind)


def long_walk(seed: int) -> list[Request]:
    """A day of requests around prices that wander: deeper than a generated list, but not shrunk."""
    random = Random(seed)
    price = dict.fromkeys(SYMBOLS, 1000)
    requests: list[Request] = []
    for minute in range(0, 1500, 3):
        at, symbol = START + timedelta(minutes=minute), random.choice(SYMBOLS)
        if random.random() < 0.5:
            price[symbol] = max(100, price[symbol] + random.randint(-30, 30))
            rate = D(random.randint(-9, 9)) / 10000
            requests.append(Mark(symbol, D(price[symbol]) / 100, at, rate))
            continue
        order_type, exits = random.choice(list(OrderType)), random.random() < 0.6
        trigger = D(price[symbol] + random.randint(-60, 60)) / 100
        requests.append(
            PlaceOrder(
                client_order_id=f"id{random.randint(0, 20)}",
                symbol=symbol,
                side=random.choice(list(Side)),
                type=order_type,
                qty=D(random.randint(50, 600)) / 100,
                reduce_only=exits,
                at=at - timedelta(minutes=random.choice([0, 0, 10])),
                trigger_price=None if order_type is OrderType.MARKET else trigger,
                leverage=random.choice([1, 5, 20, 40]),
            )
        )
        if random.random() < 0.1:
            requests.append(CancelOrder(f"id{random.randint(0, 20)}", symbol, at))
    return requests


def test_the_ledger_holds_through_long_days_that_meet_every_kind_of_fact() -> None:
    met: Counter[str] = Counter()
    for seed in range(8):
        steps = run(long_walk(seed))
        met += kinds_of(check_ledger(steps))
        check_exits(steps)
        check_cash(steps)
    wanted = [f"{kind} {what}" for kind in OrderType for what in ("entry", "exit")]
    wanted += ["forced exit", "FundingPaid", "cancelled", "reduce_only_no_position"]
    assert {kind: met[kind] for kind in wanted if met[kind] < 10} == {}


@settings(max_examples=60)
@given(sequences)
def test_an_exit_never_flips_increases_or_opens(requests: list[Request]) -> None:
    check_exits(run(requests))


@settings(max_examples=60)
@given(sequences)
def test_the_realised_profit_of_a_flat_account_is_the_cash_that_its_fills_moved(
    requests: list[Request],
) -> None:
    check_cash(run(requests))


@settings(max_examples=60)
@given(sequences)
def test_the_same_requests_give_the_same_account_and_the_same_facts(
    requests: list[Request],
) -> None:
    assert run(requests) == run(requests)


@settings(max_examples=60)
@given(sequences)
def test_an_account_that_went_through_its_documents_goes_on_as_if_it_had_not(
    requests: list[Request],
) -> None:
    for before, request, events, after in run(requests):
        books = {
            symbol: BOOKS.validate_json(BOOKS.dump_json(book))
            for symbol, book in before.books.items()
        }
        restored = PaperAccount(WALLETS.validate_json(WALLETS.dump_json(before.wallet)), books)
        assert restored == before
        assert apply(restored, request) == (after, events)


@settings(max_examples=60)
@given(sequences)
def test_a_mark_that_comes_twice_changes_nothing(requests: list[Request]) -> None:
    for _, request, _, after in run(requests):
        if isinstance(request, Mark):
            again, events = apply(after, replace(request, price=request.price * 2))
            assert again is after
            assert events == ()


@settings(max_examples=60)
@given(sequences)
def test_every_accepted_order_ends_once_and_rests_until_then(requests: list[Request]) -> None:
    live: set[tuple[str, str]] = set()
    for before, request, events, after in run(requests):
        for fact in events:
            key = (fact.symbol, getattr(fact, "client_order_id", ""))
            if isinstance(fact, OrderAccepted):
                assert key not in live
                live.add(key)
            elif isinstance(fact, OrderEnded) or (
                isinstance(fact, OrderFilled) and not fact.forced
            ):
                assert key in live
                live.remove(key)
            elif isinstance(fact, OrderRejected):
                assert events == (fact,)
                assert after is before
        resting = [(b.symbol, o.client_order_id) for b in after.books.values() for o in b.orders]
        assert len(resting) == len(live)
        assert set(resting) == live
        untouched = (symbol for symbol in before.books if symbol != request.symbol)
        assert all(after.books[symbol] is before.books[symbol] for symbol in untouched)


@settings(max_examples=60)
@given(sequences)
def test_exposure_is_added_only_where_the_free_wallet_carries_it(requests: list[Request]) -> None:
    for before, request, events, after in run(requests):
        fills = fills_of(events)
        if len(fills) == 1 and not fills[0].reduce_only:
            was = signed_position(before, request.symbol)
            now = signed_position(after, request.symbol)
            if abs(now) > abs(was) or now * was < 0:
                assert after.free_wallet >= 0


@settings(max_examples=200)
@given(
    side=st.sampled_from(Side),
    leverage=st.integers(1, 50),
    share=st.integers(5, 80).map(lambda percent: D(percent) / 100),
    steps=st.lists(st.integers(-100, 40), min_size=20, max_size=60),
)
def test_a_stop_inside_the_safe_distance_fires_before_liquidation(
    side: Side, leverage: int, share: Decimal, steps: Sequence[int]
) -> None:
    symbol = "RIVERUSDT"
    room = 1 / D(leverage) - default_rules(symbol).maintenance_margin_rate
    account, _ = on_mark(new_account(POLICY), POLICY, symbol, D(100), START)
    entry = PlaceOrder("entry", symbol, side, OrderType.MARKET, D(1), False, START, None, leverage)
    account, events = place(account, POLICY, entry)
    (filled,) = fills_of(events)
    trigger = (filled.price * (1 - side.sign * share * room)).quantize(D("0.0001"))
    stop = replace(
        entry,
        client_order_id="stop",
        side=side.opposite,
        type=OrderType.STOP_MARKET,
        reduce_only=True,
        trigger_price=trigger,
    )
    account, events = place(account, POLICY, stop)
    assume(isinstance(events[0], OrderAccepted))
    # A step against the position is at most 0.15 of the room; the fifth behind the stop is wider.
    mark = D(100)
    for number, step in enumerate(steps, start=1):
        mark += side.sign * mark * room * D(step) * D("0.0015")
        at = START + timedelta(seconds=number)
        account, events = on_mark(account, POLICY, symbol, mark, at)
        for fact in fills_of(events):
            assert fact.client_order_id == "stop"
            event("stopped")
        if (mark - trigger) * side.sign <= 0:
            assert account.books[symbol].position is None
            return
