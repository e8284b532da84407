"""python -m simulator: serve until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from threading import Event

from .exchange import Exchange
from .seed_event import SEEN_AT
from .server import Simulator


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator from the command line."""
    options = _parser().parse_args(arguments)
    exchange = Exchange.demo(
        seed=options.seed,
        # a fixed origin: whoever loaded from it yesterday finds the same candles today
        origin=SEEN_AT,
        era=options.era,
        events=options.events,
        markets_per_event=options.markets,
    )
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Simulator(exchange, port=options.port, rate_limit=options.rate_limit) as simulator:
        print(f"Kalshi simulator: {simulator.url}", flush=True)
        stop.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--events", type=int, default=3, help="generated beside the seed event")
    parser.add_argument("--markets", type=int, default=4, help="markets in each of those")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--era", choices=("live", "legacy"), default="live")
    parser.add_argument("--rate-limit", type=float, help="requests a second before 429")
    return parser


if __name__ == "__main__":
    sys.exit(main())
