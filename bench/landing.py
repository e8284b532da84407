"""Landing candles in kalshi_raw, compared with one stream of COPY of the same rows."""

import argparse
import contextlib
import csv
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.exchange import MINUTE, Exchange, Size
from bench.loader import land_rows, land_through_http, requests_for, rows_for
from bench.measure import ROUNDS, Series, alternate, cpu_seconds, show, verdict
from bench.server import BenchServer
from bench.workspace import Database, in_environment, server
from kalshi_elt.kalshi.records import WindowRow
from kalshi_elt.kalshi.request_plan import CandleRequest
from kalshi_elt.load.landing.lander import Lander
from kalshi_elt.load.landing.source import CANDLESTICKS
from kalshi_elt.ops.lock import hold_lock

TABLE = "kalshi_raw.candlesticks"
FLOOR = "bench.candlesticks"
TARGET = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", type=float, default=0.05, help="fraction of an exchange day")
    parser.add_argument("--rounds", type=int, default=ROUNDS)


@dataclass(frozen=True)
class Given:
    """What is landed. It is prepared before anything is measured."""

    exchange: Exchange
    requests: list[CandleRequest]
    rows: list[WindowRow]
    candles: int


def run(arguments: argparse.Namespace) -> None:
    """Alternate COPY, landing of rows in memory, and landing through HTTP."""
    size = Size().part(arguments.part)
    given = _prepare(size)
    print(
        f"{given.candles:,} candles in {len(given.rows):,} windows of {len(given.requests):,} "
        "requests"
    )
    with server(arguments.server) as postgres:
        database = postgres.database("bench")
        with in_environment(database):
            _compare(database, given, arguments)


def _prepare(size: Size) -> Given:
    """The rows of one exchange day, in the order in which the loader asks for them."""
    now = int(time.time()) // MINUTE * MINUTE
    exchange = Exchange(size, now=now)
    requests = requests_for(exchange, now - 24 * 60 * MINUTE, now)
    fetched_at = datetime.fromtimestamp(now, UTC)
    rows = [row for request in requests for row in rows_for(exchange, request, fetched_at)]
    return Given(exchange, requests, rows, sum(row.candles for row in rows))


def _compare(database: Database, given: Given, arguments: argparse.Namespace) -> None:
    lander = Lander(database.warehouse())
    with hold_lock(database.warehouse(), wait=True) as connection:
        lander.create_tables(connection)
    plain = database.work / "candlesticks.csv"
    _write_plain(plain, given.rows)
    _make_floor(database)
    costs: list[str] = []
    with BenchServer(given.exchange.size, now=int(time.time())) as exchange:
        found = alternate(
            {
                "COPY": lambda: _copy(database, plain, given),
                "rows at hand": lambda: _land(database, lander, given),
                "through HTTP": lambda: _through_http(database, exchange, given, costs),
            },
            arguments.rounds,
        )
    plain.unlink()
    _report(found, costs)


def _report(found: dict[str, Series], costs: list[str]) -> None:
    print("candles/s, all values:")
    for series in found.values():
        show(series, "candles/s")
    for cost in costs:
        print(f"  {cost}")
    floor = found.pop("COPY").median
    for name, series in found.items():
        verdict(
            f"landing, {name}",
            series.median,
            "candles/s",
            floor=floor,
            target=TARGET,
            at_least=True,
        )


def _make_floor(database: Database) -> None:
    """Make a table that costs as much as the raw one: with its types, indexes, compression and
    settings."""
    ((options,),) = database.query(
        "select array_to_string(reloptions, ', ') from pg_class where oid = %s::regclass", TABLE
    )
    database.execute(
        "create schema bench",
        f"create table {FLOOR} (like {TABLE} including all)",
        *([f"alter table {FLOOR} set ({options})"] if options else []),
    )


@contextmanager
def _emptied(database: Database, table: str) -> Iterator[None]:
    """Empty the table, and have the server write what it has to, before the block is measured."""
    database.execute(f"truncate {table}", "checkpoint")
    yield


def _write_plain(file: Path, rows: list[WindowRow]) -> None:
    """Write the rows as one would for COPY without us: as CSV, by Python's own writer."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([column["name"] for column in CANDLESTICKS.columns])
        for row in rows:
            keys = (row.market_ticker, row.interval_min, row.window_start, row.window_end)
            origin = (row.origin.endpoint, row.origin.tier, row.origin.fetched_at)
            writer.writerow((*keys, row.payload.decode(), "f", *origin, "bench"))


def _copy(database: Database, plain: Path, given: Given) -> float:
    """Copy the rows in one stream; returns candles a second."""
    with _emptied(database, FLOOR), plain.open("rb") as file, database.connect() as connection:
        started = time.monotonic()
        with connection.cursor() as cursor:
            cursor.copy_expert(f"copy {FLOOR} from stdin (format csv, header true)", file)
        seconds = time.monotonic() - started
    _check(database, FLOOR, given)
    return given.candles / seconds


def _land(database: Database, lander: Lander, given: Given) -> float:
    """Land rows that are in memory, as the loader does; returns candles a second."""
    with _emptied(database, TABLE):
        started = time.monotonic()
        land_rows(lander, given.rows)
        seconds = time.monotonic() - started
    _check(database, TABLE, given)
    return given.candles / seconds


def _through_http(
    database: Database, exchange: BenchServer, given: Given, costs: list[str]
) -> float:
    """Fetch and land the rows, as the loader does; returns candles a second."""
    with _emptied(database, TABLE):
        database.execute("truncate kalshi_ops.coverage, kalshi_ops.covered_loads")
        before = time.process_time(), cpu_seconds(exchange.pid), database.server_cpu()
        started = time.monotonic()
        with contextlib.redirect_stderr(io.StringIO()):
            land_through_http(database.warehouse(), exchange.url, given.requests)
        seconds = time.monotonic() - started
        after = time.process_time(), cpu_seconds(exchange.pid), database.server_cpu()
    own, theirs, postgres = (end - begin for begin, end in zip(before, after, strict=True))
    costs.append(
        f"through HTTP: {seconds:.1f} s wall; CPU s: loader {own:.1f}, exchange {theirs:.1f}, "
        f"postgres {postgres:.1f}"
    )
    _check(database, TABLE, given)
    return given.candles / seconds


def _check(database: Database, table: str, given: Given) -> None:
    """Fail when rows were lost or added: then what was measured means nothing."""
    landed = database.number(f"select count(*) from {table}")
    assert landed == len(given.rows), f"{table}: {landed:,.0f} of {len(given.rows):,} rows"
