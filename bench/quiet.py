"""A load and a transform of an event with nothing new; then the same in a big warehouse."""

import argparse
import statistics
import time
from dataclasses import dataclass, field

from bench.exchange import MINUTE, Exchange, Size
from bench.fill import fill
from bench.measure import ROUNDS, verdict
from bench.nodes import show_nodes
from bench.server import BenchServer
from bench.workspace import Database, server

BOTH_SECONDS = 12.0
TRANSFORM_SECONDS = 6.0
BIG_TARGET = 1.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", type=float, default=0.01, help="exchange that is known")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--big", type=int, default=20_000_000, help="candles of the big warehouse; 0: leave it out"
    )
    parser.add_argument("--rate", default="8", help="requests a second, the loader's default")


@dataclass
class Quiet:
    """Wall seconds of loads and transforms without anything new, in their order."""

    load: list[float] = field(default_factory=list)
    transform: list[float] = field(default_factory=list)

    @property
    def both(self) -> list[float]:
        return [sum(pair) for pair in zip(self.load, self.transform, strict=True)]


def run(arguments: argparse.Namespace) -> None:
    """Measure on a small warehouse, then on the same one made big."""
    size = Size().part(arguments.part)
    # after this moment the exchange has no candles
    now = int(time.time()) // MINUTE * MINUTE
    event = Exchange(size, now=now).event_ticker(0)
    with (
        server(arguments.server) as postgres,
        BenchServer(size, now=now, quiet_from=now) as exchange,
    ):
        database = postgres.database("bench")
        database.run("load", "--status", "open", "--since", "24h", api_url=exchange.url)
        database.run("transform")
        small = _measure(database, exchange, event, arguments)
        _report("quiet run", small)
        if arguments.big:
            fill(database, arguments.big)
            database.execute("vacuum (analyze)")
            big = _measure(database, exchange, event, arguments)
            _report(f"quiet run, {arguments.big:,} candles in the warehouse", big)
            _compare("load", big.load, small.load)
            _compare("transform", big.transform, small.transform)
            _compare("both", big.both, small.both)


def _measure(
    database: Database, exchange: BenchServer, event: str, arguments: argparse.Namespace
) -> Quiet:
    quiet = Quiet()
    # the first round is not counted: its load asks again for the last minutes of the one before,
    # and its transform may have to parse the project
    for number in range(arguments.rounds + 1):
        load = database.run(
            "load", "--event", event, api_url=exchange.url, rate=str(arguments.rate)
        )
        transform = database.run("transform")
        if number:
            quiet.load.append(load.seconds)
            quiet.transform.append(transform.seconds)
    show_nodes(database, transform.seconds)
    print(f"  the last load: {load.output.strip().splitlines()[-1]}")
    return quiet


def _report(name: str, quiet: Quiet) -> None:
    for part in ("load", "transform"):
        values = ", ".join(f"{value:.2f}" for value in getattr(quiet, part))
        print(f"  {name}, {part}: {values} s")
    verdict(f"{name}, both", statistics.median(quiet.both), "s", target=BOTH_SECONDS)
    verdict(f"{name}, dbt", statistics.median(quiet.transform), "s", target=TRANSFORM_SECONDS)


def _compare(name: str, big: list[float], small: list[float]) -> None:
    verdict(
        f"quiet run, {name}: big against small",
        statistics.median(big),
        "s",
        floor=statistics.median(small),
        target=BIG_TARGET,
    )
