"""Making many typed candles quickly, by copying those of markets that are there under other
tickers.

Raw windows, coverage, and what the loader remembers of markets are copied with them, so that the
warehouse costs as much time and space as if it had loaded them.
"""

import time

from bench.workspace import Database

COPIED = (
    ("kalshi.markets", "market_ticker"),
    ("kalshi_raw.markets", "market_ticker"),
    ("kalshi_raw.candlesticks", "market_ticker"),
    ("kalshi_ops.objects", "ticker"),
    ("kalshi_ops.coverage", "market_ticker"),
    ("kalshi.candles", "market_ticker"),
)
"""The tables whose rows are copied, each with the column that gets another ticker."""

SECONDS_BETWEEN_LINES = 20.0


def fill(database: Database, candles: int, copied: int = 100_000) -> None:
    """Copy candles, about `copied` at a time, until there are `candles` of them."""
    present = database.number("select count(*) from kalshi.candles")
    tickers = database.query(
        "select market_ticker, sum(count(*)) over (order by market_ticker) "
        "from kalshi.candles group by 1 order by 1"
    )
    source = [ticker for ticker, total in tickers if total <= copied] or [tickers[0][0]]
    statements = [_statement(database, table, column) for table, column in COPIED]
    number, started, said = 0, time.monotonic(), time.monotonic()
    with database.connect() as connection, connection.cursor() as cursor:
        # off, as it takes half of the time: that each row refers to a market is given, as the
        # markets are copied, too
        cursor.execute("set session_replication_role = replica")
        cursor.execute("set synchronous_commit = off")
        while present < candles:
            number += 1
            for statement in statements:
                # prefixes in ascending order, after all real tickers: new rows come at the end of
                # the keys' indexes
                cursor.execute(statement, {"prefix": f"ZZ{number:05d}-", "tickers": source})
            present += cursor.rowcount
            if time.monotonic() - said > SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                print(f"  filled {present:,.0f}, {said - started:,.0f} s", flush=True)


def _statement(database: Database, table: str, column: str) -> str:
    rows = database.query(
        "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 "
        "and not attisdropped and attgenerated = '' and attidentity = '' order by attnum",
        table,
    )
    names = [name for (name,) in rows]
    chosen = [f"%(prefix)s || {name}" if name == column else name for name in names]
    return (
        f"insert into {table} ({', '.join(names)}) select {', '.join(chosen)} from {table} "
        f"where {column} = any (%(tickers)s)"
        + (f" order by {', '.join(_key(names))}" if table == "kalshi.candles" else "")
    )


def _key(names: list[str]) -> list[str]:
    return [name for name in ("market_ticker", "interval_min", "end_ts") if name in names]
