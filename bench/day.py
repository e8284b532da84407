"""End to end: one exchange day, or a part of it, from HTTP to tested typed tables."""

import argparse
import time
from dataclasses import dataclass

from bench.exchange import DAY_MINUTES, Size
from bench.measure import Finished, cpu_seconds, verdict
from bench.nodes import show_nodes
from bench.server import BenchServer, Stats
from bench.storage import show_storage
from bench.workspace import Database, server

WHOLE_DAY_SECONDS = 300.0
PEAK_MB = 300.0


@dataclass(frozen=True)
class Day:
    """What a load and a transform of one exchange cost, and how many rows they brought."""

    markets: int
    candles: int
    load: Finished
    transform: Finished
    load_server_cpu: float
    """CPU seconds of the database server during the load."""
    transform_server_cpu: float
    exchange_cpu: float
    exchange: Stats


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", type=float, default=0.1, help="fraction of the whole exchange")
    parser.add_argument("--rate", default="100000", help="requests a second")


def run(arguments: argparse.Namespace) -> None:
    """Load and transform one part of a day, then look at what it takes on disk."""
    size = Size().part(arguments.part)
    with server(arguments.server) as postgres:
        database = postgres.database("bench")
        day = measure(database, size, arguments.rate)
        show(day, arguments.part)
        show_nodes(database, day.transform.seconds)
        show_storage(database)


def measure(database: Database, size: Size, rate: str) -> Day:
    """Load and transform an exchange of that size into an empty database."""
    with BenchServer(size, now=int(time.time())) as exchange:
        cpu = database.server_cpu()
        load = database.run(
            "load", "--status", "open", "--since", "24h", api_url=exchange.url, rate=rate
        )
        load_cpu = database.server_cpu() - cpu
        exchange_cpu, stats = cpu_seconds(exchange.pid), exchange.stats()
    transform = database.run("transform")
    transform_cpu = database.server_cpu() - cpu - load_cpu
    candles = int(database.number("select count(*) from kalshi.candles"))
    return Day(size.markets, candles, load, transform, load_cpu, transform_cpu, exchange_cpu, stats)


def show(day: Day, part: float) -> None:
    """Print what a day took, against its targets."""
    stats = day.exchange
    print(f"  {day.load.output.strip().splitlines()[-1]}")
    print(f"  {day.transform.output.strip().splitlines()[-1]}")
    print(
        f"  {day.markets:,} markets, {stats.requests:,} requests, {stats.megabytes:,.0f} MB, "
        f"{stats.candles:,} candles sent, {day.candles:,} typed ({DAY_MINUTES // 60} h)"
    )
    _show_step("load", day.load, day.load_server_cpu, day.candles)
    print(f"  {'':<10} the exchange's own cost: {day.exchange_cpu:,.1f} CPU s")
    _show_step("transform", day.transform, day.transform_server_cpu, day.candles)
    pace = stats.requests / 8
    print(f"  at 8 requests/s the requests alone take {pace:,.0f} s")
    verdict("load against Kalshi's pace", day.load.seconds, "s", floor=pace, target=1.0)
    seconds = day.load.seconds + day.transform.seconds
    verdict(f"day, {part:g} of it", seconds, "s", target=WHOLE_DAY_SECONDS * part)
    verdict("memory of the loader", day.load.peak_mb, "MB", target=PEAK_MB)
    verdict("memory of dbt", day.transform.peak_mb, "MB", target=PEAK_MB)


def _show_step(name: str, step: Finished, server_cpu: float, candles: int) -> None:
    print(
        f"  {name:<10} {step.seconds:,.1f} s wall, {candles / step.seconds:,.0f} candles/s; "
        f"CPU s: its own {step.cpu_seconds:,.1f}, postgres {server_cpu:,.1f}; "
        f"peak {step.peak_mb:,.0f} MB"
    )
