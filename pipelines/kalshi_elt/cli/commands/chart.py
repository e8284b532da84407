"""`kalshi-elt chart`: an event or a market as a page, a picture, or text."""

import argparse
import os
import shutil
import sys
from pathlib import Path

from kalshi_elt.base.errors import UsageError
from kalshi_elt.base.times import now
from kalshi_elt.cli.command import Command, the_warehouse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ticker", metavar="TICKER", help="the ticker of an event or of a market")
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="an ISO date or time, how long ago (24h, 7d), or `open`: where its candles begin; "
        "default: there, but at most 30 days back",
    )
    parser.add_argument(
        "--until", metavar="TIME", help="an ISO date or time, or how long ago; default: now"
    )
    parser.add_argument(
        "--interval",
        type=int,
        metavar="MINUTES",
        help="length of a period: 1, 5, 15, 60 or 1440; default: the shortest that suits the range",
    )
    parser.add_argument(
        "--top",
        type=int,
        default=12,
        metavar="MARKETS",
        help="how many of an event's markets to draw, the likeliest; at most 15, default: 12",
    )
    parser.add_argument("--to", metavar="FILE", help="the page; default: TICKER.html, here")
    parser.add_argument("--png", action="store_true", help="write a picture beside the page")
    parser.add_argument(
        "--terminal", action="store_true", help="draw it in the terminal, write no file"
    )


def execute(arguments: argparse.Namespace) -> int:
    from kalshi_elt.publish.chart.write import read, wanted_of, write

    if arguments.terminal and (arguments.png or arguments.to):
        raise UsageError("--terminal writes no file: leave out --to and --png, or --terminal")
    wanted = wanted_of(
        arguments.ticker,
        arguments.since,
        arguments.until,
        now(),
        interval=arguments.interval,
        top=arguments.top,
    )
    chart = read(the_warehouse(), wanted)
    if arguments.terminal:
        # plotext is imported for the terminal, vl_convert for files
        from kalshi_elt.publish.chart.terminal import render_terminal

        size = shutil.get_terminal_size()
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        # the line of the prompt stays
        print(render_terminal(chart, size.columns, size.lines - 1, colour=colour))
        return 0
    to = Path(arguments.to) if arguments.to else None
    for path in write(chart, to, png=arguments.png):
        print(f"wrote {path}")
    return 0


COMMAND = Command(
    "chart",
    "draw an event or a market: as a page, as a picture, in the terminal",
    "Draw an event or a market: as an interactive page, as a picture, or in the terminal.",
    execute,
    add_arguments,
)
