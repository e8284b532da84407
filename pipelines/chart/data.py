"""What a chart shows, read from the marts of schema `kalshi`. All SQL of charts is here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines.errors import KalshiEltError, UsageError
from pipelines.timerange import MINUTE

INTERVALS = (1, 5, 15, 60, 1440)
"""Lengths of periods, in minutes, of which the shortest that is not too fine is taken."""

MOST_CANDLES = 500
"""Periods of a market's chart, so that a candlestick is wider than a pixel."""

MOST_STEPS = 1_000
"""Periods of an event's chart: no screen tells more apart, and each costs every market a row."""

LONGEST_DEFAULT = 30 * 24 * 60 * MINUTE
MOST_SUGGESTED = 3

IS_READY = """
select
    to_regclass('kalshi.events') is not null
    and to_regproc('kalshi.candles_filled') is not null
    and to_regproc('kalshi.event_probabilities') is not null
"""

EVENT = """
select events.event_ticker, events.title, events.mutually_exclusive
from kalshi.events
where events.event_ticker = %s
"""

MARKET = """
select markets.market_ticker, coalesce(markets.title, events.title), markets.yes_sub_title
from kalshi.markets
inner join kalshi.events
    on markets.event_ticker = events.event_ticker
where markets.market_ticker = %s
"""

SIMILAR = """
select ticker
from (
    select event_ticker as ticker from kalshi.events
    union all
    select market_ticker from kalshi.markets
) as tickers
where starts_with(ticker, upper(left(%(ticker)s, 4)))
order by
    starts_with(ticker, upper(%(ticker)s)) desc,
    abs(length(ticker) - length(%(ticker)s)),
    ticker
limit %(most)s
"""

HELD = """
select lengths.interval_min, min(oldest.end_ts), max(newest.end_ts)
from kalshi.markets
cross join unnest(array[1, 60, 1440]) as lengths (interval_min)
cross join lateral (
    select candles.end_ts from kalshi.candles
    where
        candles.market_ticker = markets.market_ticker
        and candles.interval_min = lengths.interval_min
    order by candles.end_ts
    limit 1
) as oldest
cross join lateral (
    select candles.end_ts from kalshi.candles
    where
        candles.market_ticker = markets.market_ticker
        and candles.interval_min = lengths.interval_min
    order by candles.end_ts desc
    limit 1
) as newest
where markets.{column} = %s
group by lengths.interval_min
order by lengths.interval_min
"""

PERIODS = """
select
    start_ts, end_ts,
    trade_open_dollars, trade_high_dollars, trade_low_dollars, trade_close_dollars,
    yes_bid_close_dollars, yes_ask_close_dollars, volume_fp, probability
from kalshi.candles_filled(%s, %s, %s, %s)
order by end_ts
"""

STEPS = """
select steps.market_ticker, steps.end_ts, steps.probability, markets.yes_sub_title, markets.title
from (
    select
        market_ticker,
        end_ts,
        probability,
        lag(probability) over market_by_time as before,
        lead(end_ts) over market_by_time is null as is_last
    from kalshi.event_probabilities(%s, %s, %s, %s)
    window market_by_time as (partition by market_ticker order by end_ts)
) as steps
inner join kalshi.markets
    on steps.market_ticker = markets.market_ticker
where
    steps.probability is not null
    and (steps.probability is distinct from steps.before or steps.is_last)
order by steps.market_ticker, steps.end_ts
"""


@dataclass(frozen=True)
class Wanted:
    """What a chart is asked to show. Times are Unix seconds, the interval is in minutes."""

    ticker: str
    since: int | None = None
    until: int | None = None
    interval: int | None = None
    top: int = 12
    """Of an event, the markets with the highest latest probability."""


@dataclass(frozen=True)
class Period:
    """A market in one period; prices in dollars, None where there is none. A side of the book
    without orders has no price."""

    start: datetime
    end: datetime
    trade_open: Decimal | None
    trade_high: Decimal | None
    trade_low: Decimal | None
    trade_close: Decimal | None
    yes_bid: Decimal | None
    yes_ask: Decimal | None
    volume: Decimal
    probability: Decimal | None


@dataclass(frozen=True)
class MarketChart:
    """A market's candles."""

    ticker: str
    title: str
    name: str
    """What yes stands for; empty where that is not told."""
    interval: int
    periods: tuple[Period, ...]


@dataclass(frozen=True)
class Line:
    """The implied probability of one market: where it changed, and its last value."""

    ticker: str
    name: str
    steps: tuple[tuple[datetime, Decimal], ...]

    @property
    def latest(self) -> Decimal:
        return self.steps[-1][1]


@dataclass(frozen=True)
class EventChart:
    """The markets of an event, the likeliest first."""

    ticker: str
    title: str
    interval: int
    lines: tuple[Line, ...]
    hidden: int
    """Further markets, which are not shown."""


