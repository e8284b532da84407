"""`kalshi-elt restore`: a backup into an empty warehouse."""

import argparse
from pathlib import Path

from kalshi_elt.cli.command import Command, the_warehouse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a folder that `backup` wrote")


def execute(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.backup import restore

    print(restore(the_warehouse(), Path(arguments.folder)))
    return 0


COMMAND = Command(
    "restore",
    "restore a backup into an empty warehouse, with pg_restore",
    "Restore a backup into an empty warehouse, with pg_restore.",
    execute,
    add_arguments,
)
