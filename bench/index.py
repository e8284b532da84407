"""What the seed's second index on candles costs and gains: queries and typing, with and without."""

import argparse
import statistics
import time

from bench.measure import ROUNDS
from bench.transform import (
    DAY,
    START,
    exchange_of,
    floor_statement,
    land_candles,
    prepare,
    run_model,
)
from bench.workspace import Database, server

INDEX = "kalshi.idx_candles_market_interval_endts"

QUERIES = {
    "last ten candles of a market": """
        select * from kalshi.candles
        where market_ticker = {ticker} and interval_min = 1
        order by end_ts desc limit 10
    """,
    "a market's last candle before a time": """
        select * from kalshi.candles
        where market_ticker = {ticker} and interval_min = 1 and end_ts <= '2026-11-10 12:00Z'
        order by end_ts desc limit 1
    """,
    "a day of a market, ascending": """
        select * from kalshi.candles
        where market_ticker = {ticker} and interval_min = 1
            and end_ts > '2026-11-10 00:00Z' and end_ts <= '2026-11-11 00:00Z'
        order by end_ts
    """,
    "last candle of each market, by distinct on": """
        select distinct on (market_ticker, interval_min) market_ticker, interval_min, end_ts
        from kalshi.candles
        order by market_ticker, interval_min, end_ts desc
    """,
    "last candle of each market, by lateral join": """
        select markets.market_ticker, last_candles.end_ts
        from kalshi.markets
        cross join lateral (
            select candles.end_ts from kalshi.candles
            where candles.market_ticker = markets.market_ticker and candles.interval_min = 1
            order by candles.end_ts desc limit 1
        ) as last_candles
    """,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--candles", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)


def run(arguments: argparse.Namespace) -> None:
    """Insert and query with the index, then without."""
    exchange = exchange_of(arguments.candles)
    with server(arguments.server) as postgres:
        database = postgres.database("bench")
        prepare(database, exchange)
        land_candles(database, exchange, START, START + DAY)
        ticker = f"'{exchange.tickers[len(exchange.tickers) // 2]}'"
        statement = floor_statement(database)
        run_model(database, "candles")
        inserting = _inserting(database, statement, arguments.rounds)
        with_index = {name: _ask(database, q, ticker, arguments.rounds) for name, q in _named()}
        database.execute(f"drop index {INDEX}")
        without = {name: _ask(database, q, ticker, arguments.rounds) for name, q in _named()}
        inserting_without = _inserting(database, statement, arguments.rounds)
        print(f"{'ms, median':46} {'with':>10} {'without':>10}   plan with | without")
        for name, (milliseconds, plan) in with_index.items():
            other, other_plan = without[name]
            print(f"  {name:44} {milliseconds:10,.2f} {other:10,.2f}   {plan} | {other_plan}")
        print(
            f"one insert of {arguments.candles:,} candles: {inserting:.2f} s with the index, "
            f"{inserting_without:.2f} s without"
        )


def _named() -> list[tuple[str, str]]:
    return list(QUERIES.items())


def _inserting(database: Database, statement: str, rounds: int) -> float:
    """Median seconds of the statement, the table emptied before each; it is full afterwards."""
    seconds = []
    for _ in range(rounds):
        database.execute("truncate kalshi.candles", "checkpoint")
        started = time.monotonic()
        database.execute(statement)
        seconds.append(time.monotonic() - started)
    database.execute("vacuum (freeze, analyze)")
    return statistics.median(seconds)


def _ask(database: Database, query: str, ticker: str, rounds: int) -> tuple[float, str]:
    """Median milliseconds, and the plan's nodes."""
    statement = query.format(ticker=ticker)
    plan = " < ".join(
        line.strip(" ->").partition("  (")[0]
        for (line,) in database.query(f"explain {statement}")
        if "->" in line or line[0] != " "
    )
    seconds = []
    with database.connect() as connection, connection.cursor() as cursor:
        for _ in range(rounds + 1):
            started = time.monotonic()
            cursor.execute(statement)
            cursor.fetchall()
            seconds.append(time.monotonic() - started)
    # the first one warms up
    return statistics.median(seconds[1:]) * 1000, plan
