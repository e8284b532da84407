"""`kalshi-elt prune`: remove raw windows of candles that are typed."""

import argparse

from kalshi_elt.base.times import now
from kalshi_elt.cli.command import Command, the_warehouse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--raw-older-than",
        required=True,
        metavar="TIME",
        help="remove what was fetched before this: how long ago (30d), or an ISO date or time",
    )
    parser.add_argument("--dry-run", action="store_true", help="count them, remove nothing")


def execute(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.prune import prune

    pruned = prune(the_warehouse(), arguments.raw_older_than, now=now(), dry_run=arguments.dry_run)
    print(pruned)
    return 0


COMMAND = Command(
    "prune",
    "remove old raw candles that are in the typed tables",
    "Remove raw answers with candles that are in the typed tables, to free space. The typed tables "
    "stay as they are.",
    execute,
    add_arguments,
)
