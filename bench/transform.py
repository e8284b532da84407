"""Typing candles with keys and indexes in place, compared with a hand-written insert ... select."""

import argparse
import contextlib
import gc
import io
import json
import time
from datetime import UTC, datetime

from bench.exchange import MINUTE, Exchange, Size
from bench.fill import fill
from bench.loader import land_listing, land_rows, requests_for, rows_for
from bench.measure import LAST_WORDS, ROUNDS, FailedError, alternate, show, verdict
from bench.workspace import Database, Server, in_environment, server
from kalshi_elt.base.errors import KalshiEltError
from kalshi_elt.base.iterables import batched
from kalshi_elt.load.landing.lander import Lander
from kalshi_elt.ops.lock import hold_lock
from kalshi_elt.transform.build import run_dbt

TARGET = 0.8
INCREMENT_TARGET = 1.3

START = int(datetime(2026, 11, 10, tzinfo=UTC).timestamp())
"""A day in the middle of a month, so that increments come into the same month's partition."""

DAY = 24 * 60 * MINUTE
REQUESTS_PER_PACKAGE = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--candles", type=int, default=1_000_000, help="candles landed")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--increment",
        type=int,
        nargs="?",
        const=100_000,
        default=0,
        help="new candles (100,000) on top of --candles and of --big typed ones, instead",
    )
    parser.add_argument("--big", type=int, default=20_000_000)


def run(arguments: argparse.Namespace) -> None:
    """Compare with the floor, or an increment on a big table with one on a small table."""
    exchange = exchange_of(arguments.candles)
    with server(arguments.server) as postgres:
        if arguments.increment:
            _compare_increments(postgres, exchange, arguments)
        else:
            _compare_with_floor(postgres, exchange, arguments.rounds)


def exchange_of(candles: int) -> Exchange:
    """An exchange with about so many candles a day."""
    whole = Size()
    part = candles / (whole.markets * whole.candles_a_day)
    return Exchange(whole.part(part), now=START)


# Against the floor


def _compare_with_floor(postgres: Server, exchange: Exchange, rounds: int) -> None:
    """Measure each round in a new copy of a database in which markets are typed and candles
    landed."""
    database = postgres.database("bench")
    prepare(database, exchange)
    land_candles(database, exchange, START, START + DAY)
    database.execute("vacuum (freeze, analyze)")
    statement = floor_statement(database)
    postgres.rename("bench", "ready")
    # for the floor: a database in which dbt has made the table, with keys, indexes and partitions,
    # but without rows
    database = postgres.database("bench", template="ready")
    run_model(database, "candles")
    database.execute("truncate kalshi.candles", "vacuum (freeze, analyze)")
    postgres.rename("bench", "emptied")
    candles = exchange.candles_a_day()
    print(f"{candles:,} candles of {exchange.size.markets:,} markets landed")
    wall: list[float] = []

    def dbt() -> float:
        database = postgres.database("bench", template="ready")
        _warm(database)
        seconds, all_seconds = run_model(database, "candles")
        wall.append(all_seconds)
        _check(database, candles)
        return seconds

    def floor() -> float:
        database = postgres.database("bench", template="emptied")
        _warm(database)
        started = time.monotonic()
        database.execute(statement)
        seconds = time.monotonic() - started
        _check(database, candles)
        return seconds

    found = alternate({"dbt": dbt, "floor": floor}, rounds)
    for series in found.values():
        show(series, "s")
    print(f"  whole builds: {', '.join(f'{value:.2f}' for value in wall)} s wall")
    speeds = {name: candles / series.median for name, series in found.items()}
    verdict(
        "transform",
        speeds["dbt"],
        "candles/s",
        floor=speeds["floor"],
        target=TARGET,
        at_least=True,
    )


def _warm(database: Database) -> None:
    """Have the server read the raw rows into memory, and write what it has to, for both kinds
    alike."""
    database.execute(
        "select sum(pg_column_size(payload)) from kalshi_raw.candlesticks", "checkpoint"
    )


def _check(database: Database, candles: int) -> None:
    typed = database.number("select count(*) from kalshi.candles")
    assert typed == candles, f"{typed:,.0f} candles typed of {candles:,}"


PRICES = {
    **{f"trade_{name}": ("price", name) for name in ("open", "high", "low", "close", "mean")},
    "trade_prev": ("price", "previous"),
    **{
        f"{side}_{name}": (side, name)
        for side in ("yes_bid", "yes_ask")
        for name in ("open", "high", "low", "close")
    },
}
"""For each typed price, by its name without `_dollars`, where its value is in a candle."""