Chart = MarketChart | EventChart


class NoCandlesError(KalshiEltError):
    """There is nothing to draw."""


def read_chart(connection: Connection, wanted: Wanted) -> Chart:
    """The chart of an event or, where none has that ticker, of a market.

    Raises UsageError when neither is there, NoCandlesError when no candle is in the range,
    KalshiEltError before the first `transform`.
    """
    if not _rows(connection, IS_READY)[0][0]:
        raise KalshiEltError("there are no tables to draw from yet: run `make transform` first")
    events = _rows(connection, EVENT, wanted.ticker)
    if events:
        return _read_event(connection, wanted, events[0][1])
    markets = _rows(connection, MARKET, wanted.ticker)
    if markets:
        return _read_market(connection, wanted, *markets[0][1:])
    similar = [
        ticker
        for (ticker,) in _rows(connection, SIMILAR, ticker=wanted.ticker, most=MOST_SUGGESTED)
    ]
    hint = f"did you mean {', '.join(similar)}?" if similar else "look at `kalshi-elt status`"
    raise UsageError(
        f"no event or market {wanted.ticker} in the warehouse: {hint} "
        f"(`kalshi-elt load --event {wanted.ticker}` loads an event)"
    )


def _read_event(connection: Connection, wanted: Wanted, title: str | None) -> EventChart:
    since, until, interval = _range(connection, wanted, "event_ticker", MOST_STEPS)
    rows = _rows(connection, STEPS, wanted.ticker, interval, since, until)
    lines = [
        _line(ticker, list(steps)) for ticker, steps in groupby(rows, key=lambda row: str(row[0]))
    ]
    if not lines:
        raise _nothing(wanted.ticker, since, until)
    lines.sort(key=lambda line: (-line.latest, line.ticker))
    return EventChart(
        wanted.ticker,
        title or wanted.ticker,
        interval,
        tuple(lines[: wanted.top]),
        len(lines[wanted.top :]),
    )


def _line(ticker: str, steps: Sequence[tuple[Any, ...]]) -> Line:
    *_, name, title = steps[0]
    return Line(ticker, name or title or ticker, tuple((end, value) for _, end, value, *_ in steps))


def _read_market(
    connection: Connection, wanted: Wanted, title: str | None, name: str | None
) -> MarketChart:
    since, until, interval = _range(connection, wanted, "market_ticker", MOST_CANDLES)
    rows = _rows(connection, PERIODS, wanted.ticker, interval, since, until)
    if not rows:
        raise _nothing(wanted.ticker, since, until)
    return MarketChart(
        wanted.ticker, title or wanted.ticker, name or "", interval, tuple(map(_period, rows))
    )


def _period(row: tuple[Any, ...]) -> Period:
    start, end, opened, high, low, close, bid, ask, volume, probability = row
    return Period(
        *(start, end, opened, high, low, close),
        bid if bid else None,
        ask if ask is not None and ask < 1 else None,
        volume,
        probability,
    )


def _range(
    connection: Connection, wanted: Wanted, column: str, most: int
) -> tuple[datetime, datetime, int]:
    """The stretch to draw and the length of its periods."""
    held = _rows(connection, HELD.format(column=column), wanted.ticker)
    if not held:
        raise NoCandlesError(
            f"{wanted.ticker} has no candles in the warehouse: load them, and run `make transform`"
        )
    newest = max(last for _, _, last in held)
    until = _moment(wanted.until) or newest
    oldest = min(first for _, first, _ in held)
    since = _moment(wanted.since) or max(
        oldest, datetime.fromtimestamp(until.timestamp() - LONGEST_DEFAULT, UTC)
    )
    if since > newest or until < oldest:
        raise NoCandlesError(
            f"{wanted.ticker} has no candles from {since:%Y-%m-%d %H:%M} to "
            f"{until:%Y-%m-%d %H:%M}; there are some from {oldest:%Y-%m-%d %H:%M} to "
            f"{newest:%Y-%m-%d %H:%M} (UTC)"
        )
    if since == until:
        since = datetime.fromtimestamp(until.timestamp() - MINUTE, UTC)
    if wanted.interval:
        return since, until, wanted.interval
    minutes = (until - since).total_seconds() / MINUTE
    shortest = held[0][0]
    fitting = [length for length in INTERVALS if length >= shortest and minutes / length <= most]
    return since, until, fitting[0] if fitting else INTERVALS[-1]


def _nothing(ticker: str, since: datetime, until: datetime) -> NoCandlesError:
    return NoCandlesError(
        f"{ticker} has no prices from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC; "
        "give a longer range by --since, or a shorter --interval"
    )


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _rows(
    connection: Connection, query: str, *values: object, **names: object
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values or names or None)
        return cursor.fetchall()
