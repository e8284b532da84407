"""`kalshi_ops.objects`: which events, markets and series were seen, and what landed last of
each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import TypeVar

from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extras import execute_values

from kalshi_elt.base.times import moment
from kalshi_elt.kalshi.records import EventRow, Market, MarketFound, MarketRow, SeriesRow
from kalshi_elt.kalshi.selection import Selection
from kalshi_elt.warehouse.queries import execute, select

Row = TypeVar("Row", EventRow, MarketRow)

EVENT = "event"
MARKET = "market"
SERIES = "series"

SERIES_SECONDS = 24 * 60 * 60
"""How old a series row may be before it is asked for again."""


@dataclass(frozen=True)
class Scope:
    """Which known markets a load is responsible for: those that its selection would list."""

    selection: Selection
    series: tuple[str, ...]
    """The selected series, and those of the selected categories."""

    @property
    def condition(self) -> str:
        """A condition in SQL on rows of kalshi_ops.objects; its values are in `parameters`."""
        return (
            "(%(everything)s or event_ticker = any(%(events)s) "
            "or ticker = any(%(markets)s) or series_ticker = any(%(series)s)) "
            "and (%(multivariate)s or not is_multivariate or ticker = any(%(markets)s) "
            "or event_ticker = any(%(events)s))"
        )

    @property
    def parameters(self) -> dict[str, object]:
        return {
            "everything": self.selection.is_everything,
            "events": list(self.selection.events),
            "markets": list(self.selection.markets),
            "series": list(self.series),
            "multivariate": self.selection.multivariate,
        }


def payload_hash(payload: bytes) -> bytes:
    """A fingerprint of an object: while it stays the same, the object has not changed."""
    return blake2b(payload, digest_size=16).digest()


def changed_events(connection: Connection, rows: Sequence[EventRow]) -> list[EventRow]:
    """The events whose payload differs from the one that landed last."""
    return _changed(connection, EVENT, rows, lambda row: row.event_ticker)


def changed_markets(connection: Connection, rows: Sequence[MarketRow]) -> list[MarketRow]:
    """The markets whose payload differs from the one that landed last."""
    return _changed(connection, MARKET, rows, lambda row: row.market_ticker)


def _changed(
    connection: Connection,
    entity: str,
    rows: Sequence[Row],
    key: Callable[[Row], str | None],
) -> list[Row]:
    landed = _landed_hashes(connection, entity, [key(row) for row in rows])
    return [row for row in rows if landed.get(key(row) or "") != payload_hash(row.payload)]


def _landed_hashes(
    connection: Connection, entity: str, tickers: Sequence[str | None]
) -> dict[str, bytes]:
    rows = select(
        connection,
        "select ticker, payload_hash from kalshi_ops.objects "
        "where entity = %s and ticker = any(%s) and payload_hash is not null",
        [entity, [ticker for ticker in tickers if ticker]],
    )
    return {ticker: bytes(digest) for ticker, digest in rows}


def record_events(connection: Connection, rows: Iterable[tuple[EventRow, str | None]]) -> None:
    """Note events as seen. Each row comes with its event's series, which may be unknown."""
    _record(
        connection,
        [
            _Seen(EVENT, row.event_ticker, row.event_ticker, series, row.payload, None)
            for row, series in rows
            if row.event_ticker
        ],
    )


def record_series(connection: Connection, rows: Iterable[SeriesRow]) -> None:
    """Note series as seen."""
    _record(
        connection,
        [
            _Seen(SERIES, row.series_ticker, None, row.series_ticker, row.payload, None)
            for row in rows
            if row.series_ticker
        ],
    )


def record_markets(
    connection: Connection, found: Iterable[MarketFound], series: dict[str, str]
) -> None:
    """Note markets as seen; `series` has the series of events, by ticker, as far as known."""
    _record(
        connection,
        [
            _Seen(
                MARKET,
                one.market.ticker,
                one.market.event_ticker,
                series.get(one.market.event_ticker or ""),
                one.row.payload,
                one.market,
            )
            for one in found
            if one.market
        ],
    )


@dataclass(frozen=True)
class _Seen:
    entity: str
    ticker: str
    event_ticker: str | None
    series_ticker: str | None
    payload: bytes
    market: Market | None

    def values(self, now: datetime) -> tuple[object, ...]:
        market = self.market
        return (
            self.entity,
            self.ticker,
            self.event_ticker,
            self.series_ticker,
            payload_hash(self.payload),
            market.status if market else None,
            moment(market.opened if market else None),
            moment(market.closed if market else None),
            moment(market.settled if market else None),
            market.is_multivariate if market else False,
            not market.is_settled if market else False,
            now,
            now,
        )