def floor_statement(database: Database) -> str:
    """The statement that one would write by hand for candles in the live form: casts, no checks."""
    expressions = {
        "market_ticker": "raw.market_ticker",
        "interval_min": "raw.interval_min::integer",
        "end_ts": "to_timestamp((candle ->> 'end_period_ts')::bigint)",
        "volume": "trunc((candle ->> 'volume_fp')::numeric)::bigint",
        "open_interest": "trunc((candle ->> 'open_interest_fp')::numeric)::bigint",
        "volume_fp": "(candle ->> 'volume_fp')::numeric(20, 2)",
        "open_interest_fp": "(candle ->> 'open_interest_fp')::numeric(20, 2)",
        "fetched_at": "raw.fetched_at",
        "created_at": "now()",
        "updated_at": "now()",
    }
    for name, (side, key) in PRICES.items():
        text = f"(candle -> '{side}' ->> '{key}_dollars')"
        expressions[f"{name}_dollars"] = f"{text}::numeric(10, 6)"
        expressions[name] = f"({text}::numeric * 100)::smallint"
    columns = [name for name in columns_of(database, "kalshi.candles") if name in expressions]
    return (
        f"insert into kalshi.candles ({', '.join(columns)}) "
        f"select {', '.join(expressions[name] for name in columns)} "
        "from kalshi_raw.candlesticks as raw, jsonb_array_elements(raw.payload) as candle"
    )


def columns_of(database: Database, table: str) -> list[str]:
    """The columns of a table that can be written, in their order."""
    rows = database.query(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 "
        "and not attisdropped and attgenerated = '' order by attnum",
        table,
    )
    return [name for (name,) in rows]


# Increments


def _compare_increments(
    postgres: Server, exchange: Exchange, arguments: argparse.Namespace
) -> None:
    """Add the same new candles to a small and to a big table, round after round."""
    small = postgres.database("small")
    prepare(small, exchange)
    land_candles(small, exchange, START, START + DAY)
    run_model(small, "candles")
    big = postgres.database("big", template="small")
    fill(big, arguments.big)
    for database in (small, big):
        database.execute("vacuum (freeze, analyze)")
        typed = database.number("select count(*) from kalshi.candles")
        print(f"{database.url.rpartition('/')[2]}: {typed:,.0f} candles", flush=True)
    minutes = max(1, round(arguments.increment / exchange.candles_a_day() * 24 * 60))
    wall: dict[str, list[float]] = {"small": [], "big": []}
    rounds = {"small": 0, "big": 0}

    def increment(name: str, database: Database) -> float:
        begin = START + DAY + rounds[name] * minutes * MINUTE
        rounds[name] += 1
        new = land_candles(database, exchange, begin, begin + minutes * MINUTE)
        database.execute("checkpoint")
        before = database.number("select count(*) from kalshi.candles")
        seconds, all_seconds = run_model(database, "candles")
        typed = database.number("select count(*) from kalshi.candles") - before
        assert typed == new, f"{typed:,.0f} candles typed of {new:,}"
        wall[name].append(all_seconds)
        return seconds

    increment("small", small)
    increment("big", big)
    wall = {"small": [], "big": []}
    found = alternate(
        {
            "small": lambda: increment("small", small),
            "big": lambda: increment("big", big),
        },
        arguments.rounds,
    )
    for series in found.values():
        show(series, "s")
        print(f"  whole builds: {', '.join(f'{value:.2f}' for value in wall[series.name])} s")
    verdict(
        f"increment of {arguments.increment:,} on {arguments.big:,} against {arguments.candles:,}",
        found["big"].median,
        "s",
        floor=found["small"].median,
        target=INCREMENT_TARGET,
    )


# Both


def prepare(database: Database, exchange: Exchange) -> None:
    """Land and type series, events and markets, and make the table of candles."""
    fetched_at = datetime.fromtimestamp(START + DAY, UTC)
    with in_environment(database), hold_lock(database.warehouse(), wait=True) as connection:
        lander = Lander(database.warehouse())
        lander.create_tables(connection)
        land_listing(lander, exchange, fetched_at)
    run_model(database, "+candles")


def land_candles(database: Database, exchange: Exchange, start: int, end: int) -> int:
    """Land the candles of (start, end] of all markets; returns how many."""
    fetched_at = datetime.fromtimestamp(end, UTC)
    candles = 0
    with in_environment(database):
        lander = Lander(database.warehouse())
        for package in batched(requests_for(exchange, start, end), REQUESTS_PER_PACKAGE):
            rows = [row for request in package for row in rows_for(exchange, request, fetched_at)]
            candles += sum(row.candles for row in rows)
            land_rows(lander, rows)
    return candles


def run_model(database: Database, selection: str) -> tuple[float, float]:
    """Build models by `dbt run`, in this process; returns the seconds of the last one, and of
    all."""
    gc.collect()
    started = time.monotonic()
    said = io.StringIO()
    try:
        with in_environment(database), contextlib.redirect_stdout(said):
            run_dbt(database.warehouse(), ["run", "-s", selection])
    except KalshiEltError as error:
        words = "\n".join(said.getvalue().splitlines()[-LAST_WORDS:])
        raise FailedError(f"{words}\n{error}") from error
    seconds = time.monotonic() - started
    results = json.loads((database.work / "target" / "run_results.json").read_text())["results"]
    model = results[-1]["execution_time"]
    return float(model), seconds