def _record(connection: Connection, seen: Sequence[_Seen]) -> None:
    now = datetime.now(UTC)
    last = {(one.entity, one.ticker): one for one in seen}
    settled = [one.ticker for one in last.values() if one.market and one.market.is_settled]
    with connection, connection.cursor() as cursor:
        execute_values(
            cursor,
            """
            insert into kalshi_ops.objects as known (
                entity, ticker, event_ticker, series_ticker, payload_hash, status, open_time,
                close_time, settlement_ts, is_multivariate, is_followed, first_seen_at, last_seen_at
            ) values %s
            on conflict (entity, ticker) do update set
                event_ticker = excluded.event_ticker,
                series_ticker = coalesce(excluded.series_ticker, known.series_ticker),
                payload_hash = excluded.payload_hash,
                status = excluded.status,
                open_time = excluded.open_time,
                close_time = excluded.close_time,
                settlement_ts = excluded.settlement_ts,
                is_multivariate = excluded.is_multivariate,
                is_followed = excluded.is_followed or known.is_followed,
                last_seen_at = excluded.last_seen_at,
                gone_at = null
            """,
            [one.values(now) for one in last.values()],
            page_size=1000,
        )
        # a settled market is still followed while it has coverage, until its candles up to its
        # close have been asked for (candles.plan)
        cursor.execute(
            """
            update kalshi_ops.objects set is_followed = false
            where
                entity = %(market)s
                and ticker = any (%(settled)s)
                and is_followed
                and ticker not in (
                    select market_ticker from kalshi_ops.coverage
                    where market_ticker = any (%(settled)s)
                )
            """,
            {"market": MARKET, "settled": settled},
        )


def unknown_events(connection: Connection, tickers: Iterable[str]) -> list[str]:
    """The tickers of events that never landed, sorted."""
    asked = sorted(set(tickers))
    known = _landed_hashes(connection, EVENT, asked)
    return [ticker for ticker in asked if ticker not in known]


def listed_series(connection: Connection, started_at: datetime) -> list[str]:
    """The series of the events that were seen since `started_at`."""
    return _tickers(
        connection,
        "select distinct series_ticker from kalshi_ops.objects "
        "where entity = %s and last_seen_at >= %s and series_ticker is not null",
        [EVENT, started_at],
    )


def series_due(connection: Connection, tickers: Iterable[str]) -> list[str]:
    """The tickers of series that never landed, or last did more than a day ago, sorted."""
    asked = sorted(set(tickers))
    fresh = set(
        _tickers(
            connection,
            "select ticker from kalshi_ops.objects where entity = %s and ticker = any(%s) "
            "and last_seen_at > now() - %s * interval '1 second'",
            [SERIES, asked, SERIES_SECONDS],
        )
    )
    return [ticker for ticker in asked if ticker not in fresh]


def followed(connection: Connection, scope: Scope) -> list[str]:
    """Tickers of the markets that had not reached their last state when they were seen last, or of
    which wanted candles are missing."""
    return _tickers(
        connection,
        "select ticker from kalshi_ops.objects where entity = 'market' and gone_at is null "
        "and (is_followed or ticker in "
        "(select market_ticker from kalshi_ops.coverage where has_gap)) "
        f"and {scope.condition} order by ticker",
        scope.parameters,
    )


def _tickers(
    connection: Connection, query: str, values: Sequence[object] | Mapping[str, object]
) -> list[str]:
    """The only column of a query."""
    return [ticker for (ticker,) in select(connection, query, values)]


def stop_following(connection: Connection, tickers: Sequence[str]) -> None:
    """Look up settled markets no more. Candles that are still missing stay known as gaps, and a
    market with gaps is asked for without being followed."""
    execute(
        connection,
        "update kalshi_ops.objects set is_followed = false "
        "where entity = %s and ticker = any(%s) and is_followed",
        [MARKET, list(tickers)],
    )


def unfinished(connection: Connection, scope: Scope) -> list[Market]:
    """Markets of which wanted candles are missing, because a request failed or was never sent."""
    rows = select(
        connection,
        "select ticker, event_ticker, status, extract(epoch from open_time)::bigint, "
        "extract(epoch from close_time)::bigint, extract(epoch from settlement_ts)::bigint, "
        "is_multivariate from kalshi_ops.objects "
        "where entity = 'market' and gone_at is null and ticker in "
        "(select market_ticker from kalshi_ops.coverage where has_gap) "
        f"and {scope.condition}",
        scope.parameters,
    )
    return [
        Market(ticker, event, status, opened, closed, settled, Decimal(0), is_multivariate)
        for ticker, event, status, opened, closed, settled, is_multivariate in rows
    ]


def mark_gone(connection: Connection, tickers: Sequence[str]) -> None:
    """Note markets that Kalshi has in neither tier any more. Their rows stay."""
    execute(
        connection,
        "update kalshi_ops.objects set gone_at = now() "
        "where entity = %s and ticker = any(%s) and gone_at is null",
        [MARKET, list(tickers)],
    )
